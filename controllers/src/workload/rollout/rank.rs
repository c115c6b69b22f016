//! Which instance goes first where some have to go: those that are missed least. Pure.

use crate::workload::member::{Member, Phase};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Sorts instances so that those that go first come first: not bound, then not begun or not heard of, then not ready,
/// then not `available`, then where most of their like are on one node, then those ready for the shortest time, started again most often, and
/// youngest.
pub fn rank(members: &mut [&Member], available: impl Fn(&Member) -> bool) {
    let crowd = crowd(members);
    members.sort_by_cached_key(|member| {
        let phase = match member.phase {
            Phase::Pending => 0,
            Phase::Unknown => 1,
            _ => 2,
        };
        let crowded = crowd.get(member.name.as_str()).copied().unwrap_or_default();
        (
            (member.node.is_some(), phase, member.ready_since.is_some(), available(member)),
            (Reverse(crowded), Reverse(member.ready_since), Reverse(member.restarts)),
            (Reverse(member.created), Reverse(member.ordinal), member.name.clone()),
        )
    });
}

/// How many older ones share each instance's node: taking the highest away first leaves nodes even.
fn crowd(members: &[&Member]) -> HashMap<String, usize> {
    let mut by_age: Vec<&&Member> = members.iter().filter(|member| member.node.is_some()).collect();
    by_age.sort_by_key(|member| (member.created, member.ordinal, &member.name));
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    let mut crowd = HashMap::new();
    for member in by_age {
        let Some(node) = &member.node else { continue };
        let before = on_node.entry(node).or_default();
        crowd.insert(member.name.clone(), *before);
        *before += 1;
    }
    crowd
}
