//! What a column shows, read from its `jsonPath`.
//!
//! Columns of user-defined kinds are plain JSON paths, as in a CustomResourceDefinition. `kubectl get` shows cells of
//! built-in kinds that are computed: how many keys a Secret has, what an Event is about. Those are written as one call
//! over paths, so that a built-in kind stays data:
//!
//! | call | shows | an absent path |
//! |---|---|---|
//! | `count(p, …)` | the number of members of the maps and lists, summed | counts 0 |
//! | `first(p, …)` | the first value that is present, not null and not empty | is passed over |
//! | `join(p, …)` | the values with `/` between them | is the empty text |
//! | `reference(kind, name)` | the kind in lower case, `/`, the name | is the empty text |
//! | `list(p)` | all values of the path, with `, ` between them | is the empty text |
//! | `duration(p)` | a number of seconds, for people | is `<none>` |
//! | `approval(types, certificate)` | `Denied`, `Approved` or `Pending`, then `,Failed` and `,Issued` | is not there |
//! | `list(p, q)` | pairs of the paths' values, `/` in a pair, `, ` between pairs | ends the list |
//!
//! A plain path always starts with `.`, so the two cannot be taken for each other.

use std::fmt;

/// What a column shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'p> {
    /// The first value of the path.
    Path(&'p str),
    /// The number of members of all values.
    Count(Vec<&'p str>),
    /// The first value that is present, not null and not empty.
    First(Vec<&'p str>),
    /// The values with `/` between them.
    Join(Vec<&'p str>),
    /// A kind in lower case, `/`, a name.
    Reference {
        /// Path of the kind.
        kind: &'p str,
        /// Path of the name.
        name: &'p str,
    },
    /// All values of one path, or pairs of the values of two.
    List {
        /// Path of the values.
        values: &'p str,
        /// Path of what follows each after `/`.
        with: Option<&'p str>,
    },
    /// Seconds, for people.
    Duration(&'p str),
    /// What became of a CertificateSigningRequest.
    Approval {
        /// Path of the types of its conditions.
        types: &'p str,
        /// Path of its certificate.
        certificate: &'p str,
    },
}

/// A `jsonPath` that is neither a path nor a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCell {
    /// The text.
    pub text: String,
}

impl fmt::Display for InvalidCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither a path nor one of approval, count, duration, first, join, list and reference over paths",
            self.text
        )
    }
}

impl std::error::Error for InvalidCell {}

impl<'p> Cell<'p> {
    /// Reads a column's `jsonPath`.
    pub fn parse(text: &'p str) -> Result<Self, InvalidCell> {
        if text.starts_with('.') {
            return Ok(Self::Path(text));
        }
        Self::call(text).ok_or_else(|| InvalidCell { text: text.to_owned() })
    }

    /// The paths that it reads.
    pub fn paths(&self) -> Vec<&'p str> {
        match self {
            Self::Path(path) | Self::Duration(path) => vec![path],
            Self::Approval { types, certificate } => vec![types, certificate],
            Self::Count(paths) | Self::First(paths) | Self::Join(paths) => paths.clone(),
            Self::Reference { kind, name } => vec![kind, name],
            Self::List { values, with } => std::iter::once(*values).chain(*with).collect(),
        }
    }

    fn call(text: &'p str) -> Option<Self> {
        let (function, arguments) = text.strip_suffix(')')?.split_once('(')?;
        let paths: Vec<&str> = arguments.split(',').map(str::trim).collect();
        if !paths.iter().all(|path| path.starts_with('.')) {
            return None;
        }
        match (function, paths.as_slice()) {
            ("count", _) => Some(Self::Count(paths)),
            ("first", _) => Some(Self::First(paths)),
            ("join", _) => Some(Self::Join(paths)),
            ("reference", &[kind, name]) => Some(Self::Reference { kind, name }),
            ("duration", &[path]) => Some(Self::Duration(path)),
            ("approval", &[types, certificate]) => Some(Self::Approval { types, certificate }),
            ("list", &[values]) => Some(Self::List { values, with: None }),
            ("list", &[values, with]) => Some(Self::List { values, with: Some(with) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_calls_are_told_apart() {
        let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
        assert_eq!(Cell::parse(ready), Ok(Cell::Path(ready)));
        assert_eq!(Cell::parse("count(.data, .binaryData)"), Ok(Cell::Count(vec![".data", ".binaryData"])));
        assert_eq!(
            Cell::parse("reference(.a.kind,.a.name)"),
            Ok(Cell::Reference { kind: ".a.kind", name: ".a.name" })
        );
        let users = r#".subjects[?(@.kind=="User")].name"#;
        let list = format!("list({users})");
        assert_eq!(Cell::parse(&list), Ok(Cell::List { values: users, with: None }));
        assert_eq!(Cell::parse("list(.a, .b)").map(|cell| cell.paths()), Ok(vec![".a", ".b"]));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "spec.color",
            "count()",
            "count(data)",
            "count(.data",
            "size(.data)",
            "reference(.a)",
            "list(.a,.b,.c)",
            "first(.a,)",
        ] {
            let error = Cell::parse(text).unwrap_err();
            assert_eq!(error.text, text);
        }
    }
}
