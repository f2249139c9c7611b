//! Tests of [`crate::map`].

use core::sync::atomic::Ordering::{Acquire, Relaxed};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::ftruncate;
use rustix::mm::{MapFlags, ProtFlags, mmap};

use super::{Role, loose_file, sealed_file, shared, this_test};
use crate::Errno;
use crate::map::{Access, Map};

const PAGE: usize = 4096;

#[test]
fn words_must_fit_be_aligned_and_be_allowed() {
    let fd = sealed_file(4096);
    let map = shared(&fd, 100);
    assert_eq!((map.len(), map.access()), (100, Access::Write));
    assert!(map.word::<u32>(96).is_some());
    assert!(map.word::<u64>(96).is_none(), "out of bounds");
    assert!(map.word::<u64>(88).is_some());
    assert!(map.word::<u64>(84).is_none(), "misaligned");
    assert!(map.word::<u32>(2).is_none(), "misaligned");
    assert!(map.look::<u32>(100).is_none(), "out of bounds");
    assert!(map.look::<i64>(usize::MAX - 7).is_none(), "out of bounds");
    let tiny = shared(&fd, 3);
    assert!(tiny.look::<u32>(0).is_none(), "larger than the map");
    let reader = Map::shared(fd.as_fd(), 0, 100, Access::Read).unwrap();
    assert!(reader.word::<u32>(0).is_none(), "read-only");
    assert!(reader.look::<u32>(0).is_some());
    assert!(!reader.write(0, b"x"), "read-only");
}

#[test]
fn what_the_kernel_refuses() {
    let fd = sealed_file(4096);
    let reader = crate::memfd::reopen_read_only(fd.as_fd()).unwrap();
    let error = |fd: &OwnedFd, offset, len, access| {
        Map::shared(fd.as_fd(), offset, len, access)
            .map(drop)
            .unwrap_err()
    };
    assert_eq!(error(&fd, 0, 0, Access::Read), Errno::INVAL);
    assert_eq!(error(&fd, 8, 8, Access::Read), Errno::INVAL);
    assert_eq!(error(&reader, 0, 8, Access::Write), Errno::ACCESS);
    assert_eq!(Map::private(0).unwrap_err(), Errno::INVAL);
    assert!(Map::private(usize::MAX / 2).is_err());
}

#[test]
fn copies_are_exact_at_every_edge() {
    let map = Map::private(128).unwrap();
    let pattern: Vec<u8> = (1..=64).collect();
    for offset in 0..24 {
        for len in 0..=40 {
            assert!(map.write(0, &[0xee; 128]));
            assert!(map.write(offset, &pattern[..len]));
            let mut whole = [0; 128];
            assert!(map.read(0, &mut whole));
            let mut expected = [0xee; 128];
            expected[offset..offset + len].copy_from_slice(&pattern[..len]);
            assert_eq!(whole, expected, "{len} bytes at {offset}");
            let mut part = vec![0; len];
            assert!(map.read(offset, &mut part));
            assert_eq!(part, &pattern[..len], "{len} bytes at {offset}");
        }
    }
    assert!(map.read(128, &mut []));
    assert!(!map.read(129, &mut []));
    assert!(!map.read(120, &mut [0; 9]));
    assert!(!map.write(usize::MAX, b"xy"));
}

#[test]
fn large_copies_are_exact_and_survive_truncation() {
    let fd = loose_file(8192);
    let map = shared(&fd, 8192);
    let pattern: Vec<u8> = (1..=251).cycle().take(8000).collect();
    for (offset, len) in [(0, 257), (1, 320), (7, 2000), (13, 4099), (8, 8000)] {
        assert!(map.write(0, &[0xee; 8192]));
        assert!(map.write(offset, &pattern[..len]));
        let mut whole = [0; 8192];
        assert!(map.read(0, &mut whole));
        let mut expected = [0xee; 8192];
        expected[offset..offset + len].copy_from_slice(&pattern[..len]);
        assert!(whole == expected, "{len} bytes at {offset}");
        let mut part = vec![0; len];
        assert!(map.read(offset, &mut part) && part == pattern[..len]);
    }
    ftruncate(&fd, 4096).unwrap();
    let mut whole = vec![1; 8000];
    assert!(map.read(8, &mut whole) && map.is_broken());
    assert!(whole[..4088] == pattern[..4088] && whole[4088..].iter().all(|b| *b == 0));
    assert!(map.write(8, &pattern), "goes nowhere");
}

#[test]
fn a_clone_keeps_the_memory_and_the_last_one_frees_it() {
    let map = Map::private(PAGE).unwrap();
    let clone = map.clone();
    map.word::<u32>(0).unwrap().store(3, Relaxed);
    assert_eq!(map.address(), clone.address());
    drop(map);
    assert_eq!(clone.look::<u32>(0).unwrap().load(Relaxed), 3);
}

#[test]
fn stores_are_shared_and_private_copies_are_not() {
    let fd = sealed_file(8192);
    let whole = shared(&fd, 8192);
    let second = Map::shared(fd.as_fd(), 4096, 4096, Access::Read).unwrap();
    let copy = Map::copy_on_write(fd.as_fd(), 0, 8192).unwrap();
    whole.word::<u64>(4096).unwrap().store(11, Relaxed);
    assert_eq!(second.look::<u64>(0).unwrap().load(Acquire), 11);
    copy.word::<u64>(4096).unwrap().store(12, Relaxed);
    assert_eq!(second.look::<u64>(0).unwrap().load(Acquire), 11);
    assert!(!whole.is_broken() && !copy.is_broken());
}

#[test]
fn truncation_breaks_the_map_and_nothing_else() {
    let fd = loose_file(8192);
    let (map, other) = (shared(&fd, 8192), shared(&fd, 4096));
    map.word::<u32>(0).unwrap().store(1, Relaxed);
    map.word::<u32>(4096).unwrap().store(2, Relaxed);
    ftruncate(&fd, 4096).unwrap();
    assert!(!map.is_broken(), "nobody has looked");
    assert_eq!(
        map.look::<u32>(0).unwrap().load(Relaxed),
        1,
        "this page is still there"
    );
    assert_eq!(map.word::<u32>(4096).unwrap().load(Relaxed), 0);
    assert!(map.is_broken());
    map.word::<u32>(8188).unwrap().store(4, Relaxed);
    assert_eq!(
        map.word::<u32>(8188).unwrap().load(Relaxed),
        4,
        "a page of our own"
    );
    assert!(map.clone().is_broken(), "a clone is the same map");
    assert_eq!(other.look::<u32>(0).unwrap().load(Relaxed), 1);
    assert!(!other.is_broken());
    drop(map);
    let fresh = shared(&fd, 4096);
    assert!(!fresh.is_broken(), "its place in the registry is as new");
}

#[test]
fn every_way_to_touch_a_lost_page_survives() {
    let touches: [fn(&Map); 5] = [
        |map| assert_eq!(map.look::<u64>(PAGE).unwrap().load(Relaxed), 0),
        |map| map.word::<u64>(PAGE).unwrap().store(1, Relaxed),
        |map| assert_eq!(map.word::<u64>(PAGE).unwrap().fetch_add(1, Relaxed), 0),
        |map| assert!(map.read(PAGE - 3, &mut [0; 2 * PAGE])),
        |map| assert!(map.write(PAGE - 3, &[1; 2 * PAGE])),
    ];
    for touch in touches {
        let fd = loose_file(4 * PAGE as u64);
        let map = shared(&fd, 4 * PAGE);
        ftruncate(&fd, 0).unwrap();
        touch(&map);
        assert!(map.is_broken());
    }
    let fd = loose_file(PAGE as u64);
    let reader = Map::shared(fd.as_fd(), 0, PAGE, Access::Read).unwrap();
    let copy = Map::copy_on_write(fd.as_fd(), 0, PAGE).unwrap();
    ftruncate(&fd, 0).unwrap();
    assert_eq!(reader.look::<u32>(8).unwrap().load(Acquire), 0);
    assert_eq!(copy.look::<u32>(8).unwrap().load(Acquire), 0);
    assert!(reader.is_broken() && copy.is_broken());
}

#[test]
fn a_map_beyond_the_end_of_its_file_breaks_at_first_touch() {
    let fd = loose_file(10);
    let map = shared(&fd, 3 * PAGE);
    assert_eq!(
        map.look::<u32>(PAGE - 4).unwrap().load(Relaxed),
        0,
        "the last page is whole"
    );
    assert!(!map.is_broken());
    assert_eq!(map.look::<u32>(PAGE).unwrap().load(Relaxed), 0);
    assert!(map.is_broken());
}

#[test]
fn truncation_under_threads_while_other_maps_come_and_go() {
    let done = core::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let fd = sealed_file(4096);
            while !done.load(Relaxed) {
                let maps: Vec<Map> = (0..100).map(|_| shared(&fd, 4096)).collect();
                assert!(maps.iter().all(|map| !map.is_broken()));
            }
        });
        for _ in 0..200 {
            let fd = loose_file(4 * PAGE as u64);
            let map = shared(&fd, 4 * PAGE);
            std::thread::scope(|inner| {
                for thread in 0..2 {
                    let map = map.clone();
                    inner.spawn(move || {
                        while !map.is_broken() {
                            map.word::<u64>(thread * 8).unwrap().fetch_add(1, Relaxed);
                            assert!(map.read(thread * PAGE, &mut [0; 2 * PAGE]));
                        }
                    });
                }
                ftruncate(&fd, 0).unwrap();
            });
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn tens_of_thousands_of_maps_are_guarded() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "many").passes();
    }
    let fd = loose_file(2 * PAGE as u64);
    let many: Vec<Map> = (0..30_000).map(|_| shared(&fd, 2 * PAGE)).collect();
    ftruncate(&fd, PAGE as u64).unwrap();
    let last = &many[29_999];
    assert_eq!(last.look::<u32>(PAGE).unwrap().load(Relaxed), 0);
    assert!(last.is_broken() && !many[0].is_broken());
}

/// Touches a lost page that no [`Map`] knows of.
fn foreign_fault() {
    let fd = loose_file(PAGE as u64);
    // SAFETY: a new mapping at a place of the kernel's choice touches no existing memory.
    let page = unsafe {
        mmap(
            core::ptr::null_mut(),
            PAGE,
            ProtFlags::READ,
            MapFlags::SHARED,
            &fd,
            0,
        )
    };
    let page = page.unwrap().cast::<u8>();
    ftruncate(&fd, 0).unwrap();
    // SAFETY: mapped; that it raises SIGBUS is the point.
    let byte = unsafe { page.read_volatile() };
    panic!("read {byte} where nothing was");
}

fn default_disposition() {
    // SAFETY: the default is always valid.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

#[test]
fn a_foreign_fault_still_kills() {
    match Role::mine().as_deref() {
        None => {
            for role in ["with the handler of std", "without", "ignored"] {
                Role::new(this_test!(), role).dies_of(libc::SIGBUS);
            }
        }
        Some(role) => {
            match role {
                "without" => default_disposition(),
                // SAFETY: ignoring is always valid.
                "ignored" => drop(unsafe { libc::signal(libc::SIGBUS, libc::SIG_IGN) }),
                _ => {}
            }
            let _map = shared(&sealed_file(4096), 4096);
            foreign_fault();
        }
    }
}

#[test]
fn a_sent_sigbus_still_kills() {
    match Role::mine().as_deref() {
        None => {
            for role in ["with the handler of std", "without"] {
                Role::new(this_test!(), role).dies_of(libc::SIGBUS);
            }
        }
        Some(role) => {
            if role == "without" {
                default_disposition();
            }
            let _map = shared(&sealed_file(4096), 4096);
            // SAFETY: always allowed.
            unsafe { libc::raise(libc::SIGBUS) };
        }
    }
}

extern "C" fn exit_with_42(_: libc::c_int) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(42) };
}

#[test]
fn the_handler_before_ours_gets_what_is_not_ours() {
    if Role::mine().is_none() {
        let status = Role::new(this_test!(), "handler").run();
        assert_eq!(status.code(), Some(42));
        return;
    }
    let handler = exit_with_42 as *const () as usize;
    // SAFETY: the handler has the type of one, and makes only an async-signal-safe call.
    unsafe { libc::signal(libc::SIGBUS, handler) };
    let fd = loose_file(PAGE as u64);
    let map = shared(&fd, PAGE);
    ftruncate(&fd, 0).unwrap();
    assert_eq!(map.look::<u32>(0).unwrap().load(Relaxed), 0);
    assert!(map.is_broken(), "ours is not theirs");
    foreign_fault();
}

#[test]
fn a_forked_child_has_the_maps_and_the_guard() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let fd = loose_file(PAGE as u64);
    let map = shared(&fd, PAGE);
    map.word::<u32>(0).unwrap().store(5, Relaxed);
    let code = super::forked(|| {
        let before = map.look::<u32>(0).unwrap().load(Relaxed);
        let _ = ftruncate(&fd, 0);
        let after = map.look::<u32>(0).unwrap().load(Relaxed);
        i32::from(before != 5 || after != 0 || !map.is_broken())
    });
    assert_eq!(code, 0);
    assert!(!map.is_broken(), "the parent has not looked");
    assert_eq!(map.look::<u32>(0).unwrap().load(Relaxed), 0);
    assert!(map.is_broken());
}
