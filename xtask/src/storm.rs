//! `cargo xtask storm [--kills N] [--seed N] [--only TEXT]`: what the tests of death do briefly, at
//! length.
//!
//! A storm of random kills, the whole table of kill points, kills at single instructions, and the
//! same with one recovery removed. All of them are tests of `strait`, run here in release and with
//! more of everything; they print what they find.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

const KILLS: u64 = 10_000;

/// One test, and what it is told by the environment.
struct Stage {
    test: &'static str,
    about: &'static str,
    /// Variables, and their values.
    settings: &'static [(&'static str, &'static str)],
}

const STAGES: &[Stage] = &[
    Stage {
        test: "death::storm::random_kills_lose_nothing_that_others_had",
        about: "random kills",
        settings: &[],
    },
    Stage {
        test: "death::at_every_point_the_others_go_on",
        about: "every point, 100 kills and 100 stops each",
        settings: &[("STRAIT_DEATH_HITS", "100")],
    },
    Stage {
        test: "death::reborn::a_leftover_reborn_in_its_place_survives_who_does_it",
        about: "the points of a sticky directory",
        settings: &[("STRAIT_DEATH_HITS", "100")],
    },
    Stage {
        test: "death::recovery::a_death_holds_nobody_up",
        about: "times of recovery, 300 kills each",
        settings: &[("STRAIT_RECOVERY_KILLS", "300")],
    },
    Stage {
        test: "death::steps::killed_at_an_instruction_it_leaves_nothing_undone",
        about: "kills at single instructions",
        settings: &[("STRAIT_STEPS", "all")],
    },
    Stage {
        test: "death::steps::a_decision_apart_from_its_wake_up_is_found",
        about: "the same, with a seeded bug",
        settings: &[],
    },
    Stage {
        test: "death::storm::a_storm_finds_every_removed_recovery",
        about: "storms with seeded bugs",
        settings: &[],
    },
    Stage {
        test: "channel::storm::whoever_survives_a_random_kill_has_what_was_sent_and_hears_of_it",
        about: "channels: random kills",
        settings: &[],
    },
    Stage {
        test: "channel::storm::at_every_point_of_a_channel_the_other_side_goes_on",
        about: "channels: every point, 100 kills and 100 stops each",
        settings: &[("STRAIT_DEATH_HITS", "100")],
    },
    Stage {
        test: "channel::storm::server::a_server_serves_the_others_on_while_one_is_stopped_and_killed",
        about: "channels: a server whose clients are stopped and killed",
        settings: &[("STRAIT_DEATH_HITS", "100")],
    },
    Stage {
        test: "nt::lpc::death::at_every_point_of_a_knock_the_others_are_served",
        about: "ports: every point of a client's knock, 100 kills and 100 stops each",
        settings: &[("STRAIT_DEATH_HITS", "100")],
    },
    Stage {
        test: "nt::lpc::death::at_the_point_of_an_answer_the_clients_go_on_or_hear_of_the_end",
        about: "ports: the point of a server's answer, 100 kills and 100 stops",
        settings: &[("STRAIT_DEATH_HITS", "100")],
    },
    Stage {
        test: "channel::lies::ordeal::a_peer_that_lies_loses_its_own_session_and_others_go_on",
        about: "channels: peers that lie, 5 s each",
        settings: &[("STRAIT_ORDEAL_MS", "5000")],
    },
];

/// What the command line asks for.
#[derive(Debug, Eq, PartialEq)]
struct Order {
    kills: u64,
    seed: Option<u64>,
    /// Only the stages whose description has this in it.
    only: String,
}

impl Order {
    fn of(args: &[String]) -> Result<Self, String> {
        let mut order = Self {
            kills: KILLS,
            seed: None,
            only: String::new(),
        };
        for pair in args.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            let number = || {
                let number = value.parse();
                number.map_err(|_| format!("{name} {value}: not a number"))
            };
            match name.as_str() {
                "--kills" => order.kills = number()?,
                "--seed" => order.seed = Some(number()?),
                "--only" => order.only.clone_from(value),
                _ => return Err(format!("{name}: only --kills, --seed and --only are known")),
            }
        }
        if order.stages().next().is_none() {
            return Err(format!("no stage is about `{}`", order.only));
        }
        Ok(order)
    }

    fn stages(&self) -> impl Iterator<Item = &'static Stage> {
        let is_meant = |stage: &&Stage| stage.about.contains(&self.only);
        STAGES.iter().filter(is_meant)
    }
}

/// Runs every stage, also after one that failed: each has something to say.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let order = Order::of(args)?;
    let mut failed = Vec::new();
    for stage in order.stages() {
        println!("storm: {}", stage.about);
        let begin = Instant::now();
        let mut cargo = Command::new("cargo");
        cargo
            .args([
                "test",
                "--quiet",
                "--release",
                "--package",
                "strait",
                "--test",
                "it",
            ])
            .args(["--", "--exact", stage.test, "--nocapture"])
            .env("STRAIT_STORM_KILLS", order.kills.to_string())
            .envs(stage.settings.iter().copied())
            .current_dir(root);
        if let Some(seed) = order.seed {
            cargo.env("STRAIT_SEED", seed.to_string());
        }
        let status = cargo.status().map_err(|error| format!("cargo: {error}"))?;
        let took = begin.elapsed().as_secs_f64();
        let how = if status.success() { "passed" } else { "FAILED" };
        println!("storm: {}: {how} in {took:.1} s", stage.about);
        if !status.success() {
            failed.push(stage.about);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    fn order(words: &[&str]) -> Result<Order, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Order::of(&words)
    }

    #[test]
    fn numbers_are_taken_and_nothing_else() {
        let given = order(&["--seed", "7", "--kills", "5"]).unwrap();
        assert_eq!((given.kills, given.seed), (5, Some(7)));
        assert_eq!(order(&[]).unwrap().seed, None);
        let only = order(&["--only", "recovery"]).unwrap();
        assert_eq!(only.stages().count(), 1);
        for wrong in [
            &["--kills"][..],
            &["--kills", "x"],
            &["--what", "1"],
            &["--only", "weather"],
        ] {
            assert!(order(wrong).is_err(), "{wrong:?}");
        }
    }
}
