//! What a forked child has of its parent's segments and undo notes.

use core::sync::atomic::Ordering::SeqCst;

use rustix::fs::Mode;

use super::{Role, forked, this_test};
use crate::map::Access;
use crate::sysv_sem::{Op, Set};
use crate::sysv_shm::{Memory, Segment};

const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

#[test]
fn a_forked_child_has_what_was_attached() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let segment = Segment::create(libc::IPC_PRIVATE, 4096, MODE, Memory::default()).unwrap();
    let map = segment.attach(Access::Write).unwrap();
    segment.remove().unwrap();
    let code = forked(|| {
        map.word::<u32>(0).unwrap().store(7, SeqCst);
        i32::from(segment.stat().map(|stat| stat.attached) != Ok(2))
    });
    assert_eq!(code, 0, "it counts as attached twice");
    assert_eq!(map.word::<u32>(0).unwrap().load(SeqCst), 7);
    assert_eq!(segment.stat().unwrap().attached, 1);
}

#[test]
fn a_forked_child_undoes_only_what_it_did_itself() {
    if Role::mine().is_none() {
        return Role::new(this_test!(), "parent").passes();
    }
    let set = Set::create(libc::IPC_PRIVATE, 1, MODE).unwrap();
    set.set_value(0, 5).unwrap();
    set.op(&[Op::new(0, -2).undo()]).unwrap();
    let code = forked(|| i32::from(set.op(&[Op::new(0, -1).undo()]).is_err()));
    assert_eq!(code, 0);
    assert_eq!(set.value(0), Ok(3));
    set.remove().unwrap();
}
