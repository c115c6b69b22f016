//! Which nodes do for an instance. Pure.
//!
//! A node has to pass all of it. What does not depend on other instances comes first: only nodes that pass that count as
//! groups to spread over, so that a cordoned zone keeps nobody waiting.

use super::amounts::Resource;
use super::demand::{self, Demand};
use super::node::{Node, Readiness, show};
use super::reason::Reason;
use super::snapshot::{Host, Instance, Snapshot, sibling};
use crate::runtime::Key;
use hypermesh_schemas::node::TaintEffect;
use hypermesh_schemas::workload::placement::{Placement, Relation, Spread, WhenUnsatisfiable};
use std::collections::{HashMap, HashSet};

/// Groups of nodes by a label.
type Groups<'a> = HashSet<&'a str>;

/// A node that may do, and what speaks against it whatever is on it.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// What is on it.
    pub host: &'a Host,
    /// The node.
    pub node: &'a Node,
    standing: Vec<Reason>,
}

/// An instance before the nodes: what it asks, and where the instances are that it is weighed against.
#[derive(Debug)]
pub struct View<'a> {
    /// The state.
    pub snapshot: &'a Snapshot,
    /// What it asks of a node.
    pub demand: &'a Demand,
    /// What its workload asks of places.
    pub placement: Option<&'a Placement>,
    /// Its workload.
    pub workload: &'a Key,
    candidates: Vec<Candidate<'a>>,
    spreads: Vec<(&'a Spread, HashMap<&'a str, u32>)>,
    near: Vec<(&'a Relation, Groups<'a>, bool)>,
    apart: Vec<(&'a Relation, Groups<'a>)>,
    shunned: Vec<(&'a Key, &'a str, Groups<'a>)>,
}

impl<'a> View<'a> {
    /// Looks at the state once for all nodes.
    pub fn new(snapshot: &'a Snapshot, instance: &'a Instance) -> Self {
        let (workload, demand) = (&instance.workload, &*instance.demand);
        let placement = snapshot.placement(workload).map(|placement| &**placement);
        let relations = |of: fn(&Placement) -> &Vec<Relation>| placement.into_iter().flat_map(of);
        let at = |relation: &'a Relation, leaving| {
            let other = sibling(workload, relation.workload.as_str());
            groups_of(snapshot, &other, relation.topology_key.as_str(), leaving)
        };
        let near = relations(|placement| &placement.near).map(|relation| {
            let groups = at(relation, false);
            // The first instance that is to be near its own kind has nobody to be near to.
            let alone = groups.is_empty() && relation.workload.as_str() == &*workload.name;
            (relation, groups, alone)
        });
        let apart = relations(|placement| &placement.apart).map(|relation| (relation, at(relation, true)));
        let shunned = snapshot
            .shunned_by(workload)
            .map(|(who, topology)| (who, topology.as_str(), groups_of(snapshot, who, topology, true)));
        let mut view = Self {
            snapshot,
            demand,
            placement,
            workload,
            candidates: Vec::new(),
            spreads: Vec::new(),
            near: near.collect(),
            apart: apart.collect(),
            shunned: shunned.collect(),
        };
        let nodes = snapshot.hosts().filter_map(|(_, host)| Some((host, host.node.as_ref()?)));
        view.candidates =
            nodes.map(|(host, node)| Candidate { host, node, standing: view.standing(node) }).collect();
        view.spreads = view.counts(&instance.revision);
        view
    }

    /// All nodes, by name.
    pub fn candidates(&self) -> &[Candidate<'a>] {
        &self.candidates
    }

    /// For each spread, how many instances of the revision are in each group that can be had.
    fn counts(&self, revision: &str) -> Vec<(&'a Spread, HashMap<&'a str, u32>)> {
        let spreads = self.placement.map_or(&[][..], |placement| &placement.spread);
        if spreads.is_empty() {
            return Vec::new();
        }
        let (snapshot, workload) = (self.snapshot, self.workload);
        let eligible = || self.candidates.iter().filter(|c| c.standing.is_empty()).map(|c| c.node);
        let of = |spread: &'a Spread| {
            let topology = spread.topology_key.as_str();
            let mut counts: HashMap<&'a str, u32> =
                eligible().filter_map(|node| node.group(topology)).map(|group| (group, 0)).collect();
            for (node, of, count) in snapshot.crew(workload) {
                let group = snapshot.node(node).and_then(|node| node.group(topology));
                if let Some(known) = group.filter(|_| of == revision).and_then(|group| counts.get_mut(group))
                {
                    *known += count.living;
                }
            }
            (spread, counts)
        };
        spreads.iter().map(of).collect()
    }

    /// Why the node does not do; nothing, if it does.
    pub fn reasons(&self, candidate: &Candidate<'_>) -> Vec<Reason> {
        let Candidate { host, node, standing } = candidate;
        let mut reasons = standing.clone();
        self.ports(host, &mut reasons);
        self.resources(host, node, &mut reasons);
        self.spread(node, &mut reasons);
        self.relations(node, &mut reasons);
        reasons
    }

    /// Reasons that hold whatever is on the node.
    fn standing(&self, node: &Node) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if node.readiness != Readiness::Ready {
            reasons.push(Reason::NotReady(node.readiness));
        }
        if node.cordoned {
            reasons.push(Reason::Cordoned);
        }
        let lacks = |(key, value): &&(String, String)| node.group(key) != Some(value);
        reasons.extend(
            self.demand
                .selector
                .iter()
                .filter(lacks)
                .map(|(key, value)| Reason::Selector(format!("{key}={value}").into())),
        );
        let required =
            self.placement.and_then(|placement| placement.nodes.as_ref()).map(|nodes| &nodes.required);
        let unmet = required.into_iter().flatten().filter(|requirement| !node.meets(requirement));
        reasons.extend(unmet.map(|requirement| Reason::Required(show(requirement).into())));
        let taints = node.taints.iter().filter(|taint| taint.effect != TaintEffect::PreferNoSchedule);
        let repelled = taints.filter(|taint| !self.demand.tolerates(taint));
        reasons.extend(repelled.map(|taint| Reason::Taint(demand::show(taint).into())));
        reasons
    }

    fn ports(&self, host: &Host, reasons: &mut Vec<Reason>) {
        let taken = |port: &&demand::HostPort| host.ports.iter().any(|taken| taken.conflicts(port));
        let ports = self.demand.ports.iter().filter(taken);
        reasons.extend(ports.map(|port| Reason::Port(port.to_string().into())));
    }

    fn resources(&self, host: &Host, node: &Node, reasons: &mut Vec<Reason>) {
        for (resource, needs) in self.demand.needs.iter() {
            // A node that does not say how many instances it takes takes as many as the rest lets it.
            if *resource == Resource::Instances && !node.allocatable.has(resource) {
                continue;
            }
            let all = node.allocatable.get(resource);
            let left = all - host.used.get(resource);
            if needs > left {
                reasons.push(Reason::Short { resource: resource.clone(), needs, left, all });
            }
        }
    }

    fn spread(&self, node: &Node, reasons: &mut Vec<Reason>) {
        let binding = self
            .spreads
            .iter()
            .filter(|(spread, _)| spread.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule);
        for (spread, counts) in binding {
            let topology = spread.topology_key.as_str();
            let Some(group) = node.group(topology) else {
                reasons.push(Reason::NoGroup(topology.into()));
                continue;
            };
            let least = counts.values().min().copied().unwrap_or_default();
            let here = counts.get(group).copied().unwrap_or_default();
            if i64::from(here) + 1 - i64::from(least) > i64::from(spread.max_skew) {
                reasons.push(Reason::Skew(topology.into(), spread.max_skew));
            }
        }
    }

    fn relations(&self, node: &Node, reasons: &mut Vec<Reason>) {
        for (relation, groups, alone) in self.near.iter().filter(|(relation, ..)| relation.required) {
            let topology = relation.topology_key.as_str();
            match node.group(topology) {
                None => reasons.push(Reason::NoGroup(topology.into())),
                Some(group) if *alone || groups.contains(group) => {}
                Some(_) => {
                    reasons.push(Reason::NotNear(relation.workload.as_str().into(), topology.into()));
                }
            }
        }
        for (relation, groups) in self.apart.iter().filter(|(relation, _)| relation.required) {
            let topology = relation.topology_key.as_str();
            if node.group(topology).is_some_and(|group| groups.contains(group)) {
                reasons.push(Reason::NotApart(relation.workload.as_str().into(), topology.into()));
            }
        }
        for (who, topology, groups) in &self.shunned {
            // What it asks of its own kind has been judged above.
            let own = *who == self.workload;
            if !own && node.group(topology).is_some_and(|group| groups.contains(group)) {
                reasons.push(Reason::Shunned((*who.name).into(), (*topology).into()));
            }
        }
    }

    /// Whether its workload asks to be spread by this label.
    pub fn is_spread_over(&self, topology: &str) -> bool {
        self.spreads.iter().any(|(spread, _)| spread.topology_key.as_str() == topology)
    }

    /// For each spread, how many instances of the revision are in the node's group.
    pub fn crowds(&self, node: &Node) -> impl Iterator<Item = u32> {
        self.spreads.iter().map(|(spread, counts)| {
            let group = node.group(spread.topology_key.as_str());
            // Where the label lacks, nothing is spread: that is the worst place.
            group.map_or(u32::MAX, |group| counts.get(group).copied().unwrap_or_default())
        })
    }

    /// How many wishes to be near somebody the node meets, less those to be apart that it breaks.
    pub fn company(&self, node: &Node) -> i64 {
        let here = |relation: &Relation, groups: &Groups<'_>| {
            node.group(relation.topology_key.as_str()).is_some_and(|group| groups.contains(group))
        };
        let wish = |relation: &Relation| !relation.required;
        let near = self.near.iter().filter(|(relation, groups, _)| wish(relation) && here(relation, groups));
        let apart = self.apart.iter().filter(|(relation, groups)| wish(relation) && here(relation, groups));
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        count(near.count()) - count(apart.count())
    }
}

/// Groups in which a workload has instances; those that are being deleted count if `leaving`.
fn groups_of<'a>(snapshot: &'a Snapshot, workload: &Key, topology: &str, leaving: bool) -> Groups<'a> {
    let there =
        snapshot.crew(workload).filter(|(_, _, count)| count.living > 0 || (leaving && count.leaving > 0));
    there.filter_map(|(node, ..)| snapshot.node(node)?.group(topology)).collect()
}
