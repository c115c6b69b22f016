//! `token`: bootstrap tokens, with which a machine or a person comes in for the first time.
//!
//! A token is a Secret of `kube-system` in the form that kubeadm's users know
//! (`k8s.io/cluster-bootstrap`): `bootstrap-token-ID`, with an expiry. Whoever may read those Secrets may use the tokens.

mod list;

use crate::{
    client::Call,
    error::{Error, Exit},
    session::Session,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use std::time::Duration;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token and print it
    Create(Create),
    /// Show the tokens that there are
    List(list::List),
    /// Delete tokens
    Delete(Delete),
}

/// Arguments of `token create`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl token create --ttl=1h --description='the rack in the hall'")]
pub struct Create {
    /// For how long the token can be used: 30m, 24h; 0 for ever
    #[arg(long, value_name = "TIME", default_value = "24h", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub ttl: Duration,
    /// What the token is for, kept beside it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// Further group of who uses it (must begin with system:bootstrappers:); may be given several times
    #[arg(long, visible_alias = "groups", value_name = "GROUP", value_delimiter = ',')]
    pub group: Vec<String>,
    /// What the token is good for: authentication
    #[arg(long, value_name = "USAGE", value_delimiter = ',', default_value = "authentication")]
    pub usages: Vec<String>,
}

/// Arguments of `token delete`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl token delete abcdef")]
pub struct Delete {
    /// Tokens, whole, by what stands before their dot, or by the name of their Secret
    #[arg(value_name = "TOKEN", required = true)]
    pub tokens: Vec<String>,
}

/// Where tokens are.
const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
/// What a token's Secret begins with.
const PREFIX: &str = "bootstrap-token-";
/// What every group of a token begins with.
const GROUPS: &str = "system:bootstrappers:";

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Create(arguments) => create(arguments, session).await,
        Command::List(arguments) => list::run(&arguments, session).await,
        Command::Delete(arguments) => delete(arguments, session).await,
    }
}

/// What would make a token that nobody takes is refused here.
fn check(arguments: &Create) -> Result<(), Error> {
    for group in &arguments.group {
        if !is_group(group) {
            return Err(Error::Message(format!(
                "--group {group}: a group of a bootstrap token is {GROUPS} and then lower-case letters, digits, dashes \
                 and colons, a letter or digit at the end"
            )));
        }
    }
    for usage in &arguments.usages {
        match usage.as_str() {
            "authentication" => {}
            "signing" => {
                let why = "this version publishes no cluster-info that a token could sign";
                return Err(Error::Message(format!("--usages signing: {why}; there is authentication")));
            }
            other => {
                return Err(Error::Message(format!("--usages {other}: there is authentication")));
            }
        }
    }
    Ok(())
}

/// Source: `k8s.io/cluster-bootstrap/token/api` BootstrapGroupPattern.
fn is_group(group: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    group.strip_prefix(GROUPS).is_some_and(|rest| {
        (1..=256).contains(&rest.len())
            && rest.bytes().all(|b| plain(b) || b == b':' || b == b'-')
            && rest.bytes().next_back().is_some_and(plain)
    })
}

async fn create(arguments: Create, session: &mut Session) -> Result<Exit, Error> {
    check(&arguments)?;
    let (id, secret) = (letters(6)?, letters(16)?);
    let mut data = json!({
        "token-id": id,
        "token-secret": secret,
        "usage-bootstrap-authentication": "true",
    });
    if !arguments.ttl.is_zero() {
        data["expiration"] = end(arguments.ttl)?.into();
    }
    if !arguments.description.is_empty() {
        data["description"] = arguments.description.into();
    }
    if !arguments.group.is_empty() {
        data["auth-extra-groups"] = arguments.group.join(",").into();
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("{PREFIX}{id}"), "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    });
    session.client()?;
    let call = Call::with_body(Method::POST, SECRETS, object.to_string())
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

/// The moment so long from now.
fn end(ttl: Duration) -> Result<String, Error> {
    let wrong = || Error::Message("--ttl reaches too far into the future".into());
    let ttl = jiff::SignedDuration::try_from(ttl).map_err(|_| wrong())?;
    let stamp = jiff::Timestamp::now().checked_add(ttl).map_err(|_| wrong())?;
    Ok(stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

async fn delete(arguments: Delete, session: &mut Session) -> Result<Exit, Error> {
    let mut ids = Vec::new();
    for token in &arguments.tokens {
        let token = token.strip_prefix(PREFIX).unwrap_or(token);
        let id = token.split_once('.').map_or(token, |(id, _)| id);
        if id.len() != 6 || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            // It may be most of a secret: it is not shown again.
            let words =
                "a token is six characters of a-z and 0-9, a dot and sixteen more; the six are enough";
            return Err(Error::Message(words.into()));
        }
        ids.push(id);
    }
    for id in ids {
        let call = Call::with_body(Method::DELETE, format!("{SECRETS}/{PREFIX}{id}"), "");
        match session.send(&call).await {
            Err(error) if error.is_not_found() => {
                return Err(Error::Message(format!("there is no bootstrap token {id:?}")));
            }
            other => other.map(drop)?,
        }
        session.say(&format!("bootstrap token {id:?} deleted"))?;
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_that_a_server_gives() {
        for good in ["system:bootstrappers:a", "system:bootstrappers:worker:rack-7"] {
            assert!(is_group(good), "{good}");
        }
        for bad in [
            "system:masters",
            "system:bootstrappers",
            "system:bootstrappers:",
            "system:bootstrappers:A",
            "system:bootstrappers:a-",
        ] {
            assert!(!is_group(bad), "{bad}");
        }
    }
}
