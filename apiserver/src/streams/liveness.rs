//! Which agents are heard of. It is kept in memory, and is nobody's word but this server's: nothing of it is ordered.

use hypermesh_chain::Timestamp;
use hypermesh_pipeline::clock::rfc3339;
use hypermesh_stream::liveness::{Beat, Liveness, SILENT};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Nodes that are remembered; more than a cluster has.
const MOST: usize = 100_000;

/// Which agents are heard of.
#[derive(Debug, Default)]
pub(crate) struct Alive(Mutex<HashMap<String, Known>>);

#[derive(Clone, Debug)]
struct Known {
    /// Streams that are open.
    streams: usize,
    /// Since when there are some, or none.
    turned: Timestamp,
    last: Timestamp,
    beat: Beat,
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// One stream of an agent's; the agent is gone when its last is dropped.
pub(crate) struct Heard<'a> {
    alive: &'a Alive,
    node: String,
}

impl Alive {
    /// An agent begins to tell.
    pub fn begin(&self, node: &str) -> Heard<'_> {
        let mut all = self.0.lock();
        let at = now();
        if all.len() >= MOST {
            all.retain(|_, known| known.streams > 0);
        }
        let known = all.entry(node.to_owned()).or_insert(Known {
            streams: 0,
            turned: at,
            last: at,
            beat: Beat::default(),
        });
        if known.streams == 0 {
            known.turned = at;
        }
        known.streams += 1;
        known.last = at;
        Heard { alive: self, node: node.to_owned() }
    }

    /// Since when a node was heard of, or not, and when it was heard of last.
    pub fn heard(&self, node: &str) -> Option<(Timestamp, Timestamp)> {
        self.0.lock().get(node).map(|known| (known.turned, known.last))
    }

    /// How many agents have a stream open.
    pub fn connected(&self) -> usize {
        self.0.lock().values().filter(|known| known.streams > 0).count()
    }

    /// What is known of a node; `None` if it was never heard of.
    pub fn of(&self, node: &str) -> Option<Liveness> {
        let known = self.0.lock().get(node).cloned()?;
        let silent = SILENT.as_micros() as u64;
        let quiet = now().0.saturating_sub(known.last.0) > silent;
        let connected = known.streams > 0 && !quiet;
        let since = if known.streams > 0 && quiet { Timestamp(known.last.0 + silent) } else { known.turned };
        Some(Liveness { last_seen: rfc3339(known.last), since: rfc3339(since), connected, beat: known.beat })
    }
}

impl Heard<'_> {
    /// The agent says that it is there.
    pub fn beat(&self, beat: Beat) {
        if let Some(known) = self.alive.0.lock().get_mut(&self.node) {
            known.last = now();
            known.beat = beat;
        }
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        if let Some(known) = self.alive.0.lock().get_mut(&self.node) {
            known.streams -= 1;
            if known.streams == 0 {
                known.turned = now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_there_as_long_as_one_of_its_streams_is() {
        let alive = Alive::default();
        assert!(alive.of("n").is_none());
        let (one, other) = (alive.begin("n"), alive.begin("n"));
        one.beat(Beat { boot_id: "b".into(), instances: Some(3) });
        drop(one);
        let known = alive.of("n").unwrap();
        assert!(known.connected);
        assert_eq!(known.beat.instances, Some(3));
        drop(other);
        assert!(!alive.of("n").unwrap().connected);
    }

    #[test]
    fn who_says_nothing_is_not_there_whatever_its_stream_looks_like() {
        let alive = Alive::default();
        let _heard = alive.begin("n");
        let long_ago = Timestamp(now().0 - 2 * SILENT.as_micros() as u64);
        alive.0.lock().get_mut("n").unwrap().last = long_ago;
        assert!(!alive.of("n").unwrap().connected);
    }
}
