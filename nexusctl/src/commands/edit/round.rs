//! One round of an edit: reads the text back, and sends what was changed.

use super::{Arguments, Subject, part, sheet};
use crate::{
    client::{self, Call},
    commands::{
        apply::explain,
        results::{ResultFormat, Results},
    },
    difference::{changes, merge_patch, overlap},
    error::Error,
    manifest::{self, Diagnostic, Document, Placed, Source},
    output,
    session::Session,
};
use http::Method;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

const MANAGER: &str = "nexusctl-edit";
/// How often an edit is made again on an object that changes meanwhile.
const MOST_TRIES: usize = 5;

/// One round.
pub(super) struct Round<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) subjects: &'a [Subject],
    pub(super) text: &'a str,
}

/// How a round ended.
pub(super) enum Verdict {
    /// The server has everything.
    Done,
    /// There was nothing in the file.
    Empty,
    /// The editor opens again.
    Again {
        /// The paths of the objects that are left, if not all of them are.
        left: Option<BTreeSet<String>>,
        /// Why.
        reasons: Vec<String>,
        /// What to open it with.
        text: String,
    },
}

impl Round<'_> {
    pub(super) async fn run(&self, session: &mut Session) -> Result<Verdict, Error> {
        if sheet::plain(self.text).is_empty() {
            return Ok(Verdict::Empty);
        }
        let source = Arc::new(Source::new("edit", self.text.to_owned()));
        let documents = match manifest::documents(&[source]) {
            Ok(documents) => documents,
            Err(faults) => return Ok(self.again(faults.iter().map(words).collect())),
        };
        let matched = match self.matched(&documents) {
            Ok(matched) => matched,
            Err(reasons) => return Ok(self.again(reasons)),
        };
        let mut manner = self.arguments.manner.clone();
        // -o json says what the editor shows, not what is printed.
        manner.output = manner.output.filter(|format| *format == ResultFormat::Name);
        let mut results = Results::new(&manner);
        let (mut left, mut reasons, mut texts) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (subject, document) in matched {
            let edited = document.object();
            let changes = settled(&subject.base, &edited);
            if self.arguments.subresource.is_none()
                && changes.iter().any(|c| c.path.to_string().starts_with("status"))
            {
                session.note("Warning: status is not changed this way: --subresource=status edits it");
            }
            if changes.is_empty() {
                if self.subjects.len() > 1 {
                    results.tell(&subject.target.shown(), "not changed", edited, session)?;
                }
                continue;
            }
            match self.send(subject, document, &edited, session).await? {
                Ok(object) => results.tell(&subject.target.shown(), "edited", object, session)?,
                Err(why) => {
                    left.insert(subject.target.path());
                    reasons.extend(why);
                    texts.push(document);
                }
            }
        }
        if reasons.is_empty() {
            return Ok(Verdict::Done);
        }
        if left.len() == self.subjects.len() {
            return Ok(self.again(reasons));
        }
        let text = texts.iter().map(|document| output::yaml::to_string(&document.object()));
        Ok(Verdict::Again { text: text.collect::<Vec<_>>().join("---\n"), left: Some(left), reasons })
    }

    fn again(&self, reasons: Vec<String>) -> Verdict {
        Verdict::Again { left: None, reasons, text: self.text.to_owned() }
    }

    /// Each object's document. An object that is missing from the text stays as it is.
    fn matched<'s, 'd>(
        &'s self,
        documents: &'d [Document],
    ) -> Result<Vec<(&'s Subject, &'d Document)>, Vec<String>> {
        let (mut matched, mut reasons) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for document in documents {
            let same = |subject: &&Subject| {
                let target = &subject.target;
                let namespace = document.namespace.as_ref();
                document.kind == target.resource.kind
                    && document.api_version == target.resource.api_version()
                    && document.name == target.name
                    && (!target.resource.namespaced || namespace.is_none_or(|n| *n == target.namespace))
            };
            match self.subjects.iter().find(same) {
                Some(subject) if seen.insert(subject.target.path()) => matched.push((subject, document)),
                Some(_) => reasons.push(format!("{} is there twice", document.reference())),
                None => reasons.push(format!(
                    "{} is not what was opened: apiVersion, kind, name and namespace cannot be edited",
                    document.reference()
                )),
            }
        }
        if reasons.is_empty() { Ok(matched) } else { Err(reasons) }
    }

    /// Sends what was changed of one object; the reasons if it was refused.
    async fn send(
        &self,
        subject: &Subject,
        document: &Document,
        edited: &Value,
        session: &mut Session,
    ) -> Result<Result<Value, Vec<String>>, Error> {
        let (arguments, target) = (self.arguments, &subject.target);
        let path = part(arguments, target)?;
        let mut patch = merge_patch(&subject.base, edited);
        let ours = settled(&subject.base, edited);
        // Who writes another version here has seen what changed meanwhile, and overrules it.
        let mut version =
            Some(version(edited)).filter(|v| !v.is_empty()).unwrap_or_else(|| version(&subject.base));
        for _ in 0..MOST_TRIES {
            if let Some(metadata) = patch.as_object_mut().map(|p| p.entry("metadata").or_insert(Value::Null))
            {
                if !metadata.is_object() {
                    *metadata = Value::Object(serde_json::Map::new());
                }
                metadata["resourceVersion"] = version.clone().into();
            }
            let call = Call::with_body(Method::PATCH, &path, patch.to_string())
                .content_type("application/merge-patch+json")
                .query(&[
                    ("fieldManager", arguments.manner.manager(MANAGER)),
                    ("fieldValidation", "Strict"),
                    ("dryRun", arguments.manner.dry_run.parameter()),
                ]);
            let error = match session.send(&call).await {
                Ok(reply) => return Ok(Ok(reply.json()?)),
                Err(error) => error,
            };
            match error.status().map(|status| status.code) {
                Some(409) => {
                    let newest: Value = match session.send(&Call::get(&path)).await {
                        Ok(reply) => reply.json()?,
                        Err(error) if error.is_not_found() => return Ok(Err(vec![gone(target)])),
                        Err(error) => return Err(error.into()),
                    };
                    let theirs = settled(&subject.base, &newest);
                    let both = overlap(&ours, &theirs);
                    if !both.is_empty() {
                        return Ok(Err(conflict(target, &both, &newest)));
                    }
                    version = self::version(&newest);
                    session.note(&format!(
                        "{} changed meanwhile, elsewhere: the edit is made on its newest version",
                        target.shown()
                    ));
                }
                Some(404) => return Ok(Err(vec![gone(target)])),
                Some(401 | 403) | None => return Err(error.into()),
                Some(_) => return Ok(Err(refused(subject, document, (&error, &call), session).await)),
            }
        }
        Ok(Err(vec![format!("{} changes all the time: try again", target.shown())]))
    }
}

fn version(object: &Value) -> String {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What differs, but for what every write changes.
fn settled(before: &Value, after: &Value) -> Vec<crate::difference::Change> {
    let without = |object: &Value| {
        let mut object = object.clone();
        output::hide_managed_fields(&mut object);
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            metadata.remove("generation");
        }
        object
    };
    changes(&without(before), &without(after))
}

fn gone(target: &crate::commands::targets::Target) -> String {
    format!("{} was deleted meanwhile: `nexusctl apply -f` with this file makes it again", target.shown())
}

fn conflict(
    target: &crate::commands::targets::Target,
    both: &[&crate::difference::Change],
    newest: &Value,
) -> Vec<String> {
    let mut lines = vec![format!(
        "{} changed meanwhile, where you changed it too. To overrule, set metadata.resourceVersion to {:?}. It now has",
        target.shown(),
        version(newest)
    )];
    lines.extend(both.iter().map(|change| {
        let value = change.after.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        format!("  {}: {value}", change.path)
    }));
    vec![lines.join("\n")]
}

async fn refused(
    subject: &Subject,
    document: &Document,
    (error, asked): (&client::Error, &Call),
    session: &mut Session,
) -> Vec<String> {
    let Some(status) = error.status() else { return vec![error.to_string()] };
    let placed = Placed {
        document: document.clone(),
        resource: subject.target.resource.clone(),
        namespace: subject.target.namespace.clone(),
    };
    let status = status.clone();
    explain(&placed, &status, asked, session).await.iter().map(words).collect()
}

/// A diagnostic in one line or a few; the text is below it anyway.
fn words(diagnostic: &Diagnostic) -> String {
    let mut text = match &diagnostic.place {
        Some((_, span)) if span.line > 0 => {
            let line =
                diagnostic.place.as_ref().and_then(|(source, _)| source.text.lines().nth(span.line - 1));
            format!("{} (at `{}`)", diagnostic.title, line.unwrap_or_default().trim())
        }
        _ => diagnostic.title.clone(),
    };
    for hint in diagnostic.label.iter().chain(&diagnostic.help) {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}
