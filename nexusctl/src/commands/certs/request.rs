//! `certs request`: a person's way in. A key is made here and never leaves; what it asks for is approved by somebody else; and
//! a kubeconfig comes of it.
//!
//! It may be broken off at any point and begun again: the key is kept from the start, the request is named after it, and a
//! certificate that was given out meanwhile is taken up.

use super::requests::{REQUESTS, condition, stage};
use crate::{
    client::Call,
    error::{Error, Exit, chain},
    kubeconfig::edit::{self, Kind},
    output,
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use http::Method;
use hypermesh_apiserver::certificates::{
    CertificateRequest, KeyKind, LONGEST_LIFE, SHORTEST_LIFE, Signer, make_request,
};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const IDENTITIES: &str = "/apis/hypermesh.online/v1/identities";
/// How often the request is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Arguments of `certs request`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # Makes ann.key and asks. Without --no-wait, and when it is run again, it waits until somebody has approved, and writes
  # ann.kubeconfig
  nexusctl certs request ann --group developers --no-wait
  # For who cannot reach the cluster yet: the request as a manifest, which somebody who can applies
  nexusctl certs request ann --group developers --print > ann.yaml")]
pub struct Request {
    /// The user to be
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A group to be in; may be given several times
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// For how long the certificate should be valid: 24h; at least 10m, at most 90 days are given
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub expires: Option<Duration>,
    /// The key: made where there is no such file [default: NAME.key]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The kubeconfig to write; one that exists gets a context more [default: NAME.kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// How long to wait for a decision
    #[arg(long, value_name = "TIME", default_value = "24h", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub timeout: Duration,
    /// Ask, and do not wait: the same command comes back for the certificate
    #[arg(long, conflicts_with = "print")]
    pub no_wait: bool,
    /// Print the request as a manifest, and send nothing
    #[arg(long)]
    pub print: bool,
    /// The certificate that came of a printed request: write the kubeconfig from it, and ask nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["print", "no_wait"])]
    pub certificate: Option<PathBuf>,
}

/// The key and what it asks for.
struct Prepared {
    key: String,
    /// The request's name.
    name: String,
    object: Value,
    public: String,
}

/// `certs request`
pub(super) async fn run(arguments: Request, session: &mut Session) -> Result<Exit, Error> {
    let prepared = prepare(&arguments)?;
    if arguments.print {
        session.print(&output::yaml::to_string(&prepared.object))?;
        return Ok(Exit::Success);
    }
    if let Some(path) = &arguments.certificate {
        let certificate = std::fs::read(path)
            .map_err(|error| Error::Message(format!("--certificate: {}: {error}", path.display())))?;
        return finish(session, &arguments, &prepared, &certificate).await;
    }
    let object = ask(session, &prepared).await?;
    if arguments.no_wait && stage(&object) != "Issued" {
        session.say(&format!(
            "certificatesigningrequest.certificates.k8s.io/{} is {}; the same command comes back for the certificate",
            prepared.name,
            stage(&object).to_lowercase()
        ))?;
        return Ok(Exit::Success);
    }
    let object = wait(session, &arguments, &prepared, object).await?;
    let certificate = STANDARD
        .decode(object.pointer("/status/certificate").and_then(Value::as_str).unwrap_or_default())
        .map_err(|error| {
            Error::Message(format!("the certificate of {} cannot be read: {error}", prepared.name))
        })?;
    finish(session, &arguments, &prepared, &certificate).await
}

/// Writes the kubeconfig, and says where.
async fn finish(
    session: &mut Session,
    arguments: &Request,
    prepared: &Prepared,
    certificate: &[u8],
) -> Result<Exit, Error> {
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.kubeconfig", file_name(&arguments.name))));
    let context = write(session, &arguments.name, &out, prepared, certificate).await?;
    session.say(&format!("{}: context {context}; use it by KUBECONFIG={0}", out.display()))?;
    Ok(Exit::Success)
}

/// A name as a part of a file's name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.@".contains(c) { c } else { '_' }).collect()
}

/// A name as the beginning of an object's name.
fn object_name(name: &str) -> String {
    let plain: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let plain = plain.trim_matches(|c| c == '-' || c == '.').replace("..", ".");
    if plain.is_empty() { "request".to_owned() } else { plain.chars().take(200).collect() }
}

/// A life that the signer gives as it was asked for; one that it would cut or refuse is told before a key is made.
fn in_bounds(life: Duration) -> Result<(), Error> {
    let [shortest, longest] = [SHORTEST_LIFE, LONGEST_LIFE].map(|bound| bound.whole_seconds().unsigned_abs());
    if (shortest..=longest).contains(&life.as_secs()) {
        return Ok(());
    }
    let (minutes, days) = (shortest / 60, longest / 86_400);
    Err(Error::Message(format!("--expires: a certificate is valid for {minutes} minutes to {days} days")))
}

fn prepare(arguments: &Request) -> Result<Prepared, Error> {
    arguments.expires.map_or(Ok(()), in_bounds)?;
    let path =
        arguments.key.clone().unwrap_or_else(|| PathBuf::from(format!("{}.key", file_name(&arguments.name))));
    let failed = |error: std::io::Error| Error::Message(format!("{}: {error}", path.display()));
    let kept = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let fresh = kept.is_none();
    let (key, request) = make_request(&arguments.name, &arguments.groups, kept)
        .map_err(|error| Error::Message(format!("{}: {}", path.display(), chain(&error))))?;
    let refused = |why: String| Error::Message(format!("{:?} cannot be asked for: {why}", arguments.name));
    let read = CertificateRequest::parse(request.as_bytes()).map_err(|error| refused(error.to_string()))?;
    let usages = ["client auth", "digital signature"].map(str::to_owned);
    Signer::Client.check(&read, &usages).map_err(|refusal| refused(refusal.message))?;
    if fresh {
        keep(&path, &key).map_err(failed)?;
    }
    let KeyKind::Ed25519(public) = read.key else {
        return Err(refused("the key is of another algorithm than Ed25519".to_owned()));
    };
    let public: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{}-{}", object_name(&arguments.name), public.get(..8).unwrap_or_default());
    let mut object = json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(request),
            "signerName": Signer::Client.name(),
            "usages": usages,
        },
    });
    if let Some(life) = arguments.expires {
        object["spec"]["expirationSeconds"] = i32::try_from(life.as_secs()).unwrap_or(i32::MAX).into();
    }
    Ok(Prepared { key, name, object, public })
}

/// Keeps a key that is new: nobody else may read it, and none that is there is written over.
fn keep(path: &Path, key: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(key.as_bytes())?;
    file.sync_all()
}

/// Sends the request, or finds it again.
async fn ask(session: &mut Session, prepared: &Prepared) -> Result<Value, Error> {
    let call = Call::with_body(Method::POST, REQUESTS, prepared.object.to_string())
        .query(&[("fieldManager", "nexusctl"), ("fieldValidation", "Strict")]);
    match session.send(&call).await {
        Ok(reply) => Ok(reply.json()?),
        Err(error) if error.status().is_some_and(|status| status.code == 409) => {
            let found: Value =
                session.send(&Call::get(format!("{REQUESTS}/{}", prepared.name))).await?.json()?;
            let spec = |object: &Value, field: &str| object.pointer(&format!("/spec/{field}")).cloned();
            // Ed25519 signs the same the same way: what differs was asked for otherwise.
            if spec(&found, "request") != spec(&prepared.object, "request") {
                return Err(Error::Message(format!(
                    "{} asks for something else by the same key: delete it, or ask by another key (--key)",
                    prepared.name
                )));
            }
            Ok(found)
        }
        Err(error) => Err(error.into()),
    }
}

async fn wait(
    session: &mut Session,
    arguments: &Request,
    prepared: &Prepared,
    mut object: Value,
) -> Result<Value, Error> {
    let begun = Instant::now();
    if stage(&object) == "Pending" {
        session.note(&format!(
            "Waiting for somebody who may to approve: nexusctl certs approve {}  (key {})",
            prepared.name, prepared.public
        ));
    }
    loop {
        let told = |kind: &str| {
            let message = condition(&object, kind).and_then(|one| one.get("message")).and_then(Value::as_str);
            output::escape_line(message.unwrap_or_default())
        };
        match stage(&object) {
            "Issued" => return Ok(object),
            "Denied" => {
                return Err(Error::Message(format!("{} was denied: {}", prepared.name, told("Denied"))));
            }
            "Failed" => {
                return Err(Error::Message(format!("{} was not signed: {}", prepared.name, told("Failed"))));
            }
            stage if begun.elapsed() >= arguments.timeout => {
                return Err(Error::Message(format!(
                    "{} is still {} after {} s; the same command waits on",
                    prepared.name,
                    stage.to_lowercase(),
                    arguments.timeout.as_secs()
                )));
            }
            _ => {}
        }
        session.wait_for("a decision", tokio::time::sleep(LOOK)).await;
        object = session.send(&Call::get(format!("{REQUESTS}/{}", prepared.name))).await?.json()?;
    }
}

/// Writes the context of the new user; its name.
async fn write(
    session: &mut Session,
    user: &str,
    out: &Path,
    prepared: &Prepared,
    certificate: &[u8],
) -> Result<String, Error> {
    let url = session.client()?.server().to_owned();
    let target = session.target()?;
    let mut cluster = json!({"server": url});
    if let Some(authorities) = &target.authorities {
        cluster["certificate-authority-data"] = STANDARD.encode(&authorities.pem).into();
    }
    if let Some(name) = &target.tls_server_name {
        cluster["tls-server-name"] = name.as_str().into();
    }
    if let Some(id) = &target.cluster {
        cluster["extensions"] =
            json!([{"name": "hypermesh.online/cluster", "extension": {"id": id.to_string()}}]);
    }
    let mut entry = json!({
        "client-certificate-data": STANDARD.encode(certificate),
        "client-key-data": STANDARD.encode(&prepared.key),
    });
    if is_registered(session, &prepared.public).await {
        entry["extensions"] = json!([{"name": "hypermesh.online/signing", "extension": {"required": true}}]);
    }
    let name = target.cluster.map_or_else(
        || "hypermesh".to_owned(),
        |id| format!("hypermesh-{}", id.to_string().get(..8).unwrap_or_default()),
    );
    let context = format!("{user}@{name}");
    let inner = json!({"cluster": name, "user": context, "namespace": target.namespace});
    edit::change(&[out.to_owned()], |documents| {
        documents.set(Kind::Cluster, &name, cluster);
        documents.set(Kind::User, &context, entry);
        documents.set(Kind::Context, &context, inner);
        documents.use_context(&context);
        Ok(())
    })?;
    Ok(context)
}

/// Whether the cluster knows the key. Who may not ask, or asks in vain, writes unsigned where that is taken.
async fn is_registered(session: &mut Session, key: &str) -> bool {
    session.send(&Call::get(format!("{IDENTITIES}/{key}"))).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_that_no_signer_gives_is_refused_before_a_key_is_made() {
        let day = 86_400;
        for (seconds, taken) in [(5, false), (599, false), (600, true), (90 * day, true), (900 * day, false)]
        {
            assert_eq!(in_bounds(Duration::from_secs(seconds)).is_ok(), taken, "{seconds}");
        }
    }

    #[test]
    fn names_become_names_of_objects_and_files() {
        for (name, object, file) in [
            ("ann", "ann", "ann"),
            ("Ann.Smith@example.com", "ann.smith-example.com", "Ann.Smith@example.com"),
            ("../etc", "etc", ".._etc"),
            ("\u{fc}", "request", "\u{fc}"),
        ] {
            assert_eq!((object_name(name).as_str(), file_name(name).as_str()), (object, file));
        }
    }

    #[test]
    fn a_key_is_kept_for_its_owner_and_found_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let arguments = Request {
            name: "ann".into(),
            groups: vec!["dev".into()],
            expires: Some(Duration::from_secs(3600)),
            key: Some(dir.path().join("ann.key")),
            out: None,
            timeout: Duration::ZERO,
            no_wait: false,
            print: true,
            certificate: None,
        };
        let first = prepare(&arguments).unwrap();
        let mode = std::fs::metadata(dir.path().join("ann.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = prepare(&arguments).unwrap();
        assert_eq!(first.object, again.object, "what is asked again is the same request");
        assert_eq!(first.object["spec"]["expirationSeconds"], 3600);
        let other = Request { groups: vec!["system:masters".into()], ..arguments };
        assert!(prepare(&other).err().unwrap().to_string().contains("system:masters"));
    }
}
