//! Waits: what `any`, `all` and sets take and leave, between threads and between processes.
//!
//! Each test is a plain function in [`BODIES`], so that [`tiers`] can repeat all of
//! them in processes whose kernel refuses one facility or another.

mod after;
mod all;
mod any;
mod crowd;
mod mixed;
mod quiet;
mod release;
mod set;
mod stale;
mod tasks;
pub(crate) mod tiers;

use strait::wait::Waitable;
use strait_sys::step;

use crate::death::watch::let_sleep;
use crate::peer::Role;
use crate::unix::{every, process, signal};

/// They, as waits want them.
fn refs<T: Waitable>(members: &[T]) -> Vec<&dyn Waitable> {
    members.iter().map(|one| one as &dyn Waitable).collect()
}

/// Runs `wait` in a thread of its own, and `act` here with the thread's number once it sleeps.
pub(crate) fn beside<T: Send>(wait: impl FnOnce() -> T + Send, act: impl FnOnce(i32)) -> T {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || {
            tell.send(step::me()).unwrap();
            wait()
        });
        let tid = told.recv().unwrap();
        let_sleep(std::process::id(), tid);
        act(tid);
        sleeper.join().unwrap()
    })
}

/// The processes these tests start.
pub(crate) const ROLES: &[(&str, Role)] = &[
    ("waits.sleeper", release::sleeper),
    ("waits.setter", release::setter),
    ("waits.owner", any::owner),
    ("waits.crowd", crowd::member),
    ("waits.every", every::waiter),
    ("waits.quiet", quiet::quiet),
];

macro_rules! bodies {
    ($($module:ident :: $name:ident,)*) => {
        /// Every test of waits, by name.
        pub(crate) const BODIES: &[(&str, fn())] =
            &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*];

        $(#[test]
        fn $name() {
            $module::$name();
        })*
    };
}

bodies! {
    any::the_lowest_ready_index_is_taken_and_nothing_else,
    any::a_sleeper_takes_what_woke_it_and_nothing_else,
    any::an_event_may_appear_twice,
    any::running_out_of_time_takes_nothing,
    any::a_deadline_of_zero_polls,
    any::one_to_sixty_four_members_are_allowed,
    any::signals_that_are_handled_end_no_wait,
    any::a_dead_owner_is_reported_with_its_index,
    any::a_failed_signal_fails_before_the_wait,
    all::an_end_ends_the_wait_and_takes_nothing,
    all::everything_is_taken_at_once,
    all::descriptors_are_looked_at_and_not_taken,
    all::private_and_named_objects_mix,
    all::two_namespaces_do_not_mix,
    all::an_object_may_not_appear_twice,
    all::abandoned_mutants_are_listed,
    all::a_sleeper_wakes_when_the_last_is_ready,
    crowd::competing_waits_take_all_or_nothing,
    mixed::each_of_sixty_four_kinds_wakes_and_the_rest_stay,
    release::as_many_sets_as_sleepers_release_all_of_them,
    release::sets_before_the_first_sleeper_runs_release_all_of_them,
    release::a_set_and_reset_releases_registered_sleepers,
    release::a_pulse_releases_registered_sleepers,
    release::a_set_counts_no_waiters_of_an_older_state,
    release::a_dead_waiter_holds_no_release,
    set::a_thousand_members_each_have_their_turn,
    set::a_foreign_event_loop_polls_it,
    set::objects_descriptors_timers_and_processes_mix,
    set::a_member_that_was_taken_announces_its_next_signal_at_once,
    set::a_mutant_that_its_owner_frees_is_announced_at_once,
    set::signals_from_another_process_are_announced,
    every::each_mechanism_wakes_a_wait_and_the_losers_keep_theirs,
    signal::a_signal_wakes_a_wait_with_an_event,
    process::a_childs_end_wakes_a_wait_with_an_event,
}
