//! libFuzzer around the target that `STRAIT_FUZZ_TARGET` names. Run it by `cargo xtask fuzz`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("STRAIT_FUZZ_TARGET").unwrap_or_default();
    match strait_fuzz::of_name(&name) {
        Some(target) => target.run,
        None => {
            eprintln!("fuzz: STRAIT_FUZZ_TARGET={name:?} names no target of strait-fuzz");
            std::process::exit(2);
        }
    }
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen)(data));
