//! What files in the wild say, one thing at a time, and what it stands for in the language of the
//! RFCs.

use strait_idl::onc::Compiler;

fn canonical(text: &str) -> String {
    match Compiler::new().parse_text("t.x", text) {
        Ok(tree) => tree.to_string(),
        Err(wrong) => panic!("{wrong}"),
    }
}

/// A text, and the same in the language of RFC 4506 and 5531.
const SAME: &[(&str, &str)] = &[
    // Lines for C.
    (
        "%#include <x.h>\n%int f(struct { ;\n  %this is not at the beginning of its \
         line\nconst A = 1;",
        "const A = 1;",
    ),
    ("%/* not\nconst A = 1;\n% ended */\n", "const A = 1;"),
    (
        "%#define SIZE 9\ntypedef opaque t<SIZE>;",
        "typedef opaque t<9>;",
    ),
    // Comments.
    (
        "// const A = 1;\nconst B = 2; // to the end",
        "const B = 2;",
    ),
    (
        "/* // */ const A = 1; /* two\nlines */ // /*\n",
        "const A = 1;",
    ),
    ("const A = 1; //", "const A = 1;"),
    // Macros.
    (
        "#define BYTES opaque\n#define WIDE unsigned \\\n  hyper\n#define NOTHING\nNOTHING \
         typedef BYTES t<4>; typedef WIDE w;",
        "typedef opaque t<4>; typedef unsigned hyper w;",
    ),
    (
        "#define SIZE 1\n#undef SIZE\n#define SIZE 3\ntypedef opaque t[SIZE];",
        "const SIZE = 3; typedef opaque t[3];",
    ),
    // Numbers.
    (
        "const A = 0777; const B = 0XfF; const C = 0; const D = 00; const E = \
         0xffffffffffffffff;",
        "const A = 511; const B = 255; const C = 0; const D = 0; const E = \
         18446744073709551615;",
    ),
    (
        "const A = 18446744073709551615; const B = -9223372036854775808; const C = \
         -0x10;",
        "const A = 18446744073709551615; const B = -9223372036854775808; const C = -16;",
    ),
    (
        "const A = 4294967296; const B = 0x8000000000000000; const C = A;",
        "const A = 4294967296; const B = 9223372036854775808; const C = 4294967296;",
    ),
    (
        "const A = \"a\"; const B = \"\"; const C = \"\\\"x\\\\\";",
        "const A = \"a\"; const B = \"\"; const C = \"\\\"x\\\\\";",
    ),
    // Types of C.
    (
        "struct s { unsigned a; unsigned int b; unsigned c<3>; unsigned *d; unsigned \
         e[2]; };",
        "struct s { unsigned int a; unsigned int b; unsigned int c<3>; unsigned int *d; \
         unsigned int e[2]; };",
    ),
    (
        "typedef unsigned t; typedef unsigned *p; union u switch (unsigned n) { case 1: \
         unsigned x; };",
        "typedef unsigned int t; typedef unsigned int *p; union u switch (unsigned int \
         n) { case 1: unsigned int x; };",
    ),
    (
        "struct s { char a; unsigned char b; short c; unsigned short d; long e; unsigned \
         long f; };",
        "struct s { char a; unsigned char b; short c; unsigned short d; int e; unsigned \
         int f; };",
    ),
    (
        "struct s { short int a; unsigned short int b; long int c; unsigned long int d; \
         };",
        "struct s { short a; unsigned short b; int c; unsigned int d; };",
    ),
    (
        "struct s { long long a; unsigned long long b; u_char c; u_short d; u_int e; \
         u_long f; };",
        "struct s { hyper a; unsigned hyper b; unsigned char c; unsigned short d; \
         unsigned int e; unsigned int f; };",
    ),
    (
        "struct s { int8_t a; uint16_t b; int32_t c; uint64_t d; bool_t e; u_quad_t f; \
         quad_t g; };",
        "struct s { char a; unsigned short b; int c; unsigned hyper d; bool e; unsigned \
         hyper f; hyper g; };",
    ),
    // Types by their kind.
    (
        "struct s { int x; struct s *next; }; typedef struct s *t;",
        "struct s { int x; s *next; }; typedef s *t;",
    ),
    (
        "enum e { A }; struct s { enum e x; union u *y; }; union u switch (enum e z) { \
         case A: void; };",
        "enum e { A = 0 }; struct s { e x; u *y; }; union u switch (e z) { case A: void; \
         };",
    ),
    // Enumerations.
    (
        "enum e { A, B, C = -5, D, E = 0x7, F, G = A, H, };",
        "enum e { A = 0, B = 1, C = -5, D = -4, E = 7, F = 8, G = 0, H = 1 };",
    ),
    // Unions.
    (
        "union u switch (int n) { case 1: case 2: case 3: int x; case 4: default: void; \
         };",
        "union u switch (int n) { case 1: case 2: case 3: int x; case 4: void; default: \
         void; };",
    ),
    // What has no name of its own.
    (
        "struct s { struct { int a; } in; union switch (bool b) { case TRUE: struct { \
         int c; } d; default: void; } or; enum { X, Y = 4 } e; struct { int f; } many<3>; \
         struct { int g; } *perhaps; };",
        "struct s { s_in in; s_or or; s_e e; s_many many<3>; s_perhaps *perhaps; }; \
         struct s_in { int a; }; union s_or switch (bool b) { case 1: s_or_d d; default: \
         void; }; struct s_or_d { int c; }; enum s_e { X = 0, Y = 4 }; struct s_many { \
         int f; }; struct s_perhaps { int g; };",
    ),
    (
        "struct s { }; union u switch (int n) { };",
        "struct s { }; union u switch (int n) { };",
    ),
    // Namespaces.
    (
        "namespace a { const N = 2; namespace b { struct s { int x; }; } struct t { b::s \
         y; }; } struct u { a::b::s z<a::N>; };",
        "const N = 2; struct s { int x; }; struct t { s y; }; struct u { s z<2>; };",
    ),
    // Programs.
    (
        "program P { version V { int A(int, string<4>, struct s) = 0x1; void B(unsigned \
         n, hyper) = 2; } = 1; version W { } = 3; } = 0x20000000; struct s { int x; };",
        "struct s { int x; }; program P { version V { int A(int, string<4>, s) = 1; void \
         B(unsigned int n, hyper) = 2; } = 1; version W { } = 3; } = 0x20000000;",
    ),
];

/// Conditions of cpp(1), and whether they hold.
const CONDITIONS: &[(&str, bool)] = &[
    ("1", true),
    ("0", false),
    ("ABSENT", false),
    ("SEVEN", true),
    ("SEVEN == 7 && SEVEN != 8", true),
    ("SEVEN < 7 || SEVEN >= 8", false),
    ("defined(SEVEN) && defined EMPTY && !defined(ABSENT)", true),
    ("!SEVEN", false),
    ("(SEVEN - 3) * 2 + 1 == 9", true),
    ("1 + 2 * 3 == 7", true),
    ("SEVEN / 2 == 3 && SEVEN % 2", true),
    (
        "(1 << 4 | 3) == 0x13 && (6 & ~2) == 4 && (5 ^ 1) == 4",
        true,
    ),
    ("-1 < 0", true),
];

#[test]
fn conditions_hold_as_those_of_the_preprocessor() {
    for (condition, holds) in CONDITIONS {
        let text = format!(
            "#define SEVEN 7\n#define EMPTY\n#if 0\nnot this\n#elif {condition}\n\
             struct yes {{ }};\n\
             #if 0\n#else\nstruct within {{ }};\n#endif\n#else\nstruct no {{ }};\n#endif\n"
        );
        let tree = Compiler::new().parse_text("t.x", &text);
        let tree = tree.unwrap_or_else(|wrong| panic!("{wrong}"));
        let names = ["yes", "within", "no"].map(|name| tree.find(name).is_some());
        assert_eq!(names, [*holds, *holds, !holds], "{condition}");
    }
}

#[test]
fn each_thing_of_the_dialect_stands_for_something_of_the_language() {
    for (dialect, language) in SAME {
        let said = canonical(dialect);
        let words: Vec<&str> = said.split_whitespace().collect();
        assert_eq!(words.join(" "), *language, "{dialect}");
    }
}
