//! What this node counts and uses, as Prometheus scrapes it: the names of usage are those of kubelet's
//! `/metrics/resource`.

use super::stats::summary;
use super::{Answer, Desk, bytes};
use crate::metrics::{escaped, head};
use hypermesh_schemas::instance::InstancePhase;
use hypermesh_stream::stats::Summary;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(super) async fn answer(desk: &Desk) -> Answer {
    let mut out = String::new();
    desk.host.metrics.write(&mut out);
    state(desk, &mut out);
    usage(&summary(desk).await, &mut out);
    bytes("text/plain; version=0.0.4; charset=utf-8", out.into())
}

/// How it stands now.
fn state(desk: &Desk, out: &mut String) {
    let name = "hypermesh_agent_instances";
    head(out, name, "gauge", "Instances that the node looks after, by phase.");
    let mut phases: BTreeMap<&str, u64> =
        ["Pending", "Running", "Succeeded", "Failed", "Unknown"].map(|phase| (phase, 0)).into();
    for view in desk.workers.views() {
        *phases.entry(phase(view.status.phase)).or_default() += 1;
    }
    for (phase, count) in phases {
        let _ = writeln!(out, "{name}{{phase=\"{phase}\"}} {count}");
    }
    let refused = desk.host.connectivity.refused().len();
    let images = desk.host.images.store().names().len();
    let name = "hypermesh_agent_ports_refused";
    head(out, name, "gauge", "Published ports that are not reached as they should be.");
    let _ = writeln!(out, "{name} {refused}");
    let name = "hypermesh_agent_images";
    head(out, name, "gauge", "Names of images that the node has.");
    let _ = writeln!(out, "{name} {images}");
    let name = "hypermesh_agent_build_info";
    head(out, name, "gauge", "Always 1; which version this is.");
    let _ = writeln!(out, "{name}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
}

fn phase(phase: Option<InstancePhase>) -> &'static str {
    match phase {
        None | Some(InstancePhase::Pending) => "Pending",
        Some(InstancePhase::Running) => "Running",
        Some(InstancePhase::Succeeded) => "Succeeded",
        Some(InstancePhase::Failed) => "Failed",
        Some(InstancePhase::Unknown) => "Unknown",
    }
}

/// What is used by whom.
fn usage(summary: &Summary, out: &mut String) {
    let seconds = |nanos: u64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let family = |out: &mut String, name: &str, kind: &str, help: &str, of: &dyn Fn(&mut String)| {
        head(out, name, kind, help);
        of(out);
    };
    let node = &summary.node;
    let name = "node_cpu_usage_seconds_total";
    family(out, name, "counter", "Processor time of the whole node.", &|out| {
        if let Some(used) = node.cpu.as_ref().and_then(|cpu| cpu.usage_core_nano_seconds) {
            let _ = writeln!(out, "{name} {}", seconds(used));
        }
    });
    let name = "node_memory_working_set_bytes";
    family(out, name, "gauge", "Memory of the whole node that is in use.", &|out| {
        if let Some(used) = node.memory.as_ref().and_then(|memory| memory.working_set_bytes) {
            let _ = writeln!(out, "{name} {used}");
        }
    });
    let all = || {
        summary.pods.iter().flat_map(|pod| {
            pod.containers.iter().map(move |container| {
                let (namespace, name) = (escaped(&pod.pod_ref.namespace), escaped(&pod.pod_ref.name));
                let labels = format!(
                    "container=\"{}\",namespace=\"{namespace}\",pod=\"{name}\"",
                    escaped(&container.name)
                );
                (labels, container)
            })
        })
    };
    let name = "container_cpu_usage_seconds_total";
    family(out, name, "counter", "Processor time of a container.", &|out| {
        for (labels, container) in all() {
            if let Some(used) = container.cpu.as_ref().and_then(|cpu| cpu.usage_core_nano_seconds) {
                let _ = writeln!(out, "{name}{{{labels}}} {}", seconds(used));
            }
        }
    });
    let name = "container_memory_working_set_bytes";
    family(out, name, "gauge", "Memory of a container that cannot be given back.", &|out| {
        for (labels, container) in all() {
            if let Some(used) = container.memory.as_ref().and_then(|memory| memory.working_set_bytes) {
                let _ = writeln!(out, "{name}{{{labels}}} {used}");
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_has_the_names_that_people_know() {
        let summary: Summary = serde_json::from_value(serde_json::json!({
            "node": {"nodeName": "n", "memory": {"time": "", "workingSetBytes": 7}},
            "pods": [{"podRef": {"name": "web-1", "namespace": "a\"b", "uid": "u"}, "containers": [
                {"name": "c", "cpu": {"time": "", "windowMillis": 0, "usageCoreNanoSeconds": 1_500_000_000_u64},
                 "memory": {"time": "", "workingSetBytes": 4096}}]}],
        }))
        .unwrap();
        let mut out = String::new();
        usage(&summary, &mut out);
        for line in [
            "node_memory_working_set_bytes 7",
            "container_cpu_usage_seconds_total{container=\"c\",namespace=\"a\\\"b\",pod=\"web-1\"} 1.500000000",
            "container_memory_working_set_bytes{container=\"c\",namespace=\"a\\\"b\",pod=\"web-1\"} 4096",
        ] {
            assert!(out.lines().any(|there| there == line), "{line} is not in\n{out}");
        }
        assert_eq!(phase(None), "Pending");
    }
}
