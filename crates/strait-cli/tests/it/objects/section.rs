//! `strait section`: bytes in and out.

use crate::world::World;

#[test]
fn bytes_go_in_and_come_out() {
    let world = World::new();
    world.good("section create memory --size 100K");
    assert_eq!(world.query("section", "memory")["state"]["len"], 102_400);
    let bytes: Vec<u8> = (0..102_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    let ran = world.fed("section write memory --offset 400", &bytes);
    assert_eq!((ran.status, &*ran.err), (Some(0), ""));
    let all = world.good("section read memory").into_bytes();
    assert_eq!(all.len(), 102_400);
    assert!(all[..400].iter().all(|byte| *byte == 0));
    assert_eq!(all[400..], bytes);
    let part = world.good("section read memory --offset 70000 --len 5");
    assert_eq!(part.as_bytes(), &bytes[69_600..69_605]);
    assert_eq!(world.good("section read memory --offset 100K --len 0"), "");
    for beyond in ["--offset 100K --len 1", "--offset 1G", "--len 101K"] {
        let ran = world.strait(&format!("section read memory {beyond}"));
        assert_eq!((ran.status, &*ran.out), (Some(1), ""), "{beyond}");
    }
    world.good("section rm memory");
}

#[test]
fn too_much_input_is_an_error_and_what_fits_is_written() {
    let world = World::new();
    world.good("section create small --size 4K");
    let ran = world.fed("section write small --offset 4090", b"0123456789");
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("what came after 6 bytes"), "{ran:?}");
    assert_eq!(world.good("section read small --offset 4090"), "012345");
}

#[test]
fn hexadecimal_leaves_out_what_repeats() {
    let world = World::new();
    world.good("section create memory --size 4K");
    world.fed("section write memory --offset 100", b"shared \x01 memory");
    let dump = world.good("section read memory --hex --offset 96 --len 100");
    let wanted = "\
00000060  00 00 00 00 73 68 61 72  65 64 20 01 20 6d 65 6d  |....shared . mem|
00000070  6f 72 79 00 00 00 00 00  00 00 00 00 00 00 00 00  |ory.............|
00000080  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
000000c0  00 00 00 00                                       |....|
000000c4
";
    assert_eq!(dump, wanted);
}

#[test]
fn a_section_can_be_one_of_a_file() {
    let world = World::new();
    let file = world.space.path().join(".file");
    std::fs::write(&file, b"what is in the file").unwrap();
    let shown = file.display();
    world.good(&format!("section create memory --file {shown}"));
    assert_eq!(world.good("section read memory --offset 11"), "the file");
    world.fed("section write memory", b"WHAT");
    assert!(std::fs::read(&file).unwrap().starts_with(b"WHAT is"));
    let found = world.query("section", "memory");
    assert_eq!(found["state"]["file"], file.to_str().unwrap());
    assert_eq!(
        world.strait("section create other --file /no/such").status,
        Some(1)
    );
    assert_eq!(world.strait("section create other").status, Some(2));
}
