//! Handshakes in progress: bounded, and the oldest gives way.
//!
//! A handshake takes a few round trips, so what has been waiting longest is most likely nobody. Were newcomers refused
//! instead, a stranger who opens connections and says nothing would keep everyone out.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Handshakes in progress.
#[derive(Debug)]
pub(crate) struct Handshakes {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// In the order of their beginning; dropping a sender ends its handshake.
    begun: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A handshake in progress, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'h> {
    handshakes: &'h Handshakes,
    number: u64,
    ended: oneshot::Receiver<()>,
}

impl Handshakes {
    /// At most `most` at a time.
    pub fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::default() }
    }

    /// Begins one, at the expense of the oldest if there are too many.
    pub fn begin(&self) -> Turn<'_> {
        let mut waiting = self.waiting.lock();
        if waiting.begun.len() >= self.most {
            waiting.begun.pop_first();
        }
        let number = waiting.next;
        waiting.next += 1;
        let (sender, ended) = oneshot::channel();
        waiting.begun.insert(number, sender);
        Turn { handshakes: self, number, ended }
    }
}

impl Turn<'_> {
    /// Ends when another takes the place.
    pub async fn displaced(&mut self) {
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.handshakes.waiting.lock().begun.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_gives_way() {
        let handshakes = Handshakes::new(2);
        let (mut first, mut second) = (handshakes.begin(), handshakes.begin());
        let third = handshakes.begin();
        first.displaced().await;
        let waits = tokio::time::timeout(std::time::Duration::ZERO, second.displaced()).await;
        assert!(waits.is_err());
        drop((first, second, third));
        assert!(handshakes.waiting.lock().begun.is_empty());
    }
}
