//! The corpus, replayed: what the fuzzer has once found stays found, with any compiler.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use strait_fuzz::TARGETS;

/// The longest input in the corpus, in bytes: what is longer belongs in a test of its own.
const LEN_MAX: u64 = 4096;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

#[test]
fn every_input_of_the_corpus_returns() {
    for target in TARGETS {
        let mut replayed = 0;
        for entry in fs::read_dir(corpus().join(target.name)).unwrap() {
            let entry = entry.unwrap();
            let input = fs::read(entry.path()).unwrap();
            // Shown when it fails.
            println!("{}", entry.path().display());
            (target.run)(&input);
            replayed += 1;
        }
        assert!(replayed > 0, "{} has no corpus", target.name);
    }
}

#[test]
fn short_inputs_of_every_target_return() {
    for target in TARGETS {
        for input in [&b""[..], b"\0", b"\xff", &[0; 64], &[0xff; 64]] {
            (target.run)(input);
        }
    }
}

#[test]
fn the_corpus_is_small_and_each_target_has_its_folder() {
    let mut folders = BTreeSet::new();
    for folder in fs::read_dir(corpus()).unwrap() {
        let folder = folder.unwrap();
        folders.insert(folder.file_name().into_string().unwrap());
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let len = entry.metadata().unwrap().len();
            assert!(len <= LEN_MAX, "{}: {len} bytes", entry.path().display());
        }
    }
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.into()).collect();
    assert_eq!(folders, targets);
}
