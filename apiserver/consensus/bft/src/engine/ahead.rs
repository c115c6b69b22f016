//! What others say of heights that are not begun here.

use crate::message::Message;
use hypermesh_chain::{Height, PublicKey};
use std::collections::BTreeMap;

/// Statements of one sender about one height.
pub(super) const MOST: usize = 64;

/// Statements that wait for their height.
#[derive(Debug, Default)]
pub(super) struct Ahead(BTreeMap<Height, BTreeMap<PublicKey, Vec<Message>>>);

impl Ahead {
    /// Keeps a statement about `next` or the height after it. What is further away, or too much, is let go: it is said
    /// again, or caught up with.
    pub(super) fn keep(&mut self, from: PublicKey, height: Height, message: Message, next: Height) {
        if height < next || height.0 - next.0 > 1 {
            return;
        }
        let kept = self.0.entry(height).or_default().entry(from).or_default();
        if kept.len() < MOST && !kept.contains(&message) {
            kept.push(message);
        }
    }

    /// How much is kept.
    pub(super) fn count(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    /// What was said of a height.
    pub(super) fn of(&self, height: Height) -> impl Iterator<Item = &Message> {
        self.0.get(&height).into_iter().flatten().flat_map(|(_, messages)| messages)
    }

    /// Lets go of what was said of a height and does not hold.
    pub(super) fn sift(&mut self, height: Height, holds: impl Fn(&Message) -> bool) {
        for messages in self.0.get_mut(&height).into_iter().flat_map(BTreeMap::values_mut) {
            messages.retain(&holds);
        }
    }

    /// Takes what was said of a height; what is older goes.
    pub(super) fn take(&mut self, height: Height) -> Vec<(PublicKey, Message)> {
        self.0.retain(|kept, _| *kept >= height);
        let senders = self.0.remove(&height).unwrap_or_default();
        let messages = |(from, messages): (PublicKey, Vec<Message>)| {
            messages.into_iter().map(move |message| (from, message)).collect::<Vec<_>>()
        };
        senders.into_iter().flat_map(messages).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sender_can_leave_here_is_bounded() {
        let mut ahead = Ahead::default();
        let (a, b, next) = (PublicKey([1; 32]), PublicKey([2; 32]), Height(5));
        for number in 0..1000 {
            ahead.keep(a, next, Message::Ask { from: Height(number) }, next);
        }
        ahead.keep(b, next, Message::Head { height: next }, next);
        ahead.keep(b, next, Message::Head { height: next }, next);
        ahead.keep(b, Height(4), Message::Head { height: next }, next);
        ahead.keep(b, Height(7), Message::Head { height: next }, next);
        assert_eq!(ahead.of(next).count(), MOST + 1);
        ahead.sift(next, |message| *message != Message::Ask { from: Height(0) });
        assert_eq!(ahead.of(next).count(), MOST);
        assert!(ahead.of(Height(7)).next().is_none());
        assert_eq!(ahead.take(Height(5)).len(), MOST);
        assert!(ahead.0.is_empty());
    }
}
