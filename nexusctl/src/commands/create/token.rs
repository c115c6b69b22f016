//! `create token`: a token with which a program acts as a ServiceAccount. Nothing is stored; it ends by itself.

use crate::{
    client::{Call, path_segment},
    commands::results::ResultFormat,
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

const EXAMPLES: &str = "Examples:
  nexusctl create token default
  nexusctl create token default --duration=24h --audience=registry";

/// Arguments of `create token`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The ServiceAccount
    pub name: String,
    /// For how long it is valid: 10m, 24h [default: the server's, an hour]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub duration: Option<Duration>,
    /// For whom it is, instead of the API server; may be given several times
    #[arg(long, value_name = "NAME")]
    pub audience: Vec<String>,
    /// Kind of the object with which it ends: Secret
    #[arg(long, value_name = "KIND", requires = "bound_object_name")]
    pub bound_object_kind: Option<String>,
    /// Name of that object
    #[arg(long, value_name = "NAME", requires = "bound_object_kind")]
    pub bound_object_name: Option<String>,
    /// uid of that object
    #[arg(long, value_name = "UID", requires = "bound_object_kind")]
    pub bound_object_uid: Option<String>,
    /// Show the whole reply as json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ResultFormat>,
}

/// Asks for a token and prints it.
pub(super) async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let mut spec = json!({});
    if let Some(duration) = arguments.duration {
        spec["expirationSeconds"] = duration.as_secs().into();
    }
    if !arguments.audience.is_empty() {
        spec["audiences"] = arguments.audience.into();
    }
    if let (Some(kind), Some(name)) = (arguments.bound_object_kind, arguments.bound_object_name) {
        let mut bound = json!({"apiVersion": "v1", "kind": kind, "name": name});
        if let Some(uid) = arguments.bound_object_uid {
            bound["uid"] = uid.into();
        }
        spec["boundObjectRef"] = bound;
    }
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let (namespace, name) = (session.namespace()?, path_segment(&arguments.name));
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{name}/token", path_segment(&namespace));
    let reply: Value =
        session.send(&Call::with_body(Method::POST, path, request.to_string())).await?.json()?;
    match (arguments.output, reply.pointer("/status/token").and_then(Value::as_str)) {
        (Some(ResultFormat::Name), _) => {
            return Err(Error::Message("a token has no name: -o json or -o yaml".into()));
        }
        (Some(format), _) => crate::commands::results::show(format, reply, session)?,
        (None, Some(token)) => session.say(token)?,
        (None, None) => return Err(Error::Message("the server's reply holds no token".into())),
    }
    Ok(Exit::Success)
}
