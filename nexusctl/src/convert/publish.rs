//! Published ports of Workloads that were made.

use serde_json::{Map, Value};

/// Adds a port to a Workload. False if one of that number and protocol leads elsewhere already.
pub(super) fn add(workload: &mut Value, port: Map<String, Value>) -> bool {
    let Some(spec) = workload.get_mut("spec").and_then(Value::as_object_mut) else { return false };
    let Some(ports) = spec.entry("publish").or_insert_with(|| Value::Array(Vec::new())).as_array_mut() else {
        return false;
    };
    let port = Value::Object(port);
    let same = |other: &&mut Value| other["port"] == port["port"] && protocol(other) == protocol(&port);
    match ports.iter_mut().find(same) {
        None => {
            ports.push(port);
            true
        }
        Some(known) if target(known) == target(&port) => {
            if port.get("privacy").is_some() {
                known["privacy"] = port["privacy"].clone();
            }
            true
        }
        Some(_) => false,
    }
}

/// Opens a published port to everybody.
pub(super) fn open(workload: &mut Value, number: u64) -> bool {
    let ports = workload.pointer_mut("/spec/publish").and_then(Value::as_array_mut);
    let mut found = false;
    for port in ports.into_iter().flatten().filter(|port| port["port"] == number) {
        port["privacy"] = "FullPublic".into();
        found = true;
    }
    found
}

/// The name of a published port, if it has one.
pub(super) fn name(workload: &Value, number: u64) -> Option<String> {
    let ports = workload.pointer("/spec/publish").and_then(Value::as_array)?;
    let port = ports.iter().find(|port| port["port"] == number)?;
    port.get("name").and_then(Value::as_str).map(str::to_owned)
}

fn protocol(port: &Value) -> &str {
    port.get("protocol").and_then(Value::as_str).unwrap_or("TCP")
}

fn target(port: &Value) -> Value {
    port.get("targetPort").unwrap_or(&port["port"]).clone()
}

/// Whether a container of the Workload has a port of this name.
pub(super) fn has_port(workload: &Value, name: &str) -> bool {
    let containers = workload.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| {
        let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
        ports.into_iter().any(|port| port.get("name").and_then(Value::as_str) == Some(name))
    })
}
