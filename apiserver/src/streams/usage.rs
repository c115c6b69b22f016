//! What nodes and instances use, as their agents tell it: asked when somebody wants to know, and kept for a few seconds.

use super::agents::{Agents, Node};
use super::liveness::Alive;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, Limited};
use hypermesh_api::Status;
use hypermesh_stream::stats::{CpuStats, Summary};
use hypermesh_stream::{Caller, Route};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(5);
/// How long all agents together are waited for: those that have not answered by then are left out.
const DEADLINE: Duration = Duration::from_secs(4);
/// Between two looks of an agent that has looked once.
const BETWEEN: Duration = Duration::from_secs(1);
/// Agents that are asked at once.
const AT_ONCE: usize = 64;
/// Bytes of an answer: some 10,000 containers.
const MOST: usize = 8 << 20;
/// Nodes whose answers are kept.
const MOST_KEPT: usize = 4096;

/// What was told lately, by node.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<HashMap<String, (Instant, Arc<Summary>)>>);

impl Usage {
    /// The usage of nodes, by their names. A node that does not answer in time is not among them.
    pub async fn of(
        &self,
        agents: &Agents,
        alive: &Alive,
        caller: &Caller,
        nodes: Vec<Node>,
    ) -> HashMap<String, Arc<Summary>> {
        let mut found = HashMap::with_capacity(nodes.len());
        let mut asked = Vec::new();
        let now = Instant::now();
        {
            let kept = self.0.lock();
            for node in nodes {
                match kept.get(&node.name) {
                    Some((at, summary)) if now.duration_since(*at) < FRESH => {
                        found.insert(node.name, Arc::clone(summary));
                    }
                    _ => asked.push(node),
                }
            }
        }
        let asking = futures_util::stream::iter(asked).map(|node| async move {
            let mut summary = ask(agents, alive, caller, &node).await;
            // A rate needs two looks: whoever asks first waits for the second.
            if summary.as_ref().is_ok_and(|summary| !is_measured(summary)) {
                tokio::time::sleep(BETWEEN).await;
                summary = ask(agents, alive, caller, &node).await;
            }
            (node, summary)
        });
        let mut answers = std::pin::pin!(asking.buffer_unordered(AT_ONCE));
        let until = now + DEADLINE;
        while let Ok(Some((node, answer))) = tokio::time::timeout_at(until, answers.next()).await {
            match answer {
                Ok(summary) => {
                    let whole = is_measured(&summary);
                    let summary = Arc::new(summary);
                    if whole {
                        self.keep(node.name.clone(), Arc::clone(&summary));
                    }
                    found.insert(node.name, summary);
                }
                Err(refused) => {
                    tracing::debug!(node = node.name, why = refused.message, "usage is not known");
                }
            }
        }
        found
    }

    fn keep(&self, node: String, summary: Arc<Summary>) {
        let mut kept = self.0.lock();
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if kept.len() < MOST_KEPT {
            kept.insert(node, (Instant::now(), summary));
        }
    }
}

/// Whether an agent has looked often enough to tell rates.
fn is_measured(summary: &Summary) -> bool {
    let rate = |cpu: &Option<CpuStats>| cpu.as_ref().is_none_or(|cpu| cpu.usage_nano_cores.is_some());
    let containers = summary.pods.iter().flat_map(|pod| &pod.containers);
    rate(&summary.node.cpu) && containers.map(|container| &container.cpu).all(rate)
}

async fn ask(agents: &Agents, alive: &Alive, caller: &Caller, node: &Node) -> Result<Summary, Box<Status>> {
    let answer = agents.ask(node, alive, &Route::Stats, caller, Empty::<Bytes>::new()).await?;
    let bytes = Limited::new(answer.into_body(), MOST).collect().await;
    let bytes = bytes.map_err(|e| Box::new(Status::internal(e)))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|e| Box::new(Status::internal(e)))
}
