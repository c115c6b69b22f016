//! Who was heard of, and when. Pure: time is an argument.
//!
//! A node is silent by how long *this process* has seen nothing new of it, on its own monotonic clock: what another
//! machine's clock says is only compared with what it said before. A process that has just begun therefore waits as long
//! as it would for a node that has just fallen silent.

use std::collections::HashMap;
use std::time::Duration;

/// How long what takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A node that was not heard of for so long is silent.
    pub grace: Duration,
    /// How often each node is looked after.
    pub every: Duration,
    /// How long an agent that is heard of again has to say itself how its node is.
    pub restore: Duration,
    /// For how long not many nodes must have been silent before any is emptied.
    pub calm: Duration,
    /// How long after one silent node the next one is emptied at the earliest.
    pub turn: Duration,
    /// How long instances that say nothing tolerate that their node is unreachable or not ready.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            grace: seconds(40),
            every: seconds(10),
            restore: seconds(15),
            calm: seconds(60),
            turn: seconds(10),
            patience: seconds(300),
        }
    }
}

/// By what a node shows that it lives. What is new of it counts, not what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// When the API server says that it last heard of it; `None`: never.
    pub heard: Option<String>,
    /// When its agent last changed what it says of `Ready`; `None`: that is ours at the moment.
    pub wrote: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    said: Said,
    /// Since when that is the newest.
    since: Duration,
    looked: Duration,
    silent: bool,
    /// It was said to be silent before this process began, and nothing new was heard since.
    doubted: bool,
    /// When it was heard of again, after a silence.
    back: Option<Duration>,
    emptied: bool,
}

/// What is known of all nodes' liveness.
#[derive(Debug, Default)]
pub struct Vigil {
    timing: Timing,
    nodes: HashMap<Box<str>, Heard>,
    /// NoExecute taints, and when they were first seen.
    taints: HashMap<(Box<str>, Box<str>), Duration>,
    /// When more than half of the nodes were last silent.
    many: Option<Duration>,
    /// When the next silent node may be emptied.
    turn: Duration,
}

/// How a node is, as far as its voice goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// For how long nothing new was heard of it, if that is long enough to count.
    pub silent: Option<Duration>,
    /// For how long it has been heard of again, if it was silent before.
    pub back: Option<Duration>,
}

impl Vigil {
    /// Nobody was heard of yet.
    pub fn new(timing: Timing) -> Self {
        Self { timing, ..Self::default() }
    }

    /// Takes in by what a node shows that it lives. `doubted` says that it is known to be silent, from before.
    pub fn hear(&mut self, node: &str, mut said: Said, doubted: bool, now: Duration) -> Voice {
        let new = !self.nodes.contains_key(node);
        let heard = self.nodes.entry(node.into()).or_default();
        heard.looked = now;
        if said.wrote.is_none() {
            // What is said by others than the agent is no sign of it.
            said.wrote.clone_from(&heard.said.wrote);
        }
        if new {
            (heard.since, heard.silent, heard.doubted) = (now, doubted, doubted);
            heard.said = said;
        } else if heard.said != said {
            (heard.since, heard.doubted) = (now, false);
            heard.said = said;
        }
        let silent = now.saturating_sub(heard.since);
        let was = std::mem::replace(&mut heard.silent, heard.doubted || silent >= self.timing.grace);
        if heard.silent {
            heard.back = None;
        } else if was {
            heard.back = Some(now);
            heard.emptied = false;
        }
        let voice = Voice {
            silent: heard.silent.then_some(silent),
            back: heard.back.map(|back| now.saturating_sub(back)),
        };
        let (silent, all) = self.count(now);
        if 2 * silent > all {
            self.many = Some(now);
        }
        voice
    }

    /// How many nodes are silent, and how many there are.
    pub fn count(&mut self, now: Duration) -> (usize, usize) {
        // Nodes that were not looked after for so long do not count: they are gone.
        let counted = 12 * self.timing.every;
        self.nodes.retain(|_, heard| now.saturating_sub(heard.looked) < counted);
        (self.nodes.values().filter(|heard| heard.silent).count(), self.nodes.len())
    }

    /// Whether so many nodes are silent, or were a moment ago, that something else than the nodes is likely at fault.
    pub fn is_storm(&self, now: Duration) -> bool {
        self.many.is_some_and(|many| now.saturating_sub(many) < self.timing.calm)
    }

    /// Whether it is this silent node's turn to be emptied. A node keeps its turn.
    pub fn turn(&mut self, node: &str, now: Duration) -> bool {
        let (due, turn) = (now >= self.turn, now + self.timing.turn);
        let Some(heard) = self.nodes.get_mut(node) else { return false };
        if !heard.emptied && due {
            heard.emptied = true;
            self.turn = turn;
        }
        heard.emptied
    }

    /// Since when each of a node's taints was seen, in order; those that it has no more are forgotten.
    pub fn taints(&mut self, node: &str, taints: &[String], now: Duration) -> Vec<Duration> {
        self.taints.retain(|(of, taint), _| &**of != node || taints.iter().any(|has| **has == **taint));
        let since = |taint: &String| {
            let place = (node.into(), taint.as_str().into());
            now.saturating_sub(*self.taints.entry(place).or_insert(now))
        };
        taints.iter().map(since).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn hear(vigil: &mut Vigil, node: &str, heard: Option<&str>, at: u64) -> Voice {
        vigil.hear(node, Said { heard: heard.map(str::to_owned), wrote: None }, false, s(at))
    }

    #[test]
    fn a_node_is_silent_when_nothing_new_was_heard_for_long_enough() {
        let mut vigil = Vigil::default();
        assert_eq!(hear(&mut vigil, "a", Some("1"), 100).silent, None);
        assert_eq!(hear(&mut vigil, "a", Some("1"), 139).silent, None);
        assert_eq!(hear(&mut vigil, "a", Some("1"), 140).silent, Some(s(40)));
        // Whatever it says, if it says something new: clocks go wrong.
        let back = hear(&mut vigil, "a", Some("0"), 150);
        assert_eq!(back, Voice { silent: None, back: Some(s(0)) });
        assert_eq!(hear(&mut vigil, "a", Some("2"), 170).back, Some(s(20)));
        // One of which nobody has heard is waited for like any other.
        assert_eq!(hear(&mut vigil, "b", None, 170).silent, None);
        assert_eq!(hear(&mut vigil, "b", None, 210).silent, Some(s(40)));
    }

    #[test]
    fn what_an_agent_writes_shows_that_it_lives_and_what_others_write_does_not() {
        let mut vigil = Vigil::default();
        let mut wrote = |wrote: Option<&str>, at| {
            vigil.hear("a", Said { heard: None, wrote: wrote.map(str::to_owned) }, false, s(at)).silent
        };
        assert_eq!(wrote(Some("t1"), 0), None);
        assert_eq!(wrote(Some("t1"), 40), Some(s(40)));
        assert_eq!(wrote(None, 50), Some(s(50)), "that it is silent was said by us");
        assert_eq!(wrote(Some("t2"), 60), None);
    }

    #[test]
    fn who_was_silent_before_is_silent_until_something_new_is_heard() {
        let mut vigil = Vigil::default();
        let mut after = |heard: &str, at| {
            vigil.hear("a", Said { heard: Some(heard.to_owned()), wrote: None }, true, s(at))
        };
        assert_eq!(after("1", 0).silent, Some(s(0)));
        assert_eq!(after("1", 10).silent, Some(s(10)));
        assert_eq!(after("2", 20), Voice { silent: None, back: Some(s(0)) });
        assert_eq!(after("2", 50).silent, None);
        assert_eq!(after("2", 60).silent, Some(s(40)));
    }

    #[test]
    fn when_more_than_half_are_silent_nothing_is_emptied_until_it_has_been_calm() {
        let mut vigil = Vigil::default();
        let all = |vigil: &mut Vigil, silent: u64, at: u64| {
            for node in 0..4 {
                let said = if node < silent { "old".to_owned() } else { at.to_string() };
                hear(vigil, &node.to_string(), Some(&said), at);
            }
        };
        all(&mut vigil, 2, 0);
        all(&mut vigil, 2, 40);
        assert_eq!(vigil.count(s(40)), (2, 4));
        assert!(!vigil.is_storm(s(40)), "half is not more than half");
        all(&mut vigil, 3, 50);
        all(&mut vigil, 3, 90);
        assert!(vigil.is_storm(s(90)));
        all(&mut vigil, 1, 95);
        assert!(vigil.is_storm(s(95)), "the others have only just come back");
        all(&mut vigil, 1, 160);
        assert!(!vigil.is_storm(s(160)));
        // A node that is looked after no more is gone, and counts no more.
        hear(&mut vigil, "3", Some("x"), 300);
        assert_eq!(vigil.count(s(300)), (0, 1));
    }

    #[test]
    fn silent_nodes_are_emptied_one_after_another() {
        let mut vigil = Vigil::default();
        for node in ["a", "b"] {
            hear(&mut vigil, node, None, 0);
            hear(&mut vigil, node, None, 40);
        }
        assert!(vigil.turn("a", s(40)) && !vigil.turn("b", s(45)) && vigil.turn("a", s(45)));
        assert!(vigil.turn("b", s(50)));
        assert!(!vigil.turn("nobody", s(99)));
    }

    #[test]
    fn taints_are_timed_from_when_they_were_first_seen() {
        let mut vigil = Vigil::default();
        let taints = |of: &[&str]| of.iter().map(|taint| (*taint).to_owned()).collect::<Vec<_>>();
        assert_eq!(vigil.taints("a", &taints(&["x"]), s(10)), [s(0)]);
        assert_eq!(vigil.taints("a", &taints(&["x", "y"]), s(15)), [s(5), s(0)]);
        assert!(vigil.taints("b", &taints(&[]), s(15)).is_empty());
        assert_eq!(vigil.taints("a", &taints(&["y"]), s(20)), [s(5)]);
        assert_eq!(vigil.taints("a", &taints(&["x"]), s(30)), [s(0)], "it was taken away meanwhile");
    }

    proptest! {
        #[test]
        fn who_speaks_at_least_every_so_often_is_never_silent(gaps in prop::collection::vec(0_u64..40, 1..50)) {
            let (mut vigil, mut now) = (Vigil::default(), 0);
            for gap in gaps {
                now += gap;
                prop_assert_eq!(hear(&mut vigil, "a", Some(&now.to_string()), now).silent, None);
                prop_assert!(!vigil.is_storm(s(now)));
            }
        }
    }
}
