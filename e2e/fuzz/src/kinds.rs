//! The kinds that every cluster serves, compiled once.

use hypermesh_pipeline::{Kind, Registry};
use std::sync::{Arc, LazyLock};

static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::compile(hypermesh_schemas::definitions()).expect("the kinds compile"));

/// One of them, chosen by `byte`.
pub(crate) fn by(byte: u8) -> &'static Arc<Kind> {
    let count = REGISTRY.iter().count();
    REGISTRY.iter().nth(usize::from(byte) % count).expect("there are kinds")
}
