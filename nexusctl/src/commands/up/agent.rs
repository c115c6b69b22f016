//! The agent of this machine in the process of the server. It reaches the store through the API, by a key of its own,
//! and what it runs goes on when this process ends.

use super::Arguments;
use crate::error::{Error, chain};
use hypermesh_agent::{Agent, Settings, facts};
use hypermesh_apiserver::Server;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long is waited until the ports of what runs are published.
const PUBLISHING: Duration = Duration::from_secs(6);

/// The agent of `up`, running or not.
pub struct NodeAgent {
    words: String,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl NodeAgent {
    /// Starts it beside a server that answers. That this machine cannot run instances is told, and is no reason not to
    /// serve.
    pub async fn start(server: &Server, arguments: &Arguments, dir: &Path) -> Result<Self, Error> {
        if arguments.no_agent {
            return Ok(Self { words: "off (--no-agent)".to_owned(), running: None });
        }
        let node = node_name(&facts::hostname());
        let admitted = server.credentials().admit_node(&node).await;
        let kubeconfig = admitted.map_err(|error| Error::Message(chain(&error)))?;
        let mut settings = Settings::new(&node, &dir.join("agent"));
        arguments.policy.apply(&mut settings).map_err(|error| Error::Message(chain(&error)))?;
        settings.kubeconfig = kubeconfig;
        settings.listen = SocketAddr::new(arguments.api.ip(), settings.listen.port());
        let agent = match Agent::prepare(settings.clone()).await {
            // A port that nobody asked for is no reason not to start.
            Err(hypermesh_agent::AgentError::Server(_)) => {
                settings.listen.set_port(0);
                Agent::prepare(settings).await
            }
            agent => agent,
        };
        let agent = match agent {
            Ok(agent) => agent,
            Err(error) => {
                let words = format!("inactive: {}", chain(&error));
                return Ok(Self { words, running: None });
            }
        };
        let address = agent.address().map(|address| format!(" at {address}")).unwrap_or_default();
        let mut words = format!("running as node {node}{address}");
        for lack in agent.lacks() {
            words.push_str(&format!("\n            {lack}"));
        }
        let mut serving = agent.serving();
        let (stopper, stop) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                // Whoever drops the other end stops it as well.
                let _ = stop.await;
            };
            if let Err(error) = agent.run(stopped).await {
                tracing::error!(error = chain(&error), "the agent does not run");
            }
        });
        // What was published before is published again before anybody is told that all is ready.
        let published = serving.wait_for(|serving| serving.begun);
        drop(tokio::time::timeout(PUBLISHING, published).await);
        Ok(Self { words, running: Some((stopper, task)) })
    }

    /// What it is doing, for people.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Ends it; what it runs goes on.
    pub async fn stop(self) {
        let Some((stopper, task)) = self.running else { return };
        drop(stopper);
        if let Err(error) = task.await {
            tracing::error!(%error, "the agent ended by a panic");
        }
    }
}

/// The host's name as a name of a node.
fn node_name(host: &str) -> String {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' };
    let name: String = host.to_ascii_lowercase().chars().map(plain).take(253).collect();
    let steps = name.split('.').map(|step| step.trim_matches('-')).filter(|step| !step.is_empty());
    let name = steps.collect::<Vec<_>>().join(".");
    if name.is_empty() { "node".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_name_for_its_node() {
        for (host, node) in
            [("web-1", "web-1"), ("My_Host.Example", "my-host.example"), ("-.-", "node"), ("", "node")]
        {
            assert_eq!(node_name(host), node);
        }
    }
}
