//! `config`: contexts, clusters and users of kubeconfigs, shown and changed. Reaches no server.

mod set;
mod view;

use crate::{
    error::{Error, Exit},
    known_clusters::KnownClusters,
    kubeconfig::{
        self,
        edit::{self, Documents, Kind},
    },
    output::aligned,
    session::Session,
};
use clap::Subcommand;
use hypermesh_client::Server;
use serde_json::Value;
use std::path::PathBuf;

/// The verbs of `config`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the kubeconfigs as one, keys and tokens left out
    View(view::Arguments),
    /// Show contexts
    #[command(name = "get-contexts")]
    #[command(after_help = "Examples:\n  nexusctl config get-contexts")]
    GetContexts {
        /// Contexts to show; all of them when none is named
        #[arg(value_name = "CONTEXT")]
        names: Vec<String>,
        /// name
        #[arg(short, long, value_name = "FORMAT", value_parser = ["name"])]
        output: Option<String>,
        /// Leave out the head of the table
        #[arg(long)]
        no_headers: bool,
    },
    /// Show the names of clusters
    #[command(name = "get-clusters")]
    #[command(after_help = "Examples:\n  nexusctl config get-clusters")]
    GetClusters,
    /// Show the names of users
    #[command(name = "get-users")]
    #[command(after_help = "Examples:\n  nexusctl config get-users")]
    GetUsers,
    /// Show the name of the current context
    #[command(name = "current-context")]
    #[command(after_help = "Examples:\n  nexusctl config current-context")]
    CurrentContext,
    /// Make a context the current one
    #[command(name = "use-context", visible_alias = "use")]
    #[command(after_help = "Examples:\n  nexusctl config use-context hypermesh")]
    UseContext {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: String,
    },
    /// Make or change a context, by --cluster, --user and --namespace
    #[command(name = "set-context")]
    #[command(
        after_help = "Examples:\n  nexusctl config set-context --current --namespace default\n  nexusctl config set-context lab --cluster lab --user robot"
    )]
    SetContext {
        /// Its name
        #[arg(required_unless_present = "current", conflicts_with = "current", value_name = "CONTEXT")]
        name: Option<String>,
        /// Change the current context
        #[arg(long)]
        current: bool,
    },
    /// Make or change a cluster, by --server, --certificate-authority and the like
    #[command(name = "set-cluster")]
    #[command(after_help = "Examples:\n  nexusctl config set-cluster lab --server lab.example:6443")]
    SetCluster(set::Entry),
    /// Make or change a user, by --client-certificate and --client-key, or --token
    #[command(name = "set-credentials")]
    #[command(after_help = "Examples:\n  nexusctl config set-credentials robot --token abc")]
    SetCredentials(set::Entry),
    /// Delete a context
    #[command(name = "delete-context")]
    #[command(after_help = "Examples:\n  nexusctl config delete-context lab")]
    DeleteContext {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        name: String,
    },
    /// Delete a cluster
    #[command(name = "delete-cluster")]
    #[command(after_help = "Examples:\n  nexusctl config delete-cluster lab")]
    DeleteCluster {
        /// Its name
        #[arg(value_name = "CLUSTER")]
        name: String,
    },
    /// Delete a user
    #[command(name = "delete-user")]
    #[command(after_help = "Examples:\n  nexusctl config delete-user robot")]
    DeleteUser {
        /// Its name
        #[arg(value_name = "USER")]
        name: String,
    },
    /// Show which cluster was met at which server, where no kubeconfig says
    #[command(name = "known-clusters")]
    #[command(after_help = "Examples:\n  nexusctl config known-clusters")]
    KnownClusters,
    /// Meet a server anew: its cluster was made anew
    #[command(name = "forget-cluster")]
    #[command(after_help = "Examples:\n  nexusctl config forget-cluster https://lab.example:6443")]
    ForgetCluster {
        /// Its URL
        server: String,
    },
    /// Give a context another name
    #[command(name = "rename-context")]
    #[command(after_help = "Examples:\n  nexusctl config rename-context hypermesh home")]
    RenameContext {
        /// Its name
        #[arg(value_name = "CONTEXT")]
        from: String,
        /// Its name from now on
        #[arg(value_name = "NAME")]
        to: String,
    },
}

/// Runs the verb.
pub fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::View(arguments) => view::run(&arguments, session)?,
        Command::GetContexts { names, output, no_headers } => {
            contexts(&names, output.is_some(), no_headers, session)?;
        }
        Command::GetClusters => list(Kind::Cluster, session)?,
        Command::GetUsers => list(Kind::User, session)?,
        Command::CurrentContext => match read(session)?.current() {
            "" => {
                return Err(Error::Message(
                    "current-context is not set: choose one with config use-context".into(),
                ));
            }
            name => session.say(name)?,
        },
        Command::UseContext { name } => {
            change(session, |documents| {
                if documents.get(Kind::Context, &name).is_none() {
                    return Err(documents.unknown(Kind::Context, &name));
                }
                documents.use_context(&name);
                Ok(())
            })?;
            session.say(&format!("Switched to context {name:?}."))?;
        }
        Command::SetContext { name, .. } => set::context(name, session)?,
        Command::SetCluster(entry) => set::cluster(&entry, session)?,
        Command::SetCredentials(entry) => set::credentials(&entry, session)?,
        Command::DeleteContext { name } => delete(Kind::Context, &name, session)?,
        Command::DeleteCluster { name } => delete(Kind::Cluster, &name, session)?,
        Command::DeleteUser { name } => delete(Kind::User, &name, session)?,
        Command::KnownClusters => known_clusters(session)?,
        Command::ForgetCluster { server } => forget_cluster(&server, session)?,
        Command::RenameContext { from, to } => {
            change(session, |documents| documents.rename_context(&from, &to))?;
            session.say(&format!("Context {from:?} renamed to {to:?}."))?;
        }
    }
    Ok(Exit::Success)
}

/// The files that are read.
fn read(session: &Session) -> Result<Documents, Error> {
    let located = kubeconfig::locate(&session.environment, session.options.kubeconfig.as_deref())?;
    if located.files.is_empty() {
        return Err(kubeconfig::Error::NoConfiguration { looked_at: located.looked_at }.into());
    }
    Ok(Documents::read(&located.files)?)
}

/// The files that may be changed.
fn files(session: &Session) -> Result<Vec<PathBuf>, Error> {
    Ok(kubeconfig::changeable(&session.environment, session.options.kubeconfig.as_deref())?)
}

fn change<T>(
    session: &Session,
    change: impl FnOnce(&mut Documents) -> Result<T, kubeconfig::Error>,
) -> Result<T, Error> {
    Ok(edit::change(&files(session)?, change)?)
}

fn list(kind: Kind, session: &mut Session) -> Result<(), Error> {
    session.say("NAME")?;
    for name in read(session)?.names(kind) {
        session.say(&name)?;
    }
    Ok(())
}

fn contexts(names: &[String], bare: bool, no_headers: bool, session: &mut Session) -> Result<(), Error> {
    let documents = read(session)?;
    let mut wanted = if names.is_empty() { documents.names(Kind::Context) } else { names.to_vec() };
    wanted.sort();
    let mut rows = Vec::new();
    for name in wanted {
        let Some(context) = documents.get(Kind::Context, &name) else {
            return Err(documents.unknown(Kind::Context, &name).into());
        };
        if bare {
            session.say(&name)?;
            continue;
        }
        let field = |key: &str| context.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mark = if documents.current() == name { "*" } else { "" };
        rows.push(vec![mark.to_owned(), name, field("cluster"), field("user"), field("namespace")]);
    }
    if bare {
        return Ok(());
    }
    if !no_headers {
        let head = ["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"];
        rows.insert(0, head.map(str::to_owned).to_vec());
    }
    table(&rows, !no_headers, session)
}

fn table(rows: &[Vec<String>], headed: bool, session: &mut Session) -> Result<(), Error> {
    session.print(&aligned::table(rows, headed, session.streams.out_width))
}

fn known(session: &Session) -> Result<KnownClusters, Error> {
    KnownClusters::of(&session.environment)
        .ok_or_else(|| Error::Message("without HOME and XDG_STATE_HOME nothing is remembered".into()))
}

fn known_clusters(session: &mut Session) -> Result<(), Error> {
    let known = known(session)?.all()?;
    if known.is_empty() {
        session.note("No cluster is known but those that kubeconfigs name.");
        return Ok(());
    }
    let mut rows = vec![vec!["SERVER".to_owned(), "CLUSTER".to_owned()]];
    rows.extend(known.into_iter().map(|(server, id)| vec![server, id.to_string()]));
    table(&rows, true, session)
}

fn forget_cluster(server: &str, session: &mut Session) -> Result<(), Error> {
    let parsed = Server::parse(server).map_err(Error::Message)?;
    match known(session)?.forget(&parsed)? {
        Some(id) => session.say(&format!("forgot that {} is of cluster {id}", parsed.url())),
        // It is as it was asked to be.
        None => session.say(&format!("nothing is known of {}", parsed.url())),
    }
}

fn delete(kind: Kind, name: &str, session: &mut Session) -> Result<(), Error> {
    let (path, users) = change(session, |documents| {
        let path = documents.delete(kind, name)?;
        let users: Vec<String> = match kind {
            Kind::Context => Vec::new(),
            _ => documents
                .names(Kind::Context)
                .into_iter()
                .filter(|c| uses(documents, c, kind, name))
                .collect(),
        };
        let current = kind == Kind::Context && documents.current() == name;
        Ok((path, if current { vec![name.to_owned()] } else { users }))
    })?;
    session.say(&format!("deleted {} {name} from {}", kind.word(), path.display()))?;
    match kind {
        Kind::Context if !users.is_empty() => {
            session.note("warning: that was the current context: choose another with config use-context");
        }
        _ if !users.is_empty() => {
            session.note(&format!("warning: contexts still name it: {}", users.join(", ")));
        }
        _ => {}
    }
    Ok(())
}

fn uses(documents: &Documents, context: &str, kind: Kind, name: &str) -> bool {
    let field = documents.get(Kind::Context, context).and_then(|c| c.get(kind.word())?.as_str());
    field == Some(name)
}
