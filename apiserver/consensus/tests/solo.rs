//! The engine of one replica against a state machine that only counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use bytes::Bytes;
use hypermesh_chain::{
    Block, Certificate, ClusterId, GroupId, Hash, Header, Height, PublicKey, Revision, SigningKey, Timestamp,
    Validator, ValidatorSet,
};
use hypermesh_consensus::solo::Step;
use hypermesh_consensus::{Attestation, Limits, Proposal, Solo, StateMachine, Verdict};
use std::io::{Error, Read, Write};
use std::sync::Arc;

const CLUSTER: ClusterId = ClusterId(Hash([3; 32]));

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// Makes a block for each thing that waits, and keeps it if its certificate holds.
struct Counter {
    waiting: u64,
    full: bool,
    kept: Vec<Hash>,
    known: Option<Hash>,
    limits: Option<Limits>,
    validators: ValidatorSet,
}

impl Counter {
    fn new(waiting: u64) -> Self {
        let validators = ValidatorSet::new(vec![Validator { key: key().public(), power: 1 }]).unwrap();
        Self { waiting, full: false, kept: Vec::new(), known: None, limits: None, validators }
    }
}

impl StateMachine for Counter {
    type Error = Error;

    fn head(&self) -> (Height, Hash) {
        (Height(self.kept.len() as u64), self.kept.last().copied().unwrap_or_default())
    }

    fn revision(&self) -> Revision {
        Revision(self.kept.len() as u64)
    }

    fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    fn proposer(&self) -> PublicKey {
        key().public()
    }

    fn has_work(&self) -> bool {
        self.waiting > 0
    }

    fn blocks(&self, _: Height, _: usize) -> Result<Vec<(Bytes, Certificate)>, Error> {
        Ok(Vec::new())
    }

    fn prepare(&mut self, limits: &Limits, time: Timestamp) -> Result<Option<Arc<Block>>, Error> {
        self.limits = Some(*limits);
        let Some(left) = self.waiting.checked_sub(1) else { return Ok(None) };
        self.waiting = left;
        let (height, parent) = self.head();
        let header = Header {
            version: 1,
            group: GroupId(4),
            height: Height(height.0 + 1),
            parent,
            time,
            proposer: key().public(),
            validators: self.validators.hash(),
            next_validators: self.validators.hash(),
            requests: Hash::default(),
            receipts: Hash::default(),
            events: Hash::default(),
            state: Hash::default(),
            first_revision: Revision(1),
            last_revision: Revision(0),
        };
        self.known = Some(header.id(&CLUSTER));
        Ok(Some(Arc::new(Block { header, requests: Vec::new(), endorsements: Vec::new() })))
    }

    fn validate(&mut self, _: &Block, _: Proposal) -> Result<Verdict, Error> {
        Ok(Verdict::Valid)
    }

    fn commit(&mut self, block: &Hash, certificate: &Certificate) -> Result<(), Error> {
        if self.full {
            return Err(Error::other("full"));
        }
        if (Some(*block), certificate.block) != (self.known, *block) {
            return Err(Error::other("unknown block"));
        }
        assert_eq!((certificate.group, certificate.height.0), (GroupId(4), self.kept.len() as u64 + 1));
        certificate.verify(&self.validators, &CLUSTER).map_err(Error::other)?;
        self.kept.push(*block);
        Ok(())
    }

    fn abandon(&mut self, _: &Hash) {}

    fn attest_head(&self, nonce: [u8; 32]) -> Attestation {
        let (height, block) = self.head();
        Attestation { height, block, nonce, signature: key().sign(&nonce) }
    }

    fn snapshot(&self, _: &mut dyn Write) -> Result<(), Error> {
        Ok(())
    }

    fn restore(&mut self, _: &mut dyn Read) -> Result<(), Error> {
        Ok(())
    }

    fn evidence(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn each_block_is_certified_and_an_idle_machine_makes_none() {
    let limits = Limits { requests: 7, bytes: 9 };
    let solo = Solo::new(key(), CLUSTER, limits);
    let mut machine = Counter::new(3);
    let steps: Vec<Step> = (0..5).map(|n| solo.step(&mut machine, Timestamp(n)).unwrap()).collect();
    assert_eq!(steps, [Step::Committed, Step::Committed, Step::Committed, Step::Idle, Step::Idle]);
    assert_eq!((machine.kept.len(), machine.limits), (3, Some(limits)));
}

#[test]
fn who_is_no_validator_decides_nothing() {
    for (key, cluster) in [
        (SigningKey::from_seed(&[2; 32]), CLUSTER),
        // A key of the set that signs for another cluster.
        (key(), ClusterId(Hash([4; 32]))),
    ] {
        let solo = Solo::new(key, cluster, Limits::default());
        let mut machine = Counter::new(1);
        assert!(solo.step(&mut machine, Timestamp(1)).is_err());
        assert!(machine.kept.is_empty());
    }
}

#[test]
fn a_commit_that_fails_is_told() {
    let solo = Solo::new(key(), CLUSTER, Limits::default());
    let mut machine = Counter { full: true, ..Counter::new(1) };
    assert_eq!(solo.step(&mut machine, Timestamp(1)).unwrap_err().to_string(), "full");
    assert!(machine.kept.is_empty());
}
