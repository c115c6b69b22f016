//! Objects as they stand in manifests: each with its source, its place, and the few fields that every object has.
//!
//! A manifest that passes here has an apiVersion, a kind and a name of the right types; whether a kind exists and its
//! fields are right is known to the server.

use crate::manifest::{
    diagnostic::{Diagnostic, Source},
    node::{Content, Entry, Node, Span},
    path::FieldPath,
    yaml,
};
use serde_json::Value;
use std::sync::Arc;

/// The largest object that a server takes, in bytes of JSON.
pub const LARGEST_OBJECT: usize = 3 << 20;
/// How deep `v1` Lists may hold one another.
const DEEPEST_LIST: usize = 4;

/// One object of a manifest.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text that it stands in.
    pub source: Arc<Source>,
    /// The object with its places.
    pub node: Node,
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata.name`; empty where only `metadata.generateName` is given.
    pub name: String,
    /// `metadata.namespace`, if it is given.
    pub namespace: Option<String>,
}

/// Who names an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Its manifest.
    Required,
    /// Its manifest, or the server, after `metadata.generateName`.
    Generated,
}

/// Reads the objects of all sources. One fault in any of them and there are none: the faults are told together.
pub fn documents(sources: &[Arc<Source>]) -> Result<Vec<Document>, Vec<Diagnostic>> {
    named(sources, Naming::Required)
}

/// Reads the objects of all sources, as [`documents`] does.
pub fn named(sources: &[Arc<Source>], naming: Naming) -> Result<Vec<Document>, Vec<Diagnostic>> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for source in sources {
        let json = if source.name.ends_with(".json") { super::json::check(&source.text) } else { Ok(()) };
        match json.and_then(|()| yaml::parse(&source.text)) {
            Ok(nodes) => {
                for node in nodes {
                    collect(source, node, (0, naming), &mut found, &mut faults);
                }
            }
            Err(error) => faults.push(syntax(source, error)),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// What is wrong with a text that is no YAML.
pub(crate) fn syntax(source: &Arc<Source>, error: yaml::SyntaxError) -> Diagnostic {
    let mut diagnostic = match error.span {
        Some(span) => Diagnostic::at(source, span, error.message),
        None => Diagnostic::plain(format!("{}: {}", source.name, error.message)),
    };
    if let Some(first) = error.first {
        diagnostic = diagnostic.also(first, "it stands here first");
    }
    diagnostic.help.extend(error.help.map(str::to_owned));
    diagnostic
}

fn collect(
    source: &Arc<Source>,
    node: Node,
    (depth, naming): (usize, Naming),
    found: &mut Vec<Document>,
    faults: &mut Vec<Diagnostic>,
) {
    if !matches!(node.content, Content::Map(_)) {
        let title = format!("a manifest is a mapping with apiVersion and kind; this is {}", node.type_name());
        faults.push(Diagnostic::at(source, node.span, title));
        return;
    }
    let (kind, api_version) = (text(source, &node, &["kind"]), text(source, &node, &["apiVersion"]));
    let (kind, api_version) = match (kind, api_version) {
        (Ok(kind), Ok(api_version)) => (kind, api_version),
        (kind, api_version) => {
            faults.extend(kind.err());
            faults.extend(api_version.err());
            return;
        }
    };
    if api_version == "v1" && kind == "List" {
        let items = node.get("items").map(|n| &n.content);
        match items {
            Some(Content::List(items)) if depth < DEEPEST_LIST => {
                for item in items {
                    collect(source, item.clone(), (depth + 1, naming), found, faults);
                }
            }
            Some(Content::List(_)) => {
                faults.push(Diagnostic::at(source, node.span, "lists within lists within lists"));
            }
            None | Some(Content::Null) => {}
            Some(_) => faults.push(Diagnostic::at(source, node.span, "the items of a List must be a list")),
        }
        return;
    }
    match identify(source, &node, naming) {
        Ok((name, namespace)) => {
            let document = Document { source: Arc::clone(source), node, api_version, kind, name, namespace };
            let size = document.object().to_string().len();
            if size > LARGEST_OBJECT {
                let title = format!(
                    "{} is {size} bytes of JSON; an object has at most {LARGEST_OBJECT}",
                    document.reference()
                );
                faults.push(Diagnostic::at(source, document.node.span, title));
            } else {
                found.push(document);
            }
        }
        Err(fault) => faults.push(fault),
    }
}

fn identify(
    source: &Arc<Source>,
    node: &Node,
    naming: Naming,
) -> Result<(String, Option<String>), Diagnostic> {
    let metadata = node.get("metadata");
    if let Some(metadata) = metadata
        && !matches!(metadata.content, Content::Map(_) | Content::Null)
    {
        let title = format!("metadata must be a mapping; this is {}", metadata.type_name());
        return Err(Diagnostic::at(source, metadata.span, title));
    }
    let field = |name: &str| metadata.and_then(|m| m.get(name)).filter(|n| n.content != Content::Null);
    let namespace = field("namespace").map(|_| text(source, node, &["metadata", "namespace"])).transpose()?;
    let name = match field("name") {
        Some(_) => text(source, node, &["metadata", "name"])?,
        None => String::new(),
    };
    let generated = naming == Naming::Generated && field("generateName").is_some();
    if name.is_empty() && !generated {
        let span = metadata.map_or(node.span, |_| node.entry("metadata").map_or(node.span, |e| e.key_span));
        if let Some(fault) =
            metadata.map_or_else(|| mistyped(source, node, "metadata"), |m| mistyped(source, m, "name"))
        {
            return Err(fault);
        }
        let title = if field("generateName").is_some() {
            "metadata.generateName cannot be applied: an object is applied to one that has a name"
        } else {
            "metadata.name is missing"
        };
        return Err(Diagnostic::at(source, span, title));
    }
    for (what, value) in [("metadata.name", Some(&name)), ("metadata.namespace", namespace.as_ref())] {
        if let Some(value) = value
            && (value.contains(['/', '%'])
                || value == "."
                || value == ".."
                || value.chars().any(char::is_control))
        {
            let span = node.locate(&FieldPath::parse(what)).node.span;
            return Err(Diagnostic::at(source, span, format!("{what}: {value:?} cannot be a name")));
        }
    }
    Ok((name, namespace))
}

fn text(source: &Arc<Source>, node: &Node, path: &[&str]) -> Result<String, Diagnostic> {
    let dotted = path.join(".");
    let found = path.iter().try_fold(node, |node, key| node.get(key));
    match found.map(|n| (&n.content, n.span)) {
        Some((Content::String(s), _)) if !s.is_empty() => Ok(s.clone()),
        Some((Content::String(_), span)) => Err(Diagnostic::at(source, span, format!("{dotted} is empty"))),
        Some((Content::Null, _)) | None => Err(missing(source, node, &dotted)),
        Some((other, span)) => {
            let written = Node { span, content: other.clone() };
            let fault = format!("{dotted} must be a string; this is {}", written.type_name());
            let diagnostic = Diagnostic::at(source, span, fault);
            Err(match other {
                Content::Bool(_) | Content::Number(_) => {
                    let raw = source.text.get(span.start..span.end).unwrap_or_default().trim();
                    diagnostic.label(format!("write it in quotes: \"{raw}\""))
                }
                _ => diagnostic,
            })
        }
    }
}

fn missing(source: &Arc<Source>, node: &Node, dotted: &str) -> Diagnostic {
    let title = format!("{dotted} is missing");
    match near(node, dotted) {
        Some(entry) => {
            Diagnostic::at(source, entry.key_span, title).label(format!("did you mean `{dotted}`?"))
        }
        None => Diagnostic::at(source, node.span, title),
    }
}

/// A key that stands where `field` should, and is nearly it.
fn mistyped(source: &Arc<Source>, node: &Node, field: &str) -> Option<Diagnostic> {
    let entry = near(node, field)?;
    let fault = Diagnostic::at(source, entry.key_span, format!("unknown field `{}`", entry.key));
    Some(fault.label(format!("did you mean `{field}`?")))
}

/// The key of a mapping that is nearest to a name that the mapping lacks.
fn near<'n>(node: &'n Node, name: &str) -> Option<&'n Entry> {
    let Content::Map(entries) = &node.content else { return None };
    let near = crate::suggest::nearest(name, entries.iter().map(|e| e.key.as_str()))?;
    node.entry(near)
}

impl Document {
    /// The plain object.
    pub fn object(&self) -> Value {
        self.node.to_value()
    }

    /// `Workload "web"`, for people.
    pub fn reference(&self) -> String {
        format!("{} {:?}", self.kind, self.name)
    }

    /// Whether a line of a source is part of it.
    pub fn holds(&self, source: &Arc<Source>, line: usize) -> bool {
        Arc::ptr_eq(source, &self.source) && (self.node.span.line..=self.node.last_line()).contains(&line)
    }

    /// `web.yaml:3:1`, for people.
    pub fn place(&self) -> String {
        format!("{}:{}:{}", self.source.name, self.node.span.line, self.node.span.column)
    }

    /// The place of a field: of its key where the field is there, else of the nearest thing that would hold it.
    /// The number says how many steps of the path were found.
    pub fn span_of(&self, path: &FieldPath) -> (Span, usize) {
        let located = self.node.locate(path);
        (located.key_span.unwrap_or(located.node.span), located.matched)
    }

    /// The place of a field's value.
    pub fn value_span_of(&self, path: &FieldPath) -> (Span, usize) {
        let located = self.node.locate(path);
        (located.node.span, located.matched)
    }

    /// The names of `group/version`; the core group's is empty.
    pub fn group_version(&self) -> (&str, &str) {
        self.api_version.split_once('/').unwrap_or(("", &self.api_version))
    }
}
