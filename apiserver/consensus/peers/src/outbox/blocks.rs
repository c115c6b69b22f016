//! Blocks that wait for a peer.

use super::Pushed;
use crate::frame::Frame;
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct Blocks {
    limit: usize,
    waiting: VecDeque<Frame>,
    /// Those that are under way, too.
    bytes: usize,
}

impl Blocks {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, waiting: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Frame) -> Pushed {
        if self.waiting.iter().any(|waiting| waiting.body == frame.body) {
            return Pushed::Known;
        }
        self.bytes += frame.len();
        self.waiting.push_back(frame);
        let mut gone = 0;
        while self.bytes > self.limit && self.waiting.len() > 1 {
            // The first of the lowest height: the height is decided first, and the block of another can be asked for.
            let lowest =
                self.waiting.iter().enumerate().min_by_key(|(place, frame)| (frame.about.height, *place));
            let Some(frame) = lowest.map(|(place, _)| place).and_then(|place| self.waiting.remove(place))
            else {
                break;
            };
            self.bytes -= frame.len();
            gone += 1;
        }
        Pushed::Waits(gone)
    }

    pub(super) fn take(&mut self) -> Option<Frame> {
        self.waiting.pop_front()
    }

    pub(super) fn done(&mut self, frame: &Frame) {
        self.bytes = self.bytes.saturating_sub(frame.len());
    }

    /// Forgets all; how many waited.
    pub(super) fn clear(&mut self) -> u64 {
        self.bytes = 0;
        self.waiting.drain(..).len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_bft::Message;
    use hypermesh_chain::Height;

    fn block(height: u64, size: usize) -> Frame {
        Frame::new(&Message::Block { height: Height(height), bytes: vec![1; size].into() })
    }

    #[test]
    fn blocks_of_the_lowest_height_give_way() {
        let mut queue = Blocks::new(block(1, 1000).len() * 2);
        assert_eq!(queue.push(block(5, 1000)), Pushed::Waits(0));
        assert_eq!(queue.push(block(5, 1000)), Pushed::Known);
        assert_eq!(queue.push(block(4, 1000)), Pushed::Waits(0));
        assert_eq!(queue.push(block(6, 1000)), Pushed::Waits(1));
        let first = queue.take().unwrap();
        assert_eq!(first.about.height, Height(5));
        // What is under way counts.
        assert_eq!(queue.push(block(7, 1000)), Pushed::Waits(1));
        queue.done(&first);
        assert_eq!(queue.push(block(8, 1000)), Pushed::Waits(0));
        assert_eq!(queue.clear(), 2);
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn one_block_is_taken_however_large() {
        let mut queue = Blocks::new(10);
        assert_eq!(queue.push(block(1, 1000)), Pushed::Waits(0));
        assert!(queue.take().is_some());
    }
}
