//! Tests.
use strait_idl::onc::Compiler;
#[test]
fn peers() { for f in std::env::args().skip(2) { match Compiler::new().parse(&f) { Ok(s) => println!("ok {f} {} {}", s.types.len(), s.constants.len()), Err(e) => println!("{e}") } } for d in ["/usr/include/rpcsvc", "/usr/include/tirpc/rpc"] { for f in std::fs::read_dir(d).unwrap() { let f = f.unwrap().path(); if f.extension().is_some_and(|e| e == "x") { match Compiler::new().parse(&f) { Ok(s) => println!("ok {f:?} {} {}", s.types.len(), s.constants.len()), Err(e) => println!("{e}") } } } } }
