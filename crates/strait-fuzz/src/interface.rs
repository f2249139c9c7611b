//! Interface definitions, which anyone may hand to the compiler, and values of their types.

use std::sync::LazyLock;

use strait_cli::written::{json_of, xdr_of};
use strait_idl::onc::{Compiler, Specification, Type};

/// A `.x` file: read, printed, read again, and made into Rust.
pub(crate) fn interface(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let compiler = Compiler::new();
    let tree = match compiler.parse_text("fuzz.x", &text) {
        Ok(tree) => tree,
        Err(wrong) => {
            assert!(wrong.iter().count() > 0);
            assert!(!wrong.to_string().is_empty());
            return;
        }
    };
    let printed = tree.to_string();
    match compiler.parse_text("printed.x", &printed) {
        Ok(again) => assert_eq!(again.to_string(), printed),
        Err(wrong) => panic!("{wrong}\n{printed}"),
    }
    // Two names that are one in Rust are an error here and only here.
    if let Err(wrong) = compiler.generate_text("fuzz.x", &text) {
        assert!(wrong.iter().count() > 0);
    }
}

/// Every kind of type.
const TYPES: &str = "
    typedef short small;
    typedef unsigned hyper large;
    typedef float single;
    typedef double twice;
    typedef quadruple four;
    enum colour { RED = 2, GREEN = 3, VERDE = 3, BLUE = -5 };
    typedef string name<9>;
    typedef opaque digest[5];
    typedef opaque blob<>;
    typedef bool flags[2];
    struct point { int x; hyper y; colour paint; };
    typedef point points<3>;
    struct node { name text; node *next; };
    typedef node *nodes;
    typedef nodes lists<>;
    struct tree { tree *left; tree *right; unsigned char leaf; };
    typedef int *perhaps;
    typedef perhaps *twofold;
    typedef nodes *maybe_nodes;
    union chosen switch (colour c) {
        case RED: point here; case GREEN: void; default: chosen *again;
    };
    union numbered switch (unsigned n) { case 1: case 2: blob bytes; default: void; };
    union whether switch (bool b) { case TRUE: twofold what; case FALSE: void; };
    struct nothing {};
    typedef nothing nothings<7>;
    struct all { small a; large b; flags c; lists d; chosen e; nothing f; };
";

static TREE: LazyLock<Specification> = LazyLock::new(|| {
    let read = Compiler::new().parse_text("types.x", TYPES);
    read.unwrap_or_else(|wrong| panic!("{wrong}"))
});

/// The first byte chooses a type. The rest is a value of it, or its JSON: what is read as one comes
/// back from the other.
pub(crate) fn values(data: &[u8]) {
    let Some((chosen, rest)) = data.split_first() else {
        return;
    };
    let all = &TREE.types;
    let name = &all[usize::from(*chosen) % all.len()].name;
    let Some(of) = TREE.find(name).map(Type::Named) else {
        panic!("{name} is a type");
    };
    if let Ok((json, len)) = json_of(&TREE, &of, rest) {
        assert_eq!(
            xdr_of(&TREE, &of, &json).as_deref(),
            Ok(&rest[..len]),
            "{name}: {json}"
        );
    }
    let Ok(text) = str::from_utf8(rest) else {
        return;
    };
    if let Ok(xdr) = xdr_of(&TREE, &of, text) {
        let (json, len) = json_of(&TREE, &of, &xdr).unwrap_or_else(|why| panic!("{why}: {text}"));
        assert_eq!(len, xdr.len(), "{name}: {text}");
        assert_eq!(
            xdr_of(&TREE, &of, &json),
            Ok(xdr),
            "{name}: {text} is {json}"
        );
    }
}
