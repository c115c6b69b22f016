//! `cluster init`: data folders for the replicas of one operator.

use crate::{
    error::{Error, Exit, chain},
    session::Session,
    shell,
};
use clap::Args;
use hypermesh_apiserver::{Config, ROSTER_FILE, Server};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Below it a cluster bears no faulty replica.
const LEAST: usize = 4;
const MOST: usize = 64;

/// Arguments of `cluster init`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl cluster init --dir ./cluster --peer 10.0.0.1:6446 --peer 10.0.0.2:6446 --peer 10.0.0.3:6446 --peer 10.0.0.4:6446

Every folder holds the authorities and the administrator's key beside its replica's own key: they are of one operator.
Of four replicas one may be faulty, of seven two; fewer than four bear no fault.")]
pub struct Arguments {
    /// Where the folders are made, by number: DIR/1, DIR/2, …
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Where a replica is met by the others (UDP); once for each replica
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub peer: Vec<SocketAddr>,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, Error> {
    let count = arguments.peer.len();
    let refuse = |text: String| Err(Error::Message(text));
    if !(2..=MOST).contains(&count) {
        return refuse(format!(
            "--peer is said {count} times: once for each replica, from 2 to {MOST} times"
        ));
    }
    let mut met = BTreeSet::new();
    for address in &arguments.peer {
        if address.ip().is_unspecified() || address.port() == 0 {
            return refuse(format!(
                "--peer {address}: others have to reach it there: say an address and a port"
            ));
        }
        if !met.insert(address) {
            return refuse(format!(
                "--peer {address} is said twice: replicas are met at addresses of their own"
            ));
        }
    }
    let folders: Vec<PathBuf> = (1..=count).map(|number| arguments.dir.join(number.to_string())).collect();
    for folder in &folders {
        // What is half-way there may be of another founding.
        if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return refuse(format!("{} is not empty: choose another --dir, or remove it", folder.display()));
        }
    }
    let api = SocketAddr::from(([127, 0, 0, 1], 6443));
    let configs = folders.iter().map(|folder| Config::new(folder.clone(), api)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Error::Message(format!("cannot start: {error}")))?;
    runtime
        .block_on(Server::found(configs, arguments.peer.clone()))
        .map_err(|error| Error::Message(chain(&error)))?;
    for (folder, peer) in folders.iter().zip(&arguments.peer) {
        session.say(&format!("{}: the replica that is met at {peer}", folder.display()))?;
    }
    if count < LEAST {
        session
            .say(&format!("{count} replicas decide only together: four are needed to bear a faulty one"))?;
    }
    session.say(&format!(
        "Take each folder to its machine (they hold private keys), and start there:\n  \
         nexus-apiserver --data-dir {} --api HOST:6443\n\
         {ROSTER_FILE} in each of them says where the others are. Once more than two thirds run, FOLDER/admin.kubeconfig \
         is the administrator's.",
        shell::quote(&folders.first().map(|folder| folder.display().to_string()).unwrap_or_default())
    ))?;
    Ok(Exit::Success)
}
