//! A load of every verb over few names, the same for the same seed.

use super::support::*;
use crate::Machine;
use hypermesh_chain::request::{Media, Method, Request};
use hypermesh_chain::signature::{self, Message};
use hypermesh_chain::{Authority, Block};
use serde_json::{Value, json};

/// Marsaglia's xorshift: quick, and needs no crate.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn object(plural: u64, name: u64, dice: &mut Dice) -> (&'static str, Value) {
    let name = format!("o{name}");
    let mut meta = json!({"name": name, "labels": {"tier": format!("t{}", dice.roll(3))}});
    if dice.roll(4) == 0 {
        meta["finalizers"] = json!(["example.com/hold"]);
    }
    let value = format!("value {}", dice.roll(1000));
    match plural {
        0 => ("v1 ConfigMap configmaps", json!({"metadata": meta, "data": {"key": value}})),
        1 => ("v1 Secret secrets", json!({"metadata": meta, "stringData": {"key": value}})),
        2 => {
            let spec = json!({"holderIdentity": value, "leaseDurationSeconds": 1 + dice.roll(60)});
            ("coordination.k8s.io/v1 Lease leases", json!({"metadata": meta, "spec": spec}))
        }
        _ => {
            let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": [value]}]);
            ("rbac.authorization.k8s.io/v1 Role roles", json!({"metadata": meta, "rules": rules}))
        }
    }
}

fn request(machine: &Machine, dice: &mut Dice, nonce: u64, time: u64) -> Request {
    let namespace = ["default", "one", "two"][dice.roll(3) as usize];
    let (kind, mut body) = object(dice.roll(4), dice.roll(6), dice);
    let mut words = kind.split(' ');
    let (version, kind, plural) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    (body["apiVersion"], body["kind"]) = (version.into(), kind.into());
    let api = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    let all = format!("{api}/namespaces/{namespace}/{plural}");
    let one = format!("{all}/{}", body["metadata"]["name"].as_str().unwrap());
    let nothing = Value::Null;
    let (method, target, media, body) = match dice.roll(14) {
        0..4 => (Method::Post, all, Media::Json, body),
        4..7 => (
            Method::Patch,
            format!("{one}?fieldManager=m{}&force=true", dice.roll(2)),
            Media::ApplyPatch,
            body,
        ),
        7 => (Method::Put, one, Media::Json, body),
        8 => (Method::Patch, one, Media::MergePatch, json!({"metadata": {"finalizers": null}})),
        9 => {
            let labels = json!({"metadata": {"labels": {"round": nonce.to_string()}}});
            (Method::Patch, one, Media::StrategicMergePatch, labels)
        }
        10 => {
            let policy = ["Foreground", "Background", "Orphan"][dice.roll(3) as usize];
            (Method::Delete, format!("{one}?propagationPolicy={policy}"), Media::None, nothing)
        }
        11 => (Method::Delete, format!("{all}?labelSelector=tier%3Dt0"), Media::None, nothing),
        12 if dice.roll(2) == 0 => {
            (Method::Delete, format!("/api/v1/namespaces/{namespace}"), Media::None, nothing)
        }
        _ => {
            let body = json!({"metadata": {"name": namespace}});
            (Method::Post, "/api/v1/namespaces".to_owned(), Media::Json, body)
        }
    };
    let mut request = ask(method, &target, media, &body, nonce, time);
    if dice.roll(4) == 0 {
        request.authority = Authority::Signed { signatures: Vec::new() };
        let signature = signature::sign(
            &administrator(),
            &machine.cluster,
            &Message::of(&request),
            time / SECOND,
            None,
            nonce,
        );
        request.authority = Authority::Signed { signatures: vec![signature] };
    }
    request
}

/// Runs the load; its blocks.
pub fn run(machine: &mut Machine, seed: u64, blocks: u64) -> Vec<Block> {
    let mut dice = Dice(seed);
    let mut made = Vec::new();
    for i in 1..=blocks {
        let time = START + i * SECOND;
        for n in 0..8 {
            let request = request(machine, &mut dice, i * 100 + n, time);
            drop(submit(machine, request));
        }
        made.extend(step(machine, time));
    }
    made
}
