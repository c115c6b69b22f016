//! What each verb costs the state machine: CPU time a request, over a state in memory, with objects of 1 KB like those
//! of `make bench`. Decoding and execution are timed, and the verification of what is signed; nothing is hashed into a tree
//! or stored.
//!
//! `cargo bench -p hypermesh-pipeline` prints a line a verb: the best of several rounds, since other work on the machine only
//! ever adds to a round.

#![expect(clippy::expect_used, reason = "a figure of something that failed is none: the run ends")]

use bytes::Bytes;
use hypermesh_chain::request::{Endorsement, Media, Method, Request, User};
use hypermesh_chain::signature::{self, Message};
use hypermesh_chain::{
    Authority, Change, Effect, Genesis, Height, KeyRange, ObjectKey, Record, Revision, SigningKey, Timestamp,
    Uid, Validator, ValidatorSet,
};
use hypermesh_pipeline::{
    BlockFacts, Call, Derived, Execution, PIPELINE_VERSION, ReadError, StateReader, Window, genesis,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Objects there are, and requests of a round.
const OBJECTS: usize = 1000;
const ROUNDS: usize = 9;
/// Requests of a block.
const BLOCK: usize = 100;
const START: u64 = 1_767_225_600_000_000;

#[derive(Default)]
struct Memory(BTreeMap<ObjectKey, Arc<Record>>);

impl Memory {
    fn apply(&mut self, effect: &Effect) {
        match &effect.change {
            Change::Deleted(_) => self.0.remove(&effect.key),
            change => self.0.insert(effect.key.clone(), Arc::new(change.record().clone())),
        };
    }
}

impl StateReader for Memory {
    fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        // A store decodes what it reads: the body is there as it is, the rest is copied.
        Ok(self.0.get(key).map(|record| Arc::new((**record).clone())))
    }

    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let all = self.0.iter().filter(|(key, _)| range.contains(key));
        let all = all.filter(|(key, _)| after.is_none_or(|after| *key > after));
        Ok(all.take(limit).map(|(key, record)| (key.clone(), Arc::clone(record))).collect())
    }

    fn dependents(
        &self,
        _owner: Uid,
        _after: Option<&ObjectKey>,
        _limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        Ok(Vec::new())
    }

    fn holder(&self, _index: &str, _value: &str) -> Result<Option<ObjectKey>, ReadError> {
        Ok(None)
    }
}

struct Cluster {
    id: hypermesh_chain::ClusterId,
    key: SigningKey,
    state: Memory,
    window: Window,
    derived: Derived,
    height: u64,
    revision: Revision,
    nonce: u64,
}

impl Cluster {
    fn new() -> Self {
        let key = SigningKey::from_seed(&[1; 32]);
        let validators = vec![Validator { key: key.public(), power: 1 }];
        let genesis = Genesis {
            name: "bench".into(),
            seed: [9; 32],
            time: Timestamp(START),
            version: PIPELINE_VERSION,
            validators: ValidatorSet::new(validators).expect("a set"),
            administrators: vec![key.public()],
        };
        let effects = genesis::effects(&genesis, hypermesh_schemas::definitions()).expect("a first state");
        let mut state = Memory::default();
        effects.iter().for_each(|effect| state.apply(effect));
        let derived = Derived::load(&state).expect("kinds");
        let revision = effects.last().map_or(Revision(0), |effect| effect.revision);
        let (id, window) = (genesis.cluster_id(), Window::default());
        Self { id, key, state, window, derived, height: 0, revision, nonce: 0 }
    }

    fn time(&self) -> Timestamp {
        Timestamp(START + (self.height + 1) * 1000)
    }

    fn request(&mut self, by: By, ask: Ask) -> Request {
        self.nonce += 1;
        let (method, target, media, body) = ask;
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        if by == By::Signature {
            let authority = Authority::Signed { signatures: Vec::new() };
            let mut request = Request { method, target, media, body, authority };
            let (message, seconds) = (Message::of(&request), self.time().0 / 1_000_000);
            let signature = signature::sign(&self.key, &self.id, &message, seconds, None, self.nonce);
            request.authority = Authority::Signed { signatures: vec![signature] };
            return request;
        }
        let user = User { name: "root".into(), groups: vec!["system:masters".into()], ..User::default() };
        let endorsement = Endorsement {
            replica: self.key.public(),
            user,
            received: self.time(),
            nonce: self.nonce,
            manager: "loadgen".to_owned(),
        };
        let authority = Authority::Endorsed(endorsement);
        Request { method, target, media, body, authority }
    }

    /// Executes requests that this replica endorses in blocks; the CPU time of decoding and executing each.
    fn run(&mut self, asks: impl Iterator<Item = Ask>) -> Duration {
        self.run_by(By::Endorsement, asks)
    }

    /// The same of requests by `by`; a signature is verified first, as the server that takes it does.
    fn run_by(&mut self, by: By, asks: impl Iterator<Item = Ask>) -> Duration {
        let asks: Vec<Ask> = asks.collect();
        let (count, mut spent) = (asks.len() as u32, Duration::ZERO);
        let mut asks = asks.into_iter().peekable();
        while asks.peek().is_some() {
            let requests: Vec<Request> = asks.by_ref().take(BLOCK).map(|ask| self.request(by, ask)).collect();
            let facts = BlockFacts { cluster: self.id.0, height: Height(self.height + 1), time: self.time() };
            let start = cpu();
            let mut execution =
                Execution::begin(&self.state, self.revision, self.derived.clone(), &self.window, facts);
            for request in &requests {
                request.verify(&self.id).expect("a signature");
                let call = Call::decode(request).expect("a request");
                let outcome = execution.execute(call).expect("a state");
                assert!(outcome.code < 300 && outcome.writes > 0, "{:?}", outcome.body.bytes());
            }
            let executed = execution.finish().expect("a state");
            spent += cpu() - start;
            executed.effects.iter().for_each(|effect| self.state.apply(effect));
            self.window.absorb(executed.seen, self.time(), 60);
            (self.derived, self.revision, self.height) =
                (executed.derived, executed.revision, self.height + 1);
        }
        spent / count
    }
}

/// By what right a request is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A replica's word for a client that it has authenticated.
    Endorsement,
    /// The signature of a key that the cluster has registered.
    Signature,
}

type Ask = (Method, String, Media, Value);

/// CPU time of this thread.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A kind, and how it is written.
struct Load {
    name: &'static str,
    path: &'static str,
    collection: &'static str,
    object: fn(usize, usize) -> Value,
    patch: fn(usize) -> Value,
}

const LOADS: [Load; 2] = [
    Load {
        name: "ConfigMap",
        path: "/api/v1/namespaces/default/configmaps",
        collection: "/configmaps",
        object: |i, round| {
            let lines: serde_json::Map<_, _> = (0..8)
                .map(|n| (format!("key-{n}"), Value::from(format!("{round:04}{}", "x".repeat(100)))))
                .collect();
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("o{i:05}"), "labels": {"app": "bench", "tier": "t1"}}, "data": lines,
            })
        },
        patch: |round| json!({"data": {"key-3": format!("patched {round}")}}),
    },
    Load {
        name: "Workload",
        path: "/apis/hypermesh.online/v1/namespaces/default/workloads",
        collection: "hypermesh.online/workloads",
        object: |i, round| {
            let env: Vec<_> =
                (0..6).map(|n| json!({"name": format!("E{n}"), "value": format!("{round}")})).collect();
            json!({
                "apiVersion": "hypermesh.online/v1", "kind": "Workload",
                "metadata": {"name": format!("o{i:05}"), "labels": {"app": "bench", "tier": "t1"}},
                "spec": {"replicas": 1 + round % 7, "template": {
                    "metadata": {"labels": {"app": "bench"}},
                    "spec": {"containers": [{
                        "name": "main", "image": format!("registry.example.com/app:{round}"), "env": env,
                        "ports": [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}],
                    }]},
                }},
            })
        },
        patch: |round| json!({"spec": {"replicas": 10 + round % 5}}),
    },
];

fn main() {
    for load in &LOADS {
        let mut cluster = Cluster::new();
        let one = |i: usize| format!("{}/o{i:05}", load.path);
        let mut best: BTreeMap<&str, Duration> = BTreeMap::new();
        let mut note = |verb, spent: Duration| {
            let best = best.entry(verb).or_insert(spent);
            *best = spent.min(*best);
        };
        for round in 0..ROUNDS {
            let objects = 0..OBJECTS;
            let create = |i| (Method::Post, load.path.to_owned(), Media::Json, (load.object)(i, 0));
            note("create", cluster.run(objects.clone().map(create)));
            let puts: Vec<Ask> = objects
                .clone()
                .map(|i| {
                    let mut object = (load.object)(i, round * 4 + 1);
                    let key = ObjectKey::new(load.collection, "default", format!("o{i:05}"));
                    let record = key.and_then(|key| cluster.state.0.get(&key)).expect("an object");
                    object["metadata"]["resourceVersion"] = record.revision.0.to_string().into();
                    (Method::Put, one(i), Media::Json, object)
                })
                .collect();
            note("put", cluster.run(puts.into_iter()));
            let patch = |i| (Method::Patch, one(i), Media::MergePatch, (load.patch)(round * 4 + 2));
            note("merge patch", cluster.run(objects.clone().map(patch)));
            let apply = |round: usize| {
                move |i: usize| {
                    let target = format!("{}?fieldManager=bench&force=true", one(i));
                    (Method::Patch, target, Media::ApplyPatch, (load.object)(i, round))
                }
            };
            note("first apply", cluster.run(objects.clone().map(apply(round * 4 + 3))));
            note("apply", cluster.run(objects.clone().map(apply(round * 4 + 4))));
            let delete = |i| (Method::Delete, one(i), Media::None, Value::Null);
            note("delete", cluster.run(objects.clone().map(delete)));
            note("signed create", cluster.run_by(By::Signature, objects.clone().map(create)));
            cluster.run(objects.map(delete));
        }
        for (verb, spent) in best {
            println!("{:>10} {verb:<13} {:>7.1} µs CPU", load.name, spent.as_nanos() as f64 / 1000.0);
        }
    }
}
