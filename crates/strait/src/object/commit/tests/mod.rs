//! Models of the commit protocol.

mod actor;
mod commit;
mod death;
pub(crate) mod explore;
pub(crate) mod flaw;
mod sleep;
pub(crate) mod tape;
mod world;

use explore::{Model, World};

/// Whether the long forms are asked for: `cargo xtask models`.
pub(crate) fn long() -> bool {
    std::env::var_os("STRAIT_MODELS").is_some_and(|form| form == "long")
}

/// Explores it all; no promise may be broken.
pub(crate) fn sound<W: World>(name: &str, model: &Model<W>) {
    let begin = std::time::Instant::now();
    let report = model.explore();
    println!("model {name}: {report}, {:.1?}", begin.elapsed());
    if let Some(wound) = report.wound {
        panic!("{name}:\n{wound}");
    }
}

/// With this defect seeded a promise must be broken.
pub(crate) fn red<W: World>(flaw: &'static str, model: &Model<W>) {
    let report = flaw::seeded(flaw, || model.explore());
    let wound = report.wound.as_deref();
    let why = wound.and_then(|wound| wound.rsplit_once("=> "));
    println!(
        "model with {flaw:?}: {report}: {}",
        why.map_or("nothing broken", |(_, why)| why)
    );
    if std::env::var_os("STRAIT_MODELS").is_some() {
        println!("{}", wound.unwrap_or_default());
    }
    assert!(wound.is_some(), "no model notices {flaw:?}");
}

/// With this change no promise is broken: it would be as good.
pub(crate) fn harmless<W: World>(change: &'static str, model: &Model<W>) {
    flaw::seeded(change, || sound(change, model));
}
