//! `strait rpc gen`, `call` and `serve`: servers and their callers, each a process of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{Ran, Running, World};

const SUMS: &str = "
enum colour { RED = 1, GREEN = 2 };
struct point { int x; hyper y; colour paint; };
struct node { unsigned number; node *next; };
typedef node *nodes;
union answer switch (bool found) { case TRUE: string text<16>; case FALSE: void; };

program SUMS {
    version SUMS_V1 {
        int ADD(int, int) = 1;
    } = 1;
    version SUMS_V2 {
        int ADD(int, int) = 1;
        nodes ECHO(nodes) = 2;
        point MOVE(point) = 3;
        answer FIND(string) = 4;
        void SLEEP(void) = 5;
        string WHO(void) = 6;
    } = 2;
} = 0x20004321;

program OTHER {
    version OTHER_V1 {
        int ADD(int) = 1;
        void REST(void) = 2;
    } = 1;
} = 0x20004322;
";

/// What answers: jq is not everywhere.
const SCRIPT: &str = r#"
case $STRAIT_RPC_PROCEDURE in
    ADD) tr -d '[] ' | { IFS=, read a b; echo $((a + b)); } ;;
    ECHO) cat ;;
    MOVE) printf '{"x": 1, "y": "9007199254740993", "paint": "%s"}' "$PAINT" ;;
    FIND) read word; case $word in '"yes"') echo '{"case": true, "value": "here"}' ;;
        '"no"') echo '{"case": false}' ;; '"junk"') echo 'no JSON' ;; *) exit 3 ;; esac ;;
    SLEEP) echo $$ > "$PIDS"; exec sleep 1000 ;;
    WHO) echo "\"$STRAIT_RPC_SYS_UID $STRAIT_CLIENT_UID $STRAIT_RPC_NUMBER\"" ;;
esac
"#;

/// A world with the file.
pub(super) struct Sums {
    pub(super) world: World,
    pub(super) file: String,
}

impl Sums {
    pub(super) fn new() -> Self {
        let world = World::new();
        let file = world.space.path().join("sums.x");
        std::fs::write(&file, SUMS).unwrap();
        let file = file.to_str().unwrap().to_owned();
        Self { world, file }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.world.space.path().join(name)
    }

    /// A server, and where it listens: by TCP, by the local socket, by UDP, by the channel.
    pub(super) fn serving(&self, more: &[&str]) -> (Running, [String; 4]) {
        let socket = self.path("sums.sock");
        let socket = socket.to_str().unwrap();
        let words = ["rpc", "serve", &self.file, "--json", "--socket", socket];
        let any = [
            "--tcp",
            "127.0.0.1:0",
            "--udp",
            "127.0.0.1:0",
            "--channel",
            "sums",
        ];
        let command = ["--", "sh", "-c", SCRIPT];
        let command = if more.contains(&"--echo") {
            &[][..]
        } else {
            &command
        };
        let words = [&words[..], &any, more, command].concat();
        let mut server = Running::of(
            self.world
                .command(&words)
                .env("PAINT", "GREEN")
                .env("PIDS", self.path("pids")),
        );
        let said = server.hear();
        let places: Value = serde_json::from_str(&said).unwrap_or_else(|why| {
            panic!("{why}: {said}");
        });
        let of = |netid: &str| {
            let mut places = places.as_array().unwrap().iter();
            let place = places.find(|place| place["netid"] == netid).unwrap();
            place["address"].as_str().unwrap().to_owned()
        };
        let hosts = [
            of("tcp"),
            format!("unix:{}", of("local")),
            format!("udp://{}", of("udp")),
            format!("channel:{}", of("channel")),
        ];
        (server, hosts)
    }

    fn call(&self, host: &str, words: &[&str]) -> Ran {
        let words = [&["rpc", "call", &self.file, host], words].concat();
        Ran::of(self.world.command(&words).output().unwrap())
    }

    /// What a call prints that must succeed.
    pub(super) fn good(&self, host: &str, words: &[&str]) -> String {
        let ran = self.call(host, words);
        assert_eq!((ran.status, &*ran.err), (Some(0), ""), "{words:?}: {ran:?}");
        ran.out
    }

    /// What a call complains of that must fail.
    pub(super) fn bad(&self, status: i32, host: &str, words: &[&str]) -> String {
        let ran = self.call(host, words);
        assert_eq!(
            (ran.status, &*ran.out),
            (Some(status), ""),
            "{words:?}: {ran:?}"
        );
        ran.err
    }
}

#[test]
fn a_command_answers_calls_over_every_transport() {
    let sums = Sums::new();
    let (_server, hosts) = sums.serving(&[]);
    for host in &hosts {
        assert_eq!(
            sums.good(host, &["--program", "SUMS", "ADD", "40", "-2"]),
            "38\n"
        );
        assert_eq!(
            sums.good(host, &["MOVE", r#"{"x": 1, "y": "0x10", "paint": 1}"#]),
            "{\"x\":1,\"y\":\"9007199254740993\",\"paint\":\"GREEN\"}\n"
        );
        assert_eq!(sums.good(host, &["ECHO", "[]"]), "[]\n");
        assert_eq!(
            sums.good(host, &["ECHO", r#"[{"number": 1}, {"number": 2}]"#]),
            "[{\"number\":1},{\"number\":2}]\n"
        );
        assert_eq!(
            sums.good(host, &["FIND", "\"yes\""]),
            "{\"case\":true,\"value\":\"here\"}\n"
        );
        assert_eq!(sums.good(host, &["FIND", "\"no\""]), "{\"case\":false}\n");
        // Procedure 0 is there whether the file has it or not.
        assert_eq!(sums.good(host, &["--null", "--program", "OTHER"]), "null\n");
        assert_eq!(sums.good(host, &["REST"]), "null\n");
        assert_eq!(
            sums.good(
                host,
                &["--version", "2", "--program", "0x20004321", "1", "1", "2"]
            ),
            "3\n"
        );
    }
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(
        sums.good(&hosts[0], &["--sys", "WHO"]),
        format!("\"{uid}  6\"\n")
    );
    for host in [&hosts[1], &hosts[3]] {
        assert_eq!(sums.good(host, &["WHO"]), format!("\" {uid} 6\"\n"));
    }
}

#[test]
fn a_channel_alone_is_served_under_its_name() {
    let sums = Sums::new();
    let words = ["rpc", "serve", &sums.file, "--channel", "alone", "--echo"];
    let mut server = sums.world.start(&words);
    assert_eq!(server.hear(), "channel alone", "and nowhere else");
    assert_eq!(sums.good("channel:alone", &["ECHO", "[]"]), "[]\n");
    let said = sums.bad(125, "channel:other", &["ECHO", "[]"]);
    assert!(said.contains("other"), "{said}");
    let again = Ran::of(sums.world.command(&words).output().unwrap());
    assert_eq!((again.status, &*again.out), (Some(125), ""), "{again:?}");
    assert!(again.err.contains("alone"), "{again:?}");
}

#[test]
fn wrong_words_are_told_before_anything_is_sent() {
    let sums = Sums::new();
    // Nobody listens there: it would be another error.
    let host = "127.0.0.1:1";
    for (words, why) in [
        (
            &["ADD", "1", "2"][..],
            "which program? Say --program with one of SUMS, OTHER",
        ),
        (&["MOVE", "{"], "argument 1: not JSON: EOF"),
        (&["FIND", "yes"], "argument 1: not JSON: "),
        (&["FIND", "yes"], "is '\"yes\"'"),
        (&["FIND", "7"], "argument 1: a string is wanted, not 7"),
        (
            &["MOVE", "{\"x\": 1}"],
            "argument 1.y: this member is missing",
        ),
        (
            &["MOVE", "{\"x\": 1, \"y\": 2, \"paint\": \"BLUE\"}"],
            "argument 1.paint: one of RED, GREEN",
        ),
        (
            &["ECHO", "[{\"number\": 1}, {\"number\": -1}]"],
            "argument 1[1].number: a whole number from 0",
        ),
        (&["FIND"], "FIND takes 1 argument, and none was given"),
        (
            &["ADD", "--program", "SUMS", "1"],
            "ADD takes 2 arguments, and 1 was given",
        ),
        (
            &["FLY"],
            "the file has no procedure FLY; it has\nSUMS version 1: ADD",
        ),
        (
            &["--version", "7", "FIND", "\"\""],
            "the file has no version 7, procedure FIND",
        ),
        (
            &["ADD", "--program", "SUMS", "-", "-"],
            "standard input can be one argument only",
        ),
    ] {
        let said = sums.bad(2, host, words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    let said = sums.bad(2, "http://localhost", &["REST"]);
    assert!(said.contains("there is tcp://HOST"), "{said}");
    for host in ["127.0.0.1:99999", "127.0.0.1:0", "udp://localhost:"] {
        let said = sums.bad(2, host, &["REST"]);
        assert!(said.contains("is no port, which is a number"), "{said}");
    }
    let said = sums.bad(125, host, &["REST"]);
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn a_failing_command_is_a_system_error_and_standard_error_says_why() {
    let sums = Sums::new();
    let (server, hosts) = sums.serving(&["--time-max", "3s"]);
    for (words, why) in [
        (&["FIND", "\"other\""][..], "FIND: sh: exit status: 3"),
        (&["FIND", "\"junk\""], "FIND: sh did not print JSON: "),
        (
            &["SLEEP"],
            "SLEEP: sh was ended: it took longer than 3s (--time-max)",
        ),
    ] {
        let said = sums.bad(125, &hosts[0], words);
        assert!(said.contains("SYSTEM_ERR"), "{said}");
        let _ = why;
    }
    // What was run is gone with its time.
    let pid = std::fs::read_to_string(sums.path("pids")).unwrap();
    assert!(!is_running(pid.trim()), "{pid} still runs");
    server.signal(Signal::TERM);
    let ran = server.finish();
    assert_eq!(ran.status, None, "it died of the signal: {ran:?}");
    for why in [
        "FIND: sh: exit status: 3",
        "FIND: sh did not print JSON: ",
        "SLEEP: sh was ended: it took longer than 3s (--time-max)",
    ] {
        assert!(ran.err.contains(why), "{ran:?}");
    }
    assert!(!sums.path("sums.sock").exists(), "its socket is gone");
}

#[test]
fn a_result_of_the_wrong_type_is_named_by_its_path() {
    let sums = Sums::new();
    let words = [
        "rpc",
        "serve",
        &sums.file,
        "--",
        "echo",
        "{\"x\": 1, \"y\": 2, \"paint\": 9}",
    ];
    let mut server = sums.world.start(&words);
    let place = server.hear();
    let host = place.strip_prefix("tcp ").unwrap();
    let said = sums.bad(125, host, &["MOVE", r#"{"x": 1, "y": 1, "paint": 1}"#]);
    assert!(said.contains("SYSTEM_ERR"), "{said}");
    server.signal(Signal::INT);
    let ran = server.finish();
    let why = "MOVE: echo printed what is no result: result.paint: one of RED, GREEN is wanted";
    assert!(ran.err.contains(why), "{ran:?}");
}

fn is_running(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat.rsplit(") ").next().unwrap().starts_with('Z')
}

#[test]
fn the_end_of_the_server_is_that_of_its_commands_and_calls() {
    let sums = Sums::new();
    let (mut server, hosts) = sums.serving(&[]);
    let begin = |host: &str| {
        let words = ["rpc", "call", &sums.file, host, "SLEEP"];
        let call = sums.world.start(&words);
        let pid = || std::fs::read_to_string(sums.path("pids")).unwrap_or_default();
        sums.world
            .until("the command runs", || pid().ends_with('\n'));
        (call, pid().trim().to_owned())
    };
    let (call, pid) = begin(&hosts[0]);
    server.signal(Signal::TERM);
    let ran = call.finish();
    assert_eq!(ran.status, Some(125));
    assert!(ran.err.contains("gone"), "{ran:?}");
    server.child.wait().unwrap();
    sums.world
        .until("the command is gone", || !is_running(&pid));

    // A server that is killed takes nothing down but the call.
    std::fs::remove_file(sums.path("pids")).unwrap();
    let (mut server, hosts) = sums.serving(&[]);
    let (call, pid) = begin(&hosts[1]);
    server.kill();
    let ran = call.finish();
    assert_eq!(ran.status, Some(125));
    assert!(ran.err.contains("the server has"), "{ran:?}");
    let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), Signal::KILL).unwrap();
}

#[test]
fn no_answer_in_time_has_a_status_of_its_own() {
    let sums = Sums::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let said = sums.bad(124, &host, &["REST", "--timeout", "50ms"]);
    assert!(said.contains("50ms"), "{said}");
}

#[test]
fn a_long_list_goes_there_and_back() {
    let sums = Sums::new();
    let (_server, hosts) = sums.serving(&["--echo"]);
    let nodes = (0..100_000).map(|i| format!("{{\"number\":{i}}}"));
    let list = format!("[{}]\n", nodes.collect::<Vec<_>>().join(","));
    for host in &hosts[..2] {
        let line = format!("rpc call {} {host} ECHO -", sums.file);
        let ran = sums.world.fed(&line, list.as_bytes());
        assert_eq!((ran.status, &*ran.err), (Some(0), ""));
        assert!(ran.out == list, "{} of {} bytes", ran.out.len(), list.len());
    }
    let line = format!("rpc call {} {} ECHO -", sums.file, hosts[2]);
    let ran = sums.world.fed(&line, list.as_bytes());
    assert_eq!(ran.status, Some(125), "no datagram is that long");
    // Only what gives what it takes is echoed.
    let said = sums.bad(125, &hosts[0], &["FIND", "\"yes\""]);
    assert!(said.contains("PROC_UNAVAIL"), "{said}");
    let names = "FIND of SUMS (0x20004321) version 2 at ";
    assert!(said.contains(names), "{said}");
}

/// Answers one call with a success and these results.
fn answering(results: Vec<u8>) -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = move || {
        let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
        let mut call = [0; 44];
        stream.read_exact(&mut call).unwrap();
        let mut reply = call[4..8].to_vec();
        for word in [1_u32, 0, 0, 0, 0] {
            reply.extend(word.to_be_bytes());
        }
        reply.extend(&results);
        let mark = 0x8000_0000 | u32::try_from(reply.len()).unwrap();
        stream
            .write_all(&[&mark.to_be_bytes()[..], &reply].concat())
            .unwrap();
        // Until the caller has gone.
        let _ = stream.read(&mut [0]);
    };
    (host, std::thread::spawn(answer))
}

#[test]
fn a_hostile_reply_is_the_servers_fault() {
    let sums = Sums::new();
    let words = |words: &[u32]| words.iter().copied().flat_map(u32::to_be_bytes).collect();
    let call = |results: Vec<u8>| {
        let (host, server) = answering(results);
        let said = sums.bad(125, &host, &["WHO"]);
        server.join().unwrap();
        said
    };
    for (results, why) in [
        (words(&[0xffff_fff0]), "result: at byte"),
        (words(&[8, 0x4142_4344]), "result: at byte"),
        (vec![0, 0, 0, 1, b'a', 1, 0, 0], "padding"),
        (vec![0, 0], "result: at byte"),
    ] {
        let said = call(results);
        assert!(
            said.contains(why) && said.contains("its fault, or"),
            "{said}"
        );
    }
    // What follows the result was not asked for.
    let said = call(words(&[0, 0]));
    assert!(said.contains("4 bytes follow"), "{said}");
    // What steers a terminal is printed as what it is.
    let (host, server) = answering(b"\0\0\0\x05\x1b[2J\x07\0\0\0".to_vec());
    assert_eq!(sums.good(&host, &["WHO"]), "\"\\u001b[2J\\u0007\"\n");
    server.join().unwrap();
}

#[test]
fn a_server_that_cannot_serve_says_so() {
    let sums = Sums::new();
    let bare = sums.path("bare.x");
    std::fs::write(&bare, "struct a { int b; };").unwrap();
    let bare = bare.display();
    let mute = sums.path("mute.x");
    let source = "program P { version V { int LEN(string) = 1; } = 1; } = 7;";
    std::fs::write(&mute, source).unwrap();
    let mute = mute.display();
    let file = &sums.file;
    for (line, status, why) in [
        (format!("rpc serve {bare} -- true"), 2, "defines no program"),
        (format!("rpc serve {bare} --echo"), 2, "defines no program"),
        (format!("rpc serve {file} -- /no/such"), 127, "/no/such"),
        (
            format!("rpc serve {file}"),
            2,
            "strait rpc serve [OPTIONS] FILE.x {--echo | -- CMD…}",
        ),
        (
            format!("rpc serve {mute} --echo"),
            2,
            "--echo: no procedure of",
        ),
        (
            format!("rpc serve {file} --echo --tcp localhost:7201"),
            2,
            "such as 127.0.0.1:7201",
        ),
        (
            format!("rpc serve {file} --echo --socket /no/such/path"),
            125,
            "there is no directory /no",
        ),
    ] {
        let ran = sums.world.strait(&line);
        assert_eq!(ran.status, Some(status), "{line}: {ran:?}");
        assert!(ran.err.contains(why), "{line}: {ran:?}");
    }
}

#[test]
fn generated_code_is_printed_and_errors_have_carets() {
    let sums = Sums::new();
    let code = sums.world.good(&format!("rpc gen {}", sums.file));
    assert!(code.contains("pub struct Point"), "{code}");
    assert!(code.contains("::strait::rpc::onc"), "{code}");
    let out = sums.path("sums.rs");
    let line = format!(
        "rpc gen {} -o {} --root crate::onc --blocking",
        sums.file,
        out.display()
    );
    assert_eq!(sums.world.good(&line), "");
    let code = std::fs::read_to_string(&out).unwrap();
    assert!(
        code.contains("crate::onc") && !code.contains("AsyncClient"),
        "{code}"
    );

    let wrong = sums.path("wrong.x");
    std::fs::write(&wrong, "struct a {\n\tkye k;\n};\n").unwrap();
    let line = format!("rpc gen {} -o {}", wrong.display(), out.display());
    let ran = sums.world.strait(&line);
    assert_eq!((ran.status, &*ran.out), (Some(1), ""));
    assert!(ran.err.contains("wrong.x: 1 error\n"), "{ran:?}");
    assert!(ran.err.contains("wrong.x:2:2\n"), "{ran:?}");
    assert!(ran.err.contains("2 |     kye k;\n"), "{ran:?}");
    assert!(ran.err.contains("  |     ^^^"), "{ran:?}");
    assert_eq!(
        std::fs::read_to_string(&out).unwrap(),
        code,
        "it was left as it was"
    );

    let chosen = sums.path("chosen.x");
    let source = "#include <common.x>\n#ifdef WIDE\ntypedef hyper t;\n#else\ntypedef int t;\n\
                  #endif\nstruct s { t one[SIZE]; string text<>; c two; };";
    std::fs::write(&chosen, source).unwrap();
    std::fs::create_dir(sums.path("include")).unwrap();
    std::fs::write(sums.path("include/common.x"), "typedef bool c;\n").unwrap();
    let include = sums.path("include");
    let line = format!(
        "rpc gen {} -I {} -D WIDE -D SIZE=3 --strings bytes",
        chosen.display(),
        include.display()
    );
    let code = sums.world.good(&line);
    assert!(code.contains("pub type T = i64"), "{code}");
    assert!(
        code.contains("[T; 3]") && code.contains("text: Vec<u8>"),
        "{code}"
    );
}
