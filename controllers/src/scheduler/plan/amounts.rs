//! Amounts of resources: what instances need, what nodes have. Pure.
//!
//! Counted as Kubernetes counts: CPU in thousandths, everything else in whole units, rounded up; a container that names a
//! limit and no request needs its limit; containers that run to their end, one after another, need the most that any of
//! them needs, beside the sidecars that have started before it.

use hypermesh_schemas::value::Quantity;
use hypermesh_schemas::workload::container::{Container, SidecarRestartPolicy};
use hypermesh_schemas::workload::pod::PodSpec;
use std::fmt;
use std::sync::Arc;

/// What is limited alone: it keeps a container in bounds, and no node is asked for it.
const BOUNDS: [&str; 2] = ["io-weight", "pids"];

/// A resource that nodes have and instances need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Processor time, in thousandths of a core.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Room on the node's own disk, in bytes.
    EphemeralStorage,
    /// Instances, each of which needs one.
    Instances,
    /// Any other, by name: `gpus.example/a100`.
    Other(Arc<str>),
}

impl Resource {
    /// By the name that requests and nodes call it.
    pub fn named(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::EphemeralStorage,
            "pods" => Self::Instances,
            other => Self::Other(other.into()),
        }
    }

    fn amount(&self, quantity: &Quantity) -> i128 {
        if *self == Self::Cpu { quantity.millis() } else { quantity.units() }
    }

    /// An amount of it, as people write one; rounded down to a tenth.
    pub fn show(&self, amount: i128) -> String {
        match self {
            Self::Cpu if amount % 1_000 == 0 => (amount / 1_000).to_string(),
            Self::Cpu => format!("{amount}m"),
            Self::Memory | Self::EphemeralStorage => binary(amount),
            _ => amount.to_string(),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::EphemeralStorage => "ephemeral storage",
            Self::Instances => "room for instances",
            Self::Other(name) => name,
        })
    }
}

/// Bytes with a binary suffix and at most one decimal, rounded down.
fn binary(bytes: i128) -> String {
    const SUFFIXES: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut best = (1_i128, "");
    let mut unit = 1_i128;
    for suffix in SUFFIXES {
        unit <<= 10;
        if bytes.abs() >= unit {
            best = (unit, suffix);
        }
    }
    let (unit, suffix) = best;
    let tenths = bytes % unit * 10 / unit;
    match tenths {
        0 => format!("{}{suffix}", bytes / unit),
        _ => format!("{}.{}{suffix}", bytes / unit, tenths.abs()),
    }
}

/// Amounts by resource. A resource that is not named is there in the amount 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(Vec<(Resource, i128)>);

impl Amounts {
    /// Reads amounts as an object has them.
    pub fn read<'a>(quantities: impl IntoIterator<Item = (&'a String, &'a Quantity)>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in quantities {
            let resource = Resource::named(name);
            let amount = resource.amount(quantity);
            *amounts.slot(&resource) = amount;
        }
        amounts
    }

    /// What an instance of this template needs of its node, the place for itself included.
    pub fn needed(pod: &PodSpec) -> Self {
        let sidecar = |c: &&Container| c.restart_policy == Some(SidecarRestartPolicy::Always);
        let (mut started, mut most) = (Self::default(), Self::default());
        for init in &pod.init_containers {
            let own = of(init);
            if sidecar(&init) {
                started.add(&own, 1);
                most.raise(&started);
            } else {
                let mut together = started.clone();
                together.add(&own, 1);
                most.raise(&together);
            }
        }
        for container in &pod.containers {
            started.add(&of(container), 1);
        }
        most.raise(&started);
        *most.slot(&Resource::Instances) = 1;
        most.0.retain(|(_, amount)| *amount > 0);
        most
    }

    /// How much there is of a resource.
    pub fn get(&self, resource: &Resource) -> i128 {
        self.0.iter().find(|(named, _)| named == resource).map_or(0, |(_, amount)| *amount)
    }

    /// Whether the resource is named at all.
    pub fn has(&self, resource: &Resource) -> bool {
        self.0.iter().any(|(named, _)| named == resource)
    }

    /// Each resource that is named, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, i128)> {
        self.0.iter().map(|(resource, amount)| (resource, *amount))
    }

    /// Adds `other` so many times; -1 takes it away.
    pub fn add(&mut self, other: &Self, times: i128) {
        for (resource, amount) in &other.0 {
            let slot = self.slot(resource);
            *slot = slot.saturating_add(amount.saturating_mul(times));
        }
    }

    /// Makes each amount at least that of `other`.
    fn raise(&mut self, other: &Self) {
        for (resource, amount) in &other.0 {
            let slot = self.slot(resource);
            *slot = (*slot).max(*amount);
        }
    }

    fn slot(&mut self, resource: &Resource) -> &mut i128 {
        let at = match self.0.binary_search_by(|(named, _)| named.cmp(resource)) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (resource.clone(), 0));
                at
            }
        };
        &mut self.0[at].1
    }
}

fn of(container: &Container) -> Amounts {
    let Some(resources) = &container.resources else { return Amounts::default() };
    let mut amounts =
        Amounts::read(resources.limits.iter().filter(|(name, _)| !BOUNDS.contains(&name.as_str())));
    for (resource, amount) in Amounts::read(&resources.requests).0 {
        *amounts.slot(&resource) = amount;
    }
    amounts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn needed(init: Value, containers: Value) -> Vec<(String, i128)> {
        let pod: PodSpec =
            serde_json::from_value(json!({"initContainers": init, "containers": containers})).unwrap();
        Amounts::needed(&pod).iter().map(|(resource, amount)| (resource.to_string(), amount)).collect()
    }

    fn container(name: &str, cpu: &str, sidecar: bool) -> Value {
        let mut container = json!({"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}});
        if sidecar {
            container["restartPolicy"] = "Always".into();
        }
        container
    }

    #[test]
    fn containers_add_up_and_those_that_end_need_the_most_of_one() {
        let run = json!([container("a", "200m", false), container("b", "1", false)]);
        let of = |init: Value| needed(init, run.clone())[0].1;
        assert_eq!(of(json!([])), 1_200);
        assert_eq!(of(json!([container("i", "1", false), container("j", "900m", false)])), 1_200);
        assert_eq!(of(json!([container("i", "3", false)])), 3_000);
        // A sidecar stays: it counts beside what comes after it, and not beside what came before.
        assert_eq!(of(json!([container("s", "500m", true), container("i", "3", false)])), 3_500);
        assert_eq!(of(json!([container("i", "3", false), container("s", "500m", true)])), 3_000);
        assert_eq!(of(json!([container("s", "500m", true)])), 1_700);
    }

    #[test]
    fn a_limit_without_a_request_is_what_is_needed() {
        let container = json!({"name": "a", "image": "i", "resources": {
            "limits": {"memory": "1Gi", "gpus.example/a": 2, "pids": 64}, "requests": {"memory": "10M"}}});
        let needs = needed(json!([]), json!([container]));
        assert_eq!(
            needs,
            [
                ("memory".to_owned(), 10_000_000),
                ("room for instances".to_owned(), 1),
                ("gpus.example/a".to_owned(), 2)
            ]
        );
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        assert_eq!(Resource::Cpu.show(1_500), "1500m");
        assert_eq!(Resource::Cpu.show(2_000), "2");
        assert_eq!(Resource::Memory.show(1_300_000_000), "1.2Gi");
        assert_eq!(Resource::Memory.show(2 << 30), "2Gi");
        assert_eq!(Resource::Memory.show(1_000), "1000");
        assert_eq!(Resource::Memory.show(-(3 << 29)), "-1.5Gi");
        assert_eq!(Resource::Instances.show(3), "3");
    }
}
