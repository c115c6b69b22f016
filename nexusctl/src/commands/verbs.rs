//! The verbs that rights are about: those that a server's requests come to.

use crate::{session::Session, suggest::nearest};

/// What can be asked of objects. `use`, `bind`, `escalate` and `impersonate` are asked of some kinds only.
pub(crate) const OF_OBJECTS: [&str; 15] = [
    "*",
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
    "approve",
    "sign",
];
/// What can be asked of paths.
pub(crate) const OF_PATHS: [&str; 8] = ["*", "get", "post", "put", "delete", "patch", "head", "options"];

/// A verb that nobody asks for is mostly a mistyped one; it is allowed, since kinds may have verbs of their own.
pub(crate) fn doubt<'v>(given: impl IntoIterator<Item = &'v String>, known: &[&str], session: &mut Session) {
    for verb in given.into_iter().filter(|verb| !known.contains(&verb.as_str())) {
        let near = nearest(verb, known.iter().copied()).map(|near| format!("; did you mean {near:?}?"));
        session.note(&format!("Warning: {verb:?} is no usual verb{}", near.unwrap_or_default()));
    }
}
