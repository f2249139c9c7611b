//! The table of states: what each call says in each of them.

use strait::nt::pipe::{Connection, SessionState, Waiting};

use super::*;

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum At {
    Listening,
    Connected,
    /// The client has closed, and has left a message.
    Closing,
    /// The same, and everything is read.
    Drained,
    Disconnected,
}

const ALL: [At; 5] = [
    At::Listening,
    At::Connected,
    At::Closing,
    At::Drained,
    At::Disconnected,
];

/// A session in that state, and what must be kept for it to stay there.
fn session_at(space: &Namespace, at: At) -> (Session, Option<Client>) {
    let options = server(space).message();
    let session = if at == At::Listening {
        return (options.create().unwrap().instance().unwrap(), None);
    } else {
        let (session, client) = joined(space, options);
        client.write(b"left").unwrap();
        match at {
            At::Connected => return (session, Some(client)),
            At::Disconnected => {
                session.disconnect().unwrap();
                return (session, Some(client));
            }
            _ => drop(client),
        }
        session
    };
    until_closing(&session);
    if at == At::Drained {
        assert_eq!(session.read(&mut [0; 9]).unwrap().len, 4);
    }
    (session, None)
}

#[test]
fn every_call_of_the_server_knows_every_state() {
    type Call = fn(&Session) -> u32;
    let calls: [(&str, Call, [u32; 5]); 7] = [
        ("read", |s| code(s.read(&mut [0; 9])), [536, 0, 0, 109, 233]),
        ("write", |s| code(s.write(b"x")), [536, 0, 232, 232, 233]),
        ("peek", |s| code(s.peek(&mut [])), [230, 0, 0, 109, 230]),
        (
            "connect",
            |s| {
                // Pending where nobody is there.
                s.set_waiting(Waiting::Never);
                match s.connect() {
                    Ok(Connection::Already) => 535,
                    other => code(other),
                }
            },
            [536, 535, 232, 232, 536],
        ),
        ("disconnect", |s| code(s.disconnect()), [536, 0, 0, 0, 233]),
        (
            "transact",
            |s| code(s.transact(b"x", &mut [0; 9])),
            [536, 231, 231, 232, 233],
        ),
        (
            "read overlapped",
            |s| code(s.read_overlapped(vec![0; 9])),
            [536, 0, 0, 109, 233],
        ),
    ];
    for (name, call, codes) in calls {
        for (at, expected) in ALL.into_iter().zip(codes) {
            let space = space();
            let (session, client) = session_at(&space, at);
            assert_eq!(call(&session), expected, "{name} while {at:?}");
            drop(client);
        }
    }
}

#[test]
fn the_client_hears_of_a_closed_and_a_disconnected_server() {
    type Call = fn(&Client) -> u32;
    let calls: [(&str, Call, [u32; 3]); 4] = [
        ("read", |c| code(c.read(&mut [0; 9])), [0, 109, 233]),
        ("write", |c| code(c.write(b"x")), [232, 232, 233]),
        ("peek", |c| code(c.peek(&mut [])), [0, 109, 233]),
        ("flush", |c| code(c.flush()), [0, 0, 233]),
    ];
    for (name, call, codes) in calls {
        for (state, expected) in codes.into_iter().enumerate() {
            let space = space();
            let (session, client) = joined(&space, server(&space).message());
            session.write(b"left").unwrap();
            match state {
                0 => drop(session),
                1 => {
                    drop(session);
                    assert_eq!(client.read(&mut [0; 9]).unwrap().len, 4);
                }
                _ => session.disconnect().unwrap(),
            }
            assert_eq!(call(&client), expected, "{name} in case {state}");
        }
    }
}

#[test]
fn states_are_told_and_follow_each_other() {
    let space = space();
    let server = server(&space).message().instances(1).create().unwrap();
    let session = server.instance().unwrap();
    assert_eq!(session.state(), SessionState::Listening);
    for round in 0..3 {
        let client = client(&space).open().unwrap();
        assert_eq!(session.state(), SessionState::Connected);
        assert_eq!(session.connect().unwrap(), Connection::Already, "{round}");
        drop(client);
        until_closing(&session);
        is_code(session.connect(), ErrorKind::PeerGone, 232);
        session.disconnect().unwrap();
        assert_eq!(session.state(), SessionState::Disconnected);
        // Nobody gets in before it listens again.
        is_code(super::client(&space).open(), ErrorKind::Busy, 231);
        session.set_waiting(Waiting::Never);
        is_code(session.connect(), ErrorKind::WrongState, 536);
        session.set_waiting(Waiting::Blocking);
        assert_eq!(session.state(), SessionState::Listening);
    }
    let arrived = beside(
        || session.connect().unwrap(),
        || client(&space).open().unwrap(),
    );
    assert!(matches!(arrived, Connection::Arrived | Connection::Already));
}

#[test]
fn a_disconnect_discards_both_directions_and_fails_what_waits() {
    let space = space();
    let (session, client) = joined(&space, server(&space).message().quotas(64, 64));
    client.write(b"to the server").unwrap();
    session.write(b"to the client").unwrap();
    session.disconnect().unwrap();
    is_code(client.read(&mut [0; 64]), ErrorKind::PeerGone, 233);
    is_code(session.read(&mut [0; 64]), ErrorKind::PeerGone, 233);
    drop(client);
    // The instance serves the next client, who finds nothing of the last one's.
    session.set_waiting(Waiting::Never);
    is_code(session.connect(), ErrorKind::WrongState, 536);
    let _next = super::client(&space).open().unwrap();
    assert_eq!(session.connect().unwrap(), Connection::Already);
    assert_eq!(session.peek(&mut []).unwrap().available, 0);

    let space = super::space();
    let (session, client) = joined(&space, server(&space).quotas(64, 64));
    let waiting = Count::default();
    std::thread::scope(|scope| {
        let calls: [Box<dyn Fn() -> u32 + Send>; 3] = [
            Box::new(|| code(client.read(&mut [0; 9]))),
            Box::new(|| code(client.write(&[7; 100]))),
            Box::new(|| code(session.write(&[7; 0]))),
        ];
        let threads: Vec<_> = calls
            .into_iter()
            .map(|call| {
                let waiting = &waiting;
                scope.spawn(move || {
                    waiting.add();
                    call()
                })
            })
            .collect();
        // The writer waits once all its bytes are there.
        until("all wait", || {
            waiting.get() == 3 && session.peek(&mut []).unwrap().available == 100
        });
        session.disconnect().unwrap();
        let codes: Vec<u32> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(codes[..2], [233, 233]);
        assert!([0, 233].contains(&codes[2]));
    });
}

#[test]
fn of_two_who_disconnect_the_second_does_not_forget_a_new_client() {
    let space = space();
    let (session, _client) = joined(&space, server(&space));
    session.set_waiting(Waiting::Never);
    for _ in 0..1000 {
        let next = std::thread::scope(|scope| {
            scope.spawn(|| drop(session.disconnect()));
            let _ = session.disconnect();
            let _ = session.connect();
            client(&space).open().unwrap()
        });
        next.set_waiting(Waiting::Never);
        let cut = code(next.read(&mut [0; 9])) == 233;
        assert_eq!(session.state() == SessionState::Disconnected, cut);
    }
}
