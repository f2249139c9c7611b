//! `cargo xtask tidy`: the house rules that a compiler does not hold.
//!
//! It reads text, not types. [`lex`] tells code from comments and literals, [`paths`] collects
//! `use` trees and inline paths, [`blocks`] finds functions and inline modules; the rules are
//! [`floors`], [`crates`], [`sizes`] and [`habits`]. Each finding is `path:line: what (rule)`.

mod blocks;
mod crates;
mod floors;
mod habits;
mod lex;
mod paths;
mod sizes;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use tree::Tree;

/// One broken rule. The order of the fields is the order in which findings are printed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: PathBuf,
    line: usize,
    what: String,
    rule: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {} ({})",
            self.path.display(),
            self.line,
            self.what,
            self.rule
        )
    }
}

/// Prints every finding; fails if there is one.
pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    if !args.is_empty() {
        return Err("takes no arguments".into());
    }
    let tree = Tree::read(root)?;
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing found", tree.sources.len());
            Ok(())
        }
        1 => Err("1 finding".into()),
        many => Err(format!("{many} findings")),
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    floors::check(tree, &mut findings);
    crates::check(tree, &mut findings);
    sizes::check(tree, &mut findings);
    habits::check(tree, &mut findings);
    findings.sort();
    findings.dedup();
    findings
}
