//! `strait pipe`: servers and clients, each a process of its own.

use crate::world::{Running, World};

fn listening(world: &World, arguments: &[&str]) -> Running {
    let words = [&["pipe", "listen", "Log", "--ready"], arguments].concat();
    let mut server = world.start(&words);
    assert!(server.hear().ends_with(r"\\.\pipe\Log"));
    server
}

#[test]
fn standard_input_of_one_is_standard_output_of_the_other() {
    let world = World::new();
    let server = listening(&world, &[]);
    let data = b"abcdefghijklmnopqrstuvw".repeat(1_000);
    let client = world.fed("pipe connect log", &data);
    assert_eq!((client.status, &*client.err), (Some(0), ""));
    let ran = server.finish();
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(ran.out.as_bytes() == data, "{} bytes", ran.out.len());
}

#[test]
fn a_line_is_a_message_and_a_message_a_line() {
    let world = World::new();
    let server = listening(&world, &["--message", "--keep"]);
    assert_eq!(
        world.fed("pipe connect log", b"one\n\nthree").status,
        Some(0)
    );
    assert_eq!(world.fed("pipe connect log", b"four\n").status, Some(0));
    let mut server = server;
    for line in ["one", "", "three", "four"] {
        assert_eq!(server.hear(), line);
    }
    assert_eq!(world.good("pipe ls"), "\\\\.\\pipe\\log\n");
    server.kill();
    drop(server);
    world.until("the name goes with the server", || {
        world.good("pipe ls").is_empty()
    });
}

#[test]
fn what_is_missing_or_busy_is_said_with_its_cure() {
    let world = World::new();
    let ran = world.strait("pipe connect log");
    assert_eq!(ran.status, Some(125));
    assert!(
        ran.err
            .contains("nobody serves \\\\.\\pipe\\log (`strait pipe listen log`"),
        "{ran:?}"
    );
    let waited = world.strait("pipe wait log --timeout 1ms");
    assert_eq!(
        waited.status,
        Some(125),
        "there is none to wait for: {waited:?}"
    );
    let _server = listening(&world, &[]);
    assert_eq!(world.strait("pipe wait log --timeout 20s").status, Some(0));
    let second = world.strait("pipe listen log");
    assert!(
        second.err.contains("another process serves it"),
        "{second:?}"
    );
    let none = world.strait("pipe listen other --timeout 10ms");
    assert_eq!(none.status, Some(124));
    let call = world.strait("pipe call log x");
    assert!(call.err.contains("is a pipe of bytes"), "{call:?}");
}

#[test]
fn a_call_that_nobody_answers_ends_in_time() {
    let world = World::new();
    let mut server = listening(&world, &["--message"]);
    let call = world.strait("pipe call log request --timeout 500ms");
    assert_eq!(call.status, Some(124), "{call:?}");
    assert_eq!(server.hear(), "request");
}
