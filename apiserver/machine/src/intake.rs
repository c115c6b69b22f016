//! The thread that reads what other replicas tell of requests, so that the one that writes does not have to.

use crate::heard::Heard;
use crate::pool::Hold;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use hypermesh_chain::{ClusterId, PublicKey};
use std::panic::catch_unwind;

/// Bundles that wait to be read. What comes while they are that many is let go, and told again.
pub(crate) const MOST_UNREAD: usize = 256;

/// Requests as they came.
pub(crate) struct Told {
    pub from: PublicKey,
    pub bundles: Vec<Bytes>,
    pub hold: Option<Hold>,
}

/// Reads what comes until nobody listens, or nothing can come any more.
pub(crate) fn run(cluster: ClusterId, told: &Receiver<Told>, heard: &Sender<Heard>) {
    for Told { from, bundles, hold } in told {
        for bundle in bundles {
            match catch_unwind(|| Heard::read(from, &bundle, &cluster)) {
                Ok(Ok(read)) => {
                    if heard.send(Heard { hold: hold.clone(), ..read }).is_err() {
                        return;
                    }
                }
                Ok(Err(why)) => {
                    tracing::warn!(%from, why, "requests that another replica tells of are refused")
                }
                Err(_) => tracing::error!(%from, "reading what another replica tells of failed"),
            }
        }
    }
}
