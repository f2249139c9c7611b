//! Files in memory, and the locks on them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, SealFlags, fstat, ftruncate};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};

use super::{Role, loose_file, peer_file, sealed_file, soon, this_test};
use crate::map::{Access, Map};
use crate::ofd_lock::{Lock, probe, try_lock, unlock};
use crate::{Errno, memfd};

#[test]
fn a_new_file_is_allocated_sealed_and_private() {
    let mode = Mode::from_raw_mode(0o640);
    let fd = memfd::create(c"name", 100_000, mode).unwrap();
    let seals = memfd::seals(fd.as_fd()).unwrap();
    assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW));
    assert_eq!(ftruncate(&fd, 0), Err(Errno::PERM));
    assert_eq!(ftruncate(&fd, 200_000), Err(Errno::PERM));
    let stat = fstat(&fd).unwrap();
    assert_eq!((stat.st_size, stat.st_mode & 0o7777), (100_000, 0o640));
    assert!(stat.st_blocks * 512 >= 100_000, "the pages exist");
    assert_eq!(fcntl_getfd(&fd).unwrap(), FdFlags::CLOEXEC);
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
    assert!(name.to_string_lossy().contains("name"));
    assert!(memfd::create(c"empty", 0, mode).is_ok());
}

#[test]
fn a_sparse_file_has_the_pages_it_was_asked_for() {
    let mode = Mode::from_raw_mode(0o600);
    let blocks = |fd: &OwnedFd| fstat(fd).unwrap().st_blocks * 512;
    let fd = memfd::create_sparse(c"sparse", 64 << 20, 10_000, mode).unwrap();
    assert_eq!(fstat(&fd).unwrap().st_size, 64 << 20);
    assert!((10_000..64 << 20).contains(&blocks(&fd)), "{}", blocks(&fd));
    assert!(memfd::is_sealed(fd.as_fd()));
    let map = Map::shared(fd.as_fd(), 0, 64 << 20, Access::Write).unwrap();
    let mut byte = [1];
    assert!(map.read(50 << 20, &mut byte) && byte == [0]);
    assert!(map.write(60 << 20, b"x") && !map.is_broken());
    let all = memfd::create_sparse(c"all", 10_000, u64::MAX, mode).unwrap();
    assert!(fstat(&all).unwrap().st_size == 10_000 && blocks(&all) >= 10_000);
    let none = memfd::create_sparse(c"none", 10_000, 0, mode).unwrap();
    assert_eq!(blocks(&none), 0);
}

#[test]
fn seals_are_added_and_final() {
    let fd = sealed_file(4096);
    let map = Map::shared(fd.as_fd(), 0, 4096, Access::Write).unwrap();
    assert_eq!(
        memfd::add_seals(fd.as_fd(), SealFlags::WRITE),
        Err(Errno::BUSY)
    );
    memfd::add_seals(fd.as_fd(), SealFlags::FUTURE_WRITE | SealFlags::SEAL).unwrap();
    assert!(map.write(0, b"still writable"));
    let later = Map::shared(fd.as_fd(), 0, 4096, Access::Write);
    assert_eq!(later.unwrap_err(), Errno::PERM);
    assert_eq!(
        memfd::add_seals(fd.as_fd(), SealFlags::WRITE),
        Err(Errno::PERM)
    );
}

#[test]
fn a_read_only_descriptor_stays_one() {
    let fd = sealed_file(4096);
    let reader = memfd::reopen_read_only(fd.as_fd()).unwrap();
    assert_eq!(fcntl_getfd(&reader).unwrap(), FdFlags::CLOEXEC);
    let write = Map::shared(reader.as_fd(), 0, 4096, Access::Write);
    assert_eq!(write.unwrap_err(), Errno::ACCESS);
    assert!(Map::shared(reader.as_fd(), 0, 4096, Access::Read).is_ok());
}

#[test]
fn only_files_in_memory_are_files_in_memory() {
    let (pipe, _end) = rustix::pipe::pipe().unwrap();
    let proc_file: OwnedFd = std::fs::File::open("/proc/self/maps").unwrap().into();
    let on_disk: OwnedFd = std::fs::File::open(std::env::current_exe().unwrap())
        .unwrap()
        .into();
    assert!(memfd::is_shmem(sealed_file(1).as_fd()));
    assert!(memfd::is_shmem(loose_file(1).as_fd()));
    for fd in [pipe, proc_file, on_disk] {
        assert!(!memfd::is_shmem(fd.as_fd()));
        assert_eq!(memfd::seals(fd.as_fd()), Err(Errno::INVAL));
    }
}

/// Another open file description of the same file.
fn again(fd: &OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(path, rustix::fs::OFlags::RDWR, Mode::empty()).unwrap()
}

#[test]
fn locks_are_between_descriptions() {
    let first = sealed_file(4096);
    let (second, same) = (again(&first), fcntl_dupfd_cloexec(&first, 0).unwrap());
    let (first, second, same) = (first.as_fd(), second.as_fd(), same.as_fd());
    assert_eq!(try_lock(first, Lock::Write, 10, 2), Ok(true));
    assert_eq!(try_lock(second, Lock::Write, 11, 1), Ok(false));
    assert_eq!(try_lock(second, Lock::Read, 0, 0), Ok(false));
    assert_eq!(try_lock(second, Lock::Write, 12, 1), Ok(true), "beside it");
    assert_eq!(
        try_lock(same, Lock::Write, 10, 2),
        Ok(true),
        "it is its own"
    );
    assert_eq!(probe(second, Lock::Read, 10, 1), Ok(Some(Lock::Write)));
    assert_eq!(probe(same, Lock::Write, 10, 2), Ok(None));
    assert_eq!(
        try_lock(first, Lock::Read, 10, 2),
        Ok(true),
        "changed in kind"
    );
    assert_eq!(
        try_lock(second, Lock::Read, 10, 2),
        Ok(true),
        "readers agree"
    );
    assert_eq!(probe(second, Lock::Write, 10, 2), Ok(Some(Lock::Read)));
    unlock(same, 10, 2).unwrap();
    assert_eq!(try_lock(second, Lock::Write, 10, 2), Ok(true));
    assert_eq!(try_lock(first, Lock::Write, u64::MAX, 1), Err(Errno::INVAL));
}

#[test]
fn a_writers_lock_needs_a_writers_descriptor() {
    let fd = sealed_file(4096);
    let reader = memfd::reopen_read_only(fd.as_fd()).unwrap();
    assert_eq!(
        try_lock(reader.as_fd(), Lock::Write, 0, 1),
        Err(Errno::BADF)
    );
    assert_eq!(try_lock(reader.as_fd(), Lock::Read, 0, 1), Ok(true));
}

#[test]
fn a_killed_holder_leaves_no_lock() {
    if Role::mine().is_some() {
        let fd = peer_file();
        assert_eq!(try_lock(fd.as_fd(), Lock::Write, 5, 1), Ok(true));
        loop {
            std::thread::park();
        }
    }
    let fd = sealed_file(4096);
    let mut holder = Role::new(this_test!(), "holder").file(&fd).start();
    assert!(soon(
        || probe(fd.as_fd(), Lock::Read, 5, 1) == Ok(Some(Lock::Write))
    ));
    assert_eq!(try_lock(fd.as_fd(), Lock::Write, 5, 1), Ok(false));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(try_lock(fd.as_fd(), Lock::Write, 5, 1), Ok(true));
}
