//! The files that tidy looks at: every `.rs` file and every manifest of the workspace's packages.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::blocks::{self, InlineModule};
use super::lex::{self, Kind, Token};

/// Folders of a package that hold source.
const SOURCE_FOLDERS: &[&str] = &["src", "tests", "benches", "examples"];

/// How files of tests and examples begin that a compiler of interfaces has made: they are as long
/// as it makes them.
const MADE: &str = "// Made from ";

/// Everything that tidy reads, paths from the workspace root.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) packages: Vec<Package>,
    pub(super) sources: Vec<Source>,
    pub(super) folders: Vec<Folder>,
}

/// A folder with a manifest.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) manifest: PathBuf,
    pub(super) manifest_text: String,
}

/// A folder of source, and how many entries it has.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) entries: usize,
}

/// One `.rs` file.
#[derive(Debug)]
pub(super) struct Source {
    /// The package it belongs to.
    pub(super) package: String,
    /// From the workspace root.
    pub(super) path: PathBuf,
    /// From the package's folder.
    pub(super) inside: PathBuf,
    pub(super) text: String,
    pub(super) kinds: Vec<Kind>,
    /// The text with everything but code blanked.
    pub(super) code: String,
    /// The text with everything but comments blanked.
    pub(super) comments: String,
    pub(super) modules: Vec<InlineModule>,
    line_starts: Vec<usize>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self {
            packages: Vec::new(),
            sources: Vec::new(),
            folders: Vec::new(),
        };
        let mut homes: Vec<PathBuf> = list(&root.join("crates"))?;
        homes.push(root.join("xtask"));
        homes.push(root.join("fuzz"));
        for home in homes
            .iter()
            .filter(|home| home.join("Cargo.toml").is_file())
        {
            tree.read_package(root, home)?;
        }
        if tree.packages.is_empty() {
            return Err(format!("no package under {}", root.display()));
        }
        Ok(tree)
    }

    fn read_package(&mut self, root: &Path, home: &Path) -> Result<(), String> {
        let manifest = home.join("Cargo.toml");
        let manifest_text = read(&manifest)?;
        let name = package_name(&manifest_text)
            .ok_or_else(|| format!("{}: no package name", manifest.display()))?;
        for folder in SOURCE_FOLDERS.iter().map(|folder| home.join(folder)) {
            if folder.is_dir() {
                self.read_folder(root, home, &name, &folder)?;
            }
        }
        if home.join("build.rs").is_file() {
            self.read_source(root, home, &name, &home.join("build.rs"))?;
        }
        let manifest = below(&manifest, root);
        self.packages.push(Package {
            name,
            manifest,
            manifest_text,
        });
        Ok(())
    }

    fn read_folder(
        &mut self,
        root: &Path,
        home: &Path,
        package: &str,
        folder: &Path,
    ) -> Result<(), String> {
        let entries = list(folder)?;
        let before = self.sources.len();
        for entry in &entries {
            if entry.is_dir() {
                self.read_folder(root, home, package, entry)?;
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                self.read_source(root, home, package, entry)?;
            }
        }
        // Folders of golden files and the like hold no source and may be as full as they need.
        if self.sources.len() > before {
            self.folders.push(Folder {
                path: below(folder, root),
                entries: entries.len(),
            });
        }
        Ok(())
    }

    fn read_source(
        &mut self,
        root: &Path,
        home: &Path,
        package: &str,
        path: &Path,
    ) -> Result<(), String> {
        let text = read(path)?;
        let inside = below(path, home);
        if inside.starts_with("src") || !text.starts_with(MADE) {
            let source = Source::new(package, below(path, root), inside, text);
            self.sources.push(source);
        }
        Ok(())
    }
}

impl Source {
    fn new(package: &str, path: PathBuf, inside: PathBuf, text: String) -> Self {
        let kinds = lex::kinds(&text);
        let code = lex::keep(&text, &kinds, Kind::Code);
        let comments = lex::keep(&text, &kinds, Kind::Comment);
        let modules = blocks::inline_modules(&lex::tokens(&code));
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0)
            .chain(breaks)
            .filter(|at| *at < text.len())
            .collect();
        let package = package.to_owned();
        Self {
            package,
            path,
            inside,
            text,
            kinds,
            code,
            comments,
            modules,
            line_starts,
        }
    }

    pub(super) fn tokens(&self) -> Vec<Token<'_>> {
        lex::tokens(&self.code)
    }

    /// The number of the line that holds a byte, from 1.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.line_starts
            .partition_point(|start| *start <= offset)
            .max(1)
    }

    /// The bytes of each line, without its line break.
    pub(super) fn lines(&self) -> impl Iterator<Item = Range<usize>> {
        self.line_starts.iter().enumerate().map(|(i, start)| {
            let end = self
                .line_starts
                .get(i + 1)
                .copied()
                .unwrap_or(self.text.len());
            let line = self.text[*start..end].trim_end_matches(['\n', '\r']);
            *start..*start + line.len()
        })
    }

    /// `tests.rs`, or a file under a folder `tests`.
    pub(super) fn is_test_file(&self) -> bool {
        self.inside.file_stem().is_some_and(|stem| stem == "tests")
            || self
                .inside
                .parent()
                .is_some_and(|folder| folder.iter().any(|part| part == "tests"))
    }

    /// Whether a byte belongs to a test file or an inline test module.
    pub(super) fn is_test(&self, offset: usize) -> bool {
        self.is_test_file()
            || self
                .modules
                .iter()
                .any(|module| module.is_test && module.span.contains(&offset))
    }
}

/// The entries of a folder in order, hidden ones left out. Links are not followed.
fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let fail = |error| format!("cannot list {}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let link = entry.file_type().map_err(fail)?.is_symlink();
        if !hidden && !link {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn below(path: &Path, folder: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_path_buf()
}

/// The `name` of the `[package]` section.
fn package_name(manifest: &str) -> Option<String> {
    let (_, section) = manifest.split_once("[package]")?;
    let section = section.split("\n[").next()?;
    let value = section
        .lines()
        .find_map(|line| line.strip_prefix("name")?.trim().strip_prefix('='))?;
    Some(value.trim().trim_matches('"').to_owned())
}
