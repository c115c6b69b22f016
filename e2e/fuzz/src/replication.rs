//! What a replica is told by another, and what it reads of its own log: one byte form a value; and whatever one liar says,
//! an honest replica goes on and keeps no more of it than its bounds.

use hypermesh_bft::entry::Entry;
use hypermesh_bft::event::{Action, Event, Head};
use hypermesh_bft::{Engine, Identity, Message, Timing};
use hypermesh_chain::{
    Canonical, ClusterId, Evidence, GroupId, Hash, Height, SigningKey, Validator, ValidatorSet,
};
use std::sync::LazyLock;

const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));
/// Whose words the input is.
const LIAR: u8 = 2;

static KEYS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| (1..5_u8).map(|seed| SigningKey::from_seed(&[seed; 32])).collect());

static VALIDATORS: LazyLock<ValidatorSet> = LazyLock::new(|| {
    let validators = KEYS.iter().map(|key| Validator { key: key.public(), power: 1 }).collect();
    ValidatorSet::new(validators).expect("a set")
});

/// Reads the input as each form; then as what a liar says, one message after another, each with its length before it.
pub fn target(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(message.encode(), data, "a message has two forms");
    }
    if let Some(entry) = Entry::decode(data) {
        assert_eq!(entry.encode(), data, "an entry has two forms");
    }
    if let Ok(evidence) = Evidence::decode(data) {
        assert_eq!(evidence.encode(), data, "evidence has two forms");
        let _ = evidence.verify(&CLUSTER);
    }
    listen(data);
    remember(data);
}

fn listen(mut data: &[u8]) {
    let mut engine = engine();
    engine.recover(&[], false).expect("an empty log");
    let liar = &KEYS[usize::from(LIAR) - 1];
    let mut sent = 0;
    engine.handle(Event::Work(data.first().is_some_and(|byte| byte % 2 == 1))).expect("work");
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        data = rest;
        let Ok(message) = Message::decode(message) else { continue };
        let event = Event::Received { from: liar.public(), message: sign(message, liar) };
        let actions = engine.handle(event).expect("no liar stops an honest replica");
        sent += actions.iter().filter(|action| matches!(action, Action::Send(..))).count();
        assert!(actions.len() < 256, "one message leads to {} actions", actions.len());
        assert_eq!(engine.kept().beyond(KEYS.len()), None, "{:?}", engine.kept());
    }
    assert_eq!(engine.head().height, Height(1), "nothing is decided on one replica's word");
    assert!(sent < 4096, "{sent} messages about one liar's");
}

/// As a log: whatever it holds, a replica begins with it, or says why not.
fn remember(mut data: &[u8]) {
    let mut log = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (entry, rest) = rest.split_at(length);
        data = rest;
        log.push(entry.to_vec());
    }
    let mut engine = engine();
    if let Ok(actions) = engine.recover(&log, false) {
        assert!(actions.len() < 256 + 16 * log.len(), "a log leads to {} actions", actions.len());
    }
}

/// A replica at height 1, of four.
fn engine() -> Engine {
    let (key, validators) = (KEYS[0].clone(), VALIDATORS.clone());
    let head = Head { height: Height(1), block: Hash([3; 32]), proposer: KEYS[1].public(), validators };
    let identity = Identity { key, cluster: CLUSTER, group: GroupId(0) };
    Engine::new(identity, head, Timing::default()).expect("an engine")
}

/// What the liar says in its own name it signs; in others' names it cannot.
fn sign(message: Message, liar: &SigningKey) -> Message {
    match message {
        Message::Vote(mut signed) if signed.voter.0[0] % 2 == 0 => {
            signed.voter = liar.public();
            signed.signature = liar.sign(&signed.vote.message(&CLUSTER));
            Message::Vote(signed)
        }
        Message::Proposal(mut signed) if signed.proposer.0[0] % 2 == 0 => {
            signed.proposer = liar.public();
            signed.signature = liar.sign(&signed.proposal.message(&CLUSTER));
            Message::Proposal(signed)
        }
        other => other,
    }
}
