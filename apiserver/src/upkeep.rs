//! What a running server does for its certificates every few seconds: it takes up what `nexusctl certs` has written, renews
//! what has reached its time, and tells who still uses a former authority.
//!
//! The order keeps everybody in. What an authority signs is taken, over TCP and QUIC, before the clients of the data folder
//! are given certificates of it; and what is shown is told of after it is shown. Until what was read is shown, nothing is
//! signed by it.

use crate::http::Api;
use crate::left_behind::{self, Authorities};
use crate::server::{ServerError, unix_now};
use crate::streams::agents::AgentsError;
use crate::tls::Tls;
use hypermesh_pki::rotation::Left;
use hypermesh_pki::{Pki, PkiError, Renewal};
use parking_lot::Mutex;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// How often is looked: what `nexusctl certs` has written is taken up as soon.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// What cannot be done for certificates.
#[derive(Debug, Error)]
enum UpkeepError {
    #[error("certificates could not be looked after")]
    Pki(#[from] PkiError),
    #[error("the new certificates cannot be used")]
    Tls(#[source] ServerError),
    #[error("agents cannot be shown the new certificate")]
    Agents(#[source] AgentsError),
}

/// The upkeep of one server's certificates.
pub(crate) struct Upkeep {
    pki: Arc<Mutex<Pki>>,
    tls: Tls,
    api: Arc<Api>,
    /// The serial number of the certificate that is shown.
    shows: String,
    /// Whether what was read is not shown yet.
    stale: bool,
    /// What goes wrong is said once, until it goes right.
    said: bool,
}

impl Upkeep {
    /// For a server that shows the certificate with the serial number `shows`.
    pub fn new(pki: Arc<Mutex<Pki>>, tls: Tls, api: Arc<Api>, shows: String) -> Self {
        Self { pki, tls, api, shows, stale: false, said: false }
    }

    /// Looks until `closing` turns true.
    pub async fn run(mut self, mut closing: watch::Receiver<bool>) {
        self.api.former.follow(&self.pki.lock());
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
            let left = left_behind(&self.pki, &self.api).await;
            self.look(left);
        }
    }

    fn look(&mut self, left: Option<Left>) {
        let pki = Arc::clone(&self.pki);
        let mut pki = pki.lock();
        match self.take_up(&mut pki) {
            Ok(renewal) => {
                self.said = false;
                if renewal.server || renewal.admin {
                    tracing::info!(
                        server = renewal.server,
                        admin = renewal.admin,
                        "certificates were renewed"
                    );
                }
            }
            Err(error) if !std::mem::replace(&mut self.said, true) => {
                tracing::error!(%error, source = error.source(), "certificates are as they were");
            }
            Err(_) => {}
        }
        self.api.former.follow(&pki);
        if let Err(error) = self.api.former.tell(pki.dir(), left, &self.shows, unix_now()) {
            tracing::warn!(%error, "who still uses the former authority cannot be told");
        }
    }

    fn take_up(&mut self, pki: &mut Pki) -> Result<Renewal, UpkeepError> {
        self.stale |= pki.reload()?;
        self.show(pki)?;
        let along = pki.take_along(unix_now())?;
        let mut renewal = pki.renew(unix_now())?;
        renewal.admin |= along;
        self.stale |= renewal.server;
        self.show(pki)?;
        Ok(renewal)
    }

    /// Shows, and takes, what the folder holds by now.
    fn show(&mut self, pki: &Pki) -> Result<(), UpkeepError> {
        if !self.stale {
            return Ok(());
        }
        self.tls.follow(pki).map_err(UpkeepError::Tls)?;
        if let Some(agents) = self.api.agents.get() {
            agents.show(shown_to_agents(pki).map_err(UpkeepError::Agents)?);
        }
        self.stale = false;
        self.shows.clone_from(&pki.server.serial);
        Ok(())
    }
}

/// What the end of a rotation that is under way would leave behind; `None` where none is.
async fn left_behind(pki: &Mutex<Pki>, api: &Api) -> Option<Left> {
    let authorities = Authorities::of(&pki.lock())?;
    let seen = api.former.seen()?;
    let reading = api.replica.reading();
    let found = tokio::task::spawn_blocking(move || left_behind::left(&reading, &authorities, &seen)).await;
    match found {
        Ok(Ok(left)) => Some(left),
        Ok(Err(error)) => {
            tracing::warn!(%error, "what a rotation of the authorities leaves behind cannot be read");
            None
        }
        Err(error) => {
            tracing::error!(%error, "looking for what a rotation leaves behind ended by a panic");
            None
        }
    }
}

/// What agents see of this server: its own certificate, of the authority that they know.
pub(crate) fn shown_to_agents(pki: &Pki) -> Result<stoq::Identity, AgentsError> {
    Ok(stoq::Identity::from_pem(pki.server.pem.as_bytes(), pki.server_key.pem().as_bytes())?)
}
