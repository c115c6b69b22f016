//! What controllers on this machine say that they decided about an object.
//!
//! They tell it to their own machine alone, over plain HTTP, and may belong to another cluster: the uid tells. Who is
//! elsewhere, or asks where nothing listens, gets nothing, and that is no failure.

use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long they have to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// The longest answer.
const MOST: u64 = 1 << 20;

/// A decision, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Decided {
    /// By which controller.
    pub controller: String,
    /// The very object.
    pub uid: String,
    /// How it ended: `Failed`.
    pub verdict: String,
    /// Why, in words.
    pub why: String,
    /// When it was last decided so.
    pub at: String,
    /// How often in a row.
    pub count: u64,
}

/// The newest decision of each controller about an object.
pub async fn of(place: SocketAddr, kind: &str, namespace: &str, name: &str, uid: &str) -> Vec<Decided> {
    if !place.ip().is_loopback() {
        return Vec::new();
    }
    let path = format!("/decisions?kind={kind}&namespace={namespace}&name={name}");
    let answer = tokio::time::timeout(PATIENCE, ask(place, &path)).await;
    let Ok(Ok(body)) = answer else { return Vec::new() };
    newest(&body, uid)
}

async fn ask(place: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(place).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {place}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.take(MOST).read_to_end(&mut reply).await?;
    let at = reply.windows(4).position(|four| four == b"\r\n\r\n");
    let ok = reply.split(|byte| *byte == b' ').nth(1) == Some(b"200".as_slice());
    Ok(at.filter(|_| ok).and_then(|at| reply.get(at + 4..)).unwrap_or_default().to_vec())
}

fn newest(body: &[u8], uid: &str) -> Vec<Decided> {
    let all: Vec<Decided> = match serde_json::from_slice::<serde_json::Value>(body) {
        // A list, or a list in an object: what is not one says nothing.
        Ok(serde_json::Value::Array(all)) => all,
        Ok(mut object) => match object.get_mut("decisions").map(serde_json::Value::take) {
            Some(serde_json::Value::Array(all)) => all,
            _ => Vec::new(),
        },
        Err(_) => Vec::new(),
    }
    .into_iter()
    .filter_map(|one| serde_json::from_value(one).ok())
    .collect();
    let mut newest: Vec<Decided> = Vec::new();
    for decided in all.into_iter().filter(|decided| decided.uid == uid) {
        match newest.iter_mut().find(|known| known.controller == decided.controller) {
            Some(known) if known.at <= decided.at => *known = decided,
            Some(_) => {}
            None => newest.push(decided),
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_controller_counts_and_other_clusters_do_not() {
        let body = br#"[
            {"controller":"a","uid":"u","verdict":"Failed","why":"old","at":"2026-01-01T00:00:00Z","count":1},
            {"controller":"a","uid":"u","verdict":"Failed","why":"new","at":"2026-01-01T00:00:01Z","count":3},
            {"controller":"a","uid":"other","verdict":"Failed","why":"not ours","at":"2026-01-02T00:00:00Z","count":1},
            {"controller":"b","uid":"u","verdict":"Changed","why":"did","at":"2026-01-01T00:00:00Z"}]"#;
        let found: Vec<(String, String)> =
            newest(body, "u").into_iter().map(|d| (d.controller, d.why)).collect();
        assert_eq!(found, [("a".to_owned(), "new".to_owned()), ("b".to_owned(), "did".to_owned())]);
        assert!(newest(b"nonsense", "u").is_empty() && newest(b"{}", "u").is_empty());
    }
}
