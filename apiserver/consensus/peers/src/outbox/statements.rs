//! Statements that wait for a peer, and those it was told of the height that is being decided.

use super::Pushed;
use crate::class::Kind;
use crate::frame::Frame;
use bytes::Bytes;
use hypermesh_chain::Height;
use std::collections::{HashSet, VecDeque};

/// What was said and is kept to be said again: more than a height takes, and little.
const MOST_SAID: usize = 256;

#[derive(Debug)]
pub(super) struct Statements {
    limit: usize,
    /// The highest height that something was said of.
    newest: Height,
    waiting: VecDeque<Frame>,
    bytes: usize,
    /// What waits, so that what is repeated waits once.
    known: HashSet<Bytes>,
    /// What was sent of the newest height.
    said: VecDeque<Frame>,
}

impl Statements {
    pub(super) fn new(limit: usize) -> Self {
        let (waiting, said) = (VecDeque::new(), VecDeque::new());
        Self { limit, newest: Height(0), waiting, bytes: 0, known: HashSet::new(), said }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Frame, open: bool) -> Pushed {
        if frame.about.kind == Kind::Round && frame.about.height > self.newest {
            self.newest = frame.about.height;
            self.said.retain(|said| said.about.height >= frame.about.height);
        }
        if self.known.contains(&frame.body) {
            return Pushed::Known;
        }
        if frame.about.kind == Kind::Head {
            // How far this replica was does not matter once it is further.
            self.remove(|waiting| waiting.about.kind == Kind::Head);
        }
        self.bytes += frame.len();
        self.known.insert(frame.body.clone());
        self.waiting.push_back(frame);
        let gone = if open { 0 } else { self.keep_newest() };
        Pushed::Waits(gone + self.shrink())
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<Frame> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = self.waiting.front()
            && (taken.is_empty() || bytes + frame.len() <= most)
            && let Some(frame) = self.waiting.pop_front()
        {
            bytes += frame.len();
            self.known.remove(&frame.body);
            if frame.about.kind == Kind::Round
                && frame.about.height == self.newest
                && !self.said.iter().any(|said| said.body == frame.body)
            {
                self.said.push_back(frame.clone());
                if self.said.len() > MOST_SAID {
                    self.said.pop_front();
                }
            }
            taken.push(frame);
        }
        self.bytes -= bytes;
        taken
    }

    /// Puts what was said of the newest height before what waits.
    pub(super) fn again(&mut self) {
        for frame in std::mem::take(&mut self.said).into_iter().rev() {
            if self.known.insert(frame.body.clone()) {
                self.bytes += frame.len();
                self.waiting.push_front(frame);
            }
        }
        self.shrink();
    }

    /// Lets go of what is older than the newest height; how much that was.
    pub(super) fn keep_newest(&mut self) -> u64 {
        let newest = self.newest;
        self.remove(|frame| frame.about.kind != Kind::Head && frame.about.height < newest)
    }

    /// Lets go of what is too much; how much that was.
    fn shrink(&mut self) -> u64 {
        if self.bytes <= self.limit {
            return 0;
        }
        let mut gone = self.keep_newest();
        while self.bytes > self.limit
            && self.waiting.len() > 1
            && let Some(frame) = self.waiting.pop_front()
        {
            self.forget(&frame);
            gone += 1;
        }
        gone
    }

    fn remove(&mut self, which: impl Fn(&Frame) -> bool) -> u64 {
        let (before, all) = (self.waiting.len(), std::mem::take(&mut self.waiting));
        for frame in all {
            if which(&frame) {
                self.forget(&frame);
            } else {
                self.waiting.push_back(frame);
            }
        }
        (before - self.waiting.len()) as u64
    }

    fn forget(&mut self, frame: &Frame) {
        self.bytes -= frame.len();
        self.known.remove(&frame.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_bft::Message;
    use hypermesh_bft::message::SignedVote;
    use hypermesh_chain::{GroupId, Hash, PublicKey, Signature, Vote, VoteKind};
    use proptest::prelude::*;

    fn vote(height: u64, round: u32) -> Frame {
        let (kind, group, block) = (VoteKind::Prevote, GroupId(0), Some(Hash([1; 32])));
        let vote = Vote { kind, group, height: Height(height), round, block };
        let (voter, signature) = (PublicKey([2; 32]), Signature([3; 64]));
        Frame::new(&Message::Vote(SignedVote { vote, voter, signature }))
    }

    fn head(height: u64) -> Frame {
        Frame::new(&Message::Head { height: Height(height) })
    }

    fn heights(frames: &[Frame]) -> Vec<u64> {
        frames.iter().map(|frame| frame.about.height.0).collect()
    }

    fn statements(votes: usize) -> Statements {
        Statements::new(votes * vote(1, 0).len())
    }

    #[test]
    fn what_is_too_much_goes_from_earlier_heights_and_the_newest_never() {
        let mut queue = statements(3);
        for (height, gone) in [(1, 0), (1, 0), (2, 0), (3, 3)] {
            let round = u32::try_from(queue.waiting.len()).unwrap();
            assert_eq!(queue.push(vote(height, round), true), Pushed::Waits(gone));
        }
        assert_eq!(heights(&queue.take(usize::MAX)), [3]);
        for round in 0..5 {
            queue.push(vote(4, round), true);
        }
        let left = queue.take(usize::MAX);
        assert!(
            left.iter()
                .map(|frame| &frame.body)
                .eq((2..5).map(|r| vote(4, r).body).collect::<Vec<_>>().iter())
        );
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn what_is_repeated_waits_once_and_of_heads_the_newest() {
        let mut queue = statements(10);
        assert_eq!(queue.push(vote(1, 0), true), Pushed::Waits(0));
        assert_eq!(queue.push(vote(1, 0), true), Pushed::Known);
        queue.push(head(1), true);
        queue.push(head(2), true);
        assert_eq!(heights(&queue.take(usize::MAX)), [1, 2]);
        // Once it was sent it may be said again.
        assert_eq!(queue.push(vote(1, 0), true), Pushed::Waits(0));
    }

    #[test]
    fn a_new_connection_hears_what_was_said_of_the_newest_height() {
        let mut queue = statements(10);
        queue.push(vote(1, 0), true);
        queue.push(vote(2, 0), true);
        queue.push(vote(2, 1), true);
        queue.take(usize::MAX);
        queue.push(vote(2, 2), true);
        queue.again();
        assert_eq!(heights(&queue.take(usize::MAX)), [2, 2, 2]);
        queue.push(vote(3, 0), true);
        queue.again();
        assert_eq!(heights(&queue.take(usize::MAX)), [3], "what is decided is not said again");
    }

    #[test]
    fn while_nobody_is_there_only_the_newest_height_waits() {
        let mut queue = statements(100);
        for height in 1..50 {
            queue.push(vote(height, 0), false);
            queue.push(head(height), false);
        }
        assert_eq!(heights(&queue.take(usize::MAX)), [49, 49]);
    }

    proptest! {
        #[test]
        fn it_holds_no_more_than_its_limit_and_counts_right(
            steps in prop::collection::vec((0_u64..4, 0_u32..6, 0_u8..5), 0..200),
        ) {
            let mut queue = statements(4);
            for (height, round, step) in steps {
                match step {
                    0 => drop(queue.take(200)),
                    1 => queue.again(),
                    2 => drop(queue.push(head(height), true)),
                    _ => {
                        queue.push(vote(height, round), step == 3);
                        let last = queue.waiting.back().map(|frame| frame.about.height);
                        prop_assert!(last >= Some(Height(height)) || queue.known.contains(&vote(height, round).body)
                            || Height(height) < queue.newest);
                    }
                }
                prop_assert_eq!(queue.bytes, queue.waiting.iter().map(Frame::len).sum::<usize>());
                prop_assert_eq!(queue.known.len(), queue.waiting.len());
                prop_assert!(queue.bytes <= queue.limit || queue.waiting.len() == 1);
                prop_assert!(queue.said.len() <= MOST_SAID);
            }
        }
    }
}
