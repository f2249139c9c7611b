//! The participants: the real ring and waiting places over simulated words.
//!
//! Not the real code but short copies of it: the order of steps in `Sender::deliver`,
//! `Receiver::take` and their destructors, `Source::arm` of a receiver, `Link::mourn`, and the two
//! steps of `Place::ring`.

use std::cell::Cell;

use strait_sys::time::Deadline;

use super::super::layout::{Header, UNIT};
use super::super::park::{Park, Policy, Spin, Waited, Waiter, arm};
use super::super::ring::{Lie, ReadLane, Reader, WriteLane, Writer};
use super::world::{
    At, Awaits, CLOSED, DEAF, HEAD, KEPT, Op, POSITION, Side, TAIL, bell, gone, lean, ring, sleeps,
};
use crate::object::commit::tests::explore::Actor;
use crate::object::commit::tests::tape;
use crate::object::flaw;

fn perform(op: Op) -> u64 {
    tape::perform(op)
}

fn load(at: At) -> u64 {
    perform(Op::Load(at))
}

fn store(at: At, value: u64, release: bool) {
    perform(Op::Store { at, value, release });
}

fn say(at: At) {
    perform(Op::Add(at));
}

fn wrong(why: &'static str) -> ! {
    perform(Op::Wrong(why));
    unreachable!("it is a broken promise");
}

fn lied<T>(lie: Lie) -> T {
    wrong(lie.0)
}

fn told() {
    perform(Op::Told);
}

/// The memory of the direction.
#[derive(Copy, Clone, Debug)]
struct Lane {
    capacity: u64,
    /// Somebody else looks at how far the reader is.
    notes: bool,
}

impl WriteLane for Lane {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn tail(&self) -> u64 {
        load(TAIL)
    }

    fn publish(&self, head: u64) {
        store(HEAD, head, !flaw("publish: in any order"));
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        for (nth, word) in bytes.chunks(8).enumerate() {
            let word = word.try_into().expect("whole words");
            self.set(at + 8 * nth as u64, u64::from_le_bytes(word));
        }
    }

    fn set(&self, at: u64, word: u64) {
        store(ring(at, self.capacity), word, false);
    }
}

impl ReadLane for Lane {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn head(&self) -> u64 {
        load(HEAD)
    }

    fn release(&self, tail: u64) {
        store(TAIL, tail, true);
    }

    fn note(&self, tail: u64) {
        perform(if self.notes {
            Op::Store {
                at: POSITION,
                value: tail,
                release: false,
            }
        } else {
            Op::Note(tail)
        });
    }

    fn read(&self, at: u64, bytes: &mut [u8]) {
        for (nth, word) in bytes.chunks_mut(8).enumerate() {
            word.copy_from_slice(&self.get(at + 8 * nth as u64).to_le_bytes());
        }
    }

    fn get(&self, at: u64) -> u64 {
        load(ring(at, self.capacity))
    }
}

/// A waiting place.
#[derive(Debug)]
struct Spot {
    side: Side,
    fenceable: bool,
    awaits: Cell<Awaits>,
}

impl Park for Spot {
    const LEAN_AFTER: u32 = 1;

    fn full_fence(&self) {
        perform(Op::Fence);
    }

    fn light_fence(&self) {}

    fn peer_sleeps(&self) -> u32 {
        load(sleeps(self.side.other())) as u32
    }

    fn ring(&self) {
        let peer = self.side.other();
        if flaw("ring: wake, then count") {
            perform(Op::Wake(peer));
            perform(Op::Add(bell(peer)));
            return;
        }
        if !flaw("ring: wake without a count") {
            perform(Op::Add(bell(peer)));
        }
        perform(Op::Wake(peer));
    }

    fn may_be_lean(&self) -> bool {
        self.fenceable
    }

    fn say_lean(&self, is_lean: bool) {
        let release = !flaw("lean: said in any order");
        store(lean(self.side), is_lean.into(), release);
    }

    fn count_sleep(&self) {
        let at = sleeps(self.side);
        if flaw("arm: count by load and store") {
            store(at, u64::from((load(at) as u32).wrapping_add(1)), true);
        } else {
            perform(Op::Add(at));
        }
    }

    fn peer_is_lean(&self) -> bool {
        load(lean(self.side.other())) != 0
    }

    fn heavy_fence(&self) {
        if !flaw("arm: no heavy fence") {
            perform(Op::HeavyFence);
        }
    }

    fn bell(&self) -> u32 {
        load(bell(self.side)) as u32
    }

    fn sleep(&self, bell: u32, _: Option<Deadline>) -> bool {
        let late = flaw("sleep: the bell after the look");
        doze(if late { self.bell() } else { bell }, self.awaits.get())
    }

    fn rang_at(&self) -> u64 {
        0
    }

    fn say_cpu(&self, _: u32) {}

    fn peer_cpu(&self) -> u32 {
        u32::MAX
    }
}

fn doze(bell: u32, awaits: Awaits) -> bool {
    let bell = bell.into();
    perform(Op::Doze { bell, awaits }) == 1 && perform(Op::Wakes) == 1
}

/// What a scenario says of a participant.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Part {
    pub(crate) capacity: u64,
    /// The peer may be promised publications without fences.
    pub(crate) fenceable: bool,
    /// Each wait begins with one whose time is up at once.
    pub(crate) impatient: bool,
    /// Goes on in the place of one that has died.
    pub(crate) heir: bool,
    /// The peer may die.
    pub(crate) mourns: bool,
    /// Somebody else sleeps at the reader's place.
    pub(crate) company: bool,
    /// The writer publishes after so many records, or when the ring is full.
    pub(crate) batch: u64,
}

impl Part {
    pub(crate) const PLAIN: Self = Self {
        capacity: 32,
        fenceable: false,
        impatient: false,
        heir: false,
        mourns: false,
        company: false,
        batch: 1,
    };

    fn lane(&self) -> Lane {
        Lane {
            capacity: self.capacity,
            notes: self.company,
        }
    }

    fn spot(&self, side: Side) -> Spot {
        Spot {
            side,
            fenceable: self.fenceable,
            awaits: Cell::new(Awaits::Arrival),
        }
    }

    /// The waiting place as the last operation left it.
    fn waiter(&self, side: Side, kept: &[u64; KEPT], is_new: bool) -> Waiter<Spot> {
        if is_new {
            return Waiter::new(self.spot(side), Spin::Never);
        }
        Waiter {
            park: self.spot(side),
            rung: kept[3] as u32,
            lean: kept[4] != 0,
            streak: kept[5] as u32,
            cpu: 0,
            policy: Policy::new(Spin::Never),
        }
    }

    fn is_over(&self, side: Side, said: At) -> bool {
        self.mourns && load(gone(side)) != 0 || load(said) != 0
    }

    fn patience(&self) -> impl Iterator<Item = Option<Deadline>> + use<> {
        let at_once = self.impatient.then(|| Some(Deadline::now()));
        at_once.into_iter().chain([None])
    }
}

fn recall() -> [u64; KEPT] {
    std::array::from_fn(|nth| perform(Op::Recall(nth)))
}

fn keep(own: [u64; 3], waiter: &Waiter<Spot>) {
    let shared = [waiter.rung.into(), waiter.lean.into(), waiter.streak.into()];
    for (nth, value) in own.into_iter().chain(shared).enumerate() {
        perform(Op::Keep(nth, value));
    }
}

const LEN: u64 = UNIT;
pub(crate) const SPAN: u64 = UNIT + LEN;

/// Sends records numbered from 0, and then closes if it is to.
pub(crate) fn writer(part: Part, records: u64, closes: bool) -> Actor {
    Box::new(move |stage| {
        let is_new = stage == 0 && part.heir;
        let kept = recall();
        let mut waiter = part.waiter(Side::Writer, &kept, is_new);
        let lane = part.lane();
        let mut out = Writer {
            lane,
            head: kept[0],
            published: kept[1],
            tail: kept[2],
        };
        let going = if stage < records {
            send(&part, &mut out, &mut waiter, stage)
        } else {
            flush(&mut out, &mut waiter);
            if closes {
                say(CLOSED);
                waiter.published();
                told();
            }
            false
        };
        keep([out.head, out.published, out.tail], &waiter);
        going.then_some(stage + 1)
    })
}

fn flush(out: &mut Writer<Lane>, waiter: &mut Waiter<Spot>) {
    if flaw("flush: look, then publish") {
        waiter.published();
        out.publish();
    } else if out.publish() {
        waiter.published();
    }
    told();
}

fn send(part: &Part, out: &mut Writer<Lane>, waiter: &mut Waiter<Spot>, number: u64) -> bool {
    let has_room = out.has_room(SPAN).unwrap_or_else(lied);
    if !has_room && !flaw("send: without room") {
        flush(out, waiter);
        for until in part.patience() {
            let head = out.head;
            waiter.park.awaits.set(Awaits::Room { head, span: SPAN });
            let is_over = || part.is_over(Side::Writer, DEAF);
            match out
                .await_room(SPAN, waiter, is_over, until)
                .unwrap_or_else(lied)
            {
                Waited::Ready => break,
                Waited::Over => return false,
                Waited::TimedOut => {}
            }
        }
    }
    let header = Header::new(LEN as u32, 0);
    out.push(header, [&[], &number.to_le_bytes()]);
    if (number + 1).is_multiple_of(part.batch) {
        flush(out, waiter);
    }
    true
}

/// Takes records until there are so many, or none is to come; then closes if it is to.
pub(crate) fn reader(part: Part, records: u64, closes: bool) -> Actor {
    Box::new(move |stage| {
        let is_new = stage == 0 && part.heir;
        let kept = recall();
        let mut waiter = part.waiter(Side::Reader, &kept, is_new);
        let mut input = Reader {
            lane: part.lane(),
            tail: kept[0],
            released: kept[1],
            head: kept[2],
            lie: None,
        };
        let going = stage < records && take(&part, &mut input, &mut waiter);
        if !going && closes {
            say(DEAF);
            waiter.published();
            told();
        }
        keep([input.tail, input.released, input.head], &waiter);
        going.then_some(stage + 1)
    })
}

fn take(part: &Part, input: &mut Reader<Lane>, waiter: &mut Waiter<Spot>) -> bool {
    let header = match input.next().unwrap_or_else(lied) {
        Some(header) => header,
        None => {
            if !flaw("wait: keeps the room") && input.release() {
                waiter.published();
            }
            told();
            if !await_record(part, input, waiter) {
                return false;
            }
            let next = input.next().unwrap_or_else(lied);
            next.unwrap_or_else(|| wrong("what was published was taken back"))
        }
    };
    if header != Header::new(LEN as u32, 0) {
        wrong("took the header of no record");
    }
    let early = flaw("take: release, then copy");
    let mut bytes = [0; LEN as usize];
    if !early {
        input.copy(0, &mut bytes);
    }
    let lane = input.lane;
    let at = input.tail + UNIT;
    if input.consume(header) {
        waiter.published();
    }
    told();
    if early {
        ReadLane::read(&lane, at, &mut bytes);
    }
    perform(Op::Took(u64::from_le_bytes(bytes)));
    true
}

fn await_record(part: &Part, input: &Reader<Lane>, waiter: &mut Waiter<Spot>) -> bool {
    for until in part.patience() {
        waiter.park.awaits.set(Awaits::Record(input.tail));
        let is_over = || part.is_over(Side::Reader, CLOSED);
        match input.await_record(waiter, is_over, until) {
            Waited::Ready => return true,
            Waited::Over => {
                perform(Op::Ended);
                return false;
            }
            Waited::TimedOut => {}
        }
    }
    unreachable!("the last one has no deadline")
}

/// Another thread that waits for something to arrive, and takes nothing: `wait::any`.
pub(crate) fn onlooker(part: Part) -> Actor {
    Box::new(move |_| {
        let spot = part.spot(Side::Reader);
        let is_there = || {
            let arrived = load(HEAD) != load(POSITION);
            arrived || part.is_over(Side::Reader, CLOSED)
        };
        let bell = arm(&spot);
        let mut found = is_there();
        if !found {
            doze(bell, Awaits::Arrival);
            found = is_there();
        }
        (!found).then_some(0)
    })
}

/// The thread that hears of the peer's end: of participant `other`, for those of that side.
pub(crate) fn watcher(other: usize, side: Side) -> Actor {
    Box::new(move |_| {
        perform(Op::Dies(other));
        let tell = || store(gone(side), 1, true);
        if flaw("mourn: ring, then tell") {
            perform(Op::Add(bell(side)));
            perform(Op::Wake(side));
            tell();
        } else {
            tell();
            perform(Op::Add(bell(side)));
            perform(Op::Wake(side));
        }
        told();
        None
    })
}
