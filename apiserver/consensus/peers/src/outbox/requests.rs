//! Requests that wait for a peer, and those that it was sent and has not acknowledged.

use super::Pushed;
use crate::frame::Frame;
use bytes::Bytes;
use std::collections::{HashSet, VecDeque};
use thiserror::Error;

/// More was acknowledged than was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more requests are acknowledged than were sent")]
pub(crate) struct Overcounted;

#[derive(Debug)]
pub(super) struct Requests {
    limit: usize,
    waiting: VecDeque<Frame>,
    unacknowledged: VecDeque<Frame>,
    /// Both: what is told again before it was taken waits once.
    known: HashSet<Bytes>,
    bytes: usize,
}

impl Requests {
    pub(super) fn new(limit: usize) -> Self {
        let (waiting, unacknowledged) = (VecDeque::new(), VecDeque::new());
        Self { limit, waiting, unacknowledged, known: HashSet::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Frame) -> Pushed {
        if self.known.contains(&frame.body) {
            return Pushed::Known;
        }
        if self.bytes > 0 && self.bytes + frame.len() > self.limit {
            return Pushed::Refused;
        }
        self.bytes += frame.len();
        self.known.insert(frame.body.clone());
        self.waiting.push_back(frame);
        Pushed::Waits(0)
    }

    pub(super) fn take(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop_front()?;
        self.unacknowledged.push_back(frame.clone());
        Some(frame)
    }

    pub(super) fn acknowledge(&mut self, frames: u64) -> Result<(), Overcounted> {
        for _ in 0..frames {
            let frame = self.unacknowledged.pop_front().ok_or(Overcounted)?;
            self.bytes -= frame.len();
            self.known.remove(&frame.body);
        }
        Ok(())
    }

    /// Puts what was not acknowledged before what waits.
    pub(super) fn again(&mut self) {
        while let Some(frame) = self.unacknowledged.pop_back() {
            self.waiting.push_front(frame);
        }
    }

    /// Forgets all; how many there were.
    pub(super) fn clear(&mut self) -> u64 {
        let gone = self.waiting.len() + self.unacknowledged.len();
        self.waiting.clear();
        self.unacknowledged.clear();
        self.known.clear();
        self.bytes = 0;
        gone as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_bft::Message;

    fn request(byte: u8) -> Frame {
        Frame::new(&Message::Requests(vec![vec![byte; 100].into()]))
    }

    #[test]
    fn what_was_taken_is_kept_until_it_is_acknowledged_and_no_more_is_taken() {
        let mut queue = Requests::new(request(0).len() * 3);
        for byte in 0..3 {
            assert_eq!(queue.push(request(byte)), Pushed::Waits(0));
        }
        assert_eq!(queue.push(request(3)), Pushed::Refused);
        let sent: Vec<_> = std::iter::from_fn(|| queue.take()).map(|frame| frame.body).collect();
        assert_eq!(sent.len(), 3);
        assert_eq!(queue.push(request(3)), Pushed::Refused, "sent is not taken");
        assert_eq!(queue.push(request(1)), Pushed::Known, "it is under way");
        assert_eq!(queue.acknowledge(1), Ok(()));
        assert_eq!(queue.push(request(3)), Pushed::Waits(0));
        assert_eq!(queue.push(request(3)), Pushed::Known);
        queue.again();
        let again: Vec<_> = std::iter::from_fn(|| queue.take()).map(|frame| frame.body).collect();
        assert_eq!(again, [&sent[1..], &[request(3).body]].concat(), "in order");
        assert_eq!(queue.acknowledge(4), Err(Overcounted));
    }

    #[test]
    fn a_message_longer_than_the_queue_goes_alone() {
        let mut queue = Requests::new(1);
        assert_eq!(queue.push(request(0)), Pushed::Waits(0));
        assert_eq!(queue.push(request(1)), Pushed::Refused);
        assert_eq!(queue.clear(), 1);
        assert_eq!(queue.push(request(1)), Pushed::Waits(0));
    }
}
