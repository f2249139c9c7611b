//! Models of the channel: its ring and its waiting places, the real code, in every order of steps.
//!
//! The explorer is that of the commit protocol; [`world`] says what a step is, how memory behaves
//! and what must be true: records are taken whole, once and in order; nobody sleeps beside what it
//! waits for unless somebody is about to ring, or has stopped before it did; whoever lives gets to
//! its end, with everything that the dead had published.
mod actor;
mod flow;
mod world;
