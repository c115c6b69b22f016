//! Service to the published ports of the Workloads that it selects.

use super::{
    index::{Index, Served},
    pieces::Piece,
    publish,
};
use serde_json::{Map, Value, json};

/// Publishes the ports of a Service on what it selects.
pub(super) fn convert(position: usize, piece: &mut Piece, index: &mut Index, made: &mut [(usize, Value)]) {
    for path in ["metadata.labels", "metadata.annotations"] {
        piece.take(path);
    }
    let kind = piece.take_text("spec.type").unwrap_or_else(|| "ClusterIP".to_owned());
    if kind == "ExternalName" {
        piece.take("spec.externalName");
        let why = "a name for something outside belongs in a Domain: a CNAME record";
        return piece.lost("spec.externalName", why);
    }
    if piece.take_text("spec.clusterIP").as_deref() == Some("None") {
        piece.lost(
            "spec.clusterIP",
            "instances have no names of their own in DNS; the ports are published together",
        );
    }
    let ports = piece.take_list("spec.ports");
    let selector = piece.take_map("spec.selector");
    let labels = json!({"matchLabels": selector});
    let behind: Vec<(usize, String)> = if selector.is_empty() {
        Vec::new()
    } else {
        let selected = index.selected(&piece.namespace, &labels);
        selected.iter().filter_map(|known| Some((known.made?, known.name.clone()))).collect()
    };
    if behind.is_empty() {
        let why = if selector.is_empty() {
            "without a selector it leads to addresses, not to a Workload"
        } else {
            "it selects none of the workloads given here: convert it together with what it leads to"
        };
        return piece.lost("spec.selector", why);
    }
    if let [(_, name)] = behind.as_slice()
        && name != piece.name()
    {
        piece.changed(
            "metadata.name",
            &format!("its ports are published under the name of the Workload, {name:?}"),
        );
    }
    if behind.len() > 1 {
        piece.changed(
            "spec.selector",
            "each Workload publishes the ports by itself: they are not balanced together",
        );
    }
    let open = kind != "ClusterIP";
    for (at, port) in ports.iter().enumerate() {
        for (number, _) in &behind {
            one(port, &format!("spec.ports[{at}]"), open, piece, &mut made[*number].1);
        }
    }
    for (number, _) in &behind {
        index.merge(position, made[*number].0);
    }
    let number = |port: &Value| Some((text(port, "name"), port.get("port")?.as_u64()?));
    index.services.push(Served {
        name: piece.name().to_owned(),
        namespace: piece.namespace.clone(),
        ports: ports.iter().filter_map(number).collect(),
        behind: behind.into_iter().map(|(number, _)| number).collect(),
    });
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn one(port: &Value, path: &str, open: bool, piece: &mut Piece, workload: &mut Value) {
    if !port.is_object() {
        return piece.mistyped(path, "a mapping");
    }
    let mut published = Map::new();
    for (field, value) in port.as_object().into_iter().flatten() {
        match field.as_str() {
            "name" | "port" | "protocol" => {
                published.insert(field.clone(), value.clone());
            }
            "targetPort" if port.get("port") != Some(value) => {
                published.insert(field.clone(), value.clone());
            }
            "targetPort" => {}
            "nodePort" => {
                piece.lost(&format!("{path}.nodePort"), "a port of the node is a container's hostPort")
            }
            "appProtocol" => {
                piece.lost(&format!("{path}.appProtocol"), "what is spoken there is not looked at")
            }
            other => piece.lost(&format!("{path}.{other}"), "has no counterpart"),
        }
    }
    if open {
        published.insert("privacy".to_owned(), "FullPublic".into());
    }
    if let Some(name) = published.get("targetPort").and_then(Value::as_str)
        && !publish::has_port(workload, name)
    {
        let why = format!("no container has a port called {name:?}: it is not published");
        return piece.lost(&format!("{path}.targetPort"), &why);
    }
    if !publish::add(workload, published) {
        piece.lost(path, "the Workload publishes that port already, leading elsewhere");
    }
}
