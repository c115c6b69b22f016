//! A server's refusal, brought back to the lines that caused it.
//!
//! Reads the Status forms of `apimachinery`: strict decoding errors and type errors (400), field errors (422), apply
//! conflicts (409), and the `field not declared in schema` of an apply patch. What names no field stays a plain error.

use crate::{
    manifest::{Diagnostic, Document, FieldPath, path::Step},
    suggest::nearest,
};
use hypermesh_api::Status;
use serde_json::Value;

/// The names that a kind's schema knows at a place.
pub trait FieldNames {
    /// The fields that the object at `parent` may have; empty where that is not known.
    fn at(&self, parent: &FieldPath) -> Vec<String>;
}

/// A seam for callers that know no schema.
impl FieldNames for () {
    fn at(&self, _parent: &FieldPath) -> Vec<String> {
        Vec::new()
    }
}

/// One complaint about one field.
#[derive(Clone, Debug, PartialEq)]
struct Complaint {
    path: FieldPath,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Unknown,
    Twice,
    Conflict(String),
    Invalid(String),
}

/// The diagnostics of a refusal of `document`. Without a field in the refusal there is one, about the whole object.
pub fn explain(document: &Document, status: &Status, names: &dyn FieldNames) -> Vec<Diagnostic> {
    let complaints = complaints(status);
    if complaints.is_empty() {
        let title = format!("{}: {}", document.reference(), sentence(status));
        return vec![Diagnostic::at(&document.source, document.node.span, title)];
    }
    let mut diagnostics: Vec<Diagnostic> = complaints.iter().map(|c| show(document, c, names)).collect();
    if status.reason == "Conflict"
        && let Some(last) = diagnostics.last_mut()
    {
        last.help.push("another manager owns what is listed here; --force-conflicts takes it over".into());
    }
    diagnostics
}

/// Whether finding the names that a schema knows would make a better diagnostic.
pub fn wants_names(status: &Status) -> bool {
    complaints(status).iter().any(|c| c.what == What::Unknown)
}

/// Whether a refusal is about fields.
pub fn names_fields(status: &Status) -> bool {
    !complaints(status).is_empty()
}

/// Whether a refusal ends before values were judged: a field that nobody knows hides what else is wrong.
pub fn hides_others(status: &Status) -> bool {
    let complaints = complaints(status);
    !complaints.is_empty() && complaints.iter().all(|c| matches!(c.what, What::Unknown | What::Twice))
}

/// `the server refused it (Forbidden): …`, fit for a terminal.
pub fn sentence(status: &Status) -> String {
    let reason =
        if status.reason.is_empty() { format!("HTTP {}", status.code) } else { status.reason.clone() };
    crate::output::escape(&format!("the server refused it ({reason}): {}", status.message))
}

fn complaints(status: &Status) -> Vec<Complaint> {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    let from_causes: Vec<Complaint> = causes
        .filter(|c| !c.field.is_empty() && c.field != "<nil>" && !is_of_patch(c))
        .map(|cause| {
            let what = match cause.reason.as_str() {
                "FieldManagerConflict" => What::Conflict(cause.message.clone()),
                _ => What::Invalid(cause.message.clone()),
            };
            Complaint { path: FieldPath::parse(&cause.field), what }
        })
        .collect();
    if !from_causes.is_empty() {
        return from_causes;
    }
    // A patch is refused with all that it made of the object: what is wrong stands behind it.
    let message =
        status.message.rsplit_once("\": strict decoding error: ").map_or(&*status.message, |(_, why)| why);
    let mut found = quoted_after(message, "unknown field \"", What::Unknown);
    found.extend(quoted_after(message, "duplicate field \"", What::Twice));
    found.extend(undeclared(message));
    if found.is_empty() {
        found.extend(wrong_type(message));
    }
    found
}

/// Whether a cause is about a patch as a whole, which is no field of the object.
fn is_of_patch(cause: &hypermesh_api::Cause) -> bool {
    cause.field == "patch" && cause.message.contains("strict decoding error: ")
}

fn quoted_after(message: &str, marker: &str, what: What) -> Vec<Complaint> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(at) = rest.find(marker) {
        rest = &rest[at + marker.len()..];
        // Paths are printed with Go's %q: what is quoted inside is escaped.
        let mut end = None;
        let mut escaped = false;
        for (i, c) in rest.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(i);
                    break;
                }
                _ => {}
            }
        }
        let Some(end) = end else { break };
        let text: String =
            serde_json::from_str(&format!("\"{}\"", &rest[..end])).unwrap_or_else(|_| rest[..end].to_owned());
        let complaint = Complaint { path: FieldPath::parse(&text), what: what.clone() };
        if !found.contains(&complaint) {
            found.push(complaint);
        }
        rest = &rest[end + 1..];
    }
    found
}

/// `.spec.x: field not declared in schema`
fn undeclared(message: &str) -> Vec<Complaint> {
    let marker = ": field not declared in schema";
    message
        .match_indices(marker)
        .filter_map(|(at, _)| {
            let before = &message[..at];
            let start = before.rfind([' ', '\n']).map_or(0, |p| p + 1);
            let text = &before[start..];
            text.starts_with('.').then(|| Complaint { path: FieldPath::parse(text), what: What::Unknown })
        })
        .collect()
}

/// `json: cannot unmarshal string into Go struct field WorkloadSpec.spec.replicas of type int32`
fn wrong_type(message: &str) -> Option<Complaint> {
    let (before, after) = message.split_once(" into Go struct field ")?;
    let (field, kind) = after.split_once(" of type ")?;
    let value = before.rsplit("cannot unmarshal ").next()?;
    let (_, path) = field.split_once('.')?;
    let kind = kind.split([',', ' ', ';']).next().unwrap_or(kind);
    let kind = kind.rsplit('.').next().unwrap_or(kind);
    Some(Complaint {
        path: FieldPath::parse(path),
        what: What::Invalid(format!("expected {kind}, found {value}")),
    })
}

fn show(document: &Document, complaint: &Complaint, names: &dyn FieldNames) -> Diagnostic {
    let path = &complaint.path;
    let depth = path.steps().len();
    match &complaint.what {
        What::Unknown => {
            let (span, matched) = document.span_of(path);
            let diagnostic = Diagnostic::at(&document.source, span, format!("unknown field `{path}`"));
            let Some((parent, Step::Field(typed))) = path.split_last() else { return diagnostic };
            let known = names.at(&parent);
            match nearest(typed, known.iter().map(String::as_str)) {
                Some(near) if matched == depth => diagnostic.label(format!("did you mean `{near}`?")),
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None if known.is_empty() => diagnostic,
                None => diagnostic.help(format!("the fields here are {}", listed(&known))),
            }
        }
        What::Twice => {
            let (span, _) = document.span_of(path);
            Diagnostic::at(&document.source, span, format!("duplicate field `{path}`"))
        }
        What::Conflict(message) => {
            let (span, _) = document.span_of(path);
            Diagnostic::at(&document.source, span, format!("{path}: {message}"))
        }
        What::Invalid(message) => {
            let (span, matched) = document.value_span_of(path);
            let diagnostic = Diagnostic::at(&document.source, span, format!("{path}: {message}"));
            let diagnostic = if matched == depth {
                match quoting_hint(document, path, message) {
                    Some(hint) => diagnostic.label(hint),
                    None => diagnostic,
                }
            } else {
                // The field is not in the manifest: the caret shows what would hold it.
                let (span, _) = document.span_of(path);
                Diagnostic::at(&document.source, span, format!("{path}: {message}"))
            };
            match supported(message) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic,
            }
        }
    }
}

/// A boolean or number where text was wanted is mostly a matter of quotes.
fn quoting_hint(document: &Document, path: &FieldPath, message: &str) -> Option<String> {
    let value = document.node.locate(path).node.to_value();
    let wants_text = message.contains("expected string") || message.contains("must be of type string");
    match value {
        Value::Bool(_) | Value::Number(_) if wants_text => {
            let span = document.node.locate(path).node.span;
            let written = document.source.text.get(span.start..span.end).map(str::trim).unwrap_or_default();
            Some(format!("write it in quotes: \"{written}\""))
        }
        _ => None,
    }
}

/// `Unsupported value: "Privat": supported values: "Private", "Public"`
fn supported(message: &str) -> Option<String> {
    let rest = message.strip_prefix("Unsupported value: ")?;
    let (typed, values) = rest.split_once(": supported values: ")?;
    let typed: String = serde_json::from_str(typed).ok()?;
    let values: Vec<String> = values.split(", ").filter_map(|v| serde_json::from_str(v).ok()).collect();
    nearest(&typed, values.iter().map(String::as_str)).map(str::to_owned)
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(String::as_str).collect();
    let rest = names.len().saturating_sub(MOST);
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
