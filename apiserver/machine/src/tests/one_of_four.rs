//! Machines of four replicas, driven by hand.

use super::network::{genesis_of_four, key_of};
use super::support::*;
use crate::heard::Heard;
use crate::submission::Answer;
use crate::{Config, Machine};
use hypermesh_chain::request::Request;
use hypermesh_chain::{Authority, Bundle, Canonical, Certificate, PublicKey, Timestamp, Vote, VoteKind};
use hypermesh_consensus::{Proposal, StateMachine, Verdict};

pub const NOW: Timestamp = Timestamp(START + SECOND);

/// A machine of one of four, and its folder.
pub fn machine(place: usize) -> (tempfile::TempDir, Machine) {
    let dir = tempfile::tempdir().unwrap();
    let (dir_of, key) = (dir.path().to_owned(), key_of(place));
    let config = Config { dir: dir_of, store: options(), key, definitions: definitions() };
    let machine = Machine::open(config, &genesis_of_four()).unwrap();
    (dir, machine)
}

pub fn endorsed(place: usize, nonce: u64) -> Request {
    let mut request = create(&format!("entry-{nonce}"), nonce, NOW.0);
    if let Authority::Endorsed(endorsement) = &mut request.authority {
        endorsement.replica = key_of(place).public();
    }
    request
}

pub fn asked(machine: &mut Machine, place: usize, nonces: std::ops::Range<u64>) -> Vec<Answer> {
    nonces.map(|nonce| submit(machine, endorsed(place, nonce))).collect()
}

pub fn hear(machine: &mut Machine, from: PublicKey, bundle: &Bundle) -> bool {
    let heard = Heard::read(from, &bundle.encode(), &machine.cluster).unwrap();
    machine.hear(heard, NOW)
}

/// Decides a block at a machine, in the name of three.
pub fn decide(machine: &mut Machine, block: &hypermesh_chain::Block) {
    let id = block.header.id(&machine.cluster);
    let (group, height) = (block.header.group, block.header.height);
    let vote = Vote { kind: VoteKind::Precommit, group, height, round: 0, block: Some(id) };
    let sign = |place| (key_of(place).public(), key_of(place).sign(&vote.message(&machine.cluster)));
    let mut signatures: Vec<_> = (0..3).map(sign).collect();
    signatures.sort_unstable();
    assert_eq!(machine.validate(block, Proposal::Known).unwrap(), Verdict::Valid);
    machine.commit(&id, &Certificate { group, height, round: 0, block: id, signatures }).unwrap();
}
