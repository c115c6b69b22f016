//! The listening socket: who is let in, and the end of all connections.

use crate::connection::{self, Admission, Handshakes, Refused};
use crate::http::Api;
use crate::tls::Tls;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// How long connections are given to finish when the server stops.
const FAREWELL: Duration = Duration::from_secs(10);
/// Handshakes at a time.
const MOST_HANDSHAKES: usize = 1024;

/// Accepts connections until `closing` turns true, then lets them finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Tls,
    api: Arc<Api>,
    admission: Arc<Admission>,
    mut closing: watch::Receiver<bool>,
) {
    let handshakes = Arc::new(Handshakes::new(MOST_HANDSHAKES));
    // Every connection holds a sender: the channel closes when the last one has ended.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Ends, too, when the sender is gone.
            _ = closing.wait_for(|closing| *closing) => break,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others have to close first.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let place = match admission.enter(from.ip()) {
            Ok(place) => place,
            Err(refused) => {
                let counter = match refused {
                    Refused::All => &api.metrics.refused_of_all,
                    Refused::Address => &api.metrics.refused_of_address,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%from, ?refused, "a connection was refused");
                continue;
            }
        };
        let (api, tls, handshakes) = (Arc::clone(&api), tls.config(), Arc::clone(&handshakes));
        let (open, closing) = (open.clone(), closing.clone());
        tokio::spawn(async move {
            let _held = (place, open);
            api.metrics.connections.fetch_add(1, Ordering::Relaxed);
            let metrics = Arc::clone(&api.metrics);
            connection::serve(stream, tls, api, &handshakes, closing).await;
            metrics.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
    drop((listener, open));
    if tokio::time::timeout(FAREWELL, all_closed.recv()).await.is_err() {
        tracing::warn!("some connections did not finish in {} s and were cut", FAREWELL.as_secs());
    }
}
