//! `token create`: a bootstrap token, with which a machine or a person comes in for the first time.
//!
//! A token is a Secret of `kube-system` in the form that kubeadm's users know
//! (`k8s.io/cluster-bootstrap`): `bootstrap-token-ID`, with an expiry, never shown again.

use crate::{
    client::Call,
    error::{Error, Exit},
    session::Session,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token and print it: it is not shown again
    Create(Create),
}

/// Arguments of `token create`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl token create --ttl=1h --description='the rack in the hall'")]
pub struct Create {
    /// For how long the token can be used: 30m, 24h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::cli::parse_duration)]
    pub ttl: Duration,
    /// What the token is for, kept beside it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// Further group of who uses it (must begin with system:bootstrappers:); may be given several times
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
}

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    let Command::Create(arguments) = command;
    for group in &arguments.group {
        if !group.starts_with("system:bootstrappers:") {
            return Err(Error::Message(format!(
                "--group {group}: a group of a bootstrap token begins with system:bootstrappers:"
            )));
        }
    }
    let (id, secret) = (letters(6)?, letters(16)?);
    let ends = SystemTime::now() + arguments.ttl;
    let seconds = ends.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut data = json!({
        "token-id": id,
        "token-secret": secret,
        "expiration": rfc3339(seconds)?,
        "usage-bootstrap-authentication": "true",
    });
    if !arguments.description.is_empty() {
        data["description"] = arguments.description.into();
    }
    if !arguments.group.is_empty() {
        data["auth-extra-groups"] = arguments.group.join(",").into();
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    });
    session.client()?;
    let path = "/api/v1/namespaces/kube-system/secrets";
    let call = Call::with_body(Method::POST, path, object.to_string())
        .content_type("application/json")
        .query(&[("fieldManager", "nexusctl"), ("fieldValidation", "Strict")]);
    session.send(&call).await?;
    session.say(&format!("{id}.{secret}"))?;
    Ok(Exit::Success)
}

/// Random characters of `[a-z0-9]`, without bias.
fn letters(count: usize) -> Result<String, Error> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::Message(format!("the operating system gave no randomness: {error}")))?;
        // 252 is the largest multiple of 36 in a byte: what lies above would favour the first letters.
        let fair = bytes.iter().filter(|byte| **byte < 252).map(|byte| usize::from(byte % 36));
        text.extend(
            fair.filter_map(|at| ALPHABET.get(at)).map(|byte| char::from(*byte)).take(count - text.len()),
        );
    }
    Ok(text)
}

fn rfc3339(seconds: u64) -> Result<String, Error> {
    let wrong = || Error::Message("--ttl reaches too far into the future".into());
    let stamp = i64::try_from(seconds).map_err(|_| wrong())?;
    let stamp = jiff::Timestamp::from_second(stamp).map_err(|_| wrong())?;
    Ok(stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
