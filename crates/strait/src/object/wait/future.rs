//! Waiting for any of several in an async task, under tokio.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use arrayvec::ArrayVec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Error, ErrorKind, Result};
use crate::object::kind::Kind;
use crate::object::wait::any::check_count;
use crate::object::wait::{Inner, MEMBERS_MAX, Set, Waitable, Won, any_for};

/// A set as tokio wants its descriptors.
struct Polled(Set);

impl AsRawFd for Polled {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// [`any`](crate::wait::any) for async tasks. It takes only in the poll that returns what it took:
/// dropping the future takes nothing. A task is no registered waiter of an auto-reset event: pulses
/// pass it by.
///
/// # Errors
/// As [`any`](crate::wait::any); [`ErrorKind::InvalidInput`] for a mutant: its owner is a thread,
/// which a task is not; [`ErrorKind::Exhausted`] for want of descriptors (four).
///
/// # Panics
/// Outside a tokio runtime with its I/O driver enabled.
pub async fn any_async(members: &[&(dyn Waitable + Sync)]) -> Result<Won> {
    check_count(members.len())?;
    let plain = || members.iter().map(|member| *member as &dyn Waitable);
    for member in plain() {
        if let Inner::Object(object, _) = member.member().0
            && object.handle.kind == Kind::Mutant
        {
            let name = object.handle.full_name();
            return Err(Error::new(ErrorKind::InvalidInput, "wait", name)
                .because("a mutant is owned by a thread, and a task has none"));
        }
    }
    let look = || {
        let members: ArrayVec<_, MEMBERS_MAX> = plain().collect();
        any_for(&members, Duration::ZERO)
    };
    if let Some(won) = look()? {
        return Ok(won);
    }
    let set = Set::new()?;
    for member in plain() {
        set.add(member)?;
    }
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of types that lie about their descriptor; \
                  a set owns the one that it names"
    )]
    let polled = AsyncFd::with_interest(Polled(set), Interest::READABLE)
        .map_err(|error| Error::new(ErrorKind::Exhausted, "wait", "").because(error.to_string()))?;
    loop {
        polled.get_ref().0.check_process()?;
        let set = &polled.get_ref().0.0;
        set.drain();
        if let Some(won) = look()? {
            return Ok(won);
        }
        if !set.arm() {
            continue;
        }
        if set.has_told() {
            set.reset_alarm();
            tokio::task::yield_now().await;
            continue;
        }
        let mut ready = polled.readable().await.map_err(|error| {
            Error::new(ErrorKind::Kernel, "wait", "").because(error.to_string())
        })?;
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    use strait_sys::Errno;

    use super::*;
    use crate::object::wait::source::Source;
    use crate::object::wait::{Member, Process};

    /// Tells so often of what another has taken by then.
    #[derive(Debug)]
    struct Raced(AtomicU32);

    impl Source for Raced {
        fn take(&self) -> Result<bool> {
            Ok(self.0.load(SeqCst) == 0)
        }

        fn is_ready(&self) -> Result<bool> {
            self.take()
        }

        fn block(&self) -> std::result::Result<(), Errno> {
            let less = |left: u32| left.checked_sub(1);
            let _ = self.0.fetch_update(SeqCst, SeqCst, less);
            Ok(())
        }
    }

    struct Event(Arc<dyn Source>);

    impl Waitable for Event {
        fn member(&self) -> Member<'_> {
            Member::source(&self.0)
        }
    }

    /// As where the kernel refuses pidfds.
    #[tokio::test]
    async fn the_end_of_a_process_without_a_pidfd_is_heard() {
        let mut child = std::process::Command::new("cat");
        let child = child.stdin(std::process::Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let process = Process::known(pid, None);
        let waiting = tokio::spawn(async move { any_async(&[&process]).await });
        // It is waited for by now.
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(child.stdin.take());
        let won = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert_eq!(won.expect("it sleeps for good").unwrap().unwrap().index, 0);
        child.wait().unwrap();
    }

    #[test]
    fn what_is_told_between_two_looks_is_heard() {
        let work = || {
            // On one processor the one who is told often runs before the one who tells goes on.
            let mut one = CpuSet::new();
            let all = sched_getaffinity(None).unwrap();
            one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap());
            sched_setaffinity(None, &one).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            let event = Event(Arc::new(Raced(AtomicU32::new(100_000))));
            let left = Duration::from_secs(60);
            runtime.block_on(async {
                let won = tokio::time::timeout(left, any_async(&[&event])).await;
                assert_eq!(won.expect("it sleeps for good").unwrap().index, 0);
            });
        };
        std::thread::spawn(work).join().unwrap();
    }
}
