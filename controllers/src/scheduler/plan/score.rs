//! Which of the nodes that do is best. Pure, in whole numbers: every process comes to the same end.
//!
//! | aspect | worth | where it is from |
//! |---|---|---|
//! | free | 0 to 1000 | what is left of CPU, memory and places, in thousandths, on average |
//! | spread | 0 to 2000 each | the fewer of its own kind in the group, the better; over nodes, 0 to 1000, unasked |
//! | wanted nodes | 0 to 2000 | `placement.nodes.preferred`, by weight |
//! | company | ±2000 each | `near` and `apart` that are not required |
//! | taints | -3000 each | taints of the effect PreferNoSchedule that are not tolerated |
//! | image | 0 to 200 | images that run there already |

use super::amounts::Resource;
use super::filter::View;
use super::node::{HOSTNAME, Node};
use super::reason::Score;
use super::snapshot::Host;
use hypermesh_schemas::node::TaintEffect;

const WHOLE: i128 = 1_000;
const SPREAD: i64 = 2_000;
const NODES: i64 = 1_000;
const WANTED: i64 = 2_000;
const COMPANY: i64 = 2_000;
const TAINT: i64 = -3_000;
const IMAGE: i64 = 200;

/// Scores of nodes that do.
pub fn scores(view: &View<'_>, fitting: &[(&Host, &Node)]) -> Vec<Score> {
    let crowds = crowds(view, fitting);
    fitting
        .iter()
        .zip(crowds)
        .map(|((host, node), crowded)| {
            let mut score = Score::default();
            score.add("free", free(view, host, node));
            score.add("spread", crowded);
            score.add("wanted nodes", wanted(view, node));
            score.add("company", COMPANY * view.company(node));
            score.add("taints", taints(view, node));
            score.add("image", images(view, host));
            score
        })
        .collect()
}

/// What is left of a node's resources once the instance is there, in thousandths, on average.
fn free(view: &View<'_>, host: &Host, node: &Node) -> i64 {
    let of = |resource: Resource| {
        let all = node.allocatable.get(&resource);
        let used = host.used.get(&resource) + view.demand.needs.get(&resource);
        (all > 0).then(|| (all - used).max(0).saturating_mul(WHOLE) / all)
    };
    let parts: Vec<i128> =
        [Resource::Cpu, Resource::Memory, Resource::Instances].into_iter().filter_map(of).collect();
    let count = i128::try_from(parts.len()).unwrap_or(1).max(1);
    i64::try_from(parts.iter().sum::<i128>() / count).unwrap_or_default()
}

/// For each node, how much fewer of the instance's own kind are near it than near the most crowded one.
fn crowds(view: &View<'_>, fitting: &[(&Host, &Node)]) -> Vec<i64> {
    let mut worth = vec![0; fitting.len()];
    let columns: Vec<Vec<u32>> = fitting.iter().map(|(_, node)| view.crowds(node).collect()).collect();
    let spreads = columns.first().map_or(0, Vec::len);
    for at in 0..spreads {
        let counts: Vec<u32> = columns.iter().filter_map(|column| column.get(at).copied()).collect();
        add_relief(&mut worth, &counts, SPREAD);
    }
    // Whatever it asks to be spread over, a workload is spread over nodes too.
    if !view.is_spread_over(HOSTNAME) {
        let mut of: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
        for (node, _, count) in view.snapshot.crew(view.workload) {
            *of.entry(node).or_default() += count.living;
        }
        let counts: Vec<u32> =
            fitting.iter().map(|(_, node)| of.get(&*node.name).copied().unwrap_or_default()).collect();
        add_relief(&mut worth, &counts, NODES);
    }
    worth
}

fn add_relief(worth: &mut [i64], counts: &[u32], whole: i64) {
    // Nodes in no group at all stand behind the most crowded one.
    let most = counts.iter().filter(|count| **count != u32::MAX).max().copied().unwrap_or_default();
    let most = if counts.contains(&u32::MAX) { most.saturating_add(1) } else { most };
    let least = counts.iter().min().copied().unwrap_or_default().min(most);
    if most == least {
        return;
    }
    for (worth, count) in worth.iter_mut().zip(counts) {
        *worth += whole * i64::from(most - (*count).min(most)) / i64::from(most - least);
    }
}

fn wanted(view: &View<'_>, node: &Node) -> i64 {
    let preferred =
        view.placement.and_then(|placement| placement.nodes.as_ref()).map(|nodes| &nodes.preferred);
    let preferred = preferred.into_iter().flatten();
    let (mut met, mut all) = (0_i64, 0_i64);
    for wish in preferred {
        let weight = i64::from(wish.weight.max(0));
        all += weight;
        if wish.match_expressions.iter().all(|requirement| node.meets(requirement)) {
            met += weight;
        }
    }
    if all == 0 { 0 } else { WANTED * met / all }
}

fn taints(view: &View<'_>, node: &Node) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == TaintEffect::PreferNoSchedule);
    let repelled = soft.filter(|taint| !view.demand.tolerates(taint)).count();
    TAINT * i64::try_from(repelled).unwrap_or(i64::MAX / 10_000)
}

fn images(view: &View<'_>, host: &Host) -> i64 {
    let all = i64::try_from(view.demand.images.len()).unwrap_or(1).max(1);
    let there = view.demand.images.iter().filter(|image| host.images.contains_key(*image)).count();
    IMAGE * i64::try_from(there).unwrap_or_default() / all
}
