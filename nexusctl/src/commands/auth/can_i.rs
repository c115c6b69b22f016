//! `auth can-i`: whether something is allowed, or, with `--list`, everything that is.

use super::rules;
use crate::{
    client::Call,
    commands::verbs,
    error::{Error, Exit},
    output::{self, Form},
    session::Session,
};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

/// Arguments of `auth can-i`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl auth can-i create workloads
  nexusctl auth can-i get secrets/web-tls -n default --quiet
  nexusctl auth can-i --list -n default")]
pub struct CanI {
    /// Verb: get, list, create, delete, …
    #[arg(required_unless_present = "list")]
    pub verb: Option<String>,
    /// TYPE, TYPE/NAME, or a path such as /metrics
    #[arg(required_unless_present = "list")]
    pub what: Option<String>,
    /// Name of the object
    pub name: Option<String>,
    /// Subresource: status, scale, log
    #[arg(long, value_name = "NAME", default_value = "", conflicts_with = "list")]
    pub subresource: String,
    /// In all namespaces
    #[arg(short = 'A', long, conflicts_with = "list")]
    pub all_namespaces: bool,
    /// Print nothing: the exit code says it
    #[arg(short, long, conflicts_with = "list")]
    pub quiet: bool,
    /// Show everything that is allowed in the namespace
    #[arg(long, conflicts_with_all = ["verb", "what", "name"])]
    pub list: bool,
    /// Leave headings out
    #[arg(long, requires = "list")]
    pub no_headers: bool,
    /// With --list: json or yaml
    #[arg(short, long, value_name = "FORMAT", requires = "list")]
    pub output: Option<String>,
}

/// Runs the verb.
pub(super) async fn run(arguments: CanI, session: &mut Session) -> Result<Exit, Error> {
    match (&arguments.verb, &arguments.what) {
        (Some(verb), Some(what)) => ask(verb, what, &arguments, session).await,
        _ => list(&arguments, session).await,
    }
}

async fn ask(verb: &String, what: &str, arguments: &CanI, session: &mut Session) -> Result<Exit, Error> {
    let known: &[&str] = if what.starts_with('/') { &verbs::OF_PATHS } else { &verbs::OF_OBJECTS };
    verbs::doubt([verb], known, session);
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (kind, name) = match what.split_once('/') {
            Some((kind, name)) => (kind, name.to_owned()),
            None => (what, arguments.name.clone().unwrap_or_default()),
        };
        let discovery = session.discovery().await?;
        let namespace = if arguments.all_namespaces { String::new() } else { session.namespace()? };
        let mut attributes = match (kind, discovery.find(kind)) {
            ("*", _) => json!({"group": "*", "resource": "*", "namespace": namespace}),
            (_, Ok(r)) => json!({
                "group": r.group, "version": r.version, "resource": r.plural,
                "namespace": if r.namespaced { namespace } else { String::new() },
            }),
            // Rights may be granted on what this server does not serve.
            (word, Err(unknown)) => {
                session.note(&format!("Warning: {unknown}"));
                json!({"resource": word, "namespace": namespace})
            }
        };
        attributes["verb"] = verb.as_str().into();
        attributes["name"] = name.into();
        attributes["subresource"] = arguments.subresource.as_str().into();
        json!({"resourceAttributes": attributes})
    };
    let status = review("SelfSubjectAccessReview", &spec, session).await?;
    let allowed = status.get("allowed").and_then(Value::as_bool).unwrap_or(false);
    if !arguments.quiet {
        let reason = status.get("reason").and_then(Value::as_str).filter(|r| !r.is_empty());
        let word = if allowed { "yes" } else { "no" };
        let reason = reason.map(|r| format!(" - {}", output::escape_line(r))).unwrap_or_default();
        session.say(&if allowed { word.to_owned() } else { format!("{word}{reason}") })?;
    }
    Ok(if allowed { Exit::Success } else { Exit::Failure })
}

async fn list(arguments: &CanI, session: &mut Session) -> Result<Exit, Error> {
    let form = Form::parse(arguments.output.as_deref())?;
    if !matches!(form, Form::Table | Form::Json | Form::Yaml) {
        return Err(Error::Message("what is allowed can be shown as json or yaml".into()));
    }
    let namespace = session.namespace()?;
    let status = review("SelfSubjectRulesReview", &json!({"namespace": namespace}), session).await?;
    match form {
        Form::Json => session.print(&output::json(&status))?,
        Form::Yaml => session.print(&output::yaml::to_string(&status))?,
        _ => {
            let text = rules::table(&status, arguments.no_headers, session.streams.out_width);
            session.print(&text)?;
        }
    }
    if status.get("incomplete").and_then(Value::as_bool) == Some(true) {
        let why = status.get("evaluationError").and_then(Value::as_str).filter(|why| !why.is_empty());
        let why = why.map(|why| format!(": {}", output::escape_line(why))).unwrap_or_default();
        session
            .note(&format!("Warning: more than this may be allowed, since the server could not tell{why}"));
    }
    Ok(Exit::Success)
}

/// What the server says to a review of the caller's own rights.
async fn review(kind: &str, spec: &Value, session: &mut Session) -> Result<Value, Error> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    let path = format!("/apis/authorization.k8s.io/v1/{}s", kind.to_lowercase());
    let call = Call::with_body(Method::POST, &path, review.to_string());
    let mut reply: Value = session.send(&call).await?.json()?;
    Ok(reply.get_mut("status").map(Value::take).unwrap_or_default())
}
