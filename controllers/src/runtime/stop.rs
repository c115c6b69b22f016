//! How work is told to end.

use tokio::sync::watch;

/// Held by who may end the work; dropping it ends the work too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Tells its holder to end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A pair of both.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Ends the work.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits until the work has to end.
    pub async fn stopped(&mut self) {
        // A stopper that is gone can never say it any more.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it has to.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
