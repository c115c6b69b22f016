//! `create secret generic|tls|docker-registry`
//!
//! What is secret is better read from a file or from standard input than said on the command line, which other users
//! of a machine can see.

use super::data::{Data, Values, bytes};
use crate::{commands::results::Manner, error::Error, session::Session};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use hypermesh_client::pem;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Map, Value, json};
use std::io::Read as _;

/// The kinds of Secret.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keys and values
    Generic(Generic),
    /// A certificate and its key
    Tls(Tls),
    /// Access to a registry of images
    #[command(name = "docker-registry")]
    DockerRegistry(DockerRegistry),
}

const GENERIC: &str = "Examples:
  nexusctl create secret generic login --from-literal=user=me
  nexusctl create secret generic readme --from-file=text=README.md --dry-run";
const TLS: &str = "Examples:
  openssl req -x509 -newkey ed25519 -nodes -subj /CN=www -keyout tls.key -out tls.crt
  nexusctl create secret tls www --cert=tls.crt --key=tls.key";
const DOCKER: &str = "Examples:
  nexusctl create secret docker-registry pull --docker-server=registry.example.com --docker-username=me --docker-password=secret";

/// Arguments of `create secret generic`.
#[derive(Args, Debug)]
#[command(after_help = GENERIC)]
pub struct Generic {
    /// Its name
    pub name: String,
    /// What it holds
    #[command(flatten)]
    pub data: Data,
    /// What it is for, as programs know it
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Never let it be changed
    #[arg(long)]
    pub immutable: bool,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Arguments of `create secret tls`.
#[derive(Args, Debug)]
#[command(after_help = TLS)]
pub struct Tls {
    /// Its name
    pub name: String,
    /// Certificate and those that issued it (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: String,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: String,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Arguments of `create secret docker-registry`.
#[derive(Args, Debug)]
#[command(after_help = DOCKER)]
pub struct DockerRegistry {
    /// Its name
    pub name: String,
    /// A `config.json` as Docker keeps it, instead of the flags that follow
    #[arg(long, value_name = "FILE", conflicts_with_all = ["docker_username", "docker_password", "docker_password_stdin"])]
    pub from_file: Option<String>,
    /// The registry
    #[arg(long, value_name = "HOST", default_value = "https://index.docker.io/v1/")]
    pub docker_server: String,
    /// Who pulls
    #[arg(long, value_name = "NAME", required_unless_present = "from_file")]
    pub docker_username: Option<String>,
    /// The password
    #[arg(long, value_name = "PASSWORD", conflicts_with = "docker_password_stdin")]
    pub docker_password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub docker_password_stdin: bool,
    /// An address, if the registry wants one
    #[arg(long, value_name = "ADDRESS")]
    pub docker_email: Option<String>,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Builds a Secret.
pub(super) fn build(command: Command, session: &mut Session) -> Result<(Value, Manner), Error> {
    match command {
        Command::Generic(arguments) => {
            let mut object =
                secret(&arguments.name, arguments.data.read(session)?, arguments.kind.as_deref());
            if arguments.immutable {
                object["immutable"] = true.into();
            }
            Ok((object, arguments.manner))
        }
        Command::Tls(arguments) => Ok((tls(&arguments)?, arguments.manner)),
        Command::DockerRegistry(arguments) => {
            let configuration = match &arguments.from_file {
                Some(path) => docker_file(path)?,
                None => docker(&arguments, session)?,
            };
            let values = Values::from([(".dockerconfigjson".to_owned(), configuration)]);
            let object = secret(&arguments.name, values, Some("kubernetes.io/dockerconfigjson"));
            Ok((object, arguments.manner))
        }
    }
}

fn secret(name: &str, values: Values, kind: Option<&str>) -> Value {
    let data: Map<String, Value> =
        values.into_iter().map(|(key, value)| (key, STANDARD.encode(value).into())).collect();
    let mut object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
    if !data.is_empty() {
        object["data"] = data.into();
    }
    if let Some(kind) = kind {
        object["type"] = kind.into();
    }
    object
}

/// Certificate and key that belong together: a mix-up would show only when a server fails to start.
fn tls(arguments: &Tls) -> Result<Value, Error> {
    let (chain, key) = (bytes(&arguments.cert)?, bytes(&arguments.key)?);
    let no_certificate = |error| {
        let why = pem::fault(&chain, pem::Wanted::Certificate, &error);
        Error::Message(format!("{} holds no certificate: {why}", arguments.cert))
    };
    // The first of them is the one that the key belongs to; without one there is nothing to show.
    CertificateDer::from_pem_slice(&chain).map_err(no_certificate)?;
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().map_err(no_certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
        let why = pem::fault(&key, pem::Wanted::PrivateKey, &error);
        Error::Message(format!("{} holds no usable private key: {why}", arguments.key))
    })?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match rustls::sign::CertifiedKey::from_der(certificates, private, &provider) {
        Ok(_) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let words = format!("{} is not the key of the certificate in {}", arguments.key, arguments.cert);
            return Err(Error::Message(words));
        }
        Err(rustls::Error::InvalidCertificate(_)) => {
            let words = format!(
                "{} holds a block CERTIFICATE that is no X.509 certificate in DER: take it anew from whoever issued it",
                arguments.cert
            );
            return Err(Error::Message(words));
        }
        Err(error) => return Err(Error::Message(format!("{} cannot be used: {error}", arguments.key))),
    }
    let values = Values::from([("tls.crt".to_owned(), chain), ("tls.key".to_owned(), key)]);
    Ok(secret(&arguments.name, values, Some("kubernetes.io/tls")))
}

fn docker_file(path: &str) -> Result<Vec<u8>, Error> {
    let path = path.strip_prefix(".dockerconfigjson=").unwrap_or(path);
    let bytes = bytes(path)?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|error| {
        Error::Message(format!("{path}:{}:{}: no JSON: {error}", error.line(), error.column()))
    })?;
    if json.get("auths").and_then(Value::as_object).is_none() {
        return Err(Error::Message(format!("{path} has no \"auths\": is it Docker's config.json?")));
    }
    Ok(bytes)
}

fn docker(arguments: &DockerRegistry, session: &mut Session) -> Result<Vec<u8>, Error> {
    let username = arguments.docker_username.clone().unwrap_or_default();
    let password = match (&arguments.docker_password, arguments.docker_password_stdin) {
        (Some(password), _) => password.clone(),
        (None, true) => {
            let mut text = String::new();
            let read = session.streams.input.by_ref().take(1 << 16).read_to_string(&mut text);
            read.map_err(|error| Error::Message(format!("cannot read the password: {error}")))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, false) => {
            return Err(Error::Message(
                "give the password with --docker-password-stdin or --docker-password".into(),
            ));
        }
    };
    let mut entry = json!({
        "username": username,
        "password": password,
        "auth": STANDARD.encode(format!("{username}:{password}")),
    });
    if let Some(email) = &arguments.docker_email {
        entry["email"] = email.clone().into();
    }
    let mut auths = Map::new();
    auths.insert(arguments.docker_server.clone(), entry);
    Ok(json!({"auths": auths}).to_string().into_bytes())
}
