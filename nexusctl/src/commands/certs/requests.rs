//! `certs list`, `certs approve` and `certs deny`: requests for certificates, as who decides on them sees them.
//!
//! What is asked for is read from the request itself and shown: who approves `ann` sees whether `ann` is who asks.

use crate::{
    client::{Call, path_segment},
    error::{Error, Exit},
    output::{self, Format, age::since, aligned},
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use http::Method;
use hypermesh_apiserver::certificates::{CertificateRequest, KeyKind, Signer};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const IDENTITIES: &str = "/apis/hypermesh.online/v1/identities";

/// Arguments of `certs list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl certs list
  nexusctl certs list --pending")]
pub struct List {
    /// Only those that nobody has decided on
    #[arg(long)]
    pub pending: bool,
    /// name, json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Arguments of `certs approve`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl certs list --pending
  # All of them
  nexusctl certs approve $(nexusctl certs list --pending -o name)")]
pub struct Approve {
    /// Requests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Do not register the key: the certificate lets its holder in, and what they write is not signed
    #[arg(long)]
    pub no_register: bool,
}

/// Arguments of `certs deny`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl certs list --pending -o name | xargs -r nexusctl certs deny --message 'not on the team'")]
pub struct Deny {
    /// Requests
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Why, for whoever asked
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub message: String,
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Where a request is.
pub(super) fn stage(object: &Value) -> &'static str {
    let has = |kind: &str| condition(object, kind).is_some();
    let issued = !text(object, "/status/certificate").is_empty();
    match (has("Denied"), has("Failed"), issued, has("Approved")) {
        (true, ..) => "Denied",
        (_, true, ..) => "Failed",
        (_, _, true, _) => "Issued",
        (_, _, _, true) => "Approved",
        _ => "Pending",
    }
}

/// A condition of a request.
pub(super) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten().find(|one| text(one, "/type") == kind)
}

/// What is asked for.
fn asked(object: &Value) -> Result<CertificateRequest, String> {
    let pem = STANDARD.decode(text(object, "/spec/request")).map_err(|error| error.to_string())?;
    CertificateRequest::parse(&pem).map_err(|error| error.to_string())
}

fn subject(asked: &CertificateRequest) -> String {
    let groups = match asked.organizations.as_slice() {
        [] => String::new(),
        groups => format!(" ({})", groups.join(", ")),
    };
    output::escape_line(&format!("{}{groups}", asked.common_name))
}

fn key_of(asked: &CertificateRequest) -> Option<String> {
    match asked.key {
        KeyKind::Ed25519(key) => Some(key.iter().map(|byte| format!("{byte:02x}")).collect()),
        KeyKind::P256 | KeyKind::Rsa(_) => None,
    }
}

/// `certs list`
pub(super) async fn list(arguments: List, session: &mut Session) -> Result<Exit, Error> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let call = Call::get(REQUESTS).query(&[("limit", "500"), ("continue", &after)]);
        let mut page: Value = session.send(&call).await?.json()?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            found.extend(items);
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => token.clone_into(&mut after),
            _ => break,
        }
    }
    if arguments.pending {
        found.retain(|object| stage(object) == "Pending");
    }
    match arguments.output {
        Some(Format::Name) => {
            for object in &found {
                session.say(&format!(
                    "certificatesigningrequest.certificates.k8s.io/{}",
                    text(object, "/metadata/name")
                ))?;
            }
            return Ok(Exit::Success);
        }
        Some(format @ (Format::Json | Format::Yaml)) => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": found});
            let shown =
                if format == Format::Json { output::json(&list) } else { output::yaml::to_string(&list) };
            session.print(&shown)?;
            return Ok(Exit::Success);
        }
        None | Some(Format::Table | Format::Wide) => {}
    }
    if found.is_empty() {
        session.note("There are no requests.");
        return Ok(Exit::Success);
    }
    let mut rows = vec![["NAME", "AGE", "ASKS FOR", "BY", "SIGNER", "CONDITION"].map(str::to_owned).to_vec()];
    for object in &found {
        let wanted = match asked(object) {
            Ok(asked) => subject(&asked),
            Err(why) => format!("<invalid: {why}>"),
        };
        rows.push(vec![
            text(object, "/metadata/name").to_owned(),
            since(text(object, "/metadata/creationTimestamp"), Timestamp::now()),
            wanted,
            output::escape_line(text(object, "/spec/username")),
            text(object, "/spec/signerName").to_owned(),
            stage(object).to_owned(),
        ]);
    }
    session.print(&aligned::table(&rows, true, session.streams.out_width))?;
    Ok(Exit::Success)
}

/// A name, with or without its kind before it.
fn bare(name: &str) -> &str {
    let kinds = ["certificatesigningrequest.certificates.k8s.io/", "certificatesigningrequests/", "csr/"];
    kinds.iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name)
}

fn path(name: &str) -> String {
    format!("{REQUESTS}/{}", path_segment(name))
}

/// `certs approve`
pub(super) async fn approve(arguments: Approve, session: &mut Session) -> Result<Exit, Error> {
    for name in arguments.names.iter().map(|name| bare(name)) {
        let object: Value = session.send(&Call::get(path(name))).await?.json()?;
        let asked = asked(&object);
        let signer = Signer::of(text(&object, "/spec/signerName"));
        match stage(&object) {
            "Pending" => {
                if let Some(signer) = signer {
                    refuse_what_is_refused(name, signer, asked.as_ref(), &object)?;
                }
                decide(
                    session,
                    name,
                    object,
                    "Approved",
                    "NexusctlApprove",
                    "approved by nexusctl certs approve",
                )
                .await?;
                let words = match &asked {
                    Ok(asked) => format!(" for {}", subject(asked)),
                    Err(_) => String::new(),
                };
                session
                    .say(&format!("certificatesigningrequest.certificates.k8s.io/{name} approved{words}"))?;
            }
            "Approved" | "Issued" => session.note(&format!("{name} is approved already.")),
            other => {
                return Err(Error::Message(format!(
                    "{name} is {}: what was decided stays; make another request",
                    other.to_lowercase()
                )));
            }
        }
        if let (Some(Signer::Client), Ok(asked), false) = (signer, &asked, arguments.no_register) {
            register(session, asked).await?;
        }
    }
    Ok(Exit::Success)
}

/// Who approves what its signer refuses would find out by a condition.
fn refuse_what_is_refused(
    name: &str,
    signer: Signer,
    asked: Result<&CertificateRequest, &String>,
    object: &Value,
) -> Result<(), Error> {
    let usages = object.pointer("/spec/usages").and_then(Value::as_array);
    let usages: Vec<String> =
        usages.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let why = match asked {
        Ok(asked) => signer.check(asked, &usages).err().map(|refusal| refusal.message),
        Err(why) => Some(why.clone()),
    };
    match why {
        Some(why) => Err(Error::Message(format!(
            "{name} is not approved, as {} would refuse it: {}; `nexusctl certs deny {name}` says so to whoever asks",
            signer.name(),
            output::escape_line(&why)
        ))),
        None => Ok(()),
    }
}

/// Has the cluster know the key of a person, so that what they write is signed. Who may approve need not be one who may.
async fn register(session: &mut Session, asked: &CertificateRequest) -> Result<(), Error> {
    let Some(key) = key_of(asked) else {
        session.note("The key is no Ed25519 key: it lets its holder in, and what they write is not signed.");
        return Ok(());
    };
    let mut spec = json!({"user": asked.common_name});
    if !asked.organizations.is_empty() {
        spec["groups"] = asked.organizations.clone().into();
    }
    let identity = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Identity", "metadata": {"name": key}, "spec": spec,
    });
    let call = Call::with_body(Method::PATCH, format!("{IDENTITIES}/{key}"), identity.to_string())
        .content_type("application/apply-patch+yaml")
        .query(&[("fieldManager", "nexusctl"), ("force", "true"), ("fieldValidation", "Strict")]);
    match session.send(&call).await {
        Ok(reply) if reply.code == 201 => {
            let words =
                format!("identity.hypermesh.online/{key} registered: it signs for {}", subject(asked));
            session.say(&words)
        }
        Ok(_) => Ok(()),
        Err(error) if error.status().is_some_and(|status| matches!(status.code, 403 | 404 | 422)) => {
            let why = error.status().map(|status| status.message.clone()).unwrap_or_default();
            session.note(&format!(
                "The key is not registered, and what its holder writes is not signed: {}",
                output::escape_line(&why)
            ));
            session.note(&format!(
                "Who may does it by: nexusctl auth register {} --key {key}{}",
                output::escape_line(&asked.common_name),
                asked.organizations.iter().map(|group| format!(" --group {group}")).collect::<String>()
            ));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// `certs deny`
pub(super) async fn deny(arguments: Deny, session: &mut Session) -> Result<Exit, Error> {
    for name in arguments.names.iter().map(|name| bare(name)) {
        let object: Value = session.send(&Call::get(path(name))).await?.json()?;
        match stage(&object) {
            "Pending" => {
                let message = match arguments.message.as_str() {
                    "" => "denied by nexusctl certs deny",
                    message => message,
                };
                decide(session, name, object, "Denied", "NexusctlDeny", message).await?;
                session.say(&format!("certificatesigningrequest.certificates.k8s.io/{name} denied"))?;
            }
            "Denied" => session.note(&format!("{name} is denied already.")),
            _ => {
                return Err(Error::Message(format!(
                    "{name} is approved, and that stays; what was signed is revoked by its key: nexusctl auth revoke"
                )));
            }
        }
    }
    Ok(Exit::Success)
}

async fn decide(
    session: &mut Session,
    name: &str,
    mut object: Value,
    kind: &str,
    reason: &str,
    message: &str,
) -> Result<(), Error> {
    let condition = json!({"type": kind, "status": "True", "reason": reason, "message": message});
    let mut list =
        object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    list.push(condition);
    object["status"]["conditions"] = list.into();
    // As it was seen: another decision meanwhile is a conflict.
    let call = Call::with_body(Method::PUT, format!("{}/approval", path(name)), object.to_string())
        .query(&[("fieldManager", "nexusctl")]);
    session.send(&call).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decided_comes_before_what_came_of_it() {
        let of = |kinds: &[&str], certificate: &str| {
            let list: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
            stage(&json!({"status": {"conditions": list, "certificate": certificate}}))
        };
        assert_eq!(of(&[], ""), "Pending");
        assert_eq!(of(&["Approved"], ""), "Approved");
        assert_eq!(of(&["Approved"], "Zm9v"), "Issued");
        assert_eq!(of(&["Approved", "Failed"], ""), "Failed");
        assert_eq!(of(&["Denied"], ""), "Denied");
    }

    #[test]
    fn who_asks_is_shown_without_what_hides() {
        let (_, pem) = hypermesh_apiserver::certificates::make_request(
            "ann",
            &["dev".to_owned(), "ops".to_owned()],
            None,
        )
        .unwrap();
        let object = json!({"spec": {"request": STANDARD.encode(pem)}});
        assert_eq!(subject(&asked(&object).unwrap()), "ann (dev, ops)");
        assert!(asked(&json!({"spec": {"request": "%"}})).is_err());
    }
}
