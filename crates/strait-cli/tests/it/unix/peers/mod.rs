//! Other people's programs as the other party. `cargo xtask peers` installs them; where one is
//! missing, its tests say so and are left out.

mod faked;
mod socat;

/// Whether all these are on the PATH; if not, says that the test was left out.
fn present(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
    let missing = programs.iter().find(|name| !is_there(name));
    if let Some(name) = missing {
        eprintln!("skipped {test}: no {name} here (`cargo xtask peers` installs it)");
    }
    missing.is_none()
}
