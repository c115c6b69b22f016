//! `auth keys`, `auth register` and `auth revoke`: the keys that sign, and for whom they stand.
//!
//! A key is an object of the kind Identity, which is named by it; what is here shows and writes those, as `get`, `apply` and
//! `delete` would.

use super::key;
use crate::{
    client::{Call, encode, path_segment},
    error::{Error, Exit},
    output::{self, Format, age::since, aligned},
    session::Session,
};
use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const IDENTITIES: &str = "/apis/hypermesh.online/v1/identities";
/// Digits of a key that are shown, and with which it may be named where they mean one.
const SHORT: usize = 16;
/// No fewer digits name a key.
const FEWEST: usize = 8;

/// Arguments of `auth keys`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl auth keys
  nexusctl auth keys --of alice -o wide")]
pub struct Keys {
    /// Only keys of this user
    #[arg(long = "of", value_name = "USER")]
    pub of: Option<String>,
    /// wide (whole keys), name, json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Arguments of `auth register`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # alice made a key: openssl genpkey -algorithm ed25519 -out alice.key; openssl pkey -in alice.key -pubout -out alice.pub
  nexusctl auth register alice --key alice.pub --group developers
  # Controllers that run apart
  nexusctl auth register system:nexus-controllers --key controllers.kubeconfig
  # A program, by its ServiceAccount
  nexusctl auth register system:serviceaccount:ci:deployer --key deployer.pub
  # Another key in place of one, which is revoked
  nexusctl auth register --replaces c4aa91d2 --key new.pub")]
pub struct Register {
    /// For whom the key stands
    #[arg(value_name = "USER", required_unless_present = "replaces", conflicts_with = "replaces")]
    pub whom: Option<String>,
    /// The key: 64 hexadecimal digits, or a file with a key in PEM or OpenSSH's form, or a kubeconfig [default: the key
    /// of the kubeconfig in use]
    #[arg(long, value_name = "KEY|FILE")]
    pub key: Option<String>,
    /// Group of the user; may be given several times
    #[arg(long = "group", value_name = "GROUP", conflicts_with = "replaces")]
    pub groups: Vec<String>,
    /// Take a key that is registered out of its groups where none is named
    #[arg(long, conflicts_with = "replaces")]
    pub overwrite: bool,
    /// A registered key: the new one stands for the same user and groups, and this one is revoked
    #[arg(long, value_name = "KEY")]
    pub replaces: Option<String>,
}

/// Arguments of `auth revoke`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl auth revoke 3f9c2b7a61d0e8f4
  nexusctl auth revoke --all-of alice")]
pub struct Revoke {
    /// Keys, whole or by their first digits
    #[arg(value_name = "KEY", required_unless_present = "all_of")]
    pub keys: Vec<String>,
    /// All keys of this user
    #[arg(long, value_name = "USER", conflicts_with = "keys")]
    pub all_of: Option<String>,
}

/// A registered key.
struct Known {
    key: String,
    user: String,
    groups: Vec<String>,
    /// Of the service account that the user is.
    uid: String,
    since: String,
    object: Value,
}

impl Known {
    fn of(object: Value) -> Self {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let groups = object.pointer("/spec/groups").and_then(Value::as_array);
        Self {
            key: text("/metadata/name"),
            user: text("/spec/user"),
            groups: groups.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            uid: text("/spec/uid"),
            since: text("/metadata/creationTimestamp"),
            object,
        }
    }
}

async fn known(session: &mut Session, user: Option<&str>) -> Result<Vec<Known>, Error> {
    let selector = user.map(|user| format!("spec.user={}", escaped(user))).unwrap_or_default();
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let call = Call::get(IDENTITIES).query(&[
            ("limit", "500"),
            ("fieldSelector", &selector),
            ("continue", &after),
        ]);
        let mut page: Value = session.send(&call).await?.json()?;
        if let Some(items) = page.get_mut("items").and_then(Value::as_array_mut) {
            all.extend(items.drain(..).map(Known::of));
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => token.clone_into(&mut after),
            _ => return Ok(all),
        }
    }
}

/// A value of a field selector: what means something in one is escaped.
fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut text, c| {
        if matches!(c, '\\' | ',' | '=') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

/// The registered key that `text` names.
async fn find(session: &mut Session, text: &str) -> Result<Known, Error> {
    let wanted = text.to_ascii_lowercase();
    if wanted.len() < FEWEST || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        let words = format!("{text:?} names no key: give its first {FEWEST} hexadecimal digits, or more");
        return Err(Error::Message(words));
    }
    let mut found: Vec<Known> =
        known(session, None).await?.into_iter().filter(|known| known.key.starts_with(&wanted)).collect();
    match (found.pop(), found.len()) {
        (None, _) => Err(Error::Message(format!("no key that is registered begins with {wanted}"))),
        (Some(key), 0) => Ok(key),
        (Some(_), more) => {
            Err(Error::Message(format!("{} keys begin with {wanted}: give more of its digits", more + 1)))
        }
    }
}

/// `auth keys`
pub async fn list(arguments: Keys, session: &mut Session) -> Result<Exit, Error> {
    let keys = known(session, arguments.of.as_deref()).await?;
    let whole = match arguments.output {
        None | Some(Format::Table) => false,
        Some(Format::Wide) => true,
        Some(Format::Name) => {
            for known in &keys {
                session.say(&format!("identity.hypermesh.online/{}", known.key))?;
            }
            return Ok(Exit::Success);
        }
        Some(format @ (Format::Json | Format::Yaml)) => {
            let items: Vec<Value> = keys.into_iter().map(|known| known.object).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            let text =
                if format == Format::Json { output::json(&list) } else { output::yaml::to_string(&list) };
            session.print(&text)?;
            return Ok(Exit::Success);
        }
    };
    if keys.is_empty() {
        session.note("No keys are registered.");
        return Ok(Exit::Success);
    }
    let own = key::own(session).ok().flatten();
    let mut rows = vec![["KEY", "USER", "GROUPS", "AGE", ""].map(str::to_owned).to_vec()];
    let mut accounts = BTreeMap::new();
    for known in keys {
        let mut told = Vec::new();
        if own.as_deref() == Some(&*known.key) {
            told.push("(in use here)");
        }
        if is_orphan(&known, &mut accounts, session).await? {
            told.push("(its account is gone)");
        }
        let groups = if known.groups.is_empty() { "<none>".to_owned() } else { known.groups.join(",") };
        let shown = if whole { &*known.key } else { known.key.get(..SHORT).unwrap_or(&known.key) };
        rows.push(vec![
            shown.to_owned(),
            known.user.clone(),
            groups,
            since(&known.since, Timestamp::now()),
            told.join(" "),
        ]);
    }
    session.print(&table(&rows, session.streams.out_width))?;
    Ok(Exit::Success)
}

/// What is known of the service accounts that users are: their uids, `None` where it cannot be known.
type Accounts = BTreeMap<String, Option<String>>;

/// Whether a key stands for a service account that is there no more, be there another of its name or not.
async fn is_orphan(known: &Known, accounts: &mut Accounts, session: &mut Session) -> Result<bool, Error> {
    let Some(path) = account(&known.user) else { return Ok(false) };
    let uid = match accounts.get(&known.user) {
        Some(uid) => uid.clone(),
        None => {
            let uid = match session.send(&Call::get(path)).await {
                Ok(reply) => uid_of(&reply.json()?),
                Err(error) if error.is_not_found() => Some(String::new()),
                // Who may see keys need not be one who may see accounts.
                Err(error) if error.status().is_some() => None,
                Err(error) => return Err(error.into()),
            };
            accounts.insert(known.user.clone(), uid.clone());
            uid
        }
    };
    Ok(uid.is_some_and(|uid| uid.is_empty() || uid != known.uid))
}

fn table(rows: &[Vec<String>], width: Option<usize>) -> String {
    // The last column is empty but for a few rows.
    aligned::table(rows, true, width).lines().fold(String::new(), |all, line| all + line.trim_end() + "\n")
}

/// `auth register`
pub async fn register(arguments: Register, session: &mut Session) -> Result<Exit, Error> {
    let key = match &arguments.key {
        Some(text) => key::read(text)?,
        None => key::own(session)?.ok_or_else(|| {
            Error::Message("the kubeconfig in use has no Ed25519 key: say which to register, by --key".into())
        })?,
    };
    let former = match &arguments.replaces {
        Some(text) => Some(find(session, text).await?),
        None => None,
    };
    let (user, groups) = match &former {
        Some(former) if former.key == key => {
            return Err(Error::Message("a key cannot replace itself: say the new one by --key".into()));
        }
        Some(former) => (former.user.clone(), former.groups.clone()),
        None => (arguments.whom.clone().unwrap_or_default(), arguments.groups.clone()),
    };
    if user.is_empty() {
        return Err(Error::Message("USER is empty: say for whom the key is to stand".into()));
    }
    let mut spec = json!({"user": user});
    if !groups.is_empty() {
        spec["groups"] = groups.clone().into();
    }
    if let Some(uid) = uid_of_account(session, &user).await? {
        spec["uid"] = uid.into();
    }
    let object = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Identity", "metadata": {"name": key}, "spec": spec,
    });
    let path = format!("{IDENTITIES}/{key}");
    let before = match session.send(&Call::get(&path)).await {
        Ok(reply) => Some(reply.json::<Value>()?),
        Err(error) if error.is_not_found() => None,
        // Who may write need not be one who may read.
        Err(error) if error.status().is_some_and(|status| status.code == 403) => None,
        Err(error) => return Err(error.into()),
    };
    let holder = before.as_ref().and_then(|before| before.pointer("/spec/user")?.as_str());
    if let Some(holder) = holder.filter(|holder| *holder != user) {
        // The server would say the same with the words of a rule.
        return Err(Error::Message(format!(
            "the key {key} already stands for {}, and a key stands for one user: register another key for {}",
            output::escape_line(holder),
            output::escape_line(&user)
        )));
    }
    let mut lost = before.clone().map(|before| Known::of(before).groups).unwrap_or_default();
    if !lost.is_empty() && groups.is_empty() && former.is_none() && !arguments.overwrite {
        return Err(Error::Message(format!(
            "the key {key} is registered in {}: name the groups that it is to be in by --group, or take it out of all of \
             them by --overwrite",
            output::escape_line(&lost.join(", "))
        )));
    }
    let call = Call::with_body(Method::PATCH, &path, object.to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[("fieldManager", "nexusctl"), ("force", "true"), ("fieldValidation", "Strict")]);
    let reply = session.send(&call).await?;
    let after: Value = reply.json()?;
    let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
    let deed = match &before {
        Some(before) if version(before) == version(&after) => "unchanged",
        _ if reply.code == 201 => "registered",
        _ => "changed",
    };
    let groups = Known::of(after).groups;
    lost.retain(|group| !groups.contains(group));
    let listed = |word: &str, groups: &[String]| match groups {
        [] => String::new(),
        groups => format!("{word} in {}", output::escape_line(&groups.join(", "))),
    };
    session.say(&format!(
        "identity.hypermesh.online/{key} {deed}: it signs for {}{}{}",
        output::escape_line(&user),
        listed("", &groups),
        listed(", no longer", &lost)
    ))?;
    if let Some(former) = former {
        revoked(session, &former.key).await?;
    }
    Ok(Exit::Success)
}

/// The uid of the service account that a user is, if it is one.
async fn uid_of_account(session: &mut Session, user: &str) -> Result<Option<String>, Error> {
    let Some(path) = account(user) else { return Ok(None) };
    Ok(uid_of(&session.send(&Call::get(path)).await?.json()?))
}

/// Where the service account is that a user is, if it is one.
fn account(user: &str) -> Option<String> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(format!("/api/v1/namespaces/{}/serviceaccounts/{}", path_segment(namespace), path_segment(name)))
}

fn uid_of(account: &Value) -> Option<String> {
    account.pointer("/metadata/uid").and_then(Value::as_str).map(str::to_owned)
}

/// `auth revoke`
pub async fn revoke(arguments: Revoke, session: &mut Session) -> Result<Exit, Error> {
    let mut keys = Vec::new();
    for text in &arguments.keys {
        let whole = text.to_ascii_lowercase();
        // Who names a whole key need not be one who may list them.
        keys.push(if key::is_key(&whole) { whole } else { find(session, text).await?.key });
    }
    if let Some(user) = &arguments.all_of {
        keys = known(session, Some(user)).await?.into_iter().map(|known| known.key).collect();
        if keys.is_empty() {
            return Err(Error::Message(format!("no key stands for {}", output::escape_line(user))));
        }
    }
    for key in keys {
        revoked(session, &key).await?;
    }
    Ok(Exit::Success)
}

async fn revoked(session: &mut Session, key: &str) -> Result<(), Error> {
    session.send(&Call::with_body(Method::DELETE, format!("{IDENTITIES}/{}", encode(key)), "")).await?;
    session.say(&format!("identity.hypermesh.online/{key} revoked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_escaped_in_selectors() {
        assert_eq!(escaped(r"a=b,c\d"), r"a\=b\,c\\d");
        assert_eq!(escaped("system:nexus-controllers"), "system:nexus-controllers");
    }
}
