//! Models of the channel: its ring, its waiting places and its doorbell, the real code, in every
//! order of steps.
//!
//! The explorer is that of the commit protocol. [`world`] says what a step is, how memory behaves
//! and what must be true: records are taken whole, once and in order; nobody sleeps beside what it
//! waits for unless somebody is about to ring, or has stopped before it did; whoever lives gets to
//! its end, and to everything that the dead had published. From each state each participant goes on
//! alone, which is what "stopped for ever" means. Counts of sleeps and rings wrap at once. Without
//! fences publishes who has found the peer awake once, not 32 times.
//!
//! *Ordered*: stores linger, and are seen in order. *Loose*: those of no order when they like, and
//! additions late. Loads happen in order in both: that the loads of a head and of a tail acquire is
//! not tried. Rings are so small that a reader gives back room with each record. `cargo test` runs
//! the short form, `cargo xtask models` also the long one.
//!
//! | participants | states | loose | orders |
//! | --- | --- | --- | --- |
//! | 2 records, room for two | 12,749 | 16,883 | 7e20 |
//! | the same, without fences | 19,820 | 25,861 | 5e21 |
//! | 2 records, room for one; long: 3, without fences | 23,056 | 616,402 | 2e37 |
//! | 3 records, without fences; long: 4 | 192,894 | 1,788,293 | 9e39 |
//! | 3 records, published by twos; long: 4 | 67,280 | 818,392 | 3e38 |
//! | 3 records, room for four; long: 4 | 82,478 | 342,737 | 5e38 |
//! | 2 records, each wait begins with one that gives up | 63,139 | 83,926 | 3e24 |
//! | 2 records, each side wakes once for nothing | 91,668 | | 9e17 |
//! | long: both of these, twice for nothing | 580,449 | 780,421 | 5e27 |
//! | 1 record, another thread waits beside the reader; long: without fences | 461,122 | 698,885 | 2e35 |
//! | 2 records, the writer may die; long: 3 | 88,688 | 880,127 | 3e33 |
//! | 2 records, the reader may die; long: 4 | 26,049 | 2,920,577 | 3e42 |
//! | 3 records, the reader stops after one | 5,256 | 6,965 | 1e19 |
//! | 2 records, the writer is an heir; long: 3 | 23,001 | 273,135 | 3e33 |
//! | door: two clients of one group, of two groups | 5,667; 5,066 | | 1e12 |
//! | the same, one client may die | 42,464; 39,491 | | 2e17 |
//!
//! Each defect seeded by `flaw` breaks a promise of one of them (`defects_are_noticed`). To say in
//! no order that fences are used again breaks none: the ring that follows shows all that was
//! published before.
//!
//! Spinning is left out: it looks earlier, and once more. So are two holders of one end in
//! different processes that publish at the same time.

mod actor;
mod door;
mod flow;
pub(crate) mod step;
mod world;
