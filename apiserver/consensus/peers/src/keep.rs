//! Keeps a connection to one peer: dials while there is none, for as long as it is a peer.
//!
//! The end with the smaller key dials at once, the other a little later, so that most pairs dial once; who has no address
//! of the other waits for it to come.

use crate::class::Class;
use crate::counts;
use crate::greeting;
use crate::link::Link;
use crate::session;
use crate::shared::{Phase, Shared};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Until it is no peer any more, or this replica stops.
pub(crate) async fn connected(shared: Arc<Shared>, link: Arc<Link>) {
    tokio::select! {
        () = dial_while_alone(&shared, &link) => {}
        () = forget_while_away(&shared, &link) => {}
    }
}

async fn dial_while_alone(shared: &Arc<Shared>, link: &Arc<Link>) {
    if !shared.us(&link.key).smaller {
        tokio::select! {
            () = sleep(shared.limits.redial.0) => {}
            () = link.until(true) => {}
            () = over(shared, link) => return,
        }
    }
    loop {
        tokio::select! {
            () = link.until(false) => {}
            () = over(shared, link) => return,
        }
        if !link.addresses().is_empty() {
            let dialled = tokio::select! {
                dialled = greeting::dial(shared, link) => dialled,
                () = over(shared, link) => return,
            };
            match dialled {
                Ok(established) => drop(session::run(shared, link, established).await),
                Err(end) => {
                    counts::one(&link.counts.dials_failed);
                    tracing::debug!(peer = %link.key, error = end.told(), "a replica was not reached");
                    link.failed(&end);
                }
            }
        }
        tokio::select! {
            () = pause(shared, link) => {}
            // It came by itself.
            () = link.until(true) => {}
            () = over(shared, link) => return,
        }
    }
}

/// Until the next dial: its time, or another address.
async fn pause(shared: &Shared, link: &Link) {
    if link.addresses().is_empty() {
        return link.wake.notified().await;
    }
    // Both ends lose a connection at once: again one of them dials a little later.
    let later = if shared.us(&link.key).smaller { Duration::ZERO } else { shared.limits.redial.0 };
    tokio::select! {
        () = sleep(link.pause() + later) => {}
        () = link.wake.notified() => {}
    }
}

/// Lets go of requests that wait for a peer that does not come: who owns them tells them again when it does.
async fn forget_while_away(shared: &Shared, link: &Link) {
    loop {
        link.until(false).await;
        tokio::select! {
            () = sleep(shared.limits.retention) => {
                let gone = link.outbox.forget_requests();
                link.counts.drop(Class::Requests, gone);
            }
            () = link.until(true) => link.until(false).await,
        }
    }
}

async fn over(shared: &Shared, link: &Link) {
    tokio::select! {
        () = shared.until(Phase::Draining) => {}
        () = link.until_gone() => {}
    }
}
