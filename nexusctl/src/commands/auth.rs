//! `auth`: identity and rights, as the server sees them, and the keys that stand for people and programs.

mod can_i;
mod key;
mod keys;
mod rules;

use crate::{
    client::Call,
    error::{Error, Exit},
    output::{self, Format, aligned},
    session::Session,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

/// The verbs of `auth`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Whether something is allowed: prints yes or no, and exits 1 for no; or, with --list, all that is
    #[command(name = "can-i")]
    CanI(can_i::CanI),
    /// Who the server takes the caller for, and whether what they write is signed
    Whoami(Whoami),
    /// Show the keys that sign, and for whom they stand
    Keys(keys::Keys),
    /// Have a key stand for a user
    Register(keys::Register),
    /// Let a key stand for nobody any more, from the next block on
    Revoke(keys::Revoke),
}

/// Arguments of `auth whoami`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl auth whoami")]
pub struct Whoami {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::CanI(arguments) => can_i::run(arguments, session).await,
        Command::Whoami(arguments) => whoami(arguments, session).await,
        Command::Keys(arguments) => keys::list(arguments, session).await,
        Command::Register(arguments) => keys::register(arguments, session).await,
        Command::Revoke(arguments) => keys::revoke(arguments, session).await,
    }
}

async fn whoami(arguments: Whoami, session: &mut Session) -> Result<Exit, Error> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let call = Call::with_body(
        Method::POST,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        review.to_string(),
    );
    session.client()?;
    let reply: Value = session.send(&call).await?.json()?;
    match arguments.output {
        Some(Format::Json) => session.print(&output::json(&reply))?,
        Some(Format::Yaml) => session.print(&output::yaml::to_string(&reply))?,
        Some(_) => return Err(Error::Message("an identity can be shown as json or yaml".into())),
        None => {
            let info = reply.pointer("/status/userInfo").unwrap_or(&Value::Null);
            let text = table(info, &signs(info, session));
            session.print(&text)?;
        }
    }
    Ok(Exit::Success)
}

/// The extra by which the server says which keys signed the question.
const SIGNED_BY: &str = "hypermesh.online/signed-by";

/// Whether what the caller writes is signed, and by which key; if not, why.
fn signs(info: &Value, session: &Session) -> String {
    let keys = info.pointer("/extra/hypermesh.online~1signed-by").and_then(Value::as_array);
    if let Some(keys) = keys {
        let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
        return format!("by {}", keys.join(", "));
    }
    if session.options.impersonate.is_some() {
        return "no: who acts as another does not sign".to_owned();
    }
    match key::own(session) {
        Ok(Some(key)) => {
            format!("no: the key {key} is not registered (`nexusctl auth register USER --key {key}` does)")
        }
        Ok(None) => {
            "no: there is no client certificate with an Ed25519 key, or a token goes before it".to_owned()
        }
        Err(_) => "no".to_owned(),
    }
}

fn table(info: &Value, signs: &str) -> String {
    let mut lines = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("[{}]", words.join(" "))
        }
        other => other.to_string(),
    };
    for (field, label) in [("username", "Username"), ("uid", "UID"), ("groups", "Groups")] {
        if let Some(value) = info.get(field).filter(|v| v.as_str() != Some("")) {
            lines.push(vec![label.to_owned(), shown(value)]);
        }
    }
    lines.push(vec!["Signed".to_owned(), signs.to_owned()]);
    let extra = info.get("extra").and_then(Value::as_object).into_iter().flatten();
    for (key, value) in extra.filter(|(key, _)| *key != SIGNED_BY) {
        lines.push(vec![format!("Extra: {key}"), shown(value)]);
    }
    // Who somebody is, is never cut.
    aligned::table(&lines, true, None)
}
