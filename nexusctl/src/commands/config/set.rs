//! `config set-context`, `set-cluster` and `set-credentials`: what the flags say is set, the rest stays.

use crate::{
    commands::config::change,
    error::Error,
    kubeconfig::edit::{Documents, Kind},
    session::Session,
};
use base64::Engine as _;
use clap::Args;
use hypermesh_client::Server;
use serde_json::{Map, Value, json};
use std::path::Path;

/// A cluster or user to make or change.
#[derive(Args, Debug)]
pub struct Entry {
    /// Its name
    pub name: String,
    /// Put what the named files hold into the kubeconfig, so that it is enough by itself
    #[arg(long)]
    pub embed_certs: bool,
}

/// The fields of an entry, as they are.
fn fields(documents: &Documents, kind: Kind, name: &str) -> Map<String, Value> {
    documents.get(kind, name).and_then(Value::as_object).cloned().unwrap_or_default()
}

pub(super) fn context(name: Option<String>, session: &mut Session) -> Result<(), Error> {
    let options = session.options.clone();
    let given = [("cluster", options.cluster), ("user", options.user), ("namespace", options.namespace)];
    let (name, new) = change(session, |documents| {
        let name = match name {
            Some(name) => name,
            None => match documents.current() {
                "" => {
                    return Err(crate::kubeconfig::Error::NoContext {
                        known: documents.names(Kind::Context),
                        files: Vec::new(),
                    });
                }
                current => current.to_owned(),
            },
        };
        let mut context = fields(documents, Kind::Context, &name);
        for (key, value) in given {
            if let Some(value) = value {
                context.insert(key.to_owned(), json!(value));
            }
        }
        let new = documents.set(Kind::Context, &name, Value::Object(context));
        Ok((name, new))
    })?;
    session.say(&format!("Context {name:?} {}.", if new { "created" } else { "modified" }))
}

pub(super) fn cluster(entry: &Entry, session: &mut Session) -> Result<(), Error> {
    let options = session.options.clone();
    let server = options.server.map(|server| {
        let parsed = Server::parse(&server).map_err(|why| Error::Message(format!("--server: {why}")))?;
        Ok::<_, Error>(parsed.url().to_owned())
    });
    let server = server.transpose()?;
    let authority = options.certificate_authority.as_deref();
    let authority = named(authority, "certificate-authority", entry.embed_certs)?;
    change(session, |documents| {
        let mut cluster = fields(documents, Kind::Cluster, &entry.name);
        if let Some(server) = server {
            cluster.insert("server".to_owned(), json!(server));
        }
        if let Some(name) = options.tls_server_name {
            cluster.insert("tls-server-name".to_owned(), json!(name));
        }
        if let Some(authority) = authority {
            put(&mut cluster, "certificate-authority", authority);
            cluster.remove("insecure-skip-tls-verify");
        }
        if options.insecure_skip_tls_verify {
            cluster.remove("certificate-authority");
            cluster.remove("certificate-authority-data");
            cluster.insert("insecure-skip-tls-verify".to_owned(), json!(true));
        }
        documents.set(Kind::Cluster, &entry.name, Value::Object(cluster));
        Ok(())
    })?;
    session.say(&format!("Cluster {:?} set.", entry.name))
}

pub(super) fn credentials(entry: &Entry, session: &mut Session) -> Result<(), Error> {
    let options = session.options.clone();
    let certificate = named(options.client_certificate.as_deref(), "client-certificate", entry.embed_certs)?;
    let key = named(options.client_key.as_deref(), "client-key", entry.embed_certs)?;
    change(session, |documents| {
        let mut user = fields(documents, Kind::User, &entry.name);
        if let Some(certificate) = certificate {
            put(&mut user, "client-certificate", certificate);
        }
        if let Some(key) = key {
            put(&mut user, "client-key", key);
        }
        if let Some(token) = options.token {
            user.remove("tokenFile");
            user.insert("token".to_owned(), json!(token));
        }
        documents.set(Kind::User, &entry.name, Value::Object(user));
        Ok(())
    })?;
    session.say(&format!("User {:?} set.", entry.name))
}

/// What is written for a file that a flag names: where it is, or what is in it.
enum Named {
    Path(String),
    Data(String),
}

fn named(path: Option<&Path>, flag: &str, embed: bool) -> Result<Option<Named>, Error> {
    let Some(path) = path else { return Ok(None) };
    let fault = |why: String| Error::Message(format!("--{flag}: {why}"));
    let bytes = std::fs::read(path).map_err(|e| fault(format!("cannot read {}: {e}", path.display())))?;
    if embed {
        return Ok(Some(Named::Data(base64::engine::general_purpose::STANDARD.encode(bytes))));
    }
    // From where it is read later does not matter then.
    let path = std::path::absolute(path).map_err(|e| fault(e.to_string()))?;
    Ok(Some(Named::Path(path.display().to_string())))
}

fn put(entry: &mut Map<String, Value>, field: &str, named: Named) {
    let data = format!("{field}-data");
    match named {
        Named::Path(path) => {
            entry.remove(&data);
            entry.insert(field.to_owned(), json!(path));
        }
        Named::Data(bytes) => {
            entry.remove(field);
            entry.insert(data, json!(bytes));
        }
    }
}
