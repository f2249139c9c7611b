//! The doorbell: clients that knock, and threads of a server that sleep there.
//!
//! Memory is sequentially consistent here, as its exchanges are; what they stand beside, the fences
//! of an announced sleep, is tried by `flow`. Short copies: `Doorway` and the loops of an
//! attendant.

use std::cell::Cell;

use strait_sys::time::Deadline;

use super::super::door::{self, Bits, Sleeper};
use super::super::park::{Park, Spin, Waited, Waiter};
use crate::object::commit::tests::explore::{ACTORS_MAX, Actor, AtRest, Model, Share, World};
use crate::object::commit::tests::{long, red, sound, tape};
use crate::object::flaw;

const CLIENTS: usize = 2;
const SUMMARY: usize = 0;
/// Two groups.
const BITMAP: usize = 1;
const SLEEPS: usize = 3;
const BELL: usize = 4;
/// What each client has published.
const SENT: usize = 5;
const WORDS: usize = SENT + CLIENTS;

#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
enum Op {
    Load(usize),
    Set(usize, u64),
    Clear(usize, u64),
    /// What was there before.
    Add(usize, u64),
    /// FUTEX_WAIT, in two steps.
    Doze(u64),
    Wakes,
    /// FUTEX_WAKE: of so many, whoever came first.
    Wake(u32),
    Dies(usize),
    /// Up to which of its messages a client has been served.
    Served(usize, u64),
    IsAllServed,
}

#[derive(Copy, Clone, Debug, Default, Eq, Hash, PartialEq)]
enum Sleep {
    #[default]
    Awake,
    /// As the how-manieth.
    Asleep(u8),
    Woken,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct Server {
    words: [u64; WORDS],
    sleeping: [Sleep; ACTORS_MAX],
    dead: [bool; ACTORS_MAX],
    served: [u64; CLIENTS],
    /// What each client will have sent at the end.
    expected: [u64; CLIENTS],
}

impl Server {
    fn new(expected: [u64; CLIENTS]) -> Self {
        let mut words = [0; WORDS];
        words[BELL] = u32::MAX.into();
        Self {
            words,
            sleeping: [Sleep::Awake; ACTORS_MAX],
            dead: [false; ACTORS_MAX],
            served: [0; CLIENTS],
            expected,
        }
    }

    fn last(&self) -> u8 {
        let places = self.sleeping.iter().filter_map(|sleep| match sleep {
            Sleep::Asleep(place) => Some(*place),
            _ => None,
        });
        places.max().unwrap_or(0)
    }

    fn wake(&mut self, count: u32) {
        for _ in 0..count.min(ACTORS_MAX as u32) {
            let asleep = self.sleeping.iter_mut().filter_map(|sleep| match *sleep {
                Sleep::Asleep(place) => Some((place, sleep)),
                _ => None,
            });
            if let Some((_, first)) = asleep.min_by_key(|(place, _)| *place) {
                *first = Sleep::Woken;
            }
        }
        let least = self.sleeping.iter().filter_map(|sleep| match sleep {
            Sleep::Asleep(place) => Some(*place),
            _ => None,
        });
        // Places count from 1: what cannot be told apart is one state.
        let gone = least.min().unwrap_or(1) - 1;
        for sleep in &mut self.sleeping {
            if let Sleep::Asleep(place) = sleep {
                *place -= gone;
            }
        }
    }
}

impl World for Server {
    type Op = Op;

    fn share(&self, op: &Op) -> Share {
        match op {
            Op::Served(..) | Op::IsAllServed => Share::Silent,
            _ => Share::Step,
        }
    }

    fn apply(&mut self, who: usize, op: &Op) -> Result<Option<u64>, String> {
        Ok(Some(match *op {
            Op::Load(at) => self.words[at],
            Op::Set(at, bits) => {
                self.words[at] |= bits;
                0
            }
            Op::Clear(at, bits) => {
                let before = self.words[at];
                self.words[at] &= !bits;
                before
            }
            Op::Add(at, value) => {
                let before = self.words[at];
                self.words[at] = u64::from((before as u32).wrapping_add(value as u32));
                before
            }
            Op::Doze(bell) => {
                if self.words[BELL] != bell {
                    return Ok(Some(0));
                }
                self.sleeping[who] = Sleep::Asleep(self.last() + 1);
                1
            }
            Op::Wakes => {
                if self.sleeping[who] != Sleep::Woken {
                    return Ok(None);
                }
                self.sleeping[who] = Sleep::Awake;
                1
            }
            Op::Wake(count) => {
                self.wake(count);
                0
            }
            Op::Dies(other) if !self.dead[other] => return Ok(None),
            Op::Dies(_) => 0,
            Op::Served(client, count) => {
                self.served[client] = count.max(self.served[client]);
                0
            }
            Op::IsAllServed => (self.served == self.expected).into(),
        }))
    }

    fn bury(&mut self, who: usize) {
        self.dead[who] = true;
    }

    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

#[derive(Copy, Clone, Debug)]
struct Word(usize);

impl Bits for Word {
    fn set(self, bits: u64) {
        tape::perform(Op::Set(self.0, bits));
    }

    fn clear(self, bits: u64) -> u64 {
        tape::perform(Op::Clear(self.0, bits))
    }

    fn look(self) -> u64 {
        tape::perform(Op::Load(self.0))
    }
}

/// Clients sit far apart, or side by side.
#[derive(Copy, Clone, Debug)]
struct Hall {
    bits: [u32; CLIENTS],
}

impl Hall {
    fn mark(self, client: usize) -> ((Word, u64), (Word, u64)) {
        let (group, bit) = (self.bits[client] / 64, self.bits[client] % 64);
        let bits = Word(BITMAP + group as usize);
        ((bits, 1 << bit), (Word(SUMMARY), 1 << group))
    }

    fn take(self, from: u32) -> Option<usize> {
        let bits = |group: u32| (group < 2).then_some(Word(BITMAP + group as usize));
        let take = |from| door::take(Word(SUMMARY), bits, from);
        let bit = take(from).or_else(|| take(0))?;
        self.bits.iter().position(|of| *of == bit)
    }
}

fn knock(hall: Hall, client: usize) {
    let (bits, summary) = hall.mark(client);
    let look = || tape::perform(Op::Load(SLEEPS)) as u32;
    let early = flaw("knock: look, then mark").then(look);
    door::mark(bits, summary);
    if early.unwrap_or_else(look) != 0 {
        tape::perform(Op::Add(BELL, 1));
        tape::perform(Op::Wake(door::woken(look())));
    }
}

/// Sends so many times, and knocks each time.
fn client(hall: Hall, client: usize, times: u64) -> Actor {
    Box::new(move |stage| {
        tape::perform(Op::Add(SENT + client, 1));
        knock(hall, client);
        (stage + 1 < times).then_some(stage + 1)
    })
}

/// Knocks for a client that has died.
fn mourner(hall: Hall, client: usize) -> Actor {
    Box::new(move |_| {
        tape::perform(Op::Dies(client));
        knock(hall, client);
        None
    })
}

struct Doorway {
    sleeper: Sleeper,
    is_asleep: Cell<bool>,
}

impl Doorway {
    fn waiter(sleeper: Sleeper) -> Waiter<Self> {
        let doorway = Self {
            sleeper,
            is_asleep: Cell::new(false),
        };
        Waiter::new(doorway, Spin::Never)
    }

    fn awake(&self) {
        if self.is_asleep.take() {
            let count = (self.sleeper as u32).wrapping_neg();
            tape::perform(Op::Add(SLEEPS, count.into()));
        }
    }
}

impl Park for Doorway {
    fn full_fence(&self) {}

    fn light_fence(&self) {}

    fn peer_sleeps(&self) -> u32 {
        0
    }

    fn ring(&self) {}

    fn may_be_lean(&self) -> bool {
        false
    }

    fn say_lean(&self, _: bool) {}

    fn count_sleep(&self) {
        if !self.is_asleep.replace(true) {
            tape::perform(Op::Add(SLEEPS, self.sleeper as u64));
        }
    }

    fn peer_is_lean(&self) -> bool {
        false
    }

    fn heavy_fence(&self) {}

    fn bell(&self) -> u32 {
        tape::perform(Op::Load(BELL)) as u32
    }

    fn sleep(&self, bell: u32, _: Option<Deadline>) -> bool {
        tape::perform(Op::Doze(bell.into())) == 1 && tape::perform(Op::Wakes) == 1
    }

    fn rang_at(&self) -> u64 {
        0
    }

    fn say_cpu(&self, _: u32) {}

    fn peer_cpu(&self) -> u32 {
        u32::MAX
    }
}

fn serve(client: usize) {
    let count = tape::perform(Op::Load(SENT + client));
    tape::perform(Op::Served(client, count));
}

/// Serves whoever has knocked but that client, until there is nothing left to come.
fn attendant(hall: Hall, but: Option<usize>) -> Actor {
    Box::new(move |stage| {
        let from = u32::try_from(stage & !WAITS).expect("a bit");
        if stage & WAITS != 0 {
            let mut waiter = Doorway::waiter(Sleeper::ServesAll);
            let is_ready = || Word(SUMMARY).look() != 0;
            assert_eq!(waiter.wait(is_ready, || false, None), Waited::Ready);
            waiter.park.awake();
        } else if let Some(client) = hall.take(from) {
            if but != Some(client) {
                serve(client);
            }
            return Some(u64::from(hall.bits[client]) + 1);
        } else if tape::perform(Op::IsAllServed) == 0 {
            return Some(stage | WAITS);
        } else {
            return None;
        }
        Some(from.into())
    })
}

/// In a stage of an attendant: it found nobody.
const WAITS: u64 = 1 << 32;

/// Waits for one client alone.
fn devoted(hall: Hall, client: usize) -> Actor {
    Box::new(move |_| {
        let (bits, summary) = hall.mark(client);
        let mut waiter = Doorway::waiter(Sleeper::ServesSome);
        let has_sent = || tape::perform(Op::Load(SENT + client)) != 0;
        let is_ready = || has_sent() || bits.0.look() & bits.1 != 0;
        assert_eq!(waiter.wait(is_ready, || false, None), Waited::Ready);
        waiter.park.awake();
        door::unmark(bits, summary);
        serve(client);
        None
    })
}

/// Everything that was sent is served: nobody sleeps who could do that.
fn done() -> AtRest<Server> {
    Box::new(|server, _| {
        if server.served[..] == server.words[SENT..] {
            return Ok(());
        }
        Err(format!("{:?} is all that was served", server.served))
    })
}

const APART: Hall = Hall { bits: [3, 70] };
const BESIDE: Hall = Hall { bits: [3, 4] };

fn model(expected: [u64; CLIENTS], actors: Vec<Actor>) -> Model<Server> {
    Model {
        world: Server::new(expected),
        actors,
        mortals: &[],
        deaths: 0,
        patience: 0,
        gives_up: false,
        at_rest: done(),
    }
}

/// Two clients and one who serves them.
fn two(hall: Hall, times: [u64; CLIENTS]) -> Model<Server> {
    let actors = vec![
        client(hall, 0, times[0]),
        client(hall, 1, times[1]),
        attendant(hall, None),
    ];
    model(times, actors)
}

/// The same for two who serve.
fn crew(hall: Hall) -> Model<Server> {
    let mut model = two(hall, [1, 1]);
    model.actors.push(attendant(hall, None));
    model
}

/// One who serves all, beside one who waits for the other client, in vain.
fn picky(hall: Hall) -> Model<Server> {
    let actors = vec![
        client(hall, 0, 1),
        attendant(hall, Some(1)),
        devoted(hall, 1),
    ];
    model([1, 0], actors)
}

/// The first client may die at any step.
fn dying(hall: Hall) -> Model<Server> {
    let mut model = two(hall, [1, 1]);
    model.actors.push(mourner(hall, 0));
    model.mortals = &[0];
    model.deaths = 1;
    model
}

#[test]
fn who_knocks_is_served() {
    for (name, hall) in [("beside", BESIDE), ("apart", APART)] {
        sound(&format!("door, {name}"), &two(hall, [1, 1]));
        sound(&format!("door, {name}, one may die"), &dying(hall));
        if long() {
            sound(&format!("door, {name}, 2 knocks"), &two(hall, [2, 1]));
            sound(&format!("door, {name}, two serve"), &crew(hall));
        }
    }
}

#[test]
fn who_waits_for_one_client_takes_no_others_ring() {
    sound("door, one waits for one", &picky(APART));
    red("knock: whoever it wakes", &picky(APART));
}

#[test]
fn defects_of_the_door_are_noticed() {
    red("mark: the group first", &two(BESIDE, [1, 1]));
    red("settle: no second look", &two(BESIDE, [1, 1]));
    red("knock: look, then mark", &two(BESIDE, [1, 1]));
    red("sleep: no look", &two(BESIDE, [1, 1]));
}
