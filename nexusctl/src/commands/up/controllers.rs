//! The controllers in the process of the server. They share the process and nothing else: they reach the store through
//! the API, by a certificate and rights of their own.

use super::Arguments;
use crate::error::Error;
use hypermesh_apiserver::{Credentials, Server};
use hypermesh_client::Config;
use hypermesh_controllers::runtime::failure::chain;
use hypermesh_controllers::runtime::{Stop, Stopper, stop};
use hypermesh_controllers::{DEFAULT_METRICS, Process, ProcessError, Settings, rights};
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long to wait before rights that could not be given are tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The controllers of `up`, running or not.
pub struct Controllers {
    words: String,
    running: Option<(Stopper, JoinHandle<()>)>,
}

impl Controllers {
    /// Starts them beside a server that answers.
    pub async fn start(server: &Server, arguments: &Arguments) -> Result<Self, Error> {
        if arguments.no_controllers {
            return Ok(Self { words: "off (--no-controllers)".to_owned(), running: None });
        }
        let (process, words) = prepare(server, arguments).await?;
        let (stopper, stopped) = stop();
        let kubeconfigs = Kubeconfigs {
            administrator: server.kubeconfig().to_owned(),
            controllers: server.controllers_kubeconfig().to_owned(),
            credentials: server.credentials().clone(),
        };
        let task = tokio::spawn(run(kubeconfigs, process, stopped));
        Ok(Self { words, running: Some((stopper, task)) })
    }

    /// What they are doing, for people.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Ends them.
    pub async fn stop(self) {
        if let Some((stopper, task)) = self.running {
            stopper.stop();
            if let Err(error) = task.await {
                tracing::error!(%error, "the controllers ended by a panic");
            }
        }
    }
}

async fn prepare(server: &Server, arguments: &Arguments) -> Result<(Process, String), Error> {
    if arguments.event_retention < Duration::from_secs(1) {
        return Err(Error::Message("--event-retention: events are kept for a second at least".into()));
    }
    let failed = |error: ProcessError| Error::Message(chain(&error));
    // One process: nobody else to agree with.
    let mut settings = Settings::new(server.controllers_kubeconfig().to_owned()).alone();
    settings.event_retention = arguments.event_retention;
    settings.metrics = arguments.metrics.or_else(|| DEFAULT_METRICS.parse().ok());
    let process = match Process::prepare(settings.clone()).await {
        // A port that nobody asked for is no reason not to start.
        Err(ProcessError::Listen { address, .. }) if arguments.metrics.is_none() => {
            settings.metrics = None;
            let process = Process::prepare(settings).await.map_err(failed)?;
            let words = format!(
                "running; {address} is in use, so their metrics are not served (--metrics names another)"
            );
            return Ok((process, words));
        }
        process => process.map_err(failed)?,
    };
    let metrics = process.metrics_address().map(|address| format!("; metrics http://{address}/metrics"));
    Ok((process, format!("running{}", metrics.unwrap_or_default())))
}

/// Who gives, and who is given.
struct Kubeconfigs {
    administrator: PathBuf,
    controllers: PathBuf,
    credentials: Credentials,
}

async fn run(kubeconfigs: Kubeconfigs, process: Process, mut stopped: Stop) {
    tokio::select! {
        () = stopped.stopped() => return,
        () = admit(&kubeconfigs) => {}
    }
    tokio::select! {
        ended = process.run(stopped) => if let Err(error) = ended {
            tracing::error!(error = chain(&error), "the controllers do not run");
        },
        () = keep(&kubeconfigs) => {}
    }
}

/// Gives the controllers their rights, and has the cluster know their key, as the administrator.
async fn admit(kubeconfigs: &Kubeconfigs) {
    loop {
        match admitted(kubeconfigs).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(error, "the controllers have no rights yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Has the cluster know the controllers' key for as long as they run: who deletes identities in numbers deletes it as
/// well, and controllers that nobody knows would do nothing until the next start.
async fn keep(kubeconfigs: &Kubeconfigs) {
    loop {
        match forgotten(kubeconfigs).await {
            Ok(()) => {
                tracing::warn!(
                    "the controllers' key was revoked; it is registered again (--no-controllers ends them)"
                );
                admit(kubeconfigs).await;
            }
            Err(error) => {
                tracing::debug!(
                    error,
                    "it is not known whether the cluster still knows the controllers' key"
                );
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Waits until the cluster does not know the controllers' key any more.
async fn forgotten(kubeconfigs: &Kubeconfigs) -> Result<(), String> {
    let (client, key) = parties(kubeconfigs)?;
    match key {
        Some(key) => rights::forgotten(&client, &key).await.map_err(|error| chain(&error)),
        None => std::future::pending().await,
    }
}

async fn admitted(kubeconfigs: &Kubeconfigs) -> Result<(), String> {
    let (client, key) = parties(kubeconfigs)?;
    rights::grant(&client).await.map_err(|failure| chain(&failure))?;
    let Some(key) = key else { return Ok(()) };
    if rights::register(&client, &key).await.map_err(|failure| chain(&failure))? {
        kubeconfigs.credentials.controllers_sign().await.map_err(|error| chain(&error))?;
    }
    Ok(())
}

/// Who gives, and the key of who is given.
fn parties(kubeconfigs: &Kubeconfigs) -> Result<(rights::Administrator, Option<String>), String> {
    let told = |error: hypermesh_client::Error| chain(&error);
    let config = Config::from_kubeconfig(&kubeconfigs.administrator).map_err(told)?.agent("nexusctl-up");
    let client = hypermesh_client::connect(&config).map_err(told)?;
    let key = Config::from_kubeconfig(&kubeconfigs.controllers).and_then(|config| config.public_key());
    Ok((client, key.map_err(told)?))
}
