//! Interface definitions: what anyone may hand to the compiler.

use strait_idl::onc::Compiler;

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
