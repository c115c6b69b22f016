//! Manifests matched with what a server serves: where each object goes. Pure; all faults are told together.

use crate::{
    convert,
    discovery::{Discovery, Resource, UnknownKind},
    manifest::{Diagnostic, Document, FieldPath},
    shell,
};

/// An object, its kind and its namespace.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The object.
    pub document: Document,
    /// Its kind.
    pub resource: Resource,
    /// Its namespace; meaningless for a kind without.
    pub namespace: String,
}

/// Places every object. `default` is the namespace meant where none is named; `required` the one that a flag names.
pub fn place(
    documents: Vec<Document>,
    discovery: &Discovery,
    default: &str,
    required: Option<&str>,
) -> Result<Vec<Placed>, Vec<Diagnostic>> {
    let (mut placed, mut faults) = (Vec::new(), Vec::new());
    for document in documents {
        let resource = match discovery.kind(&document.api_version, &document.kind) {
            Ok(resource) => resource.clone(),
            Err(unknown) => {
                faults.push(unknown_kind(&document, unknown, Judge::Server));
                continue;
            }
        };
        match (&document.namespace, required) {
            (Some(written), Some(required)) if resource.namespaced && written != required => {
                let (span, _) = document.value_span_of(&FieldPath::parse("metadata.namespace"));
                let title =
                    format!("the manifest's namespace is {written:?}, the command line's {required:?}");
                let help = format!("leave one of them out, or pass --namespace={written}");
                faults.push(Diagnostic::at(&document.source, span, title).help(help));
                continue;
            }
            _ => {}
        }
        let namespace = document.namespace.clone().unwrap_or_else(|| default.to_owned());
        placed.push(Placed { document, resource, namespace });
    }
    if faults.is_empty() { Ok(placed) } else { Err(faults) }
}

/// Who knows of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// A server.
    Server,
    /// This program alone.
    Program,
}

/// What is wrong with an object of a kind that there is not.
pub(crate) fn unknown_kind(document: &Document, unknown: UnknownKind, judge: Judge) -> Diagnostic {
    let (kind, api_version) = (&document.kind, &document.api_version);
    if convert::converts(api_version, kind) {
        let file = shell::quote(&document.source.name);
        let from = if document.source.name == "<stdin>" { "-".to_owned() } else { file };
        let mut fault = nothing_of_the_kind(document, unknown, judge);
        fault.label = None;
        fault.help = vec![format!(
            "`nexusctl convert -f {from}` makes it one of our kinds, and tells what it cannot carry"
        )];
        return fault;
    }
    nothing_of_the_kind(document, unknown, judge)
}

fn nothing_of_the_kind(document: &Document, unknown: UnknownKind, judge: Judge) -> Diagnostic {
    let (kind, api_version) = (&document.kind, &document.api_version);
    match unknown {
        UnknownKind::Kind { near, elsewhere } => {
            let (span, _) = document.value_span_of(&FieldPath::parse("kind"));
            let title = format!("unknown kind `{kind}` in {api_version}");
            let diagnostic = Diagnostic::at(&document.source, span, title);
            match (near, elsewhere) {
                (_, Some(elsewhere)) => diagnostic.help(format!("`{kind}` is a kind of {elsewhere}")),
                (Some(near), None) => diagnostic.label(format!("did you mean `{near}`?")),
                (None, None) if judge == Judge::Program => {
                    diagnostic.help("only a server that serves it can judge it: nexusctl apply --dry-run")
                }
                (None, None) => {
                    diagnostic.help("`nexusctl api-resources` lists the kinds that the server serves")
                }
            }
        }
        UnknownKind::ApiVersion { near } => {
            let (span, _) = document.value_span_of(&FieldPath::parse("apiVersion"));
            let title = match judge {
                Judge::Server => format!("the server serves nothing of apiVersion `{api_version}`"),
                Judge::Program => format!("nothing of apiVersion `{api_version}` is known here"),
            };
            let diagnostic = Diagnostic::at(&document.source, span, title);
            match near {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None if judge == Judge::Program => {
                    diagnostic.help("only a server that serves it can judge it: nexusctl apply --dry-run")
                }
                None => diagnostic.help("`nexusctl api-resources` lists what it serves"),
            }
        }
    }
}

impl Placed {
    /// The path of the object.
    pub fn path(&self) -> String {
        self.resource.object_path(&self.namespace, &self.document.name)
    }

    /// `workload.hypermesh.online/web`
    pub fn name(&self) -> String {
        format!("{}/{}", self.resource.qualified_singular(), self.document.name)
    }

    /// The object as it is sent: its namespace filled in.
    pub fn object(&self) -> serde_json::Value {
        let mut object = self.document.object();
        if self.resource.namespaced
            && let Some(metadata) = object.get_mut("metadata").and_then(serde_json::Value::as_object_mut)
        {
            metadata.insert("namespace".into(), self.namespace.clone().into());
        }
        object
    }
}
