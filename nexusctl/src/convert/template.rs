//! The template of a pod: mostly the same words here and there. What our schema does not have is pruned and told later;
//! here is what would be left in an impossible state by that.

use super::{
    index::{AUTOMOUNT, Index},
    pieces::Piece,
    placement,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a volume may be made of here.
const SOURCES: [&str; 5] = ["emptyDir", "configMap", "secret", "hostPath", "projected"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// The template, and the placement that its affinities ask for.
pub(super) fn convert(mut template: Value, piece: &mut Piece, index: &Index) -> (Value, Value) {
    let prefix = format!("{}.template", piece.prefix);
    let mut placement = json!({});
    if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
        if let Some(account) = spec.remove("serviceAccount") {
            spec.entry("serviceAccountName").or_insert(account);
        }
        let account = spec.get("serviceAccountName").and_then(Value::as_str).unwrap_or("default");
        // Here the template alone says it.
        if index.is_tokenless(&piece.namespace, account) {
            spec.entry(AUTOMOUNT).or_insert(Value::Bool(false));
        }
        placement::affinity(spec, &prefix, piece, index, &mut placement);
        placement::spread(spec, &prefix, piece, &mut placement);
    }
    if let Some(spec) = template.get_mut("spec") {
        volumes(spec, &prefix, piece);
        for list in ["initContainers", "containers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
            for (at, container) in containers.enumerate() {
                self::container(container, &format!("{prefix}.spec.{list}[{at}]"), piece);
            }
        }
    }
    (template, placement)
}

/// Leaves out volumes that nothing here can be made of.
fn volumes(spec: &mut Value, prefix: &str, piece: &mut Piece) {
    let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) else { return };
    for (at, volume) in std::mem::take(volumes).into_iter().enumerate() {
        let path = format!("{prefix}.spec.volumes[{at}]");
        let mut volume = volume;
        if !SOURCES.iter().any(|source| volume.get(*source).is_some()) {
            let made_of = volume.as_object().and_then(|map| map.keys().find(|key| *key != "name").cloned());
            let made_of = made_of.unwrap_or_else(|| "nothing".to_owned());
            piece.lost(
                &path,
                &format!("a volume made of {made_of} has no counterpart: it and its mounts are left out"),
            );
            continue;
        }
        let mut empty = |source: &str, field: &str| {
            if let Some(map) = volume.get_mut(source).and_then(Value::as_object_mut)
                && map.get(field).and_then(Value::as_str) == Some("")
            {
                map.remove(field);
            }
        };
        empty("emptyDir", "medium");
        empty("hostPath", "type");
        if volume.get("emptyDir").is_some_and(Value::is_null) {
            volume["emptyDir"] = json!({});
        }
        if let Some(medium) = volume.pointer("/emptyDir/medium").and_then(Value::as_str)
            && medium != "Memory"
        {
            piece.lost(&format!("{path}.emptyDir.medium"), "an empty folder lies on disk or in memory");
            volume["emptyDir"].as_object_mut().map(|map| map.remove("medium"));
        }
        volumes.push(volume);
    }
}

fn container(container: &mut Value, path: &str, piece: &mut Piece) {
    let Some(map) = container.as_object_mut() else { return };
    for probe in PROBES {
        let other = |probe: &Value| ["grpc"].iter().find(|kind| probe.get(**kind).is_some()).copied();
        if let Some(kind) = map.get(probe).and_then(other) {
            piece.lost(
                &format!("{path}.{probe}"),
                &format!("a probe by {kind} has no counterpart: ask by exec or tcpSocket"),
            );
            map.remove(probe);
        }
    }
    for amounts in ["requests", "limits"] {
        let amounts =
            map.get_mut("resources").and_then(|r| r.get_mut(amounts)).and_then(Value::as_object_mut);
        for amount in amounts.into_iter().flat_map(|map| map.values_mut()).filter(|amount| amount.is_f64()) {
            *amount = amount.to_string().into();
        }
    }
    if let Some(Value::Array(variables)) = map.get_mut("env") {
        let mut kept = Vec::with_capacity(variables.len());
        for (at, variable) in std::mem::take(variables).into_iter().enumerate() {
            let source = variable.get("valueFrom").and_then(Value::as_object);
            let known = ["secretKeyRef", "configMapKeyRef", "fieldRef"];
            if source.is_none_or(|source| known.iter().any(|known| source.contains_key(*known))) {
                kept.push(variable);
            } else {
                let from =
                    source.and_then(|s| s.keys().next().cloned()).unwrap_or_else(|| "nothing".to_owned());
                piece.lost(
                    &format!("{path}.env[{at}]"),
                    &format!("a value from {from} has no counterpart: left out"),
                );
            }
        }
        *variables = kept;
    }
    let lifecycle = map.get_mut("lifecycle").and_then(Value::as_object_mut);
    for (hook, handler) in lifecycle.into_iter().flatten() {
        if handler.get("tcpSocket").is_some() {
            piece.lost(
                &format!("{path}.lifecycle.{hook}"),
                "a handler sends an HTTP request, runs a command, or sleeps",
            );
            *handler = Value::Null;
        }
    }
}

/// Takes out mounts of volumes that are not there, once it is settled which are.
pub(super) fn repair(object: &mut Value, piece: &mut Piece) {
    let prefix = format!("{}.template", piece.prefix);
    let Some(spec) = object.pointer_mut("/spec/template/spec") else { return };
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let known: BTreeSet<String> =
        volumes.filter_map(|volume| volume.get("name")?.as_str().map(str::to_owned)).collect();
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for (at, container) in containers.enumerate() {
            let Some(mounts) = container.get_mut("volumeMounts").and_then(Value::as_array_mut) else {
                continue;
            };
            for (mount_at, mount) in std::mem::take(mounts).into_iter().enumerate() {
                let name = mount.get("name").and_then(Value::as_str).unwrap_or_default();
                // What is no text (`n` is a boolean of YAML's) names nothing that could have been left out.
                if known.contains(name) || mount.get("name").is_some_and(|name| !name.is_string()) {
                    mounts.push(mount);
                } else {
                    let path = format!("{prefix}.spec.{list}[{at}].volumeMounts[{mount_at}]");
                    piece.lost(&path, &format!("the volume {name:?} is left out, and this mount of it"));
                }
            }
            if mounts.is_empty()
                && let Some(container) = container.as_object_mut()
            {
                container.remove("volumeMounts");
            }
        }
    }
}
