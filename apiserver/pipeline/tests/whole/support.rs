//! A cluster of one replica without a store, and requests to it.

use crate::state::Memory;
use bytes::Bytes;
use hypermesh_chain::request::{Endorsement, Media, Method, Request, User};
use hypermesh_chain::signature::{self, Message};
use hypermesh_chain::{
    Authority, Change, ClusterId, Effect, Genesis, Height, ObjectKey, Record, Revision, SigningKey,
    Timestamp, Validator, ValidatorSet,
};
use hypermesh_pipeline::{
    BlockFacts, Call, Derived, Execution, Outcome, PIPELINE_VERSION, Refused, Window, genesis, system,
};
use hypermesh_schemas::KindDefinition;
use hypermesh_schemas::definition::{Scope, UniqueField};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};

/// When the clusters of these tests were made: 2026-01-01T00:00:00Z.
pub const START: u64 = 1_767_225_600_000_000;
pub const SECOND: u64 = 1_000_000;
pub const ASSETS: &str = "/apis/hm.example.com/v1/namespaces/default/assets";
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// Key of the replica.
pub fn replica() -> SigningKey {
    key(1)
}

/// Key of the administrator.
pub fn administrator() -> SigningKey {
    key(2)
}

fn kind(scope: &str, plural: &str, kind: &str, spec: Value) -> KindDefinition {
    let manifest = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.hm.example.com")},
        "spec": {
            "group": "hm.example.com",
            "scope": scope,
            "names": {
                "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List"),
            },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": spec},
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}},
                }}},
            }],
        },
    });
    KindDefinition::from_crd(&manifest).unwrap()
}

/// The kinds of these tests: a namespaced one, a cluster-wide one, and one with unique fields, beside the built-in ones.
fn definitions() -> Vec<KindDefinition> {
    let text = json!({"type": "string"});
    let spec = json!({
        "color": text,
        "replicas": {
            "type": "integer",
            "x-kubernetes-validations": [{"rule": "self < 10", "message": "too many"}],
        },
    });
    let mut names = kind("Namespaced", "names", "Name", json!({"color": text, "name": text, "alias": text}));
    names.unique_fields = vec![
        UniqueField { json_path: ".spec.name".into(), scope: Scope::Cluster },
        UniqueField { json_path: ".spec.alias".into(), scope: Scope::Namespaced },
    ];
    let mut part = kind("Namespaced", "parts", "Part", json!({}));
    part.subresources.status = false;
    part.subresources.scale = None;
    part.schema["properties"]["status"]["properties"]["phase"] = text.clone();
    let mut all = hypermesh_schemas::definitions();
    all.extend([
        kind("Namespaced", "assets", "Asset", spec.clone()),
        kind("Cluster", "sites", "Site", spec),
        names,
        part,
    ]);
    all
}

/// A request in the making.
#[derive(Clone)]
pub struct Ask {
    method: Method,
    target: String,
    media: Media,
    pub body: Value,
    user: User,
}

fn ask(method: Method, target: impl Into<String>, media: Media, body: Value) -> Ask {
    let user = User { name: "root".into(), groups: vec!["system:masters".into()], ..User::default() };
    Ask { method, target: target.into(), media, body, user }
}

pub fn post(target: impl Into<String>, body: Value) -> Ask {
    ask(Method::Post, target, Media::Json, body)
}

pub fn put(target: impl Into<String>, body: Value) -> Ask {
    ask(Method::Put, target, Media::Json, body)
}

pub fn merge(target: impl Into<String>, body: Value) -> Ask {
    ask(Method::Patch, target, Media::MergePatch, body)
}

pub fn patch(target: impl Into<String>, media: Media, body: Value) -> Ask {
    ask(Method::Patch, target, media, body)
}

/// Server-side apply by the manager `test`.
pub fn apply(target: &str, body: Value) -> Ask {
    let target = if target.contains('?') { target.to_owned() } else { format!("{target}?fieldManager=test") };
    ask(Method::Patch, target, Media::ApplyPatch, body)
}

pub fn delete(target: impl Into<String>) -> Ask {
    ask(Method::Delete, target, Media::None, Value::Null)
}

pub fn delete_with(target: impl Into<String>, options: Value) -> Ask {
    ask(Method::Delete, target, Media::Json, options)
}

impl Ask {
    /// By a user without groups.
    pub fn by(mut self, user: &str) -> Self {
        self.user =
            User { name: user.into(), groups: vec!["system:authenticated".into()], ..User::default() };
        self
    }

    /// By a node.
    pub fn by_node(mut self, node: &str) -> Self {
        self.user = User {
            name: format!("system:node:{node}"),
            groups: vec!["system:nodes".into(), "system:authenticated".into()],
            ..User::default()
        };
        self
    }

    /// By a user in groups.
    pub fn by_member(mut self, user: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.user = User { name: user.into(), groups, ..User::default() };
        self
    }

    fn request(self, authority: Authority) -> Request {
        let body = if self.body.is_null() { Bytes::new() } else { self.body.to_string().into() };
        Request { method: self.method, target: self.target, media: self.media, body, authority }
    }

    /// Endorsed by a replica, with a nonce, at a time.
    pub fn endorsed(self, replica: &SigningKey, nonce: u64, received: Timestamp) -> Request {
        let user = self.user.clone();
        let manager = "agent".to_owned();
        let endorsement = Endorsement { replica: replica.public(), user, received, nonce, manager };
        self.request(Authority::Endorsed(endorsement))
    }

    /// Signed, at a time in seconds.
    pub fn signed(
        self,
        cluster: &ClusterId,
        keys: &[&SigningKey],
        created: u64,
        expires: Option<u64>,
    ) -> Request {
        let mut request = self.request(Authority::Signed { signatures: Vec::new() });
        let mut signatures: Vec<_> = keys
            .iter()
            .map(|key| signature::sign(key, cluster, &Message::of(&request), created, expires, 7))
            .collect();
        signatures.sort_by_key(|signature| signature.key);
        request.authority = Authority::Signed { signatures };
        request
    }
}

/// What a request came to.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
    pub writes: u32,
}

impl Answer {
    fn of(outcome: &Outcome) -> Self {
        let body = serde_json::from_slice(outcome.body.bytes()).unwrap();
        Self { code: outcome.code, body, warnings: outcome.warnings.clone(), writes: outcome.writes }
    }

    /// The object, of a request that must have succeeded.
    pub fn object(self) -> Value {
        assert!(self.code < 300, "{} {}", self.code, self.body["message"]);
        self.body
    }

    /// Code and message.
    pub fn refusal(&self) -> String {
        assert!(self.code >= 400, "{} {}", self.code, self.body);
        assert_eq!(self.writes, 0, "a refusal leaves nothing behind");
        format!("{} {}: {}", self.code, self.body["reason"].as_str().unwrap_or(""), self.message())
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or("")
    }

    /// `field: message` of each cause.
    pub fn causes(&self) -> Vec<String> {
        let text = |cause: &Value, field: &str| cause[field].as_str().unwrap_or("").to_owned();
        let causes = self.body["details"]["causes"].as_array().cloned().unwrap_or_default();
        causes.iter().map(|cause| format!("{}: {}", text(cause, "field"), text(cause, "message"))).collect()
    }
}

/// State, what is derived from it, and the newest revision of a new cluster.
type First = (Memory, Derived, Revision);

pub struct Cluster {
    pub id: ClusterId,
    pub state: Memory,
    pub window: Window,
    pub derived: Derived,
    pub height: u64,
    pub time: Timestamp,
    pub revision: Revision,
    /// What work after blocks could not do.
    pub refused: Vec<Refused>,
    nonce: u64,
}

impl Cluster {
    pub fn new() -> Self {
        Self::with_replicas(1)
    }

    pub fn with_replicas(replicas: u8) -> Self {
        // Key 2 is the administrator's.
        let seeds = [1, 3, 4, 5].into_iter().take(replicas.into());
        let validators = seeds.map(|seed| Validator { key: key(seed).public(), power: 1 }).collect();
        let genesis = Genesis {
            name: "test".into(),
            seed: [9; 32],
            time: Timestamp(START),
            version: PIPELINE_VERSION,
            validators: ValidatorSet::new(validators).unwrap(),
            administrators: vec![administrator().public()],
        };
        // Compiling the kinds is most of what a test takes: once for all.
        static FIRST: OnceLock<Mutex<BTreeMap<u8, First>>> = OnceLock::new();
        let mut first = FIRST.get_or_init(Mutex::default).lock().unwrap();
        let (state, derived, revision) = first.entry(replicas).or_insert_with(|| {
            let mut state = Memory::default();
            let effects = genesis::effects(&genesis, definitions()).unwrap();
            effects.iter().for_each(|effect| state.apply(effect));
            let derived = Derived::load(&state).unwrap();
            (state, derived, effects.last().unwrap().revision)
        });
        let (revision, derived) = (*revision, derived.clone());
        Self {
            id: genesis.cluster_id(),
            state: state.clone(),
            window: Window::default(),
            derived,
            height: 0,
            time: Timestamp(START),
            revision,
            refused: Vec::new(),
            nonce: 0,
        }
    }

    pub fn endorse(&mut self, ask: Ask) -> Request {
        self.nonce += 1;
        ask.endorsed(&replica(), self.nonce, self.time)
    }

    /// Executes a block of requests a second after the last, twice; applies its effects; what each request came to.
    pub fn block(&mut self, requests: &[Request]) -> Vec<Outcome> {
        self.block_at(Timestamp(self.time.0 + SECOND), requests).0
    }

    pub fn block_at(&mut self, time: Timestamp, requests: &[Request]) -> (Vec<Outcome>, Vec<Effect>) {
        let facts = BlockFacts { cluster: self.id.0, height: Height(self.height + 1), time };
        let run = || {
            let mut execution = Execution::begin(
                &self.state,
                self.revision,
                self.derived.clone(),
                &self.window,
                facts.clone(),
            );
            let calls = requests.iter().map(Call::decode);
            let outcomes: Vec<Outcome> = calls
                .map(|call| match call {
                    Ok(call) => execution.execute(call).unwrap(),
                    Err(status) => Outcome::refused(&status),
                })
                .collect();
            (outcomes, execution.finish().unwrap())
        };
        let ((outcomes, executed), (again, twice)) = (run(), run());
        assert_eq!(executed.effects, twice.effects, "execution is a function of state and requests");
        for (one, other) in outcomes.iter().zip(&again) {
            assert_eq!(
                (one.code, one.body.bytes(), one.writes),
                (other.code, other.body.bytes(), other.writes)
            );
        }
        for (effect, before) in executed.effects.iter().zip(&executed.before) {
            assert_eq!(self.state.objects.get(&effect.key).map(|r| &**r), before.as_deref());
            self.state.apply(effect);
        }
        self.window.absorb(executed.seen, time, executed.derived.config.request_validity_seconds);
        for (collection, known) in
            [(system::WORK, executed.derived.work), (system::RETRIES, executed.derived.retries)]
        {
            let any = self.state.objects.keys().any(|key| key.collection() == collection);
            assert_eq!(any, known, "a replica that starts now sees the same work");
        }
        assert_eq!(executed.refused, twice.refused);
        self.refused.extend(executed.refused);
        self.derived = executed.derived;
        (self.height, self.time, self.revision) = (self.height + 1, time, executed.revision);
        (outcomes, executed.effects)
    }

    /// One request in a block of its own.
    pub fn run(&mut self, ask: Ask) -> Answer {
        let request = self.endorse(ask);
        Answer::of(&self.block(&[request])[0])
    }

    /// A request as it is.
    pub fn order(&mut self, request: Request) -> Answer {
        Answer::of(&self.block(&[request])[0])
    }

    /// Empty blocks until no work is left that could be done; how many it took, and the most writes of one.
    pub fn settle(&mut self) -> (usize, usize) {
        let (mut blocks, mut most) = (0, 0);
        while self.derived.work {
            let (_, effects) = self.block_at(Timestamp(self.time.0 + SECOND), &[]);
            assert!(!effects.is_empty(), "a block with work to do does some");
            most = most.max(effects.len());
            blocks += 1;
            assert!(blocks < 500, "work comes to an end");
        }
        (blocks, most)
    }

    /// The object at a path, as it is stored.
    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = ObjectKey::new(collection, namespace, name).unwrap();
        self.state.objects.get(&key).map(|record| serde_json::from_slice(&record.body).unwrap())
    }

    pub fn asset(&self, name: &str) -> Option<Value> {
        self.get("hm.example.com/assets", "default", name)
    }

    /// An asset that is there.
    pub fn asset_of(&self, name: &str) -> Value {
        self.asset(name).unwrap()
    }

    /// How many objects a collection holds.
    pub fn count(&self, collection: &str) -> usize {
        self.state.objects.keys().filter(|key| key.collection() == collection).count()
    }

    /// Replaces what is stored of an object by bytes that no pipeline writes: what else knows of it stays.
    pub fn damage(&mut self, collection: &str, namespace: &str, name: &str, body: &str) {
        let key = ObjectKey::new(collection, namespace, name).unwrap();
        let revision = Revision(self.revision.0 + 1);
        let record = Record { revision, body: body.to_owned().into(), ..(*self.state.objects[&key]).clone() };
        self.state.apply(&Effect { revision, key, change: Change::Updated(record) });
        self.revision = revision;
    }

    /// A block that writes something else.
    pub fn tick(&mut self) {
        let body = json!({"data": {"height": self.height.to_string()}});
        let object = config_map("tick", json!({}));
        if self.get("/configmaps", "default", "tick").is_none() {
            self.run(post(CONFIG_MAPS, object)).object();
        } else {
            self.run(merge(format!("{CONFIG_MAPS}/tick"), body)).object();
        }
    }

    /// Names of jobs that are to be done, and of those that wait.
    pub fn jobs(&self) -> Vec<String> {
        let keys = self.state.objects.keys();
        let jobs =
            keys.filter(|key| [system::WORK, system::WAITING, system::RETRIES].contains(&key.collection()));
        jobs.map(|key| format!("{} {}", key.collection(), key.name())).collect()
    }
}

pub fn asset(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "hm.example.com/v1", "kind": "Asset", "metadata": {"name": name}, "spec": spec})
}

/// An asset with owners, of which each may block.
pub fn owned(name: &str, owners: &[(&Value, bool)]) -> Value {
    let references: Vec<Value> = owners.iter().map(|(owner, blocks)| reference(owner, *blocks)).collect();
    let mut object = asset(name, json!({}));
    object["metadata"]["ownerReferences"] = references.into();
    object
}

pub fn reference(owner: &Value, blocks: bool) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
    })
}

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}
