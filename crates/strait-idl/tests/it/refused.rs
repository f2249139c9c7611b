//! What is refused, and what is said of it.

use std::fmt::Write as _;
use std::fs;

use strait_idl::onc::{Body, Compiler, Length, Type};

fn wrong(text: &str) -> String {
    match Compiler::new().generate_text("t.x", text) {
        Ok(made) => panic!("{text} was taken:\n{made}"),
        Err(wrong) => wrong.to_string(),
    }
}

#[test]
fn an_error_shows_the_place() {
    let text = "const KEY_MAX = 5;\nstruct s {\n\tstring key<KYE_MAX>;\n};\n";
    let shown = "\
error: the constant `KYE_MAX` is not defined
  --> t.x:3:13
  |
3 | \tstring key<KYE_MAX>;
  | \t           ^^^^^^^
  = help: is `KEY_MAX` meant?";
    assert_eq!(wrong(text), shown);
    let all = Compiler::new().parse_text("t.x", text).unwrap_err();
    let first = all.iter().next().unwrap();
    assert_eq!(
        (first.line, first.column, first.file.as_str()),
        (3, 13, "t.x")
    );
}

/// A text, and parts of what is said of it.
const WRONG: &[(&str, &[&str])] = &[
    ("struct s { int x }", &["t.x:1:", "expected `;`, found `}`"]),
    (
        "const A = 1\nconst B = 2;",
        &["t.x:1:12", "`;` is missing here"],
    ),
    ("struct s {", &["t.x:1:10", "this bracket is not closed"]),
    (
        "struct int { int x; };",
        &["`int` is a word of the language"],
    ),
    ("junk", &["expected `const`, `typedef`", "found `junk`"]),
    ("const A = 09;", &["`09` is no number"]),
    (
        "const A = 18446744073709551616;",
        &["is no number of at most 64 bits"],
    ),
    (
        "const A = -18446744073709551615;",
        &["is no number of at most 64 bits"],
    ),
    ("const A = B; const B = A;", &["is defined by itself"]),
    (
        "const A = 1; const A = 2;",
        &["`A` is defined twice", "the first is at t.x:1"],
    ),
    (
        "const A = \"text\"; typedef opaque x<A>;",
        &["`A` is a string"],
    ),
    (
        "typedef opaque x[-1];",
        &["-1 is no length: from 0 to 4294967295"],
    ),
    ("typedef opaque x[4294967296];", &["is no length"]),
    (
        "typedef opaque x[65537];",
        &["too long for a value in Rust", "at most 65536"],
    ),
    ("struct s { opaque x; };", &["`opaque` needs a length"]),
    (
        "struct s { string x[4]; };",
        &["`string` needs a greatest length"],
    ),
    ("struct s { void x; };", &["`void` is nothing"]),
    ("struct s { int *x<4>; };", &["cannot be an array too"]),
    (
        "struct s { s x; };",
        &["`s` contains itself", "may be absent"],
    ),
    (
        "struct a { b x[2]; }; struct b { a x; };",
        &["contains itself"],
    ),
    (
        "typedef a b; typedef b a;",
        &["stands for nothing but itself"],
    ),
    ("typedef a a<>;", &["stands for nothing but itself"]),
    ("struct s { int x; int x; };", &["`x` is defined twice"]),
    (
        "struct s { thing x; }; struct thin { int x; };",
        &["is `thin` meant?"],
    ),
    (
        "enum e { A = 2147483648 };",
        &["is no number of 32 bits with a sign"],
    ),
    (
        "enum e { A = 2147483647, B };",
        &["is no number of 32 bits"],
    ),
    ("enum e { };", &["expected the name of a constant"]),
    ("enum e { A }; enum f { A };", &["`A` is defined twice"]),
    (
        "union u switch (int x) { case 1: int a; case 1: int b; };",
        &["two arms for 1"],
    ),
    (
        "union u switch (bool x) { case 2: int a; };",
        &["from 0 to 1"],
    ),
    (
        "union u switch (unsigned x) { case -1: int a; };",
        &["-1 is no value"],
    ),
    (
        "enum e { A }; union u switch (e x) { case 5: void; };",
        &["5 is no value of `e`"],
    ),
    (
        "union u switch (float x) { case 1: void; };",
        &["a union is chosen by an int"],
    ),
    (
        "union u switch (int x) { default: void; default: int a; };",
        &["second `default`"],
    ),
    (
        "union u switch (int x) { int a; };",
        &["expected `case`, `default` or `}`"],
    ),
    (
        "program P { } = 1; program Q { } = 1;",
        &["two programs have the number 1"],
    ),
    (
        "program P { version V { } = 1; version W { } = 1; } = 1;",
        &["two versions"],
    ),
    (
        "program P { version V { int A(void) = 1; int B(void) = 1; } = 1; } = 1;",
        &["two procedures have the number 1"],
    ),
    (
        "program P { version V { int A(int, void) = 1; } = 1; } = 1;",
        &["`void` stands alone"],
    ),
    (
        "program P { version V { int A(void) = A; } = 1; } = 1;",
        &["is defined by itself"],
    ),
    (
        "struct a_b { int x; }; struct A_B { int x; };",
        &["the type `AB`", "change one"],
    ),
    ("struct s { int aB; int a_b; };", &["the field `a_b`"]),
    ("enum e { a_b, A_B };", &["the variant `AB`"]),
    (
        "struct s { int x; } /* no end",
        &["this comment has no end"],
    ),
    ("const A = \"no end\n;", &["this string has no end"]),
    ("const A = 1; \u{e9}", &["belongs to no word"]),
    ("#if 1\n", &["has no `#endif`"]),
    ("#endif\n", &["`#endif` without `#if`"]),
    ("#else\n", &["`#else` without `#if`"]),
    ("#if 1 +\n#endif\n", &["the condition ends too soon"]),
    ("#if 1 / 0\n#endif\n", &["this has no value"]),
    ("#error no luck\n", &["#error no luck"]),
    (
        "#include \"absent.x\"\n",
        &["t.x:1:10", "`absent.x` is not found"],
    ),
    ("#include <rpc/types.h>\n", &["%#include"]),
    ("#frobnicate\n", &["is no directive"]),
    ("#define F(x) x\nconst A = F(1);", &["takes arguments"]),
    (
        "namespace a { const X = 1;",
        &["this namespace is not closed"],
    ),
    ("}", &["nothing is open that this closes"]),
];

#[test]
fn what_is_wrong_is_said() {
    for (text, parts) in WRONG {
        let told = wrong(text);
        for part in *parts {
            assert!(told.contains(part), "{text}\n{told}\nlacks {part}");
        }
        assert!(told.contains('^'), "{text}\n{told}\nhas no caret");
    }
}

#[test]
fn several_errors_are_told_at_once_and_not_without_end() {
    let mut text = String::from("struct s {\n");
    for i in 0..200 {
        let _ = writeln!(text, "    absent_{i} member_{i};");
    }
    text.push_str("};\n");
    let all = Compiler::new().parse_text("t.x", &text).unwrap_err();
    assert_eq!(all.iter().count(), 64);
}

/// So many of one text, and one more.
fn at_and_past(max: usize, text: impl Fn(usize) -> String) -> String {
    let compiler = Compiler::new();
    if let Err(wrong) = compiler.parse_text("t.x", &text(max)) {
        panic!("{wrong}");
    }
    compiler
        .parse_text("t.x", &text(max + 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn depth_is_bounded_and_brackets_need_no_stack() {
    let nested = |depth: usize| {
        let open = "struct { ".repeat(depth - 1);
        let close = "} x; ".repeat(depth - 1);
        format!("struct s {{ {open} int x; {close} }};")
    };
    assert!(at_and_past(64, nested).contains("more than 64 types written in one another"));
    let conditions = |depth: usize| "#if 1\n".repeat(depth) + &"#endif\n".repeat(depth);
    assert!(at_and_past(256, conditions).contains("more than 256 conditions"));
    let name = |len: usize| format!("const {} = 1;", "n".repeat(len));
    assert!(at_and_past(255, name).contains("a name of more than 255 bytes"));
    let brackets = "(".repeat(1_000_000);
    assert!(wrong(&format!("const A = {brackets}1;")).contains("expected `)`"));
    assert!(wrong(&format!("#if {brackets}\n#endif\n")).contains("too complex"));
    assert!(wrong(&format!("const A = {}1 1;", "-".repeat(1_000_000))).contains("expected `;`"));
    assert!(wrong(&"namespace a {".repeat(100_000)).contains("not closed"));
}

#[test]
fn long_chains_of_definitions_need_no_stack() {
    let mut text = String::from("const C0 = 7;\nstruct s0 { int x; };\ntypedef s0 t0;\n");
    for i in 1..50_000 {
        let before = i - 1;
        let _ = writeln!(
            text,
            "const C{i} = C{before}; struct s{i} {{ s{before} x; }};"
        );
        let _ = writeln!(text, "typedef t{before} t{i};");
    }
    text.push_str("typedef opaque last<C49999>; enum e { FIRST = C49999");
    for i in 0..50_000 {
        let _ = write!(text, ", E{i}");
    }
    text.push_str("};");
    let tree = Compiler::new().parse_text("t.x", &text).unwrap();
    let last = tree.definition(tree.find("last").unwrap());
    assert!(
        matches!(last.body, Body::Alias(Type::Opaque(Length::Max(7)))),
        "{last:?}"
    );
}

#[test]
fn macros_that_grow_without_end_are_cut() {
    let mut text = String::from("#define A0 a a a a a a a a\n");
    for i in 1..32 {
        let before = i - 1;
        let _ = writeln!(text, "#define A{i} A{before} A{before} A{before} A{before}");
    }
    text.push_str("A31\n");
    assert!(wrong(&text).contains("words, macros replaced"));
    assert!(wrong("#define A B\n#define B A\nA").contains("found `A`"));
}

#[test]
fn files_include_one_another_only_so_deep() {
    let folder = std::env::temp_dir().join(format!("strait-include-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let itself = folder.join("itself.x");
    fs::write(&itself, "#include \"itself.x\"\n").unwrap();
    let told = Compiler::new().parse(&itself).unwrap_err().to_string();
    assert!(
        told.contains("more than 32 files included in one another"),
        "{told}"
    );
    // Each file twice: 2^30 of them, were there no other bound.
    for i in 0..30 {
        let next = format!("#include \"two{}.x\"\n", i + 1).repeat(2);
        fs::write(folder.join(format!("two{i}.x")), next).unwrap();
    }
    fs::write(folder.join("two30.x"), "").unwrap();
    let told = Compiler::new()
        .parse(folder.join("two0.x"))
        .unwrap_err()
        .to_string();
    assert!(told.contains("more than 1024 files are included"), "{told}");
    let long = folder.join("long.x");
    fs::File::create(&long)
        .unwrap()
        .set_len((16 << 20) + 1)
        .unwrap();
    let told = Compiler::new().parse(&long).unwrap_err().to_string();
    assert!(told.contains("longer than 16 MiB"), "{told}");
    let told = Compiler::new().parse(&folder).unwrap_err().to_string();
    assert!(told.contains("is not a regular file"), "{told}");
    fs::write(folder.join("found.x"), "const FOUND = 1;").unwrap();
    let tree = Compiler::new()
        .include(&folder)
        .define("GIVEN", "7")
        .parse_text("t.x", "#include <found.x>\nconst OWN = GIVEN;")
        .unwrap();
    assert_eq!(tree.constants.len(), 2);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_tree_is_resolved() {
    let text = "typedef struct node *list; struct node { unsigned x; list next; };
        union u switch (bool b) { case TRUE: node n; case FALSE: void; };
        program P { version V { list A(u, string) = 0x10; } = 2; } = 3;";
    let tree = Compiler::new().parse_text("t.x", text).unwrap();
    let node = tree.find("node").unwrap();
    assert!(tree.is_list(node));
    let list = Type::Named(tree.find("list").unwrap());
    assert_eq!(
        *tree.resolve(&list),
        Type::Optional(Box::new(Type::Named(node)))
    );
    let Body::Union(union) = &tree.definition(tree.find("u").unwrap()).body else {
        panic!("{tree:?}");
    };
    assert_eq!((union.arms[0].value, union.arms[1].value), (1, 0));
    let procedure = &tree.programs[0].versions[0].procedures[0];
    assert_eq!((procedure.number, procedure.arguments.len()), (16, 2));
    assert_eq!(procedure.arguments[1].of, Type::String(u32::MAX));
    assert_eq!((procedure.at.line, &*procedure.at.file), (3, "t.x"));
}

#[test]
fn passed_numbers_beyond_all_bounds_are_not_known() {
    let mut text = "%#define N0 18446744073709551615\n".to_owned();
    for level in 1..=80 {
        let below = level - 1;
        text += &format!("%#define N{level} N{below} + N{below}\n");
    }
    let compiler = Compiler::new();
    compiler.parse_text("test.x", &text).unwrap();
    text += "typedef opaque never<N80>;\n";
    assert!(compiler.parse_text("test.x", &text).is_err());
}

/// A union that an argument or a result defines in its place is one as any other.
#[test]
fn types_of_procedures_are_looked_at_as_all_others() {
    let arms = "union switch (int n) { case 1: int a; case 2: case 7: hyper b; default: void; }";
    let text = |argument: &str, result: &str| {
        format!("program P {{ version V {{ {result} F({argument}) = 1; }} = 1; }} = 9;")
    };
    for text in [text(&format!("{arms} u"), "void"), text("void", arms)] {
        let tree = Compiler::new().parse_text("t.x", &text).unwrap();
        let union = tree.types.iter().find_map(|of| match &of.body {
            Body::Union(union) => Some(union),
            _ => None,
        });
        let union = union.unwrap();
        let values: Vec<i64> = union.arms.iter().map(|arm| arm.value).collect();
        assert_eq!(values, [1, 2, 7], "{text}");
        assert!(matches!(union.default, Some(None)), "{text}");
    }
    let twice = text(
        "union switch (int n) { case 1: int a; case 1: void; } u",
        "void",
    );
    assert!(wrong(&twice).contains("the union has two arms for 1"));
    for text in [text("int n", "void"), text("void", "int")] {
        let zero = text.replace(") = 1;", ") = 0;");
        assert!(wrong(&zero).contains("procedure 0 takes nothing"), "{zero}");
    }
    let itself = text("struct { int n; F_argument_1 again; } s", "void");
    assert!(
        wrong(&itself).contains("F_argument_1"),
        "{}",
        wrong(&itself)
    );
}
