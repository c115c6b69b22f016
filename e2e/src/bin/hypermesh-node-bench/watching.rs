//! Instances as they come and go, by a watch.

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use hypermesh_e2e::load::{Call, Connection, Target};
use memchr::memchr;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const INSTANCES: &str = "/apis/hypermesh.online/v1/namespaces/default/instances";

/// What was seen of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Which.
    pub name: String,
    /// The workload that it is of.
    pub workload: String,
    /// How far it is; none: it is gone.
    pub phase: Option<String>,
}

/// A watch of all instances.
pub struct Watching {
    news: mpsc::UnboundedReceiver<Result<Seen>>,
    // Who drops it ends the watch.
    _connection: Connection,
}

impl Watching {
    /// Begins now.
    pub async fn begin(target: &Target) -> Result<Self> {
        let mut connection = target.connect().await?;
        let list = connection.expect(Call::get(format!("{INSTANCES}?limit=1"))).await?;
        let list: Value = serde_json::from_slice(&list)?;
        let version =
            list["metadata"]["resourceVersion"].as_str().context("the list has no resourceVersion")?;
        let path = format!("{INSTANCES}?watch=1&resourceVersion={version}&timeoutSeconds=3600");
        let response = connection.send(Call::get(path)).await?;
        ensure!(response.status().is_success(), "the watch answered {}", response.status());
        let mut body = response.into_body();
        let (sender, news) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut unread = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(Ok(data)) = frame.map(hyper::body::Frame::into_data) else { continue };
                let at = Instant::now();
                unread.extend_from_slice(&data);
                while let Some(end) = memchr(b'\n', &unread) {
                    let line = unread.split_to(end + 1);
                    // Nobody may be waiting any more.
                    drop(sender.send(seen(&line, at)));
                }
            }
        });
        Ok(Self { news, _connection: connection })
    }

    /// Waits until so many instances of a workload run; when each did.
    pub async fn running(
        &mut self,
        workload: &str,
        count: usize,
        patience: Duration,
    ) -> Result<Vec<Instant>> {
        let mut running = BTreeMap::new();
        while running.len() < count {
            let seen = self
                .next(patience)
                .await
                .with_context(|| format!("{} of {count} instances of {workload} run", running.len()))?;
            if seen.workload == workload && seen.phase.as_deref() == Some("Running") {
                running.entry(seen.name).or_insert(seen.at);
            }
        }
        Ok(running.into_values().collect())
    }

    /// Waits until so many instances of a workload are gone; when the last was.
    pub async fn gone(&mut self, workload: &str, count: usize, patience: Duration) -> Result<Instant> {
        let mut gone = 0;
        loop {
            let seen = self
                .next(patience)
                .await
                .with_context(|| format!("{gone} of {count} instances of {workload} are gone"))?;
            gone += usize::from(seen.workload == workload && seen.phase.is_none());
            if gone == count {
                return Ok(seen.at);
            }
        }
    }

    async fn next(&mut self, patience: Duration) -> Result<Seen> {
        let next = tokio::time::timeout(patience, self.news.recv()).await.context("nothing happens")?;
        next.context("the watch has ended")?
    }
}

fn seen(line: &[u8], at: Instant) -> Result<Seen> {
    let event: Value = serde_json::from_slice(line).context("an event is no JSON")?;
    let object = &event["object"];
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let name = text("/metadata/name").with_context(|| format!("an event of nothing: {event}"))?;
    let gone = event["type"] == "DELETED";
    let phase = (!gone).then(|| text("/status/phase").unwrap_or_default());
    Ok(Seen { at, name, workload: text("/spec/workload").unwrap_or_default(), phase })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(String, String, Option<String>)> {
        seen(text.as_bytes(), Instant::now()).map(|seen| (seen.name, seen.workload, seen.phase))
    }

    #[test]
    fn events_tell_of_phases() {
        let object = r#"{"metadata":{"name":"a-1"},"spec":{"workload":"a"},"status":{"phase":"Running"}}"#;
        let event = |kind: &str| format!(r#"{{"type":"{kind}","object":{object}}}"#);
        let (name, workload) = ("a-1".to_owned(), "a".to_owned());
        let running = (name.clone(), workload.clone(), Some("Running".to_owned()));
        assert_eq!(of(&event("MODIFIED")).unwrap(), running);
        assert_eq!(of(&event("DELETED")).unwrap(), (name, workload, None));
        let new = r#"{"type":"ADDED","object":{"metadata":{"name":"b"},"spec":{}}}"#;
        assert_eq!(of(new).unwrap(), ("b".to_owned(), String::new(), Some(String::new())));
    }

    #[test]
    fn what_is_no_event_is_told() {
        assert!(of("").is_err());
        let error = r#"{"type":"ERROR","object":{"kind":"Status","message":"too old"}}"#;
        assert!(format!("{:#}", of(error).unwrap_err()).contains("too old"));
    }
}
