//! `patch`: a change of an object, said as a JSON patch, a merge patch, a strategic merge patch, or an apply.

mod operations;

use crate::{
    client::Call,
    commands::{
        apply::{DryRun, tell},
        results::{Manner, Results},
        targets::{Choice, Target},
    },
    error::{Error, Exit},
    manifest::{
        Diagnostic, Document, Placed, Source, document,
        node::{Content, Node},
        refusal::names_fields,
        yaml,
    },
    session::Session,
};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::Value;
use std::{path::PathBuf, sync::Arc};

const MANAGER: &str = "nexusctl-patch";

const EXAMPLES: &str = r#"Examples:
  nexusctl patch workload web -p '{"spec": {"replicas": 3}}'
  nexusctl patch workload web --type=json -p '[{"op": "replace", "path": "/spec/replicas", "value": 2}]'
  nexusctl patch workload web --type=apply --field-manager=me -p '{"metadata": {"labels": {"team": "a"}}}'
  nexusctl patch workload web --subresource=scale -p 'spec: {replicas: 2}'"#;

/// Arguments of `patch`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// TYPE NAME… or TYPE/NAME…
    #[arg(value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Which objects
    #[command(flatten)]
    pub choice: Choice,
    /// The patch, in JSON or YAML
    #[arg(
        short,
        long,
        value_name = "PATCH",
        required_unless_present = "patch_file",
        conflicts_with = "patch_file"
    )]
    pub patch: Option<String>,
    /// File that holds the patch; - for standard input
    #[arg(long, value_name = "FILE")]
    pub patch_file: Option<PathBuf>,
    /// Form of the patch [default: strategic for the kinds of Kubernetes, merge for all others]
    #[arg(long = "type", value_name = "FORM")]
    pub form: Option<Form>,
    /// Patch this part of the object: status, scale
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
    /// With --type=apply: take over fields that other managers own
    #[arg(long)]
    pub force_conflicts: bool,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// `--type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A list of operations (RFC 6902).
    Json,
    /// What changes, with null for what goes (RFC 7386).
    Merge,
    /// As merge, but lists merge by their items' keys.
    Strategic,
    /// What the manager wants the object to be, as apply does.
    Apply,
}

impl Form {
    fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }

    /// The form that people mean who name none.
    fn usual(target: &Target) -> Self {
        let group = &target.resource.group;
        if group.is_empty() || group.ends_with(".k8s.io") { Self::Strategic } else { Self::Merge }
    }
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.manner.dry_run == DryRun::Client {
        return Err(Error::Message("only the server knows what a patch comes to: --dry-run=server".into()));
    }
    let patch = read(&arguments, session)?;
    let targets = arguments.choice.targets(&arguments.words, session).await?;
    let mut results = Results::new(&arguments.manner);
    let mut failed = false;
    for target in targets {
        match one(&arguments, &target, &patch, session).await {
            Ok(Some((what, object))) => results.tell(&target.shown(), what, object, session)?,
            Ok(None) => failed = true,
            Err(Error::Client(error)) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                failed = true;
                session.note(&error.render(session.streams.err_color));
            }
        }
    }
    results.show(session)?;
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// Reads the patch; faults have their places.
fn read(arguments: &Arguments, session: &mut Session) -> Result<(Arc<Source>, Node), Error> {
    let source = match (&arguments.patch, &arguments.patch_file) {
        (Some(text), _) => Arc::new(Source::new("--patch", text.clone())),
        (None, Some(path)) => {
            let name = [path.display().to_string()];
            let mut read = crate::manifest::read_all(&name, false, &mut session.streams.input)
                .map_err(|unread| Error::Manifests(unread.into_iter().map(Into::into).collect()))?;
            if read.len() != 1 {
                return Err(Error::Message(format!("{} is a folder: a patch is one file", path.display())));
            }
            read.remove(0)
        }
        (None, None) => return Err(Error::Message("say what to change: -p or --patch-file".into())),
    };
    let nodes = yaml::parse(&source.text)
        .map_err(|error| Error::Manifests(vec![document::syntax(&source, error)]))?;
    let count = nodes.len();
    let Ok([node]) = <[Node; 1]>::try_from(nodes) else {
        return Err(Error::Message(format!("a patch is one document; {} holds {count}", source.name)));
    };
    let fits = match arguments.form {
        Some(Form::Json) => matches!(node.content, Content::List(_)),
        _ => matches!(node.content, Content::Map(_)),
    };
    if !fits {
        let wanted = match arguments.form {
            Some(Form::Json) => "a JSON patch is a list of operations",
            _ => "a patch is a mapping of what changes; --type=json takes a list of operations",
        };
        let title = format!("{wanted}; this is {}", node.type_name());
        return Err(Error::Manifests(vec![Diagnostic::at(&source, node.span, title)]));
    }
    Ok((source, node))
}

/// Patches one object: what came of it, or `None` where the patch was refused, which has then been told.
async fn one(
    arguments: &Arguments,
    target: &Target,
    (source, node): &(Arc<Source>, Node),
    session: &mut Session,
) -> Result<Option<(&'static str, Value)>, Error> {
    let form = arguments.form.unwrap_or_else(|| Form::usual(target));
    if let Some(name) = &arguments.subresource {
        target.resource.has_part(name, "patch")?;
    }
    let part = arguments.subresource.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
    let path = format!("{}{part}", target.path());
    let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    // An apply may make the object; every other patch needs one.
    let before = match session.send(&Call::get(&path)).await {
        Ok(reply) => reply.json::<Value>().map(|object| version(&object))?,
        Err(error) if error.is_not_found() && form == Form::Apply => Value::Null,
        Err(error) => return Err(error.into()),
    };
    let mut patch = node.to_value();
    if form == Form::Apply
        && let Some(object) = patch.as_object_mut()
    {
        object.entry("apiVersion").or_insert_with(|| target.resource.api_version().into());
        object.entry("kind").or_insert_with(|| target.resource.kind.clone().into());
    }
    let call = Call::with_body(Method::PATCH, &path, patch.to_string()).content_type(form.media()).query(&[
        ("fieldManager", arguments.manner.manager(MANAGER)),
        ("fieldValidation", "Strict"),
        ("force", if arguments.force_conflicts && form == Form::Apply { "true" } else { "" }),
        ("dryRun", arguments.manner.dry_run.parameter()),
    ]);
    match session.send(&call).await {
        Ok(reply) => {
            let object: Value = reply.json()?;
            let what = if version(&object) == before { "patched (no change)" } else { "patched" };
            Ok(Some((what, object)))
        }
        Err(error) if error.status().is_some_and(names_fields) => {
            let status = error.status();
            // What is minded is a field of the object, or one of an operation.
            let shaped = form == Form::Json && !status.is_some_and(|s| s.message.contains("json patch "));
            let document = Document {
                source: Arc::clone(source),
                node: if shaped { operations::shape(node) } else { node.clone() },
                api_version: target.resource.api_version(),
                kind: target.resource.kind.clone(),
                name: target.name.clone(),
                namespace: None,
            };
            let (resource, namespace) = (target.resource.clone(), target.namespace.clone());
            tell(&Placed { document, resource, namespace }, &error, &call, session).await;
            Ok(None)
        }
        Err(error) if form == Form::Json => {
            let found = error.status().and_then(|status| operations::named(node, &status.message));
            let Some((span, words)) = found else { return Err(error.into()) };
            let fault = Diagnostic::at(source, span, words);
            session.note(&fault.render(session.streams.err_color));
            Ok(None)
        }
        Err(error) if error.status().is_some_and(|s| s.code == 415) && form == Form::Strategic => {
            let plural = target.resource.qualified_plural();
            Err(Error::Message(format!(
                "{plural} take no strategic merge patch: --type=merge or --type=json"
            )))
        }
        Err(error) => Err(error.into()),
    }
}
