//! `certs`: the certificates of a cluster that runs from a data folder of this machine, and the key that seals its store.

use crate::{
    error::{Error, Exit, chain},
    output::aligned::{TABLE, push_row},
    session::Session,
};
use clap::{Args, Subcommand};
use hypermesh_apiserver::certificates;
use std::path::PathBuf;

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show certificates, until when they are valid and when they renew by themselves
    Status(Arguments),
    /// Renew the server's and the administrator's certificate now; a running server takes them up within 30 s
    Rotate(Arguments),
    /// Have the key that seals the store replaced: a running server does it within 10 s, else the next one at its start
    RotateStoreKey(Arguments),
}

/// Arguments of all.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl certs status --data-dir ./data")]
pub struct Arguments {
    /// The cluster's data folder [default: /var/lib/hypermesh for root, else $XDG_DATA_HOME/hypermesh]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    let (Command::Status(arguments) | Command::Rotate(arguments) | Command::RotateStoreKey(arguments)) =
        &command;
    let dir = match arguments.data_dir.clone().or_else(|| session.environment.data_dir()) {
        Some(dir) => dir,
        None => return Err(Error::Message("there is no home to look in: say --data-dir DIR".into())),
    };
    let failed = |error: certificates::CertificatesError| Error::Message(chain(&error));
    if matches!(command, Command::Rotate(_)) {
        certificates::rotate(&dir).map_err(failed)?;
    }
    if matches!(command, Command::RotateStoreKey(_)) {
        hypermesh_apiserver::store_key::ask(&dir).map_err(|error| Error::Message(chain(&error)))?;
    }
    let rows = certificates::status(&dir).map_err(failed)?;
    if rows.is_empty() {
        return Err(Error::Message(format!(
            "{} holds no certificates; `nexusctl up` makes them when it first starts",
            dir.display()
        )));
    }
    let mut cells = vec![["NAME", "SUBJECT", "EXPIRES", "RENEWS", "SERIAL"].map(str::to_owned).to_vec()];
    cells
        .extend(rows.into_iter().map(|row| vec![row.name, row.subject, row.expires, row.renews, row.serial]));
    let mut widths = Vec::new();
    for row in &cells {
        TABLE.fit(&mut widths, row);
    }
    let mut text = String::new();
    for row in &cells {
        push_row(&mut text, &widths, row);
    }
    session.print(&text)?;
    Ok(Exit::Success)
}
