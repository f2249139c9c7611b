//! Where those who connect wait until they have said what they want.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, accept_with};
use strait_sys::Errno;
use strait_sys::time::Deadline;

use crate::channel::connect::{Asked, Caller};
use crate::channel::hub::session::Overlooked;
use crate::channel::hub::{ASKED_MAX, FULL, NEWS, Shared, User, lock};

/// Connections whose greeting has not come. One more, and the oldest of the user who has most of
/// them is hung up on: greetings come at once, from those who mean it.
const CALLERS_MAX: usize = 64;
/// How long a greeting may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often sessions are looked at that may have been forgotten, and those who wait for a decision
/// and may have gone.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after the kernel would not let us accept: out of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Lobby<T> {
    shared: Arc<Shared<T>>,
    listener: OwnedFd,
    /// The oldest first.
    callers: Vec<(Caller, Deadline)>,
    looked: Deadline,
}

impl<T: User> Lobby<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, listener: OwnedFd) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&listener, true)?;
        Ok(Self {
            shared,
            listener,
            callers: Vec::new(),
            looked: Deadline::now(),
        })
    }

    pub(super) fn run(mut self) {
        let mut accepts = true;
        while !self.shared.is_closed() {
            if self.sleep(accepts).is_err() {
                return;
            }
            accepts = self.accept();
            self.hear();
            if self.looked.passed() && self.has_to_look() {
                self.looked = Deadline::after(LOOK);
                self.look();
                self.shared.forget_gone();
            }
        }
    }

    fn has_to_look(&self) -> bool {
        self.shared.sessions.load(Ordering::Relaxed) > 1 || !lock(&self.shared.asked).is_empty()
    }

    fn sleep(&self, accepts: bool) -> Result<(), Errno> {
        let mut until = self.callers.first().map(|(_, until)| *until);
        let mut at_latest = |moment: Deadline| {
            until = Some(until.map_or(moment, |until| until.min(moment)));
        };
        if self.has_to_look() {
            at_latest(self.looked);
        }
        if !accepts {
            at_latest(Deadline::after(PAUSE));
        }
        let left = until.map(|until| {
            // The rest of a millisecond too: poll would come back before the deadline.
            let left = until.left() + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        let wanted = if accepts {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut fds = vec![
            PollFd::new(&self.shared.stop, PollFlags::IN),
            PollFd::new(&self.listener, wanted),
        ];
        let sockets = self.callers.iter().map(|(caller, _)| caller.socket());
        fds.extend(sockets.map(|socket| PollFd::new(socket, PollFlags::IN)));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Accepts who has connected. False: there are no descriptors for more.
    fn accept(&mut self) -> bool {
        let mut heard = false;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // As many as are heard at a time: nobody's greeting waits for a flood of others.
        for _ in 0..CALLERS_MAX {
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return true,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => return false,
                Err(_) => continue,
            };
            if let Ok(caller) = Caller::new(socket, &self.shared.terms.options) {
                if self.callers.len() == CALLERS_MAX && !std::mem::replace(&mut heard, true) {
                    // Who has greeted since is hung up on by no crowd.
                    self.hear();
                }
                if self.callers.len() == CALLERS_MAX {
                    let uids = self.callers.iter().map(|(caller, _)| caller.peer.uid);
                    self.callers.remove(of_the_most(&uids.collect::<Vec<_>>()));
                }
                self.callers.push((caller, Deadline::after(PATIENCE)));
            }
        }
        true
    }

    fn hear(&mut self) {
        let callers = std::mem::take(&mut self.callers);
        for (caller, until) in callers {
            match caller.hear(self.shared.terms.role) {
                Ok(asked) => self.announce(asked),
                Err(Some(caller)) if !until.passed() => self.callers.push((caller, until)),
                Err(_) => {}
            }
        }
    }

    /// Has the server decide.
    fn announce(&self, asked: Asked) {
        if lock(&self.shared.asked).len() >= ASKED_MAX {
            self.shared.forget_gone();
        }
        let mut waiting = lock(&self.shared.asked);
        if self.shared.is_closed() {
            return;
        }
        if waiting.len() >= ASKED_MAX {
            drop(waiting);
            let _ = asked.refuse(FULL, b"too many ask for a session at the same time");
            return;
        }
        waiting.push_back(asked);
        self.shared.notes.fetch_or(NEWS, Ordering::SeqCst);
        drop(waiting);
        if let Some(hall) = self.shared.halls().first() {
            // All of them: who sleeps for one session alone would keep it to itself.
            hall.door.ring(u32::MAX);
        }
    }

    /// A client that scribbles on the door may have made the server miss others of its user.
    fn look(&self) {
        for hall in self.shared.halls().iter() {
            let mut missed = Vec::new();
            let mut rings = hall.door.summary() != 0;
            for session in hall.sessions() {
                match session.overlooked() {
                    Overlooked::No => {}
                    Overlooked::InHand => rings = true,
                    Overlooked::Free => {
                        rings = true;
                        missed.push(Arc::downgrade(&session));
                    }
                }
            }
            self.shared.note_missed(hall, missed);
            if rings {
                // Without asking whether anybody sleeps: that word lies there too.
                hall.door.ring(u32::MAX);
            }
        }
    }
}

/// The first of the user who comes most often.
fn of_the_most(uids: &[u32]) -> usize {
    let count = |uid| uids.iter().filter(|other| **other == uid).count();
    // The last of the greatest is what max_by_key gives.
    let most = (0..uids.len())
        .rev()
        .max_by_key(|index| count(uids[*index]));
    most.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::hub::tests::{Scene, greeted};

    #[test]
    fn a_crowd_is_thinned_where_it_is_thickest() {
        assert_eq!(of_the_most(&[7]), 0);
        assert_eq!(of_the_most(&[7, 8, 8, 7, 8]), 1);
        assert_eq!(of_the_most(&[9, 7, 8, 7]), 1);
        assert_eq!(of_the_most(&[9, 7, 8]), 0);
    }

    #[test]
    fn who_is_of_another_user_than_the_crowd_stays() {
        let (scene, listener) = Scene::unheard();
        let mut lobby = Lobby::new(scene.hub.shared.clone(), listener).unwrap();
        let honest = scene.dial();
        assert!(lobby.accept());
        lobby.callers[0].0.peer.uid = 1_000_001;
        let _crowd: Vec<_> = (0..2 * CALLERS_MAX)
            .map(|_| {
                let socket = scene.dial();
                assert!(lobby.accept());
                socket
            })
            .collect();
        let _greeting = greeted(&honest);
        lobby.hear();
        assert_eq!(lock(&scene.hub.shared.asked).len(), 1);
        assert_eq!(lobby.callers.len(), CALLERS_MAX - 1);
    }

    #[test]
    fn who_has_greeted_is_not_hung_up_on_for_a_crowd() {
        let (scene, listener) = Scene::unheard();
        let mut lobby = Lobby::new(scene.hub.shared.clone(), listener).unwrap();
        let honest = scene.dial();
        let mut crowd: Vec<_> = (1..CALLERS_MAX).map(|_| scene.dial()).collect();
        assert!(lobby.accept());
        lobby.hear();
        let _greeting = greeted(&honest);
        crowd.extend((0..3).map(|_| scene.dial()));
        assert!(lobby.accept());
        assert_eq!(lock(&scene.hub.shared.asked).len(), 1);
    }
}
