//! Whom the kernel takes memory from first when there is none left.

use hypermesh_schemas::workload::container::{Amounts, Container};
use hypermesh_schemas::workload::pod::PodSpec;

/// Kubernetes' classes of instances, by what they ask for and what they may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QualityOfService {
    /// Every container has limits of CPU and memory, and asks for as much.
    Guaranteed,
    /// Something is asked for, or limited.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl QualityOfService {
    /// The class of what is run.
    #[must_use]
    pub fn of(pod: &PodSpec) -> Self {
        let mut containers = pod.init_containers.iter().chain(&pod.containers);
        let set = |amounts: &Amounts, of: &str| amounts.get(of).is_some_and(|amount| amount.nanos() > 0);
        let asks = |container: &Container| {
            container.resources.as_ref().is_some_and(|resources| {
                ["cpu", "memory"].iter().any(|of| set(&resources.requests, of) || set(&resources.limits, of))
            })
        };
        let bound = |container: &Container| {
            container.resources.as_ref().is_some_and(|resources| {
                ["cpu", "memory"].iter().all(|of| {
                    let limit = resources.limits.get(*of).map(|limit| limit.nanos());
                    let request = resources.requests.get(*of).map(|request| request.nanos());
                    limit.is_some_and(|limit| limit > 0) && (request.is_none() || request == limit)
                })
            })
        };
        if containers.clone().all(bound) {
            Self::Guaranteed
        } else if containers.any(asks) {
            Self::Burstable
        } else {
            Self::BestEffort
        }
    }
}

/// `oom_score_adj` of a container (kubelet's `GetContainerOOMScoreAdjust`): what asks for more of the node's memory goes
/// later.
#[must_use]
pub fn oom_score_adjustment(pod: &PodSpec, container: &Container, node_memory: u64) -> i32 {
    match QualityOfService::of(pod) {
        QualityOfService::Guaranteed => -997,
        QualityOfService::BestEffort => 1000,
        QualityOfService::Burstable => {
            let resources = container.resources.as_ref();
            let asked = resources.and_then(|resources| {
                resources.requests.get("memory").or_else(|| resources.limits.get("memory"))
            });
            let asked = asked.map_or(0, hypermesh_schemas::value::Quantity::units);
            let share = asked.saturating_mul(1000) / i128::from(node_memory.max(1));
            // Between what may never go and what goes first.
            i32::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: serde_json::Value) -> PodSpec {
        serde_json::from_value(serde_json::json!({
            "containers": [{"name": "a", "image": "a", "resources": resources}],
        }))
        .unwrap()
    }

    #[test]
    fn classes_follow_from_requests_and_limits() {
        use QualityOfService::*;
        let class = |resources| QualityOfService::of(&pod(resources));
        assert_eq!(class(serde_json::json!({})), BestEffort);
        assert_eq!(class(serde_json::json!({"requests": {"cpu": "1m"}})), Burstable);
        assert_eq!(class(serde_json::json!({"limits": {"cpu": 1, "memory": "1Gi"}})), Guaranteed);
        let less = serde_json::json!({"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": "1m"}});
        assert_eq!(class(less), Burstable);
    }

    #[test]
    fn who_asks_for_more_goes_later() {
        let score = |memory: &str| {
            let pod = pod(serde_json::json!({"requests": {"memory": memory}}));
            oom_score_adjustment(&pod, &pod.containers[0], 1 << 30)
        };
        assert_eq!((score("1Ki"), score("512Mi"), score("1Gi")), (999, 500, 3));
    }
}
