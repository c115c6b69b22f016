//! `certs`: the certificates of a cluster that runs from a data folder of this machine, and the key that seals its store;
//! and requests for certificates of people, which go to any cluster.

mod request;
mod requests;

use crate::{
    error::{Error, Exit, chain},
    kubeconfig,
    output::aligned,
    session::Session,
    shell,
};
use clap::{Args, Subcommand};
use hypermesh_apiserver::certificates::{self, Regardless};
use std::path::{Path, PathBuf};

/// What errors of a data folder name as the next step.
const ROTATE: &str = "nexusctl certs rotate-ca";

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show certificates, until when they are valid and when they renew by themselves
    Status(Arguments),
    /// Renew the server's and the administrator's certificate now; a running server takes them up within seconds
    Rotate(Arguments),
    /// Have the key that seals the store replaced: a running server does it within 10 s, else the next one at its start
    RotateStoreKey(Arguments),
    /// Make a key, ask for a certificate of it, and write a kubeconfig once somebody has approved
    Request(request::Request),
    /// Show requests for certificates, and what they ask for
    List(requests::List),
    /// Approve requests, and have the cluster know the keys of people, so that what they write is signed
    Approve(requests::Approve),
    /// Deny requests
    Deny(requests::Deny),
    /// Change the cluster's authorities: new ones first, beside the old ones; and in a second step the old ones go
    RotateCa(RotateCa),
}

impl Command {
    /// Whether it is about files of this machine, and asks no server.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Status(_) | Self::Rotate(_) | Self::RotateStoreKey(_) | Self::RotateCa(_))
    }
}

/// Runs the verbs that ask a server.
pub async fn ask(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Request(arguments) => request::run(arguments, session).await,
        Command::List(arguments) => requests::list(arguments, session).await,
        Command::Approve(arguments) => requests::approve(arguments, session).await,
        Command::Deny(arguments) => requests::deny(arguments, session).await,
        local => run(local, session),
    }
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

/// Arguments of `certs rotate-ca`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # New authorities beside the old ones: both count, kubeconfigs and namespaces are told of both
  nexusctl certs rotate-ca --data-dir ./data
  # Days later, once every client has a new kubeconfig: the old ones count no more
  nexusctl certs rotate-ca --data-dir ./data --finish")]
pub struct RotateCa {
    /// Which cluster.
    #[command(flatten)]
    pub folder: Arguments,
    /// Drop the old authorities; refused while that would break something that the server knows of, which is named
    #[arg(long)]
    pub finish: bool,
    /// Drop them though registered keys were not seen since the first step: their holders may be shut out
    #[arg(long, requires = "finish")]
    pub leave_unseen: bool,
    /// Drop them, whatever that breaks
    #[arg(long, requires = "finish")]
    pub force: bool,
}

impl RotateCa {
    fn regardless(&self) -> Regardless {
        match (self.force, self.leave_unseen) {
            (true, _) => Regardless::OfAll,
            (false, true) => Regardless::OfUnseen,
            (false, false) => Regardless::OfNothing,
        }
    }
}

/// Runs the verbs about files.
pub fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    let arguments = match &command {
        Command::Status(arguments) | Command::Rotate(arguments) | Command::RotateStoreKey(arguments) => {
            arguments
        }
        Command::RotateCa(arguments) => &arguments.folder,
        _ => return Err(Error::Message("this verb asks a server".into())),
    };
    let dir = match arguments.data_dir.clone().or_else(|| session.environment.data_dir()) {
        Some(dir) => dir,
        None => return Err(Error::Message("there is no home to look in: say --data-dir DIR".into())),
    };
    let elsewhere = if arguments.data_dir.is_none() { of_kubeconfig(session, &dir) } else { None };
    let hint = elsewhere
        .map(|dir| {
            format!("; the kubeconfig in use lies in another data folder: --data-dir {}", dir.display())
        })
        .unwrap_or_default();
    // What is to be done next is about the same folder.
    let place = arguments
        .data_dir
        .as_ref()
        .map(|dir| format!(" --data-dir {}", shell::quote(&dir.display().to_string())))
        .unwrap_or_default();
    let failed = |error: &dyn std::error::Error| {
        let words = chain(error).replace(ROTATE, &format!("{ROTATE}{place}"));
        Error::Message(format!("{words}{hint}"))
    };
    if matches!(command, Command::Rotate(_)) {
        certificates::rotate(&dir).map_err(|error| failed(&error))?;
    }
    if let Command::RotateCa(arguments) = &command {
        if arguments.finish {
            let breaks = certificates::finish_rotation(&dir, arguments.regardless());
            for broken in breaks.map_err(|error| failed(&error))? {
                session.note(&format!("Ended all the same: {broken}"));
            }
            session.note("The old authorities count no more. Kubeconfigs of before the rotation are refused from now on.");
        } else {
            certificates::begin_rotation(&dir).map_err(|error| failed(&error))?;
            session.note(&format!(
                "Old and new authorities count, and the data folder's kubeconfigs are of the new ones. Give everyone a new \
                 kubeconfig, and end it by `nexusctl certs rotate-ca{place} --finish`, an hour from now or later: it says \
                 who was seen with the old ones since, which registered keys were not seen, and which namespaces hand out \
                 too little. Who trusts the old one alone as the server's cannot be seen from here. pki/ca.crt is the new \
                 one; until the end, give out pki/ca.old.crt as well.",
            ));
        }
    }
    if matches!(command, Command::RotateStoreKey(_)) {
        hypermesh_apiserver::store_key::ask(&dir).map_err(|error| failed(&error))?;
    }
    let rows = certificates::status(&dir).map_err(|error| failed(&error))?;
    if rows.is_empty() {
        return Err(Error::Message(format!(
            "{} holds no certificates; `nexusctl up` makes them when it first starts{hint}",
            dir.display()
        )));
    }
    let mut cells = vec![["NAME", "SUBJECT", "EXPIRES", "RENEWS", "SERIAL"].map(str::to_owned).to_vec()];
    cells
        .extend(rows.into_iter().map(|row| vec![row.name, row.subject, row.expires, row.renews, row.serial]));
    session.print(&aligned::table(&cells, true, session.streams.out_width))?;
    Ok(Exit::Success)
}

/// The data folder that a kubeconfig in use lies in, where that is another than `dir`.
fn of_kubeconfig(session: &Session, dir: &Path) -> Option<PathBuf> {
    let files = kubeconfig::locate(&session.environment, session.options.kubeconfig.as_deref()).ok()?.files;
    // Beside what a cluster begins with lies the file that its server writes.
    files
        .iter()
        .filter(|file| file.ends_with("admin.kubeconfig"))
        .filter_map(|file| file.parent())
        .find(|folder| *folder != dir && folder.join("genesis").exists())
        .map(Path::to_owned)
}
