//! What was decided for an object, why, and at which revision of it: what `nexusctl why` reads.
//!
//! The record lives in the process that decides, is bounded, and is served beside the metrics. The store keeps the
//! summary, the object's conditions and Events (docs/adr/0008-decisions-are-kept-by-who-decides.md). A decision that
//! repeats the one before it is counted, not kept again.

use super::key::Key;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Objects whose decisions are kept: of those that came to rest, and of those in trouble.
const OBJECTS: usize = 1_024;
/// Decisions that are kept of one object.
const PER_OBJECT: usize = 8;
/// The longest explanation, in bytes.
const LONGEST: usize = 1_024;

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Everything was as it should be.
    AsWanted,
    /// Something was written.
    Changed,
    /// The object is wrong; nothing happens before it changes.
    Invalid,
    /// It failed and will be tried again.
    Failed,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The controller that decided.
    pub controller: &'static str,
    /// The object's kind.
    pub kind: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// The very object.
    pub uid: String,
    /// The spec that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The revision of the object that was looked at.
    pub resource_version: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What is done and why, in words.
    pub why: String,
    /// When it was first decided so.
    pub since: Timestamp,
    /// When it was last decided so.
    pub at: Timestamp,
    /// How often in a row.
    pub count: u64,
    /// How many seconds later it is looked at again, if nothing happens before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again_in_seconds: Option<u64>,
}

type Subject = (&'static str, Key);

#[derive(Debug, Default)]
struct Shelf {
    of: HashMap<Subject, (u64, VecDeque<Decision>)>,
    /// Oldest first.
    order: BTreeMap<u64, Subject>,
}

impl Shelf {
    fn take(&mut self, subject: &Subject) -> VecDeque<Decision> {
        let Some((turn, decisions)) = self.of.remove(subject) else { return VecDeque::new() };
        self.order.remove(&turn);
        decisions
    }

    fn put(&mut self, subject: Subject, turn: u64, decisions: VecDeque<Decision>) {
        if self.of.len() >= OBJECTS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.of.remove(&oldest);
        }
        self.order.insert(turn, subject.clone());
        self.of.insert(subject, (turn, decisions));
    }
}

#[derive(Debug, Default)]
struct Shelves {
    turn: u64,
    /// Objects in trouble are what people ask about: those at rest never crowd them out.
    troubled: Shelf,
    resting: Shelf,
}

/// The newest decisions of many objects.
#[derive(Debug, Default)]
pub struct Decisions {
    shelves: Mutex<Shelves>,
}

/// Which decisions are asked for; what is `None` or empty matches all.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Kind, in any case.
    pub kind: String,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Decisions {
    /// Keeps a decision.
    pub fn record(&self, mut decision: Decision) {
        truncate(&mut decision.why);
        let subject =
            (decision.controller, Key { namespace: decision.namespace.clone(), name: decision.name.clone() });
        let troubled = matches!(decision.verdict, Verdict::Invalid | Verdict::Failed);
        let mut shelves = self.shelves.lock();
        let shelves = &mut *shelves;
        shelves.turn += 1;
        let (mut of, other) = (shelves.troubled.take(&subject), shelves.resting.take(&subject));
        of.extend(other);
        match of.back_mut().filter(|last| last.verdict == decision.verdict && last.why == decision.why) {
            Some(last) if last.uid == decision.uid => {
                let (since, count) = (last.since, last.count.saturating_add(1));
                *last = Decision { since, count, ..decision };
            }
            _ => {
                if of.len() >= PER_OBJECT {
                    of.pop_front();
                }
                of.push_back(decision);
            }
        }
        let shelf = if troubled { &mut shelves.troubled } else { &mut shelves.resting };
        shelf.put(subject, shelves.turn, of);
    }

    /// The decisions that match, oldest object first, at most `limit`.
    pub fn find(&self, asked: &Asked, limit: usize) -> Vec<Decision> {
        let shelves = self.shelves.lock();
        let wanted = |decision: &&Decision| {
            (asked.kind.is_empty() || asked.kind.eq_ignore_ascii_case(&decision.kind))
                && (asked.name.is_empty() || asked.name == *decision.name)
                && asked
                    .namespace
                    .as_ref()
                    .is_none_or(|ns| decision.namespace.as_deref() == Some(ns.as_str()))
        };
        let of = |shelf: &'_ Shelf| -> Vec<Decision> {
            let lists = shelf.order.values().filter_map(|subject| shelf.of.get(subject));
            lists.flat_map(|(_, decisions)| decisions.iter()).filter(wanted).take(limit).cloned().collect()
        };
        let mut found = of(&shelves.troubled);
        found.extend(of(&shelves.resting));
        found.truncate(limit);
        found
    }
}

/// Cuts at the limit, between characters.
fn truncate(text: &mut String) {
    if text.len() > LONGEST {
        let end = (0..=LONGEST - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(name: &str, verdict: Verdict, why: &str, second: i64) -> Decision {
        let at = Timestamp::from_second(second).unwrap();
        Decision {
            controller: "test",
            kind: "Namespace".to_owned(),
            namespace: None,
            name: name.into(),
            uid: "u".to_owned(),
            generation: None,
            resource_version: second.to_string(),
            verdict,
            why: why.to_owned(),
            since: at,
            at,
            count: 1,
            again_in_seconds: None,
        }
    }

    fn of(decisions: &Decisions, name: &str) -> Vec<Decision> {
        decisions.find(&Asked { name: name.to_owned(), ..Asked::default() }, 100)
    }

    #[test]
    fn a_decision_that_repeats_is_counted() {
        let decisions = Decisions::default();
        for second in 0..5 {
            decisions.record(decision("a", Verdict::AsWanted, "nothing to do", second));
        }
        decisions.record(decision("a", Verdict::Changed, "created it", 9));
        let found = of(&decisions, "a");
        assert_eq!(found.iter().map(|d| d.count).collect::<Vec<_>>(), [5, 1]);
        assert_eq!((found[0].since.as_second(), found[0].at.as_second()), (0, 4));
        assert_eq!(found[0].resource_version, "4");
    }

    #[test]
    fn objects_at_rest_never_crowd_out_those_in_trouble() {
        let decisions = Decisions::default();
        decisions.record(decision("broken", Verdict::Failed, "no route", 1));
        for n in 0..3 * OBJECTS {
            decisions.record(decision(&format!("n{n}"), Verdict::AsWanted, "nothing to do", 2));
        }
        assert_eq!(of(&decisions, "broken").len(), 1);
        assert_eq!(of(&decisions, "n0").len(), 0, "the oldest made room");
        assert_eq!(decisions.find(&Asked::default(), usize::MAX).len(), OBJECTS + 1);
    }

    #[test]
    fn the_history_of_an_object_survives_its_recovery_and_is_bounded() {
        let decisions = Decisions::default();
        for n in 0..100 {
            decisions.record(decision("a", Verdict::Failed, &format!("failure {n}"), n));
        }
        decisions.record(decision("a", Verdict::AsWanted, "nothing to do", 100));
        let found = of(&decisions, "a");
        assert_eq!(found.len(), PER_OBJECT);
        assert_eq!(found[0].why, format!("failure {}", 100 - PER_OBJECT + 1));
        assert!(decisions.shelves.lock().troubled.of.is_empty());
    }

    #[test]
    fn explanations_are_cut_between_characters() {
        let decisions = Decisions::default();
        decisions.record(decision("a", Verdict::Failed, &"ü".repeat(LONGEST), 1));
        let why = &of(&decisions, "a")[0].why;
        assert!(why.len() <= LONGEST && why.ends_with('…'), "{}", why.len());
    }

    #[test]
    fn what_is_asked_for_is_found() {
        let decisions = Decisions::default();
        decisions.record(Decision { namespace: Some("x".into()), ..decision("a", Verdict::Changed, "1", 1) });
        decisions.record(decision("a", Verdict::Changed, "2", 1));
        let asked = Asked { kind: "namespace".into(), namespace: Some("x".into()), name: "a".into() };
        assert_eq!(decisions.find(&asked, 10).iter().map(|d| d.why.as_str()).collect::<Vec<_>>(), ["1"]);
        assert!(decisions.find(&Asked { kind: "Pod".into(), ..Asked::default() }, 10).is_empty());
    }
}
