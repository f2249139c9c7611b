//! Code, comments and literals are told apart.

use crate::tidy::lex::{Kind, keep, kinds, tokens};

#[track_caller]
fn code(text: &str, expected: &[&str]) {
    let code = keep(text, &kinds(text), Kind::Code);
    assert_eq!(code.len(), text.len());
    let found: Vec<&str> = tokens(&code).iter().map(|token| token.text).collect();
    assert_eq!(found, expected);
}

#[test]
fn comments() {
    code("a // b\nc", &["a", "c"]);
    code("a /* b /* c */ d */ e", &["a", "e"]);
    code("a /**/ b /*/ c */ d", &["a", "b", "d"]);
    code("a / b", &["a", "/", "b"]);
}

#[test]
fn strings() {
    code(r#"a "b \" // c" d"#, &["a", "d"]);
    code(r##"a r#"b " c"# d"##, &["a", "d"]);
    code(r#"a r"\" b"#, &["a", "b"]);
    code(r#"a br"x" cr"y" b"z" c"w" b'v' c"#, &["a", "c"]);
    code("a \"é\n\" b", &["a", "b"]);
    code("a \"never closed", &["a"]);
}

#[test]
fn characters_and_lifetimes() {
    code(
        r"'a' b '\'' c '\\' d '\u{e9}' e 'é' f '🦀' g '\x7f'",
        &["b", "c", "d", "e", "f", "g"],
    );
    code("'\"' a", &["a"]);
    code(
        "f::<'a>(&'b c)",
        &[
            "f", ":", ":", "<", "'", "a", ">", "(", "&", "'", "b", "c", ")",
        ],
    );
}

#[test]
fn words() {
    code("r#type 1u8 x_1 é", &["r", "#", "type", "1u8", "x_1", "é"]);
    code(
        "for r in 0..9 {}",
        &["for", "r", "in", "0", ".", ".", "9", "{", "}"],
    );
}
