//! Properties of the word: for every rule, operation and content, nonsense included.

use proptest::prelude::*;

use super::*;

fn config() -> ProptestConfig {
    let cases = if crate::object::commit::tests::long() {
        1_000_000
    } else {
        8192
    };
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u32::MAX),
        0..4_u32,
        PENDING_MAX - 1..PENDING_MAX + 2,
        any::<u32>(),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        Just(Rule::Manual),
        Just(Rule::Auto),
        number().prop_map(|limit| Rule::Semaphore { limit }),
        Just(Rule::Mutant),
        any::<bool>().prop_map(|auto| Rule::Timer { auto }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Acquire),
        number().prop_map(|cap| Op::Set { cap }),
        number().prop_map(|waiters| Op::Reset { waiters }),
        number().prop_map(|waiters| Op::Pulse { waiters }),
        number().prop_map(|units| Op::Release { units }),
        Just(Op::Free),
        number().prop_map(|cell| Op::Arm { cell }),
        number().prop_map(|cell| Op::Disarm { cell }),
    ]
}

/// Any word: flags and stamp at random, the value often small.
fn state() -> impl Strategy<Value = State> {
    (number(), any::<u32>()).prop_map(|(value, low)| State(u64::from(value) << 32 | u64::from(low)))
}

fn unmarked() -> impl Strategy<Value = State> {
    state().prop_map(State::unmarked)
}

/// A word that the rule itself can have led to.
fn sound(rule: Rule, state: State) -> State {
    let value = match rule {
        Rule::Semaphore { limit } => state.value().min(limit),
        _ => state.value(),
    };
    let ready = match rule {
        Rule::Manual | Rule::Timer { .. } => state.ready(),
        Rule::Auto => Auto::of(value).pending > 0,
        Rule::Semaphore { .. } => value > 0,
        Rule::Mutant => value == 0,
    };
    state.put(ready, value)
}

fn is_sound(rule: Rule, state: State) -> bool {
    sound(rule, state) == state
}

/// Without the stamp and the waiters' bit.
fn content(state: State) -> (bool, u32) {
    (state.ready(), state.value())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_content_makes_an_operation_panic_or_leave_a_mark(
        rule in rule(), op in op(), word in state(), me in number(), since in number(),
    ) {
        let _ = rule.admit(word, me, Some(since));
        let _ = rule.admit(word, me, None);
        let _ = rule.generation(word);
        let plain = word.unmarked();
        prop_assert!(!rule.acquire(plain, me).locked());
        prop_assert_eq!(rule.acquire(plain, me).waiters(), plain.waiters());
        prop_assert!(!rule.finish(word, op, me).locked());
        if let Ok(Some(next)) = rule.signal(plain, op) {
            prop_assert!(!next.locked());
            prop_assert!(plain.waiters() || !next.waiters());
            prop_assert_eq!(next.0 & STAMP, plain.0 & STAMP);
        }
        prop_assert!(Rule::fire(word, since).ready());
    }

    #[test]
    fn a_helper_finishes_what_the_author_would_have_done_directly(
        rule in rule(), op in op(), word in unmarked(), me in number(),
        slot in 0..=0xfff_u16, seq in 0..=SEQ_MASK,
    ) {
        let mark = word.marked(slot, seq);
        let finished = rule.finish(mark, op, me);
        let direct = match op {
            Op::Acquire => rule.acquire(word, me),
            _ => rule.signal(word, op).ok().flatten().unwrap_or(word),
        };
        prop_assert_eq!(content(finished), content(direct));
        prop_assert_eq!(finished.waiters(), direct.waiters());
        // From the record alone, as a helper knows the operation.
        let (code, argument) = op.pack();
        prop_assert_eq!(rule.finish(mark, Op::unpack(code, argument), me), finished);
    }

    #[test]
    fn a_mark_keeps_the_content_and_says_whose_it_is(
        word in unmarked(), slot in 0..=0xfff_u16, seq in any::<u32>(),
    ) {
        let mark = word.marked(slot, seq);
        prop_assert!(mark.locked());
        prop_assert_eq!((mark.slot(), mark.seq()), (slot, seq & SEQ_MASK));
        prop_assert_eq!(content(mark), content(word));
        prop_assert_eq!(mark.waiters(), word.waiters());
        // The stamp stays: a sleeper on the old low half sees that something happened.
        let after = mark.unmarked();
        prop_assert_eq!((after.slot(), after.seq()), (slot, seq & SEQ_MASK));
        prop_assert_eq!(content(after), content(word));
    }

    #[test]
    fn sound_words_stay_sound(
        rule in rule(), op in op(), word in unmarked(), me in 2..u32::MAX, since in number(),
    ) {
        let word = sound(rule, word);
        if rule.admit(word, me, Some(since)) == Admission::Ready {
            prop_assert!(is_sound(rule, rule.acquire(word, me)));
        }
        if let Ok(Some(next)) = rule.signal(word, op) {
            prop_assert!(is_sound(rule, next));
        }
    }

    #[test]
    fn a_semaphore_counts(
        limit in number(), units in number(), word in unmarked(), me in number(),
    ) {
        let rule = Rule::Semaphore { limit };
        let word = sound(rule, word);
        let count = u64::from(word.value());
        match rule.signal(word, Op::Release { units }) {
            Ok(None) => prop_assert_eq!(units, 0),
            Ok(Some(next)) => {
                prop_assert_eq!(u64::from(next.value()), count + u64::from(units));
                prop_assert!(next.value() <= limit && next.ready());
            }
            Err(AtLimit) => prop_assert!(count + u64::from(units) > u64::from(limit)),
        }
        if word.ready() {
            prop_assert_eq!(u64::from(rule.acquire(word, me).value()), count - 1);
        }
    }

    #[test]
    fn an_auto_event_owes_no_more_than_there_are_waiters(
        word in unmarked(), cap in number(), waiters in number(),
    ) {
        let rule = Rule::Auto;
        let word = sound(rule, word);
        let before = Auto::of(word.value());
        match rule.signal(word, Op::Set { cap }) {
            Ok(None) => prop_assert!(before.pending >= cap.clamp(1, PENDING_MAX)),
            Ok(Some(next)) => {
                prop_assert_eq!(Auto::of(next.value()).pending, before.pending + 1);
                prop_assert!(next.ready());
            }
            Err(AtLimit) => prop_assert!(false),
        }
        for op in [Op::Pulse { waiters }, Op::Reset { waiters }] {
            if let Ok(Some(next)) = rule.signal(word, op) {
                let after = Auto::of(next.value());
                prop_assert!(!next.ready() && after.pulses <= waiters);
                prop_assert!(after.pulses <= before.pending + before.pulses + 1);
                prop_assert_ne!(after.generation, before.generation);
            }
        }
    }

    #[test]
    fn an_auto_event_is_thinned_to_its_waiters(
        rule in rule(), word in unmarked(), waiters in number(),
    ) {
        let word = sound(rule, word);
        let before = Auto::of(word.value());
        let Some(thinned) = rule.thinned(word, waiters) else {
            let few = before.pending <= waiters.max(1) && before.pulses <= waiters;
            prop_assert!(few || rule != Rule::Auto);
            return Ok(());
        };
        let after = Auto::of(thinned.value());
        prop_assert_eq!(rule, Rule::Auto);
        prop_assert!(is_sound(rule, thinned) && thinned.waiters() == word.waiters());
        prop_assert_eq!(after.pending, before.pending.min(waiters.max(1)));
        prop_assert_eq!(after.pulses, before.pulses.min(waiters));
        prop_assert_eq!(after.generation, before.generation);
        prop_assert_eq!(rule.thinned(thinned, waiters), None);
    }

    #[test]
    fn a_manual_events_waiters_see_each_release(word in unmarked()) {
        let rule = Rule::Manual;
        let since = Some(rule.generation(word));
        let op = if word.ready() { Op::Reset { waiters: 0 } } else { Op::Set { cap: 1 } };
        let next = rule.signal(word, op).ok().flatten().unwrap_or(word);
        if word.ready() {
            prop_assert_eq!(rule.admit(next, 0, since), Admission::NotReady);
        } else {
            let reset = rule.signal(next, Op::Reset { waiters: 0 }).ok().flatten();
            let released = rule.admit(reset.unwrap_or(next), 0, since);
            prop_assert_eq!(released, Admission::Ready);
        }
    }

    #[test]
    fn a_mutant_is_the_callers_or_says_whose(word in unmarked(), me in 2..u32::MAX) {
        let word = sound(Rule::Mutant, word);
        match Rule::Mutant.admit(word, me, None) {
            Admission::Ready => prop_assert!(word.ready() || word.value() == me),
            Admission::OwnedBy(owner) => prop_assert!(owner == word.value() && owner != me),
            Admission::NotReady => prop_assert!(false),
        }
        let owned = Rule::Mutant.acquire(word, me);
        prop_assert_eq!(content(owned), (false, me));
        let freed = Rule::Mutant.signal(owned, Op::Free).ok().flatten();
        prop_assert_eq!(freed.map(content), Some((true, 0)));
    }

    #[test]
    fn what_is_packed_is_unpacked(op in op(), code in any::<u32>(), argument in any::<u32>()) {
        let (packed, with) = op.pack();
        prop_assert_eq!(Op::unpack(packed, with), op);
        // What a scribbler writes.
        let _ = Op::unpack(code, argument);
        let timer = TimerValue::of(argument);
        prop_assert_eq!(timer.pack(), argument);
        prop_assert_eq!(Auto::of(argument).pack(), argument);
    }

    #[test]
    fn a_fired_timer_remembers_how_many(word in unmarked(), elapsed in any::<u32>()) {
        let fired = Rule::fire(word, elapsed);
        let (before, after) = (TimerValue::of(word.value()), TimerValue::of(fired.value()));
        prop_assert_eq!(after.fired, elapsed & TimerValue::FIRED_MASK);
        prop_assert_eq!((after.cell, after.generation), (before.cell, before.generation));
        for auto in [false, true] {
            let taken = Rule::Timer { auto }.acquire(fired, 0);
            prop_assert_eq!(content(taken), (!auto, fired.value()));
        }
    }
}

/// A release that is taken and given again is not the same word: a setter that stalls in between
/// would take it for one that nobody took.
#[test]
fn an_auto_event_that_is_set_again_is_another_word() {
    let set = State::new(true, 1);
    let taken = Rule::Auto.acquire(set, 0);
    let again = Rule::Auto
        .signal(taken, Op::Set { cap: 1 })
        .unwrap()
        .unwrap();
    assert_eq!(content(again), content(set));
    assert_ne!(again, set);
}
