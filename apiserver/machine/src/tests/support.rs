//! A machine in a folder of its own, and requests to it.

use crate::submission::{Answer, Submission};
use crate::{Config, Machine};
use hypermesh_chain::certificate::{Certificate, Vote, VoteKind};
use hypermesh_chain::request::{Endorsement, Media, Method, Request, User};
use hypermesh_chain::validator::Validator;
use hypermesh_chain::{Authority, Block, Genesis, Hash, SigningKey, Timestamp, ValidatorSet};
use hypermesh_consensus::{Limits, StateMachine};
use hypermesh_pipeline::{Call, Outcome, PIPELINE_VERSION};
use hypermesh_schemas::KindDefinition;
use hypermesh_store::Options;
use serde_json::{Value, json};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

pub const START: u64 = 1_767_225_600_000_000;
pub const SECOND: u64 = 1_000_000;
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

pub fn administrator() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

pub fn genesis() -> Genesis {
    Genesis {
        name: "test".into(),
        seed: [9; 32],
        time: Timestamp(START),
        version: PIPELINE_VERSION,
        validators: ValidatorSet::new(vec![Validator { key: key().public(), power: 1 }]).unwrap(),
        administrators: vec![administrator().public()],
    }
}

/// Kubernetes' own kinds and that of registered keys: they are enough here, and quick to compile.
pub fn definitions() -> Vec<KindDefinition> {
    let wanted = |kind: &KindDefinition| kind.strategy.built_in || kind.names.kind == "Identity";
    hypermesh_schemas::definitions().into_iter().filter(wanted).collect()
}

pub fn options() -> Options {
    Options { reserve_bytes: 1 << 20, min_free_bytes: 1 << 20, ..Options::default() }
}

pub fn open(dir: &Path) -> Machine {
    try_open(dir).unwrap()
}

pub fn try_open(dir: &Path) -> Result<Machine, crate::OpenError> {
    let config = Config { dir: dir.to_owned(), store: options(), key: key(), definitions: definitions() };
    Machine::open(config, &genesis())
}

pub fn root_of(machine: &Machine) -> Hash {
    machine.head.header.state
}

/// A request of an administrator, endorsed by the replica.
pub fn ask(method: Method, target: &str, media: Media, body: &Value, nonce: u64, time: u64) -> Request {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let user = User { name: "root".into(), groups: vec!["system:masters".into()], ..User::default() };
    let endorsement = Endorsement {
        replica: key().public(),
        user,
        received: Timestamp(time),
        nonce,
        manager: "test".into(),
    };
    let authority = Authority::Endorsed(endorsement);
    Request { method, target: target.into(), media, body: body.into(), authority }
}

pub fn create(name: &str, nonce: u64, time: u64) -> Request {
    let body = json!({"metadata": {"name": name}, "data": {"key": name}});
    ask(Method::Post, CONFIG_MAPS, Media::Json, &body, nonce, time)
}

pub fn submit(machine: &mut Machine, request: Request) -> Answer {
    let call = Call::decode(&request).unwrap();
    let (submission, answer) = Submission::new(request, call);
    machine.queue.push_back(submission);
    answer
}

pub fn outcome(mut answer: Answer) -> Outcome {
    answer.try_recv().unwrap().unwrap()
}

/// The certificate of a block that the only validator precommits.
pub fn certify(machine: &Machine, block: &Block) -> Certificate {
    certify_by(machine, block, &key())
}

pub fn certify_by(machine: &Machine, block: &Block, key: &SigningKey) -> Certificate {
    let id = block.header.id(&machine.cluster);
    let (group, height) = (block.header.group, block.header.height);
    let vote = Vote { kind: VoteKind::Precommit, group, height, round: 0, block: Some(id) };
    let signatures = vec![(key.public(), key.sign(&vote.message(&machine.cluster)))];
    Certificate { group, height, round: 0, block: id, signatures }
}

pub fn prepare(machine: &mut Machine, time: u64) -> Option<Block> {
    let block = machine.prepare(&Limits::default(), Timestamp(time)).unwrap()?;
    Some((*block).clone())
}

/// Makes and commits a block of what waits.
pub fn step(machine: &mut Machine, time: u64) -> Option<Block> {
    let block = prepare(machine, time)?;
    let certificate = certify(machine, &block);
    machine.commit(&block.header.id(&machine.cluster), &certificate).unwrap();
    Some(block)
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
