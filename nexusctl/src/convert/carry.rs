//! What is carried as it is, what may be left out silently, and why the rest cannot be carried.

use crate::manifest::FieldPath;
use hypermesh_pipeline::{Kind, judge::judge};
use serde_json::Value;

/// Fields that say what Kubernetes does anyway, or what its server keeps for itself: nothing is lost with them. A
/// path's last names decide; `*` stands for any value.
const USUAL: [(&str, &str); 35] = [
    ("metadata.uid", "*"),
    ("metadata.creationTimestamp", "*"),
    ("metadata.generation", "*"),
    ("metadata.resourceVersion", "*"),
    ("metadata.selfLink", "*"),
    ("metadata.managedFields", "*"),
    ("metadata.generateName", "*"),
    ("metadata.ownerReferences", "*"),
    ("template.metadata.name", "*"),
    ("template.metadata.namespace", "*"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
    ("dnsPolicy", "ClusterFirst"),
    ("schedulerName", "default-scheduler"),
    ("enableServiceLinks", "true"),
    ("preemptionPolicy", "PreemptLowerPriority"),
    ("hostNetwork", "false"),
    ("hostPID", "false"),
    ("hostIPC", "false"),
    ("shareProcessNamespace", "false"),
    ("stdin", "false"),
    ("stdinOnce", "false"),
    ("tty", "false"),
    ("fieldRef.apiVersion", "v1"),
    ("resizePolicy", "*"),
    ("internalTrafficPolicy", "Cluster"),
    ("externalTrafficPolicy", "Cluster"),
    ("sessionAffinity", "None"),
    ("ipFamilies", "*"),
    ("ipFamilyPolicy", "SingleStack"),
    ("clusterIPs", "*"),
    ("allocateLoadBalancerNodePorts", "*"),
    ("paused", "false"),
    ("suspend", "false"),
    ("completionMode", "NonIndexed"),
];

/// Why fields that people often write cannot be carried.
const REASONS: [(&str, &str); 33] = [
    ("podManagementPolicy", "instances are started side by side, in no order"),
    ("hostNetwork", "instances have addresses of their own, never the node's"),
    ("hostPID", "instances see their own processes only"),
    ("hostIPC", "instances do not share memory with the node"),
    ("shareProcessNamespace", "containers of an instance see their own processes only"),
    ("dnsPolicy", "instances resolve by their networks' Domains"),
    ("dnsConfig", "instances resolve by their networks' Domains"),
    ("hostAliases", "names belong in a Domain's records"),
    ("hostname", "an instance's name is its host name"),
    ("subdomain", "names of instances belong in a Domain's records"),
    ("priorityClassName", "there are no classes of priority"),
    ("priority", "there are no classes of priority"),
    ("runtimeClassName", "there is one runtime"),
    ("nodeName", "nodes are chosen by nodeSelector and placement"),
    ("schedulerName", "there is one scheduler"),
    ("ephemeralContainers", "containers cannot be added to a running instance"),
    ("volumeDevices", "block devices are not mounted"),
    ("mountPropagation", "mounts are not propagated"),
    ("subPathExpr", "the part of a volume is a fixed path"),
    ("recursiveReadOnly", "a read-only mount is read-only to its own depth"),
    (
        "terminationMessagePath",
        "no file of last words is read: `nexusctl logs --previous` shows what was written last",
    ),
    (
        "terminationMessagePolicy",
        "no last words are kept: `nexusctl logs --previous` shows what was written last",
    ),
    ("terminationGracePeriodSeconds", "the grace period is that of the instance"),
    ("serviceName", "instances have no names of their own in DNS"),
    ("persistentVolumeClaimRetentionPolicy", "there are no claims of volumes"),
    ("ordinals", "instances are not numbered"),
    ("nodePort", "ports of nodes are a container's hostPort"),
    ("externalIPs", "addresses are given by networks"),
    ("loadBalancerIP", "addresses are given by networks"),
    ("sessionAffinity", "connections are balanced one by one"),
    ("ingressClassName", "there is one way in"),
    ("procMount", "the mask over /proc is the runtime's"),
    ("sysctls", "kernel settings are the node's"),
];

/// Annotations that tools keep for themselves.
pub(super) fn is_bookkeeping(annotation: &str) -> bool {
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        "deployment.kubernetes.io/",
        "deprecated.daemonset.template.generation",
        "batch.kubernetes.io/",
    ]
    .iter()
    .any(|known| annotation.starts_with(known))
}

/// Whether a field says only what would be so without it.
pub(super) fn is_usual(path: &str, value: &Value) -> bool {
    let plain = match value {
        Value::Null => return true,
        Value::Object(map) if map.is_empty() => return true,
        Value::Array(items) if items.is_empty() => return true,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    USUAL.iter().any(|(end, usual)| ends(path, end) && (*usual == "*" || *usual == plain))
}

fn ends(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Why a field cannot be carried.
pub(super) fn why(path: &str) -> &'static str {
    REASONS.iter().find(|(end, _)| ends(path, end)).map_or("has no counterpart", |(_, why)| why)
}

/// Takes nulls out: to every Kubernetes client they are as good as absent.
pub(super) fn clean(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, child| !child.is_null());
            map.values_mut().for_each(clean);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(clean);
        }
        _ => {}
    }
}

/// What a server would refuse the object for: the field, where there is one, and what is wrong with it.
pub(super) fn faults(kind: &Kind, object: &Value) -> Vec<(FieldPath, String)> {
    let errors = match judge(kind, object.clone()) {
        Err(status) => return vec![(FieldPath::default(), status.message)],
        Ok(judged) => judged.errors,
    };
    let all: Vec<(String, String)> =
        errors.into_iter().map(|error| (error.field.clone(), error.to_string())).collect();
    // That rules were left out for want of sound fields says nothing beside what is wrong with those.
    let about_fields = all.iter().any(|(field, _)| is_field(field));
    let told = all.into_iter().filter(|(field, _)| is_field(field) || !about_fields);
    told.map(|(field, words)| (FieldPath::parse(&field), words)).collect()
}

fn is_field(field: &str) -> bool {
    !field.is_empty() && field != "<nil>"
}
