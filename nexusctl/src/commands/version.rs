//! `version`: of this program and of the server.

use crate::{
    client::Call,
    error::{Error, Exit},
    output::{self, Format},
    session::Session,
};
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `version`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl version
  nexusctl version --client -o json")]
pub struct Arguments {
    /// Of this program only
    #[arg(long)]
    pub client: bool,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let ours = concat!("v", env!("CARGO_PKG_VERSION"));
    let server: Option<Result<Value, Error>> = match arguments.client {
        true => None,
        false => Some(server(session).await),
    };
    match arguments.output {
        None => {
            session.say(&format!("Client Version: {ours}"))?;
            if let Some(Ok(version)) = &server {
                let text = version.get("gitVersion").and_then(Value::as_str).unwrap_or("<unknown>");
                session.say(&format!("Server Version: {}", output::escape(text)))?;
            }
        }
        Some(format @ (Format::Json | Format::Yaml)) => {
            let mut value = json!({"clientVersion": {"gitVersion": ours}});
            if let Some(Ok(version)) = &server {
                value["serverVersion"] = version.clone();
            }
            let text =
                if format == Format::Json { output::json(&value) } else { output::yaml::to_string(&value) };
            session.print(&text)?;
        }
        Some(_) => return Err(Error::Message("versions can be shown as json or yaml".into())),
    }
    match server {
        Some(Err(error)) => Err(error),
        _ => Ok(Exit::Success),
    }
}

async fn server(session: &mut Session) -> Result<Value, Error> {
    // Before `send`, so that a missing kubeconfig is told in its own words.
    session.client()?;
    Ok(session.send(&Call::get("/version")).await?.json()?)
}
