//! The RPC language: `.x` files. RFC 4506 section 6, RFC 5531 section 12.
//!
//! Use it from a build script, and include what it makes:
//!
//! ```no_run
//! // build.rs
//! strait_idl::onc::Compiler::new().build("x/kv.x");
//! ```
//!
//! ```ignore
//! // src/main.rs; a program seldom uses all of an interface
//! #[allow(dead_code)]
//! mod kv {
//!     include!(concat!(env!("OUT_DIR"), "/kv.rs"));
//! }
//! ```
//!
//! | In the file | In Rust |
//! | --- | --- |
//! | `const`, `#define` of one number or string | `pub const` |
//! | `enum` | an enum with `TryFrom<i32>` and `From`; a second name of one number is a constant |
//! | `struct` | a struct |
//! | `union` | an enum: a variant for each label, `Default` with the number for what has none |
//! | `typedef` | an alias, with `encode_name` and `decode_name`, which know its bounds |
//! | `T *` | `Option<T>`, in a box only where `T` would contain itself |
//! | `struct T { …; T *next; }` | the list is a `Vec<T>` of nodes without `next`; `T` itself is `(T, Vec<T>)`: a first node and the rest. Of several `T *` the last makes the list: children and siblings, or a binary tree as nodes with what is left of them, each followed by what is right of it |
//! | `string` | `String`, or `Vec<u8>` by [`Strings::Bytes`] |
//! | `opaque x[8]`, `opaque x<>`, `T x[8]`, `T x<>` | `[u8; 8]`, `Vec<u8>`, `[T; 8]`, `Vec<T>` |
//! | `char`, `short` | `i8`, `i16`: sent as `int`, other numbers refused |
//! | `program`, `version` | modules; in the inner one `Client`, `AsyncClient`, `Service`, `Dispatcher` |
//! | the same, [`borrowed`](Compiler::borrowed) | `Cow<'a, str>`, `Cow<'a, [u8]>` |
//! | names | of Rust: `nfs_fh` is `NfsFh`, `TYPE` is `r#type`; what would be one name is an error |
//!
//! [`Compiler::parse`] gives the tree itself, resolved, for who reads values without such code.

mod check;
mod generate;
mod parse;
mod preprocess;
mod print;
mod syntax;
mod tree;

use std::path::{Path, PathBuf};

use crate::diag::{Diagnostic, Diagnostics};
use crate::source::Sources;

pub use generate::Strings;
pub use tree::{
    Argument, Arm, Body, Constant, Content, Definition, Enumerator, Length, Member, Position,
    Procedure, Program, Specification, Type, TypeId, Union, Value, Version,
};

/// The module that generated code calls.
const ROOT: &str = "::strait::rpc::onc";

/// Reads `.x` files, and makes Rust of them.
///
/// Bounds: a file has at most 16 MiB, files include one another at most 32 deep and 1,024 in all,
/// types written in place stand at most 64 in one another, a name has at most 255 bytes.
#[derive(Clone, Debug)]
pub struct Compiler {
    input: preprocess::Options,
    output: generate::Options,
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// With no search path, strings as `String`, both clients, and code that calls
    /// `::strait::rpc::onc`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            input: preprocess::Options::default(),
            output: generate::Options {
                strings: Strings::Utf8,
                root: ROOT.into(),
                asynchronous: true,
                borrowed: false,
            },
        }
    }

    /// Seeks included files in this folder too, after those named before.
    #[must_use]
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.input.include.push(folder.into());
        self
    }

    /// Defines a macro, as `#define name value` does.
    #[must_use]
    pub fn define(mut self, name: &str, value: &str) -> Self {
        self.input.define.push((name.into(), value.into()));
        self
    }

    /// What strings become.
    #[must_use]
    pub const fn strings(mut self, strings: Strings) -> Self {
        self.output.strings = strings;
        self
    }

    /// Strings and opaque data of any length are lent from what they are read from, not copied:
    /// `Cow<'a, str>` and `Cow<'a, [u8]>`, and a lifetime `'a` for each type that holds such.
    ///
    /// - Arguments of a server are lent from the call. Its method runs before the call's memory is
    ///   used again, and gives a future that owns what it needs: written
    ///   `fn put(&self, call: &Context, key: Key<'_>) -> impl Future<…> + Send + use<> { … async
    ///   move { … } }`, not `async fn`, and `self` is not there for the future either. Methods
    ///   without such arguments are as ever.
    /// - Results of a client are lent from the reply, and given to a closure: a further argument of
    ///   the method, `then`, whose value the call gives.
    /// - Results of a server and arguments of a client are the caller's own, or lent by him.
    #[must_use]
    pub const fn borrowed(mut self) -> Self {
        self.output.borrowed = true;
        self
    }

    /// The module that the code calls, where it is not `::strait::rpc::onc`.
    #[must_use]
    pub fn root(mut self, path: &str) -> Self {
        self.output.root = path.into();
        self
    }

    /// Leaves the async clients out.
    #[must_use]
    pub const fn blocking_only(mut self) -> Self {
        self.output.asynchronous = false;
        self
    }

    /// The tree of a file and what it includes.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub fn parse(&self, path: impl AsRef<Path>) -> Result<Specification, Diagnostics> {
        let mut sources = Sources::default();
        self.tree(&mut sources, path.as_ref())
    }

    /// The tree of a text that stands in no file. Files that it includes are sought in the search
    /// path alone.
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub fn parse_text(&self, name: &str, text: &str) -> Result<Specification, Diagnostics> {
        let mut sources = Sources::default();
        let input = preprocess::text(&mut sources, &self.input, name, text)?;
        let items = parse::parse(&sources, &input)?;
        check::check(&sources, &input, &items)
    }

    /// The Rust that a file becomes.
    ///
    /// # Errors
    ///
    /// What is wrong, and where; also where two names would be one in Rust.
    pub fn generate(&self, path: impl AsRef<Path>) -> Result<String, Diagnostics> {
        let mut sources = Sources::default();
        let tree = self.tree(&mut sources, path.as_ref())?;
        generate::generate(&sources, &tree, &self.output)
    }

    /// The Rust that a text becomes which stands in no file.
    ///
    /// # Errors
    ///
    /// As for [`generate`](Self::generate).
    pub fn generate_text(&self, name: &str, text: &str) -> Result<String, Diagnostics> {
        let mut sources = Sources::default();
        let input = preprocess::text(&mut sources, &self.input, name, text)?;
        let items = parse::parse(&sources, &input)?;
        let tree = check::check(&sources, &input, &items)?;
        generate::generate(&sources, &tree, &self.output)
    }

    /// For a build script: writes `$OUT_DIR/NAME.rs`, and names every file that was read to cargo.
    /// If something is wrong, it tells so and ends the build.
    pub fn build(&self, path: impl AsRef<Path>) {
        if let Err(wrong) = self.build_into(path.as_ref()) {
            eprintln!("{wrong}");
            std::process::exit(1);
        }
    }

    fn build_into(&self, path: &Path) -> Result<(), Diagnostics> {
        let told = |why: String| Diagnostic::of_file(&path.display().to_string(), why);
        // First, so that a file with an error is looked at again once it is mended.
        println!("cargo::rerun-if-changed={}", path.display());
        let mut sources = Sources::default();
        let tree = self.tree(&mut sources, path)?;
        for file in &tree.files {
            println!("cargo::rerun-if-changed={}", file.display());
        }
        let code = generate::generate(&sources, &tree, &self.output)?;
        let folder = std::env::var_os("OUT_DIR")
            .ok_or_else(|| told("OUT_DIR is not set: this is for build scripts".into()))?;
        let stem = path.file_stem().unwrap_or_default();
        let to = Path::new(&folder).join(stem).with_extension("rs");
        std::fs::write(&to, code)
            .map_err(|error| told(format!("{} cannot be written: {error}", to.display())))?;
        Ok(())
    }

    fn tree(&self, sources: &mut Sources, path: &Path) -> Result<Specification, Diagnostics> {
        let input = preprocess::file(sources, &self.input, path)?;
        let items = parse::parse(sources, &input)?;
        check::check(sources, &input, &items)
    }
}

/// A number as C writes it, of at most 64 bits: decimal, `0x` hexadecimal, `0` octal.
fn number(text: &str) -> Option<i128> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    u64::from_str_radix(digits, radix).ok().map(i128::from)
}
