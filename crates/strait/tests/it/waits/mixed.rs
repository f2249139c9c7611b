//! Sixty-four members of every sort in one wait.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use strait::Namespace;
use strait::nt::{Event, Mutant, Semaphore, Timer};
use strait::wait::{self, Delay, MEMBERS_MAX, Process, Waitable, Won};

use crate::death::watch::STUCK;

use super::beside;

const EACH: usize = 8;

/// Eight of each sort but mutants and delays; every other object is named.
struct Mix {
    events: Vec<Event>,
    semaphores: Vec<Semaphore>,
    timers: Vec<Timer>,
    pipes: Vec<(PipeReader, PipeWriter)>,
    sockets: Vec<(UnixStream, UnixStream)>,
    children: Vec<Child>,
    processes: Vec<Process>,
}

impl Mix {
    fn new(space: &Namespace) -> Self {
        let named = |index: usize| index.is_multiple_of(2);
        let event = |index| match named(index) {
            true => space.event(format!("e{index}")).create(),
            false => Event::options().create(),
        };
        let semaphore = |index| match named(index) {
            true => space.semaphore(format!("s{index}"), 0, 1).create(),
            false => Semaphore::options(0, 1).create(),
        };
        let timer = |index| match named(index) {
            true => space.timer(format!("t{index}")).create(),
            false => Timer::options().create(),
        };
        let children: Vec<Child> = (0..EACH).map(|_| child()).collect();
        Self {
            events: (0..EACH).map(|index| event(index).unwrap()).collect(),
            semaphores: (0..EACH).map(|index| semaphore(index).unwrap()).collect(),
            timers: (0..EACH).map(|index| timer(index).unwrap()).collect(),
            pipes: (0..EACH).map(|_| std::io::pipe().unwrap()).collect(),
            sockets: (0..EACH).map(|_| UnixStream::pair().unwrap()).collect(),
            processes: children
                .iter()
                .map(|one| Process::of(one).unwrap())
                .collect(),
            children,
        }
    }

    /// In an order that mixes the sorts. The delays are the caller's.
    fn members<'a>(
        &'a self,
        mutants: &'a [Mutant],
        fds: &'a [wait::Readable<'a>],
        delays: &'a [Delay],
    ) -> Vec<&'a dyn Waitable> {
        let mut members: Vec<&dyn Waitable> = Vec::new();
        for index in 0..EACH {
            members.push(&self.events[index]);
            members.push(&self.semaphores[index]);
            members.push(&fds[index]);
            members.push(&mutants[index]);
            members.push(&self.timers[index]);
            members.push(&fds[EACH + index]);
            members.push(&self.processes[index]);
            members.push(&delays[index]);
        }
        members
    }

    /// Makes one ready; those of a mutant and of a delay are not ours to do.
    fn make_ready(&self, at: usize) {
        let index = at / EACH;
        match at % EACH {
            0 => drop(self.events[index].set().unwrap()),
            1 => drop(self.semaphores[index].release(1).unwrap()),
            2 => (&self.pipes[index].1).write_all(b"x").unwrap(),
            4 => self.timers[index].set(Duration::ZERO).unwrap(),
            5 => (&self.sockets[index].1).write_all(b"x").unwrap(),
            6 => kill_process(Pid::from_child(&self.children[index]), Signal::KILL).unwrap(),
            _ => {}
        }
    }

    /// Takes back what the winner was to take itself, and checks that the wait took what it should.
    fn settle(&mut self, at: usize) {
        let index = at / EACH;
        let mut byte = [0];
        match at % EACH {
            2 => self.pipes[index].0.read_exact(&mut byte).unwrap(),
            5 => self.sockets[index].0.read_exact(&mut byte).unwrap(),
            6 => {
                self.children[index].wait().unwrap();
                self.children[index] = child();
                self.processes[index] = Process::of(&self.children[index]).unwrap();
            }
            _ => {}
        }
        let events = self.events.iter().map(|event| event.query().unwrap().set);
        let timers = self.timers.iter().map(|timer| timer.query().unwrap().ready);
        let units = self
            .semaphores
            .iter()
            .map(|one| one.query().unwrap().count > 0);
        assert!(
            !events.chain(timers).chain(units).any(|ready| ready),
            "after {at}"
        );
    }
}

impl Drop for Mix {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn child() -> Child {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The thread that owns the mutants: gives each free on demand, and takes it again.
fn own(mutants: &[Mutant], free: &Receiver<usize>, done: &Sender<()>) {
    let mut guards: Vec<_> = mutants
        .iter()
        .map(|one| Some(one.acquire().unwrap()))
        .collect();
    done.send(()).unwrap();
    while let Ok(index) = free.recv() {
        match guards[index].take() {
            Some(guard) => drop(guard),
            None => guards[index] = Some(mutants[index].acquire().unwrap()),
        }
        done.send(()).unwrap();
    }
}

pub(crate) fn each_of_sixty_four_kinds_wakes_and_the_rest_stay() {
    let space = Namespace::temporary().unwrap();
    let mut mix = Mix::new(&space);
    let mutants: Vec<Mutant> = (0..EACH)
        .map(|index| match index % 2 {
            0 => space.mutant(format!("m{index}")).create().unwrap(),
            _ => Mutant::options().create().unwrap(),
        })
        .collect();
    let ((free, to_free), (tell, done)) = (channel(), channel());
    std::thread::scope(|scope| {
        let theirs = &mutants;
        scope.spawn(move || own(theirs, &to_free, &tell));
        done.recv().unwrap();
        for at in 0..MEMBERS_MAX {
            let won = one_round(&mix, &mutants, at, || {
                free.send(at / EACH).unwrap();
                done.recv().unwrap();
            });
            assert_eq!((won.index, won.abandoned), (at, false));
            if at % EACH == 3 {
                free.send(at / EACH).unwrap();
                done.recv().unwrap();
            }
            mix.settle(at);
        }
        drop(free);
    });
}

/// One wait over everything, of which `at` becomes ready once the waiter sleeps.
fn one_round(mix: &Mix, mutants: &[Mutant], at: usize, free: impl FnOnce()) -> Won {
    let moment = |index| {
        let now = at % EACH == 7 && at / EACH == index;
        wait::after(if now {
            Duration::from_millis(5)
        } else {
            2 * STUCK
        })
    };
    let delays: Vec<Delay> = (0..EACH).map(moment).collect();
    let mut fds: Vec<_> = mix
        .pipes
        .iter()
        .map(|pipe| wait::readable(&pipe.0))
        .collect();
    fds.extend(mix.sockets.iter().map(|pair| wait::readable(&pair.0)));
    let wait = || {
        let members = mix.members(mutants, &fds, &delays);
        assert_eq!(members.len(), MEMBERS_MAX);
        let won = wait::any_for(&members, STUCK).unwrap().expect("released");
        if won.index % EACH == 3 {
            mutants[won.index / EACH].release().unwrap();
        }
        won
    };
    beside(wait, |_| match at % EACH {
        3 => free(),
        _ => mix.make_ready(at),
    })
}
