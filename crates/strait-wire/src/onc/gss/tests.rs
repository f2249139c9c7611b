//! The tables of RFC 2203, every bound at and past it, and a client against a server.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::client::{Context, Progress, Refused, Setup, Unsealed};
use super::server::{Contexts, Handle, Limits, Unfinished};
use super::*;
use crate::onc::auth::{Flavor, OpaqueAuth};
use crate::onc::message::{Accepted, Procedure, ReplyBody, ReplyHeader, Xid};
use crate::onc::server::{Caps, parse_call};
use crate::time::Time;
use crate::xdr::{from_slice, to_vec};

/// A mechanism of which nothing is secret: its checksums tell sides and messages apart.
#[derive(Clone)]
struct Toy {
    is_client: bool,
    key: u8,
}

impl Toy {
    fn sum(&self, by_client: bool, message: &[u8]) -> Vec<u8> {
        let start = u64::from(self.key) << 1 | u64::from(by_client);
        let sum = message.iter().fold(start, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        sum.to_be_bytes().to_vec()
    }
}

impl SecurityContext for Toy {
    fn mic(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.sum(self.is_client, message))
    }

    fn verify(&self, message: &[u8], mic: &[u8]) -> Result<(), Fault> {
        match self.sum(!self.is_client, message) == mic {
            true => Ok(()),
            false => Err(Fault::new(Major::BAD_MIC, "")),
        }
    }

    fn wrap(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut wrapped = self.mic(message)?;
        wrapped.extend(message.iter().map(|byte| byte ^ 0x5a));
        Ok(wrapped)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Vec<u8>, Fault> {
        let defect = || Fault::new(Major::DEFECTIVE_TOKEN, "");
        let (mic, rest) = wrapped.split_at_checked(8).ok_or_else(defect)?;
        let message: Vec<u8> = rest.iter().map(|byte| byte ^ 0x5a).collect();
        self.verify(&message, mic).map(|()| message)
    }

    fn peer(&self) -> &str {
        "toy"
    }
}

/// So many tokens, sent by turns; who sends the last one is done with that.
struct Talk {
    toy: Toy,
    tokens: u32,
    /// The place of this side's next one.
    next: u32,
}

impl Negotiation for Talk {
    fn step(&mut self, _: &[u8]) -> Result<Step, Fault> {
        let place = self.next;
        self.next += 2;
        if place + 1 < self.tokens {
            return Ok(Step::Continue(b"more".to_vec()));
        }
        let token = (place < self.tokens).then(|| b"last".to_vec());
        let context = Arc::new(self.toy.clone());
        Ok(Step::Done { token, context })
    }
}

struct Tokens(u32);

impl Tokens {
    fn talk(&self, is_client: bool) -> Box<dyn Negotiation> {
        let (toy, tokens) = (Toy { is_client, key: 7 }, self.0);
        let next = u32::from(!is_client);
        Box::new(Talk { toy, tokens, next })
    }
}

impl Initiator for Tokens {
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
        Ok(self.talk(true))
    }
}

impl Acceptor for Tokens {
    fn begin(&self) -> Result<Box<dyn Negotiation>, Fault> {
        Ok(self.talk(false))
    }
}

fn at(ms: u64) -> Time {
    Time::default().after(Duration::from_millis(ms))
}

const CALL: (Xid, Procedure) = (
    Xid(9),
    Procedure {
        program: 0x2000_0001,
        version: 1,
        number: 3,
    },
);
const HANDLE: Handle = [4; 16];

/// What a server says to a token, and its contexts.
fn accept(
    contexts: &mut Contexts,
    rounds: &Tokens,
    credential: &OpaqueAuth<'_>,
    token: &[u8],
) -> (OpaqueAuth<'static>, Vec<u8>) {
    let credential = Credential::parse(&credential.body).unwrap();
    let mut unfinished = match credential.purpose {
        Purpose::Init => Unfinished::new(Acceptor::begin(rounds).unwrap()),
        Purpose::ContinueInit => contexts.take(at(0), &credential.handle).unwrap(),
        other => panic!("{other:?}"),
    };
    let window = contexts.window();
    let (major, token, verifier) = match unfinished.negotiation.step(token).unwrap() {
        Step::Continue(token) => {
            contexts.put(at(0), HANDLE, unfinished);
            (Major::CONTINUE_NEEDED, token, OpaqueAuth::NONE)
        }
        Step::Done { token, context } => {
            let body = context.mic(&window.to_be_bytes()).unwrap().into();
            contexts.establish(at(0), HANDLE, context);
            let flavor = Flavor::GSS;
            (
                Major::COMPLETE,
                token.unwrap_or_default(),
                OpaqueAuth { flavor, body },
            )
        }
    };
    let results = InitResults {
        handle: HANDLE[..].into(),
        major,
        minor: 0,
        window,
        token: token.into(),
    };
    (verifier, to_vec(&results).unwrap())
}

/// A context of both sides.
fn connect(rounds: &Tokens, limits: Limits) -> (Context, Contexts) {
    let mut contexts = Contexts::new(limits);
    let (mut setup, mut token) = Setup::begin(rounds, Service::None).unwrap();
    loop {
        let credential = setup.credential().unwrap();
        let (verifier, results) = accept(&mut contexts, rounds, &credential, &token);
        match setup.receive(&verifier, &results).unwrap() {
            Progress::Send(next, answer) => (setup, token) = (next, answer),
            Progress::Ready(context) => return (context, contexts),
        }
    }
}

fn pair() -> (Context, Contexts) {
    connect(&Tokens(2), Limits::default())
}

/// The server's side of a call: its context, and the credential.
fn prove(
    contexts: &mut Contexts,
    message: &[u8],
) -> Result<Arc<dyn SecurityContext>, Option<Fate>> {
    let flavors = &[Flavor::GSS];
    let caps = Caps {
        flavors,
        ..Caps::default()
    };
    let call = parse_call(message, &caps).unwrap();
    let credential = Credential::parse(&call.header.credential.body).unwrap();
    let context = contexts.find(at(1), &credential.handle, credential.sequence)?;
    if call.header.verifier.flavor != Flavor::GSS {
        return Err(None);
    }
    let proven = &message[..call.header.credential_end()];
    context
        .verify(proven, &call.header.verifier.body)
        .map_err(|_| None)?;
    match contexts.accept(at(1), &credential.handle, credential.sequence) {
        Some(Fate::New) => Ok(context),
        fate => Err(fate),
    }
}

#[test]
fn a_credential_is_as_section_5_has_it() {
    for (purpose, number) in [
        (Purpose::Data, 0),
        (Purpose::Init, 1),
        (Purpose::ContinueInit, 2),
        (Purpose::Destroy, 3),
    ] {
        for (service, protection) in [
            (Service::None, 1),
            (Service::Integrity, 2),
            (Service::Privacy, 3),
        ] {
            let credential = Credential {
                purpose,
                sequence: 77,
                service,
                handle: b"abcde"[..].into(),
            };
            let words = [1, number, 77, protection, 5_u32];
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            bytes.extend(b"abcde\0\0\0");
            assert_eq!(to_vec(&credential).unwrap(), bytes);
            assert_eq!(Credential::parse(&bytes).unwrap(), credential);
        }
    }
}

#[test]
fn wrong_credentials_are_told_apart() {
    let body =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_be_bytes()).collect() };
    let parse = |words: &[u32]| Credential::parse(&body(words)).map(drop);
    // A context of another version is not made; nor is one used.
    assert_eq!(parse(&[2, 1, 0, 0, 0]), Err(AuthStat::REJECTED_CREDENTIAL));
    assert_eq!(parse(&[3, 2, 0, 1, 0]), Err(AuthStat::REJECTED_CREDENTIAL));
    assert_eq!(parse(&[2, 0, 1, 1, 0]), Err(AuthStat::BAD_CREDENTIAL));
    // An illegal procedure, an illegal service, a length that is wrong.
    assert_eq!(parse(&[1, 4, 0, 1, 0]), Err(AuthStat::BAD_CREDENTIAL));
    assert_eq!(parse(&[1, 0, 0, 4, 0]), Err(AuthStat::BAD_CREDENTIAL));
    assert_eq!(parse(&[1, 0, 0, 0, 0]), Err(AuthStat::BAD_CREDENTIAL));
    assert_eq!(parse(&[1, 0, 0, 1, 4]), Err(AuthStat::BAD_CREDENTIAL));
    assert_eq!(parse(&[1, 0, 0, 1, 0, 0]), Err(AuthStat::BAD_CREDENTIAL));
    assert_eq!(parse(&[]), Err(AuthStat::BAD_CREDENTIAL));
    // While a context is made, the service means nothing.
    assert_eq!(parse(&[1, 1, 0, 99, 0]), Ok(()));
}

#[test]
fn handles_and_tokens_end_at_their_bounds() {
    let credential = |len: u32| Credential {
        purpose: Purpose::Data,
        sequence: 1,
        service: Service::None,
        handle: vec![7; len as usize].into(),
    };
    let longest = credential(HANDLE_MAX).to_auth().unwrap();
    assert_eq!(longest.body.len(), BODY_MAX as usize);
    assert!(Credential::parse(&longest.body).is_ok());
    assert!(credential(HANDLE_MAX + 1).to_auth().is_err());
    let token = |len: u32| {
        let token = vec![7; len as usize].into();
        to_vec(&InitArguments { token })
    };
    let longest = token(TOKEN_MAX).unwrap();
    assert!(from_slice::<InitArguments<'_>>(&longest).is_ok());
    assert!(token(TOKEN_MAX + 1).is_err());
    let longer = [
        &(TOKEN_MAX + 1).to_be_bytes()[..],
        &vec![0; TOKEN_MAX as usize + 4],
    ]
    .concat();
    assert!(from_slice::<InitArguments<'_>>(&longer).is_err());
}

#[test]
fn statuses_have_the_numbers_of_appendix_a() {
    for (major, number, name) in [
        (Major::COMPLETE, 0, "GSS_S_COMPLETE"),
        (Major::CONTINUE_NEEDED, 1, "GSS_S_CONTINUE_NEEDED"),
        (Major::BAD_MIC, 0x0006_0000, "GSS_S_BAD_MIC"),
        (Major::NO_CRED, 0x0007_0000, "GSS_S_NO_CRED"),
        (Major::NO_CONTEXT, 0x0008_0000, "GSS_S_NO_CONTEXT"),
        (Major::CONTEXT_EXPIRED, 0x000c_0000, "GSS_S_CONTEXT_EXPIRED"),
        (Major::FAILURE, 0x000d_0000, "GSS_S_FAILURE"),
        (Major::NAME_NOT_MN, 0x0012_0000, "GSS_S_NAME_NOT_MN"),
        (
            Major::CALL_BAD_STRUCTURE,
            0x0300_0000,
            "GSS_S_CALL_BAD_STRUCTURE",
        ),
    ] {
        assert_eq!((major.0, major.name()), (number, Some(name)));
    }
}

#[test]
fn a_window_of_128_takes_each_number_once_and_none_below() {
    let mut window = Window::new(WINDOW);
    assert_eq!(window.accept(1000), Fate::New);
    assert_eq!(window.accept(1000), Fate::Replayed);
    assert_eq!(window.accept(1000 - 127), Fate::New);
    assert_eq!(window.accept(1000 - 128), Fate::TooOld);
    assert_eq!(window.accept(0), Fate::TooOld);
    assert_eq!(window.accept(1001), Fate::New);
    assert_eq!(window.accept(1000 - 127), Fate::TooOld);
    assert_eq!(window.accept(1000 - 126), Fate::New);
    assert_eq!(window.accept(SEQUENCE_MAX), Fate::New);
    assert_eq!(window.accept(SEQUENCE_MAX + 1), Fate::Exhausted);
    assert_eq!(window.accept(u32::MAX), Fate::Exhausted);
    assert_eq!(window.accept(SEQUENCE_MAX), Fate::Replayed);
    assert_eq!(window.accept(SEQUENCE_MAX - 127), Fate::New);
}

proptest! {
    /// A set of all numbers that have come says the same.
    #[test]
    fn a_window_is_a_set_that_forgets(
        len in 1_u32..200,
        numbers in prop::collection::vec(0_u32..600, 1..400),
    ) {
        let mut window = Window::new(len);
        let mut seen = BTreeSet::new();
        for number in numbers {
            let last = seen.last().copied().unwrap_or(0);
            let fate = match () {
                () if number + len <= last => Fate::TooOld,
                () if !seen.insert(number) => Fate::Replayed,
                () => Fate::New,
            };
            prop_assert_eq!(window.look(number), fate);
            prop_assert_eq!(window.accept(number), fate);
        }
    }

    /// What one side seals the other opens, and nothing else opens.
    #[test]
    fn bodies_open_as_they_were_sealed(
        plain in prop::collection::vec(any::<u8>(), 0..200),
        sequence: u32,
        at: prop::sample::Index,
        bit in 0_u32..8,
    ) {
        let client = Toy { is_client: true, key: 1 };
        let server = Toy { is_client: false, key: 1 };
        for service in Service::ALL {
            let mut sealed = Vec::new();
            seal(&client, service, sequence, &plain, &mut sealed).unwrap();
            let opened = open(&server, service, sequence, &sealed).unwrap();
            prop_assert_eq!(&*opened, &plain[..]);
            if service == Service::None {
                continue;
            }
            let other = open(&server, service, sequence ^ 1, &sealed);
            let expected = sequence ^ 1;
            let wrong = Unsound::Sequence { expected, found: sequence };
            prop_assert_eq!(other.unwrap_err(), wrong);
            // Its own sender cannot be made to take it for an answer.
            prop_assert!(open(&client, service, sequence, &sealed).is_err());
            prop_assert!(open(&server, service, sequence, &plain).is_err());
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(open(&server, service, sequence, &sealed).is_err());
        }
    }

    /// Nothing that a server gets or sends makes a client or a server panic.
    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Credential::parse(&bytes);
        let toy = Toy { is_client: true, key: 1 };
        for service in [Service::Integrity, Service::Privacy] {
            prop_assert!(open(&toy, service, 1, &bytes).is_err());
        }
        let (setup, _) = Setup::begin(&Tokens(3), Service::None).unwrap();
        prop_assert!(setup.receive(&OpaqueAuth::NONE, &bytes).is_err());
    }
}

#[test]
fn a_context_is_made_in_any_number_of_rounds_up_to_its_bound() {
    for tokens in 1..2 * STEPS_MAX {
        let (context, contexts) = connect(&Tokens(tokens), Limits::default());
        assert_eq!(contexts.len(), (1, 0), "{tokens}");
        assert_eq!(context.window(), WINDOW);
    }
    let rounds = Tokens(2 * STEPS_MAX + 1);
    let mut contexts = Contexts::new(Limits::default());
    let (mut setup, mut token) = Setup::begin(&rounds, Service::None).unwrap();
    let mut steps = 1;
    let why = loop {
        let credential = setup.credential().unwrap();
        let credential = Credential::parse(&credential.body).unwrap();
        let unfinished = match credential.purpose {
            Purpose::Init => Some(Unfinished::new(Acceptor::begin(&rounds).unwrap())),
            _ => contexts.take(at(0), &credential.handle),
        };
        let Some(mut unfinished) = unfinished else {
            break None;
        };
        let Step::Continue(answer) = unfinished.negotiation.step(&token).unwrap() else {
            panic!("more is needed");
        };
        contexts.put(at(0), HANDLE, unfinished);
        let results = InitResults {
            handle: HANDLE[..].into(),
            major: Major::CONTINUE_NEEDED,
            minor: 0,
            window: WINDOW,
            token: answer.into(),
        };
        match setup.receive(&OpaqueAuth::NONE, &to_vec(&results).unwrap()) {
            Ok(Progress::Send(next, answer)) => (setup, token) = (next, answer),
            Ok(Progress::Ready(_)) => panic!("it is not done"),
            Err(why) => break Some(why),
        }
        steps += 1;
    };
    assert_eq!((why, steps), (Some(Refused::OutOfStep), STEPS_MAX));
}

#[test]
fn a_server_must_prove_itself_before_its_context_is_used() {
    let rounds = Tokens(1);
    let good = |contexts: &mut Contexts| {
        let (setup, token) = Setup::begin(&rounds, Service::None).unwrap();
        let credential = setup.credential().unwrap();
        let (verifier, results) = accept(contexts, &rounds, &credential, &token);
        (setup, verifier, results)
    };
    let mut contexts = Contexts::new(Limits::default());
    let (setup, _, results) = good(&mut contexts);
    let unproven = setup.receive(&OpaqueAuth::NONE, &results).unwrap_err();
    assert_eq!(unproven, Refused::Unproven(Unsound::Unsigned));
    // The window is what is proven.
    let (setup, verifier, results) = good(&mut contexts);
    let mut other: InitResults<'_> = from_slice(&results).unwrap();
    other.window += 1;
    let unproven = setup
        .receive(&verifier, &to_vec(&other).unwrap())
        .unwrap_err();
    assert!(
        matches!(unproven, Refused::Unproven(Unsound::Fault(_))),
        "{unproven}"
    );
    let (setup, verifier, results) = good(&mut contexts);
    let mut other: InitResults<'_> = from_slice(&results).unwrap();
    other.handle = [][..].into();
    let nameless = setup
        .receive(&verifier, &to_vec(&other).unwrap())
        .unwrap_err();
    assert_eq!(nameless, Refused::OutOfStep);
    let (setup, verifier, results) = good(&mut contexts);
    let mut other: InitResults<'_> = from_slice(&results).unwrap();
    (other.major, other.minor) = (Major::NO_CRED, 5);
    let refused = setup
        .receive(&verifier, &to_vec(&other).unwrap())
        .unwrap_err();
    let major = Major::NO_CRED;
    assert_eq!(refused, Refused::There { major, minor: 5 });
}

#[test]
fn a_call_is_taken_once_and_only_as_it_was_sent() {
    let (context, mut contexts) = pair();
    let mut message = Vec::new();
    let sequence = context
        .call(CALL, Service::Integrity, b"args", &mut message)
        .unwrap();
    // Any bit of the header, or of what proves it.
    let end = message.len() - 24;
    for at in 12..end {
        let mut other = message.clone();
        other[at] ^= 1;
        let flavors = &[Flavor::GSS];
        let caps = Caps {
            flavors,
            ..Caps::default()
        };
        let parsed = parse_call(&other, &caps).ok();
        let known = parsed.filter(|call| Credential::parse(&call.header.credential.body).is_ok());
        if known.is_some() {
            assert!(prove(&mut contexts, &other).is_err(), "{at}");
        }
    }
    let server = prove(&mut contexts, &message).unwrap();
    let body = &message[end..];
    assert_eq!(
        &*open(&*server, Service::Integrity, sequence, body).unwrap(),
        b"args"
    );
    assert_eq!(
        prove(&mut contexts, &message).map(drop),
        Err(Some(Fate::Replayed))
    );
    // 128 later it is too old to be known.
    for _ in 0..WINDOW {
        let mut later = Vec::new();
        context.call(CALL, Service::None, &[], &mut later).unwrap();
        assert!(prove(&mut contexts, &later).is_ok());
    }
    assert_eq!(
        prove(&mut contexts, &message).map(drop),
        Err(Some(Fate::TooOld))
    );
    let mut end = Vec::new();
    context
        .destroy(Xid(10), (0x2000_0001, 1), &mut end)
        .unwrap();
    assert!(prove(&mut contexts, &end).is_ok());
    contexts.destroy(&HANDLE);
    assert_eq!(prove(&mut contexts, &message).map(drop), Err(None));
    assert!(contexts.is_empty());
}

#[test]
fn a_reply_is_believed_if_it_answers_a_sending_of_its_call() {
    let (context, mut contexts) = pair();
    let mut sequences = Vec::new();
    let mut message = Vec::new();
    for _ in 0..2 {
        message.clear();
        let sequence = context.call(CALL, Service::Integrity, b"args", &mut message);
        sequences.push(sequence.unwrap());
    }
    let server = prove(&mut contexts, &message).unwrap();
    let reply = |proven: u32, within: u32, status| {
        let flavor = Flavor::GSS;
        let body = server.mic(&proven.to_be_bytes()).unwrap().into();
        let verifier = OpaqueAuth { flavor, body };
        let body = ReplyBody::Accepted { verifier, status };
        let mut results = Vec::new();
        seal(&*server, Service::Integrity, within, b"done", &mut results).unwrap();
        (ReplyHeader { xid: CALL.0, body }, results)
    };
    let open = |(header, results): &(ReplyHeader<'_>, Vec<u8>)| {
        let opened = context.open(&sequences, Service::Integrity, header, results);
        opened.map(|results| results.map(Cow::into_owned))
    };
    for sequence in &sequences {
        let good = reply(*sequence, *sequence, Accepted::Success);
        assert_eq!(open(&good).unwrap(), Some(b"done".to_vec()));
    }
    let (first, second) = (sequences[0], sequences[1]);
    let mixed = open(&reply(second, first, Accepted::Success)).unwrap_err();
    let (expected, found) = (second, first);
    assert_eq!(mixed, Unsound::Sequence { expected, found });
    assert!(open(&reply(second + 1, second + 1, Accepted::Success)).is_err());
    let refused = reply(second, second, Accepted::SystemError);
    assert_eq!(open(&refused).unwrap(), None);
    assert!(open(&reply(0, 0, Accepted::SystemError)).is_err());
    // Without a proof, and without protection.
    let (mut header, results) = reply(second, second, Accepted::Success);
    let plain = open(&(header.clone(), b"done".to_vec())).unwrap_err();
    assert!(matches!(plain, Unsound::Unprotected(_)), "{plain}");
    let ReplyBody::Accepted { verifier, .. } = &mut header.body else {
        panic!("it is accepted");
    };
    *verifier = OpaqueAuth::NONE;
    assert_eq!(open(&(header, results)).unwrap_err(), Unsound::Unsigned);
}

#[test]
fn contexts_end_with_their_time_and_make_way_for_others() {
    let limits = Limits {
        contexts: 2,
        unfinished: 3,
        ..Limits::default()
    };
    let mut contexts = Contexts::new(limits);
    let context = || {
        Arc::new(Toy {
            is_client: false,
            key: 1,
        })
    };
    for name in 0..3 {
        contexts.establish(at(name.into()), [name; 16], context());
    }
    assert_eq!(contexts.len(), (2, 0));
    assert_eq!(contexts.find(at(3), &[0; 16], 1).map(drop), Err(None));
    // Use keeps a context; an attempt does not.
    assert_eq!(contexts.accept(at(4), &[1; 16], 1), Some(Fate::New));
    assert!(contexts.find(at(5), &[2; 16], 1).is_ok());
    contexts.establish(at(6), [3; 16], context());
    assert!(contexts.find(at(7), &[1; 16], 2).is_ok());
    assert_eq!(contexts.find(at(7), &[2; 16], 2).map(drop), Err(None));
    let rounds = Tokens(3);
    for name in 0..1000_u32 {
        let mut handle = [0; 16];
        handle[..4].copy_from_slice(&name.to_be_bytes());
        let negotiation = Acceptor::begin(&rounds).unwrap();
        contexts.put(at(8), handle, Unfinished::new(negotiation));
    }
    assert_eq!(contexts.len(), (2, 3));
    let late = at(8).after(limits.unfinished_time);
    assert!(contexts.take(late, &[0; 16]).is_none());
    assert_eq!(contexts.len(), (2, 0));
    assert_eq!(
        contexts
            .find(late.after(limits.idle), &[3; 16], 9)
            .map(drop),
        Err(None)
    );
    assert!(contexts.is_empty());
    assert_eq!(contexts.find(late, b"short", 1).map(drop), Err(None));
}

#[test]
fn a_client_ends_before_its_numbers_do() {
    let (context, _) = pair();
    context.skip_to(SEQUENCE_MAX);
    let mut out = Vec::new();
    let last = context.call(CALL, Service::None, &[], &mut out);
    assert_eq!(last, Ok(SEQUENCE_MAX));
    let none = context.call(CALL, Service::None, &[], &mut out);
    assert_eq!(none, Err(Unsealed::Exhausted));
}
