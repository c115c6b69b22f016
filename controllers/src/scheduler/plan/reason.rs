//! Why a node does not do, and why none does, in words. Pure.

use super::amounts::Resource;
use super::node::Readiness;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The most reasons that are told one by one.
const TOLD: usize = 6;

/// Why a node does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its agent does not work.
    NotReady(Readiness),
    /// It is cordoned.
    Cordoned,
    /// It lacks labels of `nodeSelector`, or has other values.
    Selector(Box<str>),
    /// It does not meet a requirement of `placement.nodes.required`.
    Required(Box<str>),
    /// It has a taint that is not tolerated.
    Taint(Box<str>),
    /// A port of it is taken.
    Port(Box<str>),
    /// It has too little of a resource left.
    Short {
        /// Of what.
        resource: Resource,
        /// How much is needed.
        needs: i128,
        /// How much is left.
        left: i128,
        /// How much there is in all.
        all: i128,
    },
    /// It has no label by which instances are to be spread, or lie to others.
    NoGroup(Box<str>),
    /// One more there would be further from the emptiest group than allowed.
    Skew(Box<str>, i32),
    /// No instance of a workload that has to be near is there.
    NotNear(Box<str>, Box<str>),
    /// An instance of a workload that has to be away is there.
    NotApart(Box<str>, Box<str>),
    /// An instance is there whose workload has to be apart from this one.
    Shunned(Box<str>, Box<str>),
}

impl Reason {
    /// What is said of one node, or of several: the verb agrees.
    fn say(&self, one: bool) -> String {
        let is = if one { "is" } else { "are" };
        let has = if one { "has" } else { "have" };
        let does = if one { "does" } else { "do" };
        match self {
            Self::NotReady(Readiness::Leaving) => format!("{is} being deleted"),
            Self::NotReady(Readiness::Unknown) => format!("{is} not heard of"),
            Self::NotReady(_) => format!("{is} not ready"),
            Self::Cordoned => format!("{is} cordoned"),
            Self::Selector(what) => format!("{does} not match nodeSelector {what}"),
            Self::Required(what) => format!("{does} not meet placement.nodes.required {what}"),
            Self::Taint(taint) => format!("{has} the taint {taint}"),
            Self::Port(port) => format!("{has} the port {port} taken"),
            Self::Short { resource, needs, left, all } => {
                format!("{has} too little {resource} ({})", short(resource, *needs, *left, *all, one))
            }
            Self::NoGroup(key) => format!("{has} no label {key}"),
            Self::Skew(key, most) => {
                let group = if one { "its" } else { "their" };
                format!("would have more than {most} over the least of {group} {key}")
            }
            Self::NotNear(workload, key) => format!("{is} not near workload {workload} (by {key})"),
            Self::NotApart(workload, key) => format!("{is} not apart from workload {workload} (by {key})"),
            Self::Shunned(workload, key) => {
                format!("{has} workload {workload}, which asks to be apart from this one (by {key})")
            }
        }
    }

    /// What two nodes with one reason have in common: amounts differ, the rest does not.
    fn shape(&self) -> String {
        match self {
            Self::Short { resource, needs, .. } => format!("short of {resource} {needs}"),
            other => other.say(true),
        }
    }
}

fn short(resource: &Resource, needs: i128, left: i128, all: i128, one: bool) -> String {
    let (needed, left_now) = (resource.show(needs), resource.show(left.max(0)));
    match (needs > all, one) {
        (true, true) => format!("needs {needed}, has {} in all", resource.show(all)),
        (true, false) => format!("needs {needed}, the largest has {} in all", resource.show(all)),
        (false, true) => format!("needs {needed}, has {left_now} left"),
        (false, false) => format!("needs {needed}, at most {left_now} is left"),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say(true))
    }
}

/// Why an instance waits: every node, and why it does not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// By the nodes' names, in order. Each has a reason at least, the gravest first.
    pub nodes: Vec<(Arc<str>, Vec<Reason>)>,
}

impl Refusal {
    /// The same for two refusals that differ in amounts alone: what is left of a node changes all the time.
    pub fn shape(&self) -> String {
        let shapes = self.groups().into_iter().map(|(shape, nodes)| format!("{} {shape}", nodes.len()));
        shapes.collect::<Vec<_>>().join(", ")
    }

    /// Nodes by the first of their reasons.
    fn groups(&self) -> Vec<(String, Vec<&Reason>)> {
        let mut groups: BTreeMap<String, Vec<&Reason>> = BTreeMap::new();
        for reason in self.nodes.iter().filter_map(|(_, reasons)| reasons.first()) {
            groups.entry(reason.shape()).or_default().push(reason);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by(|(a, one), (b, another)| another.len().cmp(&one.len()).then_with(|| a.cmp(b)));
        groups
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes.is_empty() {
            return f.write_str("there is no node: `nexus-agent` makes a machine one");
        }
        let groups = self.groups();
        write!(f, "0/{} nodes fit: ", self.nodes.len())?;
        for (at, (_, reasons)) in groups.iter().take(TOLD).enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", reasons.len(), together(reasons))?;
        }
        let rest: usize = groups.iter().skip(TOLD).map(|(_, reasons)| reasons.len()).sum();
        if rest > 0 { write!(f, ", {rest} for other reasons") } else { Ok(()) }
    }
}

/// One sentence for nodes with the same reason; of amounts, the best is told.
fn together(reasons: &[&Reason]) -> String {
    let Some(first) = reasons.first() else { return String::new() };
    let one = reasons.len() == 1;
    let Reason::Short { resource, needs, .. } = first else { return first.say(one) };
    let best = |of: fn(&Reason) -> i128| reasons.iter().map(|reason| of(reason)).max().unwrap_or_default();
    let left = best(|reason| if let Reason::Short { left, .. } = reason { *left } else { 0 });
    let all = best(|reason| if let Reason::Short { all, .. } = reason { *all } else { 0 });
    Reason::Short { resource: resource.clone(), needs: *needs, left, all }.say(one)
}

/// Why a node was chosen: what each aspect was worth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// The sum.
    pub total: i64,
    /// Aspects that were worth anything, in words.
    pub parts: Vec<(&'static str, i64)>,
}

impl Score {
    /// Adds an aspect.
    pub fn add(&mut self, aspect: &'static str, worth: i64) {
        if worth != 0 {
            self.total += worth;
            self.parts.push((aspect, worth));
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} points", self.total)?;
        for (at, (aspect, worth)) in self.parts.iter().enumerate() {
            write!(f, "{}{aspect} {worth:+}", if at == 0 { " (" } else { ", " })?;
        }
        if self.parts.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// Why an instance goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The node.
    pub node: Arc<str>,
    /// What it was worth.
    pub score: Score,
    /// The best of the others that would do, and what they were worth.
    pub others: Vec<(Arc<str>, Score)>,
    /// How many nodes would do.
    pub fit: usize,
    /// How many nodes there are.
    pub of: usize,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, score, others, fit, of } = self;
        match others.first() {
            None if *of == 1 => write!(f, "{node} is the only node, and fits"),
            None => write!(f, "{node} is the only one of {of} nodes that fits"),
            Some((next, worth)) if worth.total == score.total => write!(
                f,
                "{node}, drawn by lot from the best of {fit} nodes that fit (of {of}): {score}, as {next} has"
            ),
            Some((next, worth)) => write!(
                f,
                "{node}, the best of {fit} nodes that fit (of {of}): {score}; {next} has {}",
                worth.total
            ),
        }
    }
}
