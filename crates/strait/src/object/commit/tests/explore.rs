//! An exhaustive explorer of interleavings, over real code and a simulated world.
//!
//! Participants are closures that run the code under test; each operation they [`perform`] on the
//! world is one step. The explorer visits every state that any order of steps can lead to, with
//! up to a given number of deaths, each after any step. A state is the world and what each
//! participant has learnt from it, so that orders which cannot be told apart are visited once, and
//! no reduction has to be trusted.
//!
//! Checked are: each step and each state, by the world; each state in which nobody can go on, by
//! the scenario; and from each state, that each participant, everybody else having stopped for
//! ever, finishes or falls asleep within a few rounds. Being stopped needs no step of its own: it
//! is not being scheduled any more.
//!
//! [`perform`]: super::tape::perform

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::tape::{self, Next};

/// Most participants of one scenario.
pub(crate) const ACTORS_MAX: usize = 4;
/// Rounds in vain that a participant may need when it is alone.
const ALONE_MAX: u32 = 24;

/// States a scenario may have.
const STATES_MAX: usize = 60_000_000;

/// How an operation takes part.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Share {
    /// A step of its own.
    Step,
    /// Nobody else can tell when it happens: it happens with the step before it.
    Silent,
    /// A round in vain.
    Pause,
}

/// What participants act on.
pub(crate) trait World: Clone + Hash + PartialEq {
    type Op: Debug + 'static;
    fn share(&self, op: &Self::Op) -> Share;
    /// Does it. `Ok(None)`: not possible now, nothing changed. The error is a broken promise.
    fn apply(&mut self, who: usize, op: &Self::Op) -> Result<Option<u64>, String>;
    /// How many different things may happen to a participant without its doing.
    const DRIFTS: usize = 1;
    /// The `nth` of them: a store of `who` that lingered becomes visible to the others. False: it
    /// cannot happen now.
    fn drift(&mut self, _who: usize, _nth: usize) -> Result<bool, String> {
        Ok(false)
    }
    /// What a death does to the world.
    fn bury(&mut self, who: usize);
    /// What must be true at all times.
    fn check(&self) -> Result<(), String>;
    /// Whether a participant may have to wait for one that is stopped, as documented.
    fn may_wait_for_the_stopped(&self) -> bool {
        false
    }
}

/// Where a participant has got to.
#[derive(Copy, Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Fate {
    Running(u32),
    /// It made more rounds in vain than the scenario follows. As good as stopped.
    Weary,
    Dead,
    Done,
}

/// A participant: from a stage (at first 0) through one operation to the next stage.
pub(crate) type Actor = Box<dyn Fn(u64) -> Option<u64>>;

/// What must be true once nobody goes on.
pub(crate) type AtRest<W> = Box<dyn Fn(&W, &[Fate]) -> Result<(), String>>;

/// A scenario.
pub(crate) struct Model<W: World> {
    pub(crate) world: W,
    pub(crate) actors: Vec<Actor>,
    /// Who may die, and how many at most.
    pub(crate) mortals: &'static [usize],
    pub(crate) deaths: u8,
    /// Rounds in vain that are followed within one operation.
    pub(crate) patience: u8,
    /// Whether a participant whose patience is at an end gives up in order, as at a deadline; else
    /// it counts as stopped.
    pub(crate) gives_up: bool,
    pub(crate) at_rest: AtRest<W>,
}

/// What an exploration saw.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) states: usize,
    pub(crate) steps: u64,
    /// Different orders of steps and deaths from beginning to end.
    pub(crate) orders: f64,
    pub(crate) depth: usize,
    /// A broken promise, and the steps that led to it.
    pub(crate) wound: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states, {} steps, {:.1e} orders, up to {} steps long",
            self.states, self.steps, self.orders, self.depth
        )
    }
}

#[derive(Clone)]
struct State<W> {
    world: W,
    fates: [Fate; ACTORS_MAX],
    pauses: [u8; ACTORS_MAX],
    deaths: u8,
}

struct Node<O> {
    next: Next<O>,
    /// The node before, and what came of the operation there.
    from: Option<(u32, u64)>,
    stage: u64,
    children: Vec<(u64, u32)>,
}

/// Everything a participant can come to know: a tree of results.
struct Memoirs<O> {
    nodes: Vec<Node<O>>,
    stages: HashMap<u64, u32>,
}

struct Frame<W> {
    state: State<W>,
    print: u128,
    next: usize,
    orders: f64,
    moved: bool,
    event: Event,
}

#[derive(Copy, Clone)]
enum Event {
    Start,
    Step { who: usize, node: u32, result: u64 },
    Death { who: usize },
    Drift { who: usize, nth: usize },
}

/// Two lanes of multiply and rotate: wide enough that no two states of a run share a print.
#[derive(Default)]
struct Print(u64, u64);

impl Hasher for Print {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
        self.1 = (self.1.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.1 ^= self.1 >> 32;
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }
}

impl<W: World> State<W> {
    fn print(&self) -> u128 {
        let mut hasher = Print(1, 2);
        self.world.hash(&mut hasher);
        self.fates.hash(&mut hasher);
        self.pauses.hash(&mut hasher);
        hasher.write_u8(self.deaths);
        u128::from(hasher.0) << 64 | u128::from(hasher.1)
    }
}

impl<O: 'static> Memoirs<O> {
    fn new() -> Self {
        Self {
            nodes: Vec::new(),
            stages: HashMap::new(),
        }
    }

    fn stage(&mut self, actor: &Actor, stage: u64) -> u32 {
        if let Some(node) = self.stages.get(&stage) {
            return *node;
        }
        let node = self.add(actor, stage, None);
        self.stages.insert(stage, node);
        node
    }

    fn child(&mut self, actor: &Actor, node: u32, result: u64) -> u32 {
        let known = &self.nodes[node as usize];
        if let Some((_, child)) = known.children.iter().find(|(key, _)| *key == result) {
            return *child;
        }
        let child = self.add(actor, known.stage, Some((node, result)));
        self.nodes[node as usize].children.push((result, child));
        child
    }

    fn add(&mut self, actor: &Actor, stage: u64, from: Option<(u32, u64)>) -> u32 {
        let mut results = Vec::new();
        let mut at = from;
        while let Some((node, result)) = at {
            results.push(result);
            at = self.nodes[node as usize].from;
        }
        results.reverse();
        let next = tape::play(&**actor, stage, results);
        self.nodes.push(Node {
            next,
            from,
            stage,
            children: Vec::new(),
        });
        u32::try_from(self.nodes.len() - 1).expect("fewer nodes than states")
    }
}

/// What became of an attempt to step.
enum Stepped<W> {
    Blocked,
    To(State<W>, Event),
}

struct Explorer<'m, W: World> {
    model: &'m Model<W>,
    memoirs: Vec<Memoirs<W::Op>>,
    /// Every state seen, with the number of ways on from it.
    seen: HashMap<u128, f64, BuildHasherDefault<Print>>,
    report: Report,
}

impl<W: World> Model<W> {
    /// Visits every state, up to the first broken promise.
    pub(crate) fn explore(&self) -> Report {
        let mut explorer = Explorer::new(self);
        let mut path = Vec::new();
        if let Err(why) = explorer.run(&mut path) {
            explorer.report.wound = Some(explorer.tell(&path, &why));
        }
        explorer.report
    }

    /// One order of steps: each participant in turn does so many, or all it can; `None` dies.
    pub(crate) fn follow(&self, script: &[(usize, Option<usize>)]) -> Result<W, String> {
        let mut explorer = Explorer::new(self);
        let mut state = explorer.start()?;
        for (who, steps) in script {
            let Some(steps) = steps else {
                state.world.bury(*who);
                state.fates[*who] = Fate::Dead;
                continue;
            };
            for _ in 0..*steps {
                match explorer.step(&state, *who)? {
                    Stepped::Blocked => break,
                    Stepped::To(next, _) => state = next,
                }
                state.world.check()?;
            }
        }
        let fates = &state.fates[..self.actors.len()];
        (self.at_rest)(&state.world, fates)?;
        Ok(state.world)
    }
}

impl<'m, W: World> Explorer<'m, W> {
    fn new(model: &'m Model<W>) -> Self {
        assert!(model.actors.len() <= ACTORS_MAX);
        Self {
            model,
            memoirs: model.actors.iter().map(|_| Memoirs::new()).collect(),
            seen: HashMap::default(),
            report: Report {
                states: 0,
                steps: 0,
                orders: 0.0,
                depth: 0,
                wound: None,
            },
        }
    }

    fn start(&mut self) -> Result<State<W>, String> {
        let mut state = State {
            world: self.model.world.clone(),
            fates: [Fate::Done; ACTORS_MAX],
            pauses: [0; ACTORS_MAX],
            deaths: 0,
        };
        for who in 0..self.model.actors.len() {
            let node = self.memoirs[who].stage(&self.model.actors[who], 0);
            state.fates[who] = Fate::Running(node);
            self.settle(&mut state, who)?;
        }
        state.world.check()?;
        Ok(state)
    }

    /// Depth first, each state once.
    fn run(&mut self, path: &mut Vec<Frame<W>>) -> Result<(), String> {
        let start = self.start()?;
        for who in 0..self.model.actors.len() {
            self.alone(&start, who)?;
        }
        let print = start.print();
        self.enter(path, start, print, Event::Start);
        while let Some(frame) = path.last_mut() {
            if self.report.states > STATES_MAX {
                return Err("more states than a model may have".into());
            }
            let turn = frame.next;
            frame.next += 1;
            let count = self.model.actors.len();
            if turn >= (2 + W::DRIFTS) * count {
                self.leave(path)?;
                continue;
            }
            let who = turn % count;
            let (state, event) = if turn < count {
                match self.step(&frame.state, who)? {
                    Stepped::Blocked => continue,
                    Stepped::To(state, event) => {
                        frame.moved = true;
                        (state, event)
                    }
                }
            } else if turn < 2 * count {
                match self.kill(&frame.state, who) {
                    None => continue,
                    Some(state) => (state, Event::Death { who }),
                }
            } else {
                let mut state = frame.state.clone();
                let nth = turn / count - 2;
                if !state.world.drift(who, nth)? {
                    continue;
                }
                frame.moved = true;
                (state, Event::Drift { who, nth })
            };
            self.report.steps += 1;
            let print = state.print();
            if let Some(orders) = self.seen.get(&print) {
                frame.orders += orders;
                continue;
            }
            self.enter(path, state, print, event);
            self.judge(path)?;
        }
        Ok(())
    }

    fn enter(&mut self, path: &mut Vec<Frame<W>>, state: State<W>, print: u128, event: Event) {
        self.seen.insert(print, 0.0);
        self.report.states += 1;
        path.push(Frame {
            state,
            print,
            next: 0,
            orders: 0.0,
            moved: false,
            event,
        });
        self.report.depth = self.report.depth.max(path.len() - 1);
    }

    /// Everything was tried from the last state.
    fn leave(&mut self, path: &mut Vec<Frame<W>>) -> Result<(), String> {
        let frame = path.last().expect("called with a state on the path");
        let mut orders = frame.orders;
        if !frame.moved {
            let fates = &frame.state.fates[..self.model.actors.len()];
            (self.model.at_rest)(&frame.state.world, fates)?;
            orders += 1.0;
        }
        self.seen.insert(frame.print, orders);
        path.pop();
        match path.last_mut() {
            Some(before) => before.orders += orders,
            None => self.report.orders = orders,
        }
        Ok(())
    }

    /// The promises about the state that was just reached.
    fn judge(&mut self, path: &[Frame<W>]) -> Result<(), String> {
        let frame = path.last().expect("called with a state on the path");
        frame.state.world.check()?;
        let mover = match frame.event {
            Event::Step { who, .. } => Some(who),
            Event::Start | Event::Death { .. } | Event::Drift { .. } => None,
        };
        let before = path.len().checked_sub(2).map(|at| &path[at].state.world);
        if mover.is_some() && before == Some(&frame.state.world) {
            return Ok(());
        }
        // The way on of who has just moved was tried from the state before.
        for who in (0..self.model.actors.len()).filter(|who| Some(*who) != mover) {
            self.alone(&frame.state, who)?;
        }
        Ok(())
    }

    /// Everybody but `who` has stopped for ever.
    fn alone(&mut self, from: &State<W>, who: usize) -> Result<(), String> {
        let actor = &self.model.actors[who];
        let memoirs = &mut self.memoirs[who];
        let Fate::Running(mut node) = from.fates[who] else {
            return Ok(());
        };
        let mut world = from.world.clone();
        let mut pauses = 0;
        let context = |why| format!("{why} (with {who} alone)");
        loop {
            let result = match &memoirs.nodes[node as usize].next {
                Next::Over(None) => return Ok(()),
                Next::Over(Some(stage)) => {
                    let stage = *stage;
                    node = memoirs.stage(actor, stage);
                    continue;
                }
                Next::Perform(op) if world.share(op) == Share::Pause => {
                    pauses += 1;
                    if pauses > ALONE_MAX {
                        if world.may_wait_for_the_stopped() {
                            return Ok(());
                        }
                        return Err(context("cannot finish".into()));
                    }
                    0
                }
                Next::Perform(op) => match world.apply(who, op).map_err(context)? {
                    Some(result) => result,
                    None => break,
                },
            };
            node = memoirs.child(actor, node, result);
        }
        world.check().map_err(context)
    }

    fn step(&mut self, from: &State<W>, who: usize) -> Result<Stepped<W>, String> {
        let Fate::Running(node) = from.fates[who] else {
            return Ok(Stepped::Blocked);
        };
        let Next::Perform(op) = &self.memoirs[who].nodes[node as usize].next else {
            return Ok(Stepped::Blocked);
        };
        let mut state = from.clone();
        let applied = state.world.apply(who, op);
        let Some(result) = applied.map_err(|why| format!("{who}: {op:?}: {why}"))? else {
            return Ok(Stepped::Blocked);
        };
        let child = self.memoirs[who].child(&self.model.actors[who], node, result);
        state.fates[who] = Fate::Running(child);
        self.settle(&mut state, who)?;
        Ok(Stepped::To(state, Event::Step { who, node, result }))
    }

    /// What goes with a step: the rounds in vain, what nobody can see, and the next stage.
    fn settle(&mut self, state: &mut State<W>, who: usize) -> Result<(), String> {
        let actor = &self.model.actors[who];
        let memoirs = &mut self.memoirs[who];
        while let Fate::Running(node) = state.fates[who] {
            let result = match &memoirs.nodes[node as usize].next {
                Next::Over(None) => {
                    state.fates[who] = Fate::Done;
                    state.pauses[who] = 0;
                    continue;
                }
                Next::Over(Some(stage)) => {
                    let stage = *stage;
                    state.fates[who] = Fate::Running(memoirs.stage(actor, stage));
                    state.pauses[who] = 0;
                    continue;
                }
                Next::Perform(op) => match state.world.share(op) {
                    Share::Step => return Ok(()),
                    Share::Silent => {
                        let applied = state.world.apply(who, op);
                        let result = applied.map_err(|why| format!("{who}: {op:?}: {why}"))?;
                        result.expect("what nobody sees is always possible")
                    }
                    Share::Pause if state.pauses[who] < self.model.patience => {
                        state.pauses[who] += 1;
                        0
                    }
                    Share::Pause if self.model.gives_up => 1,
                    Share::Pause => {
                        state.fates[who] = Fate::Weary;
                        continue;
                    }
                },
            };
            state.fates[who] = Fate::Running(memoirs.child(actor, node, result));
        }
        Ok(())
    }

    fn kill(&self, from: &State<W>, who: usize) -> Option<State<W>> {
        let lives = matches!(from.fates[who], Fate::Running(_));
        if !lives || from.deaths >= self.model.deaths || !self.model.mortals.contains(&who) {
            return None;
        }
        let mut state = from.clone();
        state.deaths += 1;
        state.fates[who] = Fate::Dead;
        state.pauses[who] = 0;
        state.world.bury(who);
        Some(state)
    }

    /// The steps that led to a broken promise.
    fn tell(&self, path: &[Frame<W>], why: &str) -> String {
        let mut told = String::new();
        for frame in path {
            match frame.event {
                Event::Start => {}
                Event::Death { who } => told += &format!("  {who}: dies\n"),
                Event::Drift { who, nth: 0 } => told += &format!("  {who}: its store is seen\n"),
                Event::Drift { who, nth } => told += &format!("  {who}: drifts, by way {nth}\n"),
                Event::Step { who, node, result } => {
                    if let Next::Perform(op) = &self.memoirs[who].nodes[node as usize].next {
                        told += &format!("  {who}: {op:?} -> {result:#x}\n");
                    }
                }
            }
        }
        told + "  => " + why
    }
}
