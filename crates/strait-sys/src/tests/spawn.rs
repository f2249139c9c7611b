//! Tests of [`crate::spawn`].

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};

use super::{Role, loose_file, this_test};
use crate::Errno;
use crate::spawn::{duplicate_inherited, keep_open, take_inherited};

const NUMBERS: &str = "STRAIT_SYS_NUMBERS";

fn inode(fd: &OwnedFd) -> u64 {
    rustix::fs::fstat(fd).unwrap().st_ino
}

/// The parent passes one and leaves another open without saying so, as C libraries do.
#[test]
fn only_what_was_passed_is_given_away() {
    if Role::mine().is_none() {
        let (passed, replaced, left) = (loose_file(1), loose_file(2), loose_file(3));
        fcntl_setfd(&left, FdFlags::empty()).unwrap();
        let numbers = [&passed, &replaced, &left].map(|fd| fd.as_raw_fd().to_string());
        let mut role = Role::new(this_test!(), "child").env(NUMBERS, &numbers.join(" "));
        keep_open(&mut role.0, passed).unwrap();
        keep_open(&mut role.0, replaced).unwrap();
        role.passes();
        return drop(left);
    }
    let numbers = std::env::var(NUMBERS).unwrap();
    let numbers: Vec<i32> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
    let [passed, replaced, left] = *numbers else {
        panic!("three numbers")
    };
    // A number that leads elsewhere by now is somebody else's.
    // SAFETY: the number is this test's, which closes it nowhere.
    assert_eq!(unsafe { libc::dup2(left, replaced) }, replaced);
    let taken = take_inherited(passed).unwrap();
    assert_eq!(taken.as_raw_fd(), passed);
    for other in [passed, replaced, left, -1, 0, 1_000] {
        let refused = take_inherited(other).map_err(drop);
        assert!(refused.is_err(), "{other}");
    }
    let copies = [duplicate_inherited(left), duplicate_inherited(left)].map(Result::unwrap);
    assert!(copies[0].as_raw_fd() > 2 && inode(&copies[0]) == inode(&copies[1]));
    drop(copies);
    assert!(duplicate_inherited(left).is_ok(), "it is open all the same");
    assert!(duplicate_inherited(0).is_ok());
    // What this process opened itself, and what nobody did.
    for other in [passed, 1_000, -1] {
        assert_eq!(duplicate_inherited(other).map(drop), Err(Errno::BADF));
    }
}
