//! Sections: sizes, views, rights, files, and bytes that nobody can change any more.

use super::*;

#[test]
fn sizes_round_up_to_pages() {
    invalid(Section::options(0).create());
    invalid(Section::options(u64::MAX).create());
    invalid(Section::options((1 << 46) + 1).create());
    for (asked, len) in [
        (1, 4096),
        (4095, 4096),
        (4096, 4096),
        (4097, 8192),
        (65_537, 69_632),
    ] {
        let section = Section::options(asked).create().unwrap();
        assert_eq!(section.len(), len);
        assert!(!section.is_empty());
        let view = section.map::<Write>().unwrap();
        assert_eq!(view.len() as u64, len);
        let mut last = [1];
        let end = view.len();
        view.read(end - 1, &mut last).unwrap();
        assert_eq!(last, [0], "born zero");
        view.write(end - 1, b"x").unwrap();
        invalid(view.write(end, b"x"));
        invalid(view.write(end - 1, b"xy"));
        invalid(view.read(usize::MAX, &mut last));
        invalid(view.word::<u64>(end));
        invalid(view.word::<u64>(end - 4));
        invalid(view.word::<u32>(2));
        assert!(view.word::<u64>(end - 8).is_ok() && view.read(end, &mut []).is_ok());
    }
}

#[test]
fn what_no_memory_can_hold_is_refused_at_once() {
    let policy = fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    if policy.trim() == "1" {
        return skip(
            "what_no_memory_can_hold",
            "this machine promises any memory",
        );
    }
    let (kind, status) = (ErrorKind::Exhausted, NtStatus::INSUFFICIENT_RESOURCES);
    fails(Section::options(1 << 45).create(), kind, status, 1450);
    let space = Namespace::temporary().unwrap();
    if rustix::fs::statvfs(space.path()).unwrap().f_blocks > 0 {
        fails(space.section("big", 1 << 45).create(), kind, status, 1450);
        refused(space.section("big", 1).open(), ErrorKind::NotFound);
    }
}

#[test]
fn views_begin_at_multiples_of_64_kib_and_end_within() {
    let space = Namespace::temporary().unwrap();
    assert_eq!(GRANULARITY, 65_536);
    let (aligned, size) = (NtStatus::MAPPED_ALIGNMENT, NtStatus::INVALID_VIEW_SIZE);
    for section in [
        Section::options(3 * GRANULARITY + 1).create().unwrap(),
        space.section("s", 3 * GRANULARITY + 1).create().unwrap(),
    ] {
        let whole = section.map::<Write>().unwrap();
        for page in 0..49 {
            whole
                .write(page * 4096, &[u8::try_from(page).unwrap()])
                .unwrap();
        }
        // Offset, length asked for, length of the view.
        for (offset, asked, len) in [
            (0, 0, 200_704),
            (0, 1, 1),
            (0, 200_704, 200_704),
            (GRANULARITY, 0, 135_168),
            (2 * GRANULARITY, GRANULARITY, 65_536),
            (3 * GRANULARITY, 0, 4096),
            (3 * GRANULARITY, 4096, 4096),
        ] {
            let view = section.map_part::<Read>(offset, asked).unwrap();
            assert_eq!(view.len(), len);
            let mut first = [0];
            view.read(0, &mut first).unwrap();
            assert_eq!(u64::from(first[0]), offset / 4096);
        }
        for (offset, asked, status, win32) in [
            (1, 0, aligned, 1132),
            (4096, 0, aligned, 1132),
            (GRANULARITY / 2, 1, aligned, 1132),
            (u64::MAX, 0, aligned, 1132),
            (4 * GRANULARITY, 0, size, 5),
            (u64::MAX - 0xffff, 1, size, 5),
            (0, 200_705, size, 5),
            (3 * GRANULARITY, 4097, size, 5),
            (GRANULARITY, u64::MAX, size, 5),
        ] {
            let kind = ErrorKind::InvalidInput;
            fails(section.map_part::<Read>(offset, asked), kind, status, win32);
        }
    }
}

#[test]
fn a_view_has_no_more_rights_than_the_handle() {
    let space = Namespace::temporary().unwrap();
    let section = space.section("s", 1).create().unwrap();
    section.map::<Write>().unwrap().write(0, b"tea").unwrap();
    let looks = space.section("s", 0).rights(Rights::LOOK).open().unwrap();
    denied(looks.map::<Write>());
    denied(looks.make_permanent());
    let view = looks.map::<Read>().unwrap();
    let mut tea = [0; 3];
    view.read(0, &mut tea).unwrap();
    assert_eq!(&tea, b"tea");
    // A word of such a view has no store; its map is refused one by the kernel too.
    assert_eq!(
        view.word::<u32>(0).unwrap().load(Ordering::SeqCst) & 0xff,
        u32::from(b't')
    );
    denied(section.duplicate(Rights::MODIFY).unwrap().map::<Read>());
    let wait_only = space.section("s", 0).rights(Rights::WAIT).open().unwrap();
    denied(wait_only.map::<Read>());
    denied(wait_only.map::<Write>());
}

#[test]
fn a_view_keeps_the_memory_and_not_the_name() {
    alone(
        "nt::section::a_view_keeps_the_memory_and_not_the_name",
        || {
            let space = Namespace::temporary().unwrap();
            let section = space.section("s", 1).create().unwrap();
            let view = section.map::<Write>().unwrap();
            let looks = section.map::<Read>().unwrap();
            view.write(0, b"tea").unwrap();
            drop(section);
            refused(space.section("s", 0).open(), ErrorKind::NotFound);
            let fresh = space.section("s", 1).create().unwrap();
            let mut tea = [0; 3];
            looks.read(0, &mut tea).unwrap();
            assert_eq!(&tea, b"tea");
            fresh.map::<Read>().unwrap().read(0, &mut tea).unwrap();
            assert_eq!(tea, [0; 3], "another section");
            drop(fresh);
            assert!(!space.path().join("os").exists());
        },
    );
}

/// Reads the section over a file by its name, and writes into it.
pub(crate) fn filer(args: &[String]) {
    let space = Namespace::directory(&args[0]).unwrap();
    let section = space.section("s", 0).open().unwrap();
    assert_eq!(section.len(), 5000);
    let view = section.map::<Write>().unwrap();
    let mut byte = [0];
    view.read(4999, &mut byte).unwrap();
    assert_eq!(byte, [7]);
    view.write(100, b"tea").unwrap();
}

#[test]
fn a_section_can_be_of_a_file() {
    let space = Namespace::temporary().unwrap();
    let at = space.path().join(".file");
    let of = |len: u64| Section::options(len).namespace(&space).file(&at);
    refused(of(0).create(), ErrorKind::NotFound);
    fs::write(&at, "").unwrap();
    invalid(of(0).create());
    fs::write(&at, vec![7; 5000]).unwrap();
    invalid(of(5001).create());
    invalid(
        Section::options(0)
            .file(space.path())
            .create()
            .or_else(|error| {
                // A directory cannot be opened for writing at all.
                assert_eq!(error.kind(), ErrorKind::Kernel, "{error}");
                Section::options(0).file("/dev/null").create()
            }),
    );
    assert_eq!(of(0).create().unwrap().len(), 5000);
    assert_eq!(of(100).create().unwrap().map::<Read>().unwrap().len(), 100);
    let named = of(0).name("s").create().unwrap();
    let peer = Peer::start("nt.filer", &[space.path().to_str().unwrap()]);
    assert!(peer.finish().success());
    assert_eq!(&fs::read(&at).unwrap()[98..104], b"\x07\x07tea\x07");
    let unlike = named.freeze();
    fails(unlike, ErrorKind::Unsupported, NtStatus::NOT_SUPPORTED, 50);
    // Another file in its place is not silently taken for it.
    fs::rename(&at, space.path().join(".moved")).unwrap();
    refused(space.section("s", 0).open(), ErrorKind::NotFound);
    fs::write(&at, vec![8; 5000]).unwrap();
    let error = refused(space.section("s", 0).open(), ErrorKind::Broken);
    assert!(error.to_string().contains(".file"), "{error}");
    let mut byte = [0];
    named.map::<Read>().unwrap().read(0, &mut byte).unwrap();
    assert_eq!(byte, [7], "who has it open has the old one");
}

#[test]
fn a_frozen_section_is_plain_bytes_for_ever() {
    let section = Section::options(1).create().unwrap();
    let view = section.map::<Write>().unwrap();
    view.write(0, b"tea").unwrap();
    let busy = section.freeze();
    fails(busy, ErrorKind::Busy, NtStatus::SHARING_VIOLATION, 32);
    view.write(3, b"!").unwrap();
    drop(view);
    let looks = section.map::<Read>().unwrap();
    let other = section.duplicate(Rights::ALL).unwrap();
    let frozen = section.freeze().unwrap();
    assert_eq!((frozen.len(), &frozen[..5]), (4096, &b"tea!\0"[..]));
    denied(section.map::<Write>());
    denied(other.map::<Write>());
    let again = other.freeze().unwrap();
    assert_eq!(again[..], frozen[..]);
    drop((section, other, again));
    let mut tea = [0; 4];
    looks.read(0, &mut tea).unwrap();
    assert_eq!(&tea, b"tea!");
    assert_eq!(&frozen[..4], b"tea!", "it outlives its section");
    let space = Namespace::temporary().unwrap();
    let named = space.section("s", 1).create().unwrap();
    fails(
        named.freeze(),
        ErrorKind::Unsupported,
        NtStatus::NOT_SUPPORTED,
        50,
    );
}
