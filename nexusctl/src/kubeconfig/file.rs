//! One kubeconfig file, and several merged.
//!
//! Values keep their places, so that a fault found later can still be pointed at.

use crate::{
    bounded,
    kubeconfig::error::{Error, Place},
    manifest::{
        node::{Content, Node, Span},
        yaml,
    },
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// The fields of a file, and of the mappings in it that are read (`k8s.io/client-go/tools/clientcmd/api/v1`).
const FIELDS: [(&str, &[&str]); 5] = [
    (
        "",
        &[
            "kind",
            "apiVersion",
            "preferences",
            "clusters",
            "users",
            "contexts",
            "current-context",
            "extensions",
        ],
    ),
    (
        "cluster",
        &[
            "server",
            "tls-server-name",
            "insecure-skip-tls-verify",
            "certificate-authority",
            "certificate-authority-data",
            "proxy-url",
            "disable-compression",
            "extensions",
        ],
    ),
    ("context", &["cluster", "user", "namespace", "extensions"]),
    (
        "user",
        &[
            "client-certificate",
            "client-certificate-data",
            "client-key",
            "client-key-data",
            "token",
            "tokenFile",
            "as",
            "as-uid",
            "as-groups",
            "as-user-extra",
            "username",
            "password",
            "auth-provider",
            "exec",
            "extensions",
        ],
    ),
    (
        "user.exec",
        &[
            "command",
            "args",
            "env",
            "apiVersion",
            "installHint",
            "provideClusterInfo",
            "interactiveMode",
            "stdinUnavailable",
            "stdinUnavailableMessage",
        ],
    ),
];
/// How far a field may be from what was meant, in letters.
const SLIP: usize = 2;
/// Fields shorter than this are near to too much.
const SHORT: usize = 5;

/// The largest kubeconfig that is read, in bytes.
pub(super) const LARGEST: u64 = 16 << 20;

/// One file, read.
#[derive(Clone, Debug)]
pub struct File {
    path: PathBuf,
    root: Node,
}

/// A named entry (`clusters[0]`), with all that is needed to read its fields and to say where they stand.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    file: &'a File,
    /// `clusters[0].cluster`
    field: &'static str,
    index: usize,
    inner: &'static str,
    /// The mapping under `cluster`, `context` or `user`.
    node: &'a Node,
}

/// A text field and its place.
#[derive(Clone, Debug)]
pub struct Text<'a> {
    /// The text.
    pub value: &'a str,
    /// Its place.
    pub place: Place,
}

impl File {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let text = bounded::text(path, LARGEST).map_err(unreadable)?;
        Self::parse(path, &text)
    }

    /// Reads a text that stands in the file `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let mut documents = yaml::parse(text).map_err(|error| {
            let span = error.span.unwrap_or(Span { line: 1, column: 1, ..Span::default() });
            let message = match error.help {
                Some(help) => format!("{} ({help})", error.message),
                None => error.message,
            };
            Error::Syntax { file: path.to_owned(), line: span.line, column: span.column, message }
        })?;
        if documents.len() > 1 {
            let span = documents[1].span;
            return Err(Error::Syntax {
                file: path.to_owned(),
                line: span.line,
                column: span.column,
                message: "a kubeconfig is one document".into(),
            });
        }
        let empty =
            Node { span: Span { line: 1, column: 1, ..Span::default() }, content: Content::Map(Vec::new()) };
        let root = documents.pop().unwrap_or(empty);
        let file = Self { path: path.to_owned(), root };
        if !matches!(file.root.content, Content::Map(_)) {
            return Err(file.fault(
                file.root.span,
                "kubeconfig".into(),
                format!("must be a mapping; this is {}", file.root.type_name()),
            ));
        }
        for (field, wanted) in [("kind", "Config"), ("apiVersion", "v1")] {
            if let Some(text) = file.text(&file.root, field, field.into())?
                && text.value != wanted
            {
                let message = format!("must be {wanted:?}; this is {:?}", text.value);
                return Err(Error::Field { place: text.place, message });
            }
        }
        Ok(file)
    }

    fn fault(&self, span: Span, field: String, message: String) -> Error {
        Error::Field { place: self.place(span, field), message }
    }

    fn place(&self, span: Span, field: String) -> Place {
        Place { file: self.path.clone(), line: span.line, column: span.column, field }
    }

    fn text<'a>(&self, node: &'a Node, key: &str, field: String) -> Result<Option<Text<'a>>, Error> {
        let Some(found) = node.get(key) else { return Ok(None) };
        match &found.content {
            Content::Null => Ok(None),
            Content::String(value) if value.is_empty() => Ok(None),
            Content::String(value) => Ok(Some(Text { value, place: self.place(found.span, field) })),
            content => {
                let quotes = match content {
                    Content::Bool(_) | Content::Number(_) => ": write it in quotes",
                    _ => "",
                };
                let message = format!("must be a string; this is {}{quotes}", found.type_name());
                Err(self.fault(found.span, field, message))
            }
        }
    }

    /// Refuses a field that nobody reads and that is spelt nearly like one that is: left out of account, it would be
    /// missed only where its lack is told as something else. Other unknown fields are somebody else's.
    fn check_fields(&self, node: &Node, of: &str, path: &str) -> Result<(), Error> {
        let Content::Map(entries) = &node.content else { return Ok(()) };
        let known = FIELDS.iter().find(|(name, _)| *name == of).map_or(&[][..], |(_, fields)| fields);
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            if let Some(meant) = known.iter().find(|field| is_slip(&entry.key, field)) {
                let field = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                let field = crate::output::escape_line(&field);
                return Err(self.fault(
                    entry.key_span,
                    field,
                    format!("is no field here; did you mean {meant:?}?"),
                ));
            }
        }
        Ok(())
    }

    /// `current-context`
    fn current_context(&self) -> Result<Option<Text<'_>>, Error> {
        self.text(&self.root, "current-context", "current-context".into())
    }

    /// Whether a list of entries can be read at all.
    pub fn check(&self, list: &'static str, inner: &'static str) -> Result<(), Error> {
        self.entries(list, inner).map(drop)
    }

    fn entries(&self, list: &'static str, inner: &'static str) -> Result<Vec<(&str, Named<'_>)>, Error> {
        let Some(node) = self.root.get(list) else { return Ok(Vec::new()) };
        let items = match &node.content {
            Content::Null => return Ok(Vec::new()),
            Content::List(items) => items,
            _ => {
                return Err(self.fault(
                    node.span,
                    list.into(),
                    format!("must be a list; this is {}", node.type_name()),
                ));
            }
        };
        let mut found = Vec::with_capacity(items.len());
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if !matches!(item.content, Content::Map(_)) {
                let message =
                    format!("must be a mapping of `name` and `{inner}`; this is {}", item.type_name());
                return Err(self.fault(item.span, format!("{list}[{index}]"), message));
            }
            let name = self.text(item, "name", format!("{list}[{index}].name"))?;
            let Some(name) = name else {
                return Err(self.fault(item.span, format!("{list}[{index}].name"), "is missing".into()));
            };
            let Some(node) = item.get(inner) else {
                return Err(self.fault(item.span, format!("{list}[{index}].{inner}"), "is missing".into()));
            };
            if !matches!(node.content, Content::Map(_) | Content::Null) {
                let message = format!("must be a mapping; this is {}", node.type_name());
                return Err(self.fault(node.span, format!("{list}[{index}].{inner}"), message));
            }
            if let Some(line) = lines.insert(name.value, item.span.line) {
                let message = format!(
                    "there is a {inner} {:?} already, on line {line}: one of the two has to go",
                    name.value
                );
                return Err(Error::Field { place: name.place, message });
            }
            found.push((name.value, Named { file: self, field: list, index, inner, node }));
        }
        Ok(found)
    }
}

impl<'a> Named<'a> {
    fn path(&self, key: &str) -> String {
        format!("{}[{}].{}.{key}", self.field, self.index, self.inner)
    }

    /// A text field.
    pub fn text(&self, key: &str) -> Result<Option<Text<'a>>, Error> {
        self.file.text(self.node, key, self.path(key))
    }

    /// A text field that must be there.
    pub fn required(&self, key: &str) -> Result<Text<'a>, Error> {
        self.text(key)?.ok_or_else(|| self.fault(key, "is missing".into()))
    }

    /// A boolean field; absent is false.
    pub fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.node.get(key).map(|n| (&n.content, n)) {
            None | Some((Content::Null, _)) => Ok(false),
            Some((Content::Bool(value), _)) => Ok(*value),
            Some((_, node)) => {
                Err(self.fault(key, format!("must be true or false; this is {}", node.type_name())))
            }
        }
    }

    /// The mapping under a field, as a thing of its own; `inner` is its path below the entry.
    pub fn section(&self, key: &str, inner: &'static str) -> Result<Option<Self>, Error> {
        let Some(node) = self.node.get(key).filter(|node| node.content != Content::Null) else {
            return Ok(None);
        };
        if !matches!(node.content, Content::Map(_)) {
            return Err(self.fault(key, format!("must be a mapping; this is {}", node.type_name())));
        }
        Ok(Some(Self { inner, node, ..*self }))
    }

    /// A list of mappings of `name` and `value`.
    pub fn pairs(&self, key: &str) -> Result<Vec<(String, String)>, Error> {
        let wrong =
            || self.fault(key, "must be a list of mappings of `name` and `value`, both strings".into());
        let text = |item: &Node, part: &str| item.get(part).and_then(Node::as_str).map(str::to_owned);
        match self.node.get(key).map(|n| &n.content) {
            None | Some(Content::Null) => Ok(Vec::new()),
            Some(Content::List(items)) => items
                .iter()
                .map(|item| text(item, "name").zip(text(item, "value")).ok_or_else(wrong))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        let wrong = || self.fault(key, "must be a list of strings".into());
        match self.node.get(key).map(|n| &n.content) {
            None | Some(Content::Null) => Ok(Vec::new()),
            Some(Content::List(items)) => {
                items.iter().map(|i| i.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    /// What the entry's extension of this name holds.
    pub fn extension(&self, name: &str) -> Option<&'a Node> {
        let Content::List(extensions) = &self.node.get("extensions")?.content else { return None };
        extensions.iter().find(|e| e.get("name").and_then(Node::as_str) == Some(name))?.get("extension")
    }

    /// Whether a field is there at all. An empty text is as good as none.
    pub fn has(&self, key: &str) -> bool {
        let nothing = |content: &Content| {
            *content == Content::Null || matches!(content, Content::String(s) if s.is_empty())
        };
        self.node.get(key).is_some_and(|node| !nothing(&node.content))
    }

    /// Refuses fields that are spelt nearly like one that is read.
    pub fn check_fields(&self) -> Result<(), Error> {
        let path = format!("{}[{}].{}", self.field, self.index, self.inner);
        self.file.check_fields(self.node, self.inner, &path)
    }

    /// A fault at a field.
    pub fn fault(&self, key: &str, message: String) -> Error {
        let span = self.node.get(key).map_or(self.node.span, |n| n.span);
        self.file.fault(span, self.path(key), message)
    }

    /// Where the kubeconfig lies: what its fields name is relative to that.
    pub fn folder(&self) -> &'a Path {
        self.file.path.parent().unwrap_or(Path::new("."))
    }

    /// A file named in a field, relative to the kubeconfig that names it.
    pub fn resolve_path(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }
}

/// Several files as one: for each name, and for the current context, the first file that sets it wins.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    files: Vec<File>,
}

impl Merged {
    /// Merges files, the first winning.
    pub fn new(files: Vec<File>) -> Self {
        Self { files }
    }

    /// The files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Refuses fields of the files that are spelt nearly like one that is read.
    pub fn check_fields(&self) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| file.check_fields(&file.root, "", ""))
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// `current-context`.
    pub fn current_context(&self) -> Result<Option<Text<'_>>, Error> {
        for file in &self.files {
            if let Some(text) = file.current_context()? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The entry `name` of `clusters`, `contexts` or `users`; the error lists the names that there are.
    pub fn entry(&self, what: &'static str, name: &str, by: Option<String>) -> Result<Named<'_>, Error> {
        let list = match what {
            "cluster" => "clusters",
            "context" => "contexts",
            _ => "users",
        };
        let mut known = Vec::new();
        for file in &self.files {
            for (found, entry) in file.entries(list, what)? {
                if found == name {
                    return Ok(entry);
                }
                if !known.iter().any(|k| k == found) {
                    known.push(found.to_owned());
                }
            }
        }
        Err(Error::Unknown { what, name: name.to_owned(), known, by })
    }

    /// The names of all contexts.
    pub fn contexts(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        for file in &self.files {
            names.extend(file.entries("contexts", "context")?.into_iter().map(|(name, _)| name.to_owned()));
        }
        Ok(names)
    }
}

/// Whether a field may have been meant as another: two letters of it are wrong, or `_` stands for `-`.
fn is_slip(typed: &str, field: &str) -> bool {
    let bare = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    // Longer than any field by more than that is none of them, and distance is quadratic.
    field.len() >= SHORT
        && typed.len() <= field.len() + SLIP
        && (bare(typed) == bare(field) || strsim::osa_distance(typed, field) <= SLIP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_keyboard_and_what_is_something_else() {
        for (typed, field) in [
            ("sever", "server"),
            ("certificate_authority_data", "certificate-authority-data"),
            ("certificate-authorty-data", "certificate-authority-data"),
            ("token-file", "tokenFile"),
            ("clientKeyData", "client-key-data"),
        ] {
            assert!(is_slip(typed, field), "{typed}");
        }
        for (typed, field) in [
            ("aws", "as"),
            ("colour", "user"),
            ("id", "kind"),
            ("provider", "server"),
            (&"x".repeat(100_000), "server"),
        ] {
            assert!(!is_slip(typed, field), "{typed}");
        }
    }
}
