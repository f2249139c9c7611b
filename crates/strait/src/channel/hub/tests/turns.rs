//! Who is served when: nobody waits for another user, for a flood or for a word that was missed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::channel::layout::Header;
use crate::channel::receiver::tests::put;
use crate::channel::tests::step::{at_step, at_steps};

/// A session in the hands of nobody, its attendant and its client.
fn one_session(scene: &Scene) -> (Attendant<u64>, Arc<Session<u64>>, Channel) {
    let mut attendant = scene.hub.attendant();
    let (session, client) = scene.welcome(&mut attendant, None);
    while attendant.next(Patience::Look).is_some() {}
    attendant.leave();
    (attendant, session, client)
}

/// Sends what overfills the client's ring; how many it will receive.
fn overfill(session: &Session<u64>) -> u32 {
    let mut sent = 0;
    while !session.is_blocked() {
        session.post([&[], &[9; 1000]]).unwrap();
        sent += 1;
    }
    sent
}

/// Receives whatever is there.
fn drain(client: &mut Channel) -> u32 {
    let mut count = 0;
    while let Taken::Message(_) = client.receiver().try_recv(&mut [0; 1000]).unwrap() {
        count += 1;
    }
    count
}

#[test]
fn room_that_is_made_just_before_somebody_waits_for_it_is_not_missed() {
    let scene = Scene::new();
    let (attendant, session, client) = one_session(&scene);
    let both = Rc::new(RefCell::new((attendant, client)));
    let got = Rc::new(RefCell::new(0));
    let (other, count) = (both.clone(), got.clone());
    at_step("post: no room", move || {
        let (attendant, client) = &mut *other.borrow_mut();
        *count.borrow_mut() += drain(client);
        assert!(attendant.next(Patience::Look).is_none());
        attendant.leave();
    });
    let sent = overfill_or_past(&session, &got);
    let (attendant, client) = &mut *both.borrow_mut();
    for _ in 0..3 {
        assert!(attendant.next(Patience::Look).is_none());
        *got.borrow_mut() += drain(client);
    }
    assert_eq!(*got.borrow(), sent);
}

/// As [`overfill`], until the client has received.
fn overfill_or_past(session: &Session<u64>, got: &RefCell<u32>) -> u32 {
    let mut sent = 0;
    while *got.borrow() == 0 {
        session.post([&[], &[9; 1000]]).unwrap();
        sent += 1;
    }
    sent
}

#[test]
fn who_lets_go_of_a_session_takes_back_no_word_of_room() {
    let scene = Scene::new();
    let (mut attendant, session, mut client) = one_session(&scene);
    client.send(b"in hand").unwrap();
    assert!(matches!(
        attendant.next(Patience::Look),
        Some(Event::Message(7))
    ));
    let both = Rc::new(RefCell::new((client, 0, 0)));
    let other = both.clone();
    at_step("leave: not blocked", move || {
        let (client, sent, got) = &mut *other.borrow_mut();
        *sent = overfill(&session);
        *got = drain(client);
    });
    attendant.leave();
    let (client, sent, got) = &mut *both.borrow_mut();
    assert!(*sent > 0 && *got < *sent);
    for _ in 0..3 {
        assert!(attendant.next(Patience::Look).is_none());
        *got += drain(client);
    }
    assert_eq!(got, sent);
}

/// Waits until so many sleep at the first door.
fn until_asleep(scene: &Scene, sleepers: u32) {
    let hall = scene.hub.shared.halls()[0].clone();
    let guard = Deadline::after(Duration::from_secs(20));
    while hall.door.sleepers() != sleepers {
        assert!(!guard.passed(), "{:x} sleep", hall.door.sleepers());
        std::thread::yield_now();
    }
    // sleep: from the announcement to the sleep itself nothing tells; too early would prove less
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn who_asks_is_heard_while_a_thread_sleeps_for_one_session() {
    let scene = Scene::new();
    let (mut devoted, session, _client) = one_session(&scene);
    let mut idle = scene.hub.attendant();
    let guard = Deadline::after(Duration::from_secs(20));
    std::thread::scope(|scope| {
        scope.spawn(|| devoted.next_of(&session, Patience::Until(guard)));
        until_asleep(&scene, Sleeper::ServesSome as u32);
        let heard = scope.spawn(move || idle.next(Patience::Until(guard)));
        until_asleep(
            &scene,
            Sleeper::ServesSome as u32 + Sleeper::ServesAll as u32,
        );
        let asks = scene.dial();
        let _greeting = greet(&asks, &options(), ROLE, b"hello").unwrap();
        let heard = heard.join().unwrap();
        let in_time = !guard.passed();
        scene.hub.close();
        assert!(matches!(heard, Some(Event::Asked(_))), "{heard:?}");
        assert!(
            in_time,
            "it looked once its time was over, and not when it was rung"
        );
    });
}

#[test]
fn a_user_who_always_has_something_keeps_no_other_waiting() {
    const EACH: usize = 60;
    let scene = Scene::new();
    let mut attendant = scene.hub.attendant();
    let uids = [None, Some(1_000_001), Some(1_000_002)];
    let mut clients = uids.map(|uid| scene.welcome(&mut attendant, uid));
    // Threads share the work: whoever has been served knocks again at once.
    let _other = scene.hub.attendant();
    for (number, (_, client)) in clients.iter_mut().enumerate() {
        for _ in 0..EACH {
            client.send(&[number as u8]).unwrap();
        }
    }
    let mut counts = [0; 3];
    while counts.iter().sum::<usize>() < EACH {
        if let Some(Event::Message(_)) = attendant.next(Patience::Forever) {
            counts[usize::from(attendant.buffer[0])] += 1;
        }
    }
    let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(max - min <= 1, "{counts:?}");
}

#[test]
fn what_is_no_message_holds_nobody_beyond_its_time() {
    let scene = Scene::new();
    let (mut attendant, session, mut client) = one_session(&scene);
    let more = Rc::new(Cell::new(0));
    let count = more.clone();
    at_steps("next_of: nothing", 100, move || {
        count.set(count.get() + u32::from(put(&mut client, Header::TORN)));
    });
    assert!(attendant.next_of(&session, Patience::Look).is_none());
    assert_eq!(more.get(), 1, "it came, and was not waited for");
}

#[test]
fn two_who_wait_for_one_session_sleep_and_each_hears_it() {
    let scene = Scene::new();
    let (mut first, session, mut client) = one_session(&scene);
    let mut second = scene.hub.attendant();
    let guard = Deadline::after(Duration::from_secs(20));
    std::thread::scope(|scope| {
        let heard = [&mut first, &mut second].map(|attendant| {
            let (session, patience) = (&session, Patience::Until(guard));
            scope.spawn(move || attendant.next_of(session, patience))
        });
        until_asleep(&scene, 2 * Sleeper::ServesSome as u32);
        client.send(b"one").unwrap();
        client.send(b"other").unwrap();
        let mut lens = heard.map(|thread| match thread.join().unwrap() {
            Some(Event::Message(len)) => len,
            other => panic!("{other:?}"),
        });
        lens.sort_unstable();
        assert_eq!(lens, [3, 5]);
    });
}

#[test]
fn who_waits_for_a_session_that_another_thread_has_seen_end_is_told() {
    let scene = Scene::new();
    let (mut first, session, client) = one_session(&scene);
    let mut second = scene.hub.attendant();
    drop(client);
    while !matches!(first.next(Patience::Forever), Some(Event::Ended(_))) {}
    let guard = Deadline::after(Duration::from_secs(20));
    let heard = second.next_of(&session, Patience::Until(guard));
    assert!(matches!(heard, Some(Event::Closed)), "{heard:?}");
}

#[test]
fn doors_are_for_users_who_are_there_however_many_were() {
    let scene = Scene::new();
    let mut attendant = scene.hub.attendant();
    let users = u32::try_from(DOORS_MAX).unwrap();
    // As many as there are doors, beside the one of this user.
    let here: Vec<_> = (1..users)
        .map(|uid| scene.welcome(&mut attendant, Some(1_000_000 + uid)))
        .collect();
    let (session, client) = scene.admit(&mut attendant, Some(2_000_000));
    assert_eq!(session.unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!(client.unwrap_err().kind(), ErrorKind::Refused);
    let everybody_leaves = |attendant: &mut Attendant<u64>| {
        while scene.hub.len() > 0 {
            attendant.next(Patience::Forever);
        }
    };
    drop(here);
    everybody_leaves(&mut attendant);
    for uid in 0..2 * users {
        let (session, mut client) = scene.welcome(&mut attendant, Some(3_000_000 + uid));
        client.send(b"here").unwrap();
        while !matches!(attendant.next(Patience::Forever), Some(Event::Message(4))) {}
        assert!(Arc::ptr_eq(attendant.session(), &session));
        drop(client);
        everybody_leaves(&mut attendant);
    }
    assert!(scene.hub.shared.halls().len() <= DOORS_MAX);
}

/// What comes of that session until it ends, while `more` is done after each; how many messages.
fn until_ended(attendant: &mut Attendant<u64>, mut more: impl FnMut()) -> u32 {
    let mut messages = 0;
    loop {
        match attendant.next(Patience::for_at_most(Duration::from_secs(20))) {
            Some(Event::Message(_)) => messages += 1,
            Some(Event::Ended(_)) => return messages,
            other => panic!("{other:?}"),
        }
        assert!(messages < 100_000, "it is served for ever");
        more();
    }
}

#[test]
fn a_session_that_is_over_is_not_served_for_as_long_as_its_ring_is_filled() {
    let scene = Scene::new();
    let fill = |client: &mut Channel| while put(client, 0) {};
    let (mut attendant, session, mut client) = one_session(&scene);
    fill(&mut client);
    session.close();
    assert_eq!(
        until_ended(&mut attendant, || fill(&mut client)),
        0,
        "closed"
    );
    drop(attendant);
    let (mut attendant, session, mut client) = one_session(&scene);
    fill(&mut client);
    session.break_off("it lied");
    assert_eq!(
        until_ended(&mut attendant, || fill(&mut client)),
        0,
        "a liar"
    );
    drop(attendant);
    // It has hung up, and writes on.
    let (mut attendant, session, mut client) = one_session(&scene);
    let mut sent = 0;
    while put(&mut client, 0) {
        sent += 1;
    }
    let socket = &client.sender().link().socket;
    rustix::net::shutdown(socket, rustix::net::Shutdown::Both).unwrap();
    while !session.is_gone() {
        std::thread::yield_now();
    }
    let served = until_ended(&mut attendant, || fill(&mut client));
    assert_eq!(served, sent, "what it can have sent before");
}

#[test]
fn what_is_not_admitted_stays_and_comes_before_the_end() {
    let scene = Scene::new();
    let (mut attendant, session, mut client) = one_session(&scene);
    for _ in 0..3 {
        client.send(b"later").unwrap();
    }
    drop(client);
    while !session.is_gone() {
        std::thread::yield_now();
    }
    for _ in 0..10 {
        assert!(attendant.next_if(Patience::Look, |_| false).is_none());
    }
    session.release();
    assert_eq!(until_ended(&mut attendant, || ()), 3);
}

#[test]
fn users_whose_knocks_are_missed_wait_for_others() {
    let scene = Scene::new();
    let mut attendant = scene.hub.attendant();
    let (_, mut honest) = scene.welcome(&mut attendant, Some(1));
    let crowd: Vec<_> = (0..10)
        .map(|_| scene.welcome(&mut attendant, Some(2)))
        .collect();
    while attendant.next(Patience::Look).is_some() {}
    attendant.leave();
    let (sessions, mut clients): (Vec<_>, Vec<_>) = crowd.into_iter().unzip();
    let halls = scene.hub.shared.halls();
    let theirs = halls.iter().find(|hall| hall.door.uid == 2).unwrap();
    // They send without end, and take every knock away; the server notes it again and again.
    let mut send_and_look = || {
        for client in &mut clients {
            put(client, 0);
        }
        while theirs.door.take(0).is_some() {}
        let missed = sessions.iter().map(Arc::downgrade).collect();
        scene.hub.shared.note_missed(theirs, missed);
    };
    for _ in 0..5 {
        honest.send(b"honest").unwrap();
        let mut others = 0;
        loop {
            send_and_look();
            match attendant.next(Patience::for_at_most(Duration::from_secs(20))) {
                Some(Event::Message(6)) => break,
                Some(Event::Message(_)) => others += 1,
                other => panic!("{other:?}"),
            }
            assert!(others <= 20, "each of the others has one turn");
        }
    }
}

#[test]
fn room_whose_knock_is_taken_away_is_found_by_the_look_of_every_second() {
    let scene = Scene::new();
    let (mut attendant, session, mut client) = one_session(&scene);
    let (_other, _client) = scene.welcome(&mut attendant, None);
    while attendant.next(Patience::Look).is_some() {}
    attendant.leave();
    let sent = overfill(&session);
    while attendant.next(Patience::Look).is_some() {}
    attendant.leave();
    let mut got = drain(&mut client);
    let hall = scene.hub.shared.halls()[0].clone();
    while hall.door.take(0).is_some() {}
    let guard = Deadline::after(Duration::from_secs(20));
    while got < sent {
        attendant.next(Patience::for_at_most(Duration::from_millis(100)));
        got += drain(&mut client);
        while hall.door.take(0).is_some() {}
        assert!(!guard.passed(), "{got} of {sent}");
    }
}
