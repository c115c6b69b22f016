//! The state machine: blocks of requests over a new cluster. Requests are separated by zero bytes and are as
//! [`crate::call`] reads them; an empty one ends a block.
//!
//! Whatever is asked, execution is a function of state and requests, effects fit the state, no request makes it fail,
//! what is stored can be read, and work comes to an end.

use crate::call;
use crate::memory::Memory;
use hypermesh_api::decode_json;
use hypermesh_chain::{Genesis, Height, Revision, SigningKey, Timestamp, Validator, ValidatorSet};
use hypermesh_pipeline::authz::Policy;
use hypermesh_pipeline::{
    BlockFacts, Call, Derived, Execution, Identities, Outcome, PIPELINE_VERSION, StateReader as _, Window,
    genesis, system,
};
use std::sync::LazyLock;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_767_225_600 * SECOND;
/// Requests of one input.
const MOST_REQUESTS: usize = 12;
/// Blocks in which what was begun must be done.
const MOST_BLOCKS: usize = 200;

#[derive(Clone)]
struct Cluster {
    genesis: Genesis,
    state: Memory,
    derived: Derived,
    revision: Revision,
}

static NEW: LazyLock<Cluster> = LazyLock::new(|| {
    let replica = SigningKey::from_seed(&[1; 32]).public();
    let genesis = Genesis {
        name: "fuzz".into(),
        seed: [9; 32],
        time: Timestamp(START),
        version: PIPELINE_VERSION,
        validators: ValidatorSet::new(vec![Validator { key: replica, power: 1 }]).expect("a set"),
        administrators: vec![SigningKey::from_seed(&[2; 32]).public()],
    };
    let effects = genesis::effects(&genesis, hypermesh_schemas::definitions()).expect("a first state");
    let mut state = Memory::default();
    effects.iter().for_each(|effect| state.apply(effect));
    let derived = Derived::load(&state).expect("a state that is derived from");
    let revision = effects.last().map_or(Revision(0), |effect| effect.revision);
    Cluster { genesis, state, derived, revision }
});

/// Executes blocks.
pub fn target(data: &[u8]) {
    let mut run = Run { cluster: NEW.clone(), window: Window::default(), height: 0 };
    let replica = SigningKey::from_seed(&[1; 32]).public();
    let mut block = Vec::new();
    for (nonce, text) in data.split(|byte| *byte == 0).take(MOST_REQUESTS).enumerate() {
        if text.is_empty() {
            run.block(&std::mem::take(&mut block));
        }
        let received = Timestamp(START + (run.height + 1) * SECOND);
        let request = call::read(text, replica, received, nonce as u64 + 1);
        block.extend(request.and_then(|request| Call::decode(&request).ok()));
    }
    run.block(&block);
    run.settle();
}

struct Run {
    cluster: Cluster,
    window: Window,
    height: u64,
}

impl Run {
    fn execute(&self, calls: &[Call]) -> (Vec<Outcome>, hypermesh_pipeline::Executed) {
        let time = Timestamp(START + (self.height + 1) * SECOND);
        let facts = BlockFacts {
            cluster: self.cluster.genesis.cluster_id().0,
            height: Height(self.height + 1),
            time,
        };
        let (derived, revision) = (self.cluster.derived.clone(), self.cluster.revision);
        let mut execution = Execution::begin(&self.cluster.state, revision, derived, &self.window, facts);
        let outcomes = calls.iter().map(|call| execution.execute(call.clone()).expect("the state is read"));
        let outcomes = outcomes.collect();
        (outcomes, execution.finish().expect("the state is read"))
    }

    /// One block, executed twice.
    fn block(&mut self, calls: &[Call]) {
        let ((outcomes, executed), (again, twice)) = (self.execute(calls), self.execute(calls));
        assert_eq!(executed.effects, twice.effects, "execution is a function of state and requests");
        for (one, other) in outcomes.iter().zip(&again) {
            assert_eq!(
                (one.code, one.body.bytes(), one.writes),
                (other.code, other.body.bytes(), other.writes)
            );
            assert!(one.code < 500, "{}", String::from_utf8_lossy(one.body.bytes()));
            assert!(one.code < 400 || one.writes == 0, "a refusal leaves nothing behind");
            assert!(decode_json(one.body.bytes()).is_ok(), "an answer is JSON");
        }
        for effect in &executed.effects {
            self.cluster.state.apply(effect);
            let (body, duplicates) =
                decode_json(&effect.change.record().body).expect("what is stored is JSON");
            assert!(duplicates.is_empty() && body.is_object());
        }
        self.window.absorb(
            executed.seen,
            Timestamp(START + (self.height + 1) * SECOND),
            executed.derived.config.request_validity_seconds,
        );
        (self.cluster.derived, self.cluster.revision) = (executed.derived, executed.revision);
        self.height += 1;
    }

    /// Empty blocks until nothing is left to be done. What is derived is then what a replica that starts now derives.
    fn settle(&mut self) {
        for _ in 0..MOST_BLOCKS {
            if !self.cluster.derived.work {
                break;
            }
            self.block(&[]);
        }
        assert!(!self.cluster.derived.work, "work comes to an end");
        let state = &self.cluster.state;
        let policy = Policy::load(state).expect("the state is read");
        assert_eq!(format!("{policy:?}"), format!("{:?}", self.cluster.derived.policy));
        let identities = Identities::load(state).expect("the state is read");
        assert_eq!(format!("{identities:?}"), format!("{:?}", self.cluster.derived.identities));
        let work = state.scan(&system::range(system::WORK), None, 1).expect("the state is read");
        assert_eq!(!work.is_empty(), self.cluster.derived.work);
        assert!(
            self.cluster
                .state
                .objects
                .iter()
                .all(|(key, record)| !record.body.is_empty() && !key.name().is_empty())
        );
    }
}
