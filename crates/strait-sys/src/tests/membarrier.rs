//! Tests of [`crate::membarrier`].

use core::ffi::{c_int, c_long};

use super::{Role, forked, this_test};
use crate::membarrier::{global, works};

/// `MEMBARRIER_CMD_GET_REGISTRATIONS` (Linux 6.3) and the bit of the one that is made here.
const GET_REGISTRATIONS: c_int = 1 << 9;
const REGISTER_GLOBAL_EXPEDITED: c_long = 1 << 2;

fn registrations() -> Option<c_long> {
    // SAFETY: passes numbers alone.
    let mask = unsafe { libc::syscall(libc::SYS_membarrier, GET_REGISTRATIONS, 0, 0) };
    (mask >= 0).then_some(mask)
}

#[test]
fn a_process_that_asks_is_registered_and_so_is_its_child() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "asking").passes();
    }
    let before = registrations();
    let registered = || registrations().is_none_or(|mask| mask & REGISTER_GLOBAL_EXPEDITED != 0);
    assert!(before.is_none_or(|mask| mask == 0), "nobody has asked");
    if !works() {
        assert!(global().is_err(), "it is said where it does not work");
        return;
    }
    global().unwrap();
    assert!(registered() && works());
    assert_eq!(
        forked(|| c_int::from(!registered() || global().is_err())),
        0
    );
}
