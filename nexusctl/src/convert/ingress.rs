//! Ingress to public ports of Workloads, records of Domains, and Certificates.

use super::{index::Index, pieces::Piece, publish};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Annotations of cert-manager that name an issuer.
const ISSUERS: [&str; 2] = ["cert-manager.io/cluster-issuer", "cert-manager.io/issuer"];
/// The issuer that every cluster has.
const CLUSTER_ISSUER: &str = "cluster";

/// Opens the ports that rules lead to; gives a Domain for each zone, and a Certificate for each entry of `tls`.
pub(super) fn convert(piece: &mut Piece, index: &Index, made: &mut [(usize, Value)]) -> Vec<Value> {
    piece.take("metadata.labels");
    let annotations = piece.take_map("metadata.annotations");
    let mut issuer = None;
    for (key, value) in &annotations {
        if ISSUERS.contains(&key.as_str()) {
            issuer = value.as_str().map(str::to_owned);
            if issuer.is_none() {
                piece.mistyped(&format!("metadata.annotations[{key}]"), "a string");
            }
        } else if !super::carry::is_bookkeeping(key) && key != "kubernetes.io/ingress.class" {
            piece.lost(
                &format!("metadata.annotations[{key}]"),
                "what a certain program does with it has no counterpart",
            );
        }
    }
    if let Some(backend) = piece.take("spec.defaultBackend").or_else(|| piece.take("spec.backend")) {
        let found = backend_of(&backend, "spec.defaultBackend", piece, index);
        found.and_then(|found| open(&found, "spec.defaultBackend", piece, made));
    }
    let mut zones: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (at, rule) in piece.take_list("spec.rules").into_iter().enumerate() {
        self::rule(&rule, &format!("spec.rules[{at}]"), piece, index, made, &mut zones);
    }
    let mut objects = certificates(issuer, piece);
    for (zone, records) in zones {
        let name = zone.trim_end_matches('.').to_owned();
        let mut metadata = json!({"name": name});
        if let Some(namespace) = &piece.document.namespace {
            metadata["namespace"] = namespace.clone().into();
        }
        piece.changed(
            "spec.rules",
            &format!("the zone {zone:?} is taken from the hosts: it has to be yours in this cluster"),
        );
        objects.push(json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Domain", "metadata": metadata,
            "spec": {"name": zone, "privacy": "FullPublic", "records": records},
        }));
    }
    objects
}

fn rule(
    rule: &Value,
    path: &str,
    piece: &mut Piece,
    index: &Index,
    made: &mut [(usize, Value)],
    zones: &mut BTreeMap<String, Vec<Value>>,
) {
    let is_text = |value: Option<&Value>| value.is_none_or(|value| value.is_string() || value.is_null());
    if !is_text(rule.get("host")) {
        return piece.mistyped(&format!("{path}.host"), "a string");
    }
    let host = rule.get("host").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let paths = rule.pointer("/http/paths").and_then(Value::as_array).cloned().unwrap_or_default();
    if paths.is_empty() {
        return piece.lost(path, "without paths it leads nowhere");
    }
    let mut target: Option<Backend> = None;
    for (at, item) in paths.iter().enumerate() {
        let path = format!("{path}.http.paths[{at}]");
        if !is_text(item.get("path")) {
            piece.mistyped(&format!("{path}.path"), "a string");
        }
        let prefix = item.get("path").and_then(Value::as_str).unwrap_or("/");
        if prefix != "/" {
            piece.lost(&format!("{path}.path"), "all paths of a port lead to the same containers");
        }
        let backend = item.get("backend").cloned().unwrap_or_default();
        let Some(found) = backend_of(&backend, &format!("{path}.backend"), piece, index) else {
            continue;
        };
        match &target {
            None => target = open(&found, &format!("{path}.backend"), piece, made).map(|()| found),
            Some(known) if *known == found => {}
            // Nobody is let in by a way that is not carried.
            Some(_) => piece.lost(
                &path,
                "a name leads to one Workload: the first path decides, and who may reach this one stays as it is",
            ),
        }
    }
    let (Some(Backend { behind, port }), false) = (target, host.is_empty()) else { return };
    let Some(number) = behind.first().copied() else { return };
    let labels: Vec<&str> = host.split('.').collect();
    if labels.len() < 2 {
        return piece.lost(&format!("{path}.host"), "a name of one label is no part of a zone");
    }
    let (name, zone) = if labels.len() == 2 {
        ("@".to_owned(), format!("{host}."))
    } else {
        (labels[0].to_owned(), format!("{}.", labels[1..].join(".")))
    };
    let workload = &made[number].1;
    let mut from = json!({"workload": workload.pointer("/metadata/name")});
    if let Some(port) = publish::name(workload, port) {
        from["port"] = port.into();
    }
    piece.changed(
        &format!("{path}.host"),
        &format!(
            "the name leads to the Workload itself, on port {port}: nothing listens on 80 and 443 for it"
        ),
    );
    let records = zones.entry(zone).or_default();
    if !records.iter().any(|record| record["name"] == name.as_str()) {
        records.push(json!({"name": name, "type": "AAAA", "from": from}));
    }
}

/// What a backend names: the Workloads behind a Service, and the port.
#[derive(Clone, PartialEq)]
struct Backend {
    behind: Vec<usize>,
    port: u64,
}

/// What a backend names.
fn backend_of(backend: &Value, path: &str, piece: &mut Piece, index: &Index) -> Option<Backend> {
    let service = backend.pointer("/service/name").or_else(|| backend.get("serviceName"));
    let Some(service) = service.and_then(Value::as_str) else {
        piece.lost(path, "only a Service can be led to");
        return None;
    };
    let found = index.services.iter().find(|s| s.name == service && s.namespace == piece.namespace);
    let Some(found) = found else {
        piece.lost(path, &format!("the Service {service:?} is not given here, or leads to nothing that is"));
        return None;
    };
    let named =
        backend.pointer("/service/port/name").or_else(|| backend.get("servicePort")).and_then(Value::as_str);
    let number = backend.pointer("/service/port/number").or_else(|| backend.get("servicePort"));
    let port = match (named, number.and_then(Value::as_u64)) {
        (Some(name), _) => found.ports.iter().find(|(n, _)| n == name).map(|(_, number)| *number),
        (None, number) => number,
    };
    let (Some(port), false) = (port, found.behind.is_empty()) else {
        piece.lost(path, &format!("the Service {service:?} has no such port"));
        return None;
    };
    piece.told_others = true;
    Some(Backend { behind: found.behind.clone(), port })
}

/// Lets everybody reach what a backend names.
fn open(backend: &Backend, path: &str, piece: &mut Piece, made: &mut [(usize, Value)]) -> Option<()> {
    let mut opened = false;
    for number in &backend.behind {
        opened |= publish::open(&mut made[*number].1, backend.port);
    }
    if !opened {
        piece.lost(path, &format!("port {} of the Service is not published", backend.port));
    }
    opened.then_some(())
}

fn certificates(issuer: Option<String>, piece: &mut Piece) -> Vec<Value> {
    let mut objects = Vec::new();
    for (at, entry) in piece.take_list("spec.tls").into_iter().enumerate() {
        let path = format!("spec.tls[{at}]");
        let hosts = entry.get("hosts").and_then(Value::as_array).cloned().unwrap_or_default();
        let secret = entry.get("secretName").and_then(Value::as_str);
        let (Some(secret), false) = (secret, hosts.is_empty()) else {
            piece.lost(&path, "a Certificate needs names and a Secret to be kept in");
            continue;
        };
        piece.lost(
            &path,
            "nothing ends TLS before the containers: they have to use the Certificate's Secret themselves",
        );
        if issuer.is_none() {
            piece.changed(
                &path,
                "the Certificate is issued by the cluster itself, whatever issued the Secret before",
            );
        }
        let mut metadata = Map::from_iter([("name".to_owned(), secret.into())]);
        if let Some(namespace) = &piece.document.namespace {
            metadata.insert("namespace".to_owned(), namespace.clone().into());
        }
        let issuer = issuer.as_deref().unwrap_or(CLUSTER_ISSUER);
        objects.push(json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Certificate", "metadata": metadata,
            "spec": {"dnsNames": hosts, "issuerRef": {"name": issuer}, "secretName": secret},
        }));
    }
    objects
}
