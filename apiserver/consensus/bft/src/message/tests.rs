use super::*;
use hypermesh_chain::SigningKey;
use proptest::prelude::*;

fn certificate() -> Certificate {
    let key = SigningKey::from_seed(&[1; 32]);
    let signatures = vec![(key.public(), key.sign(b"x"))];
    Certificate { group: GroupId(0), height: Height(3), round: 1, block: Hash([2; 32]), signatures }
}

fn all() -> Vec<Message> {
    let (group, height, round) = (GroupId(0), Height(3), 2);
    let (block, key, signature) = (Hash([2; 32]), PublicKey([3; 32]), Signature([4; 64]));
    let vote = Vote { kind: VoteKind::Precommit, group, height, round, block: Some(block) };
    let proposal = Proposal { group, height, round, valid_round: Some(1), block };
    vec![
        Message::Vote(SignedVote { vote, voter: key, signature }),
        Message::Proposal(SignedProposal { proposal, proposer: key, signature }),
        Message::Polka(Polka { group, height, round, block, signatures: vec![(key, signature)] }),
        Message::Round(RoundEntry {
            group,
            height,
            round,
            precommits: true,
            votes: vec![(VoteKind::Prevote, None, key, signature)],
        }),
        Message::Block { height, bytes: Bytes::from_static(b"block") },
        Message::Want { height, block },
        Message::Head { height },
        Message::Ask { from: height },
        Message::Decided(vec![Decided { block: Bytes::from_static(b"b"), certificate: certificate() }]),
        Message::Requests(vec![Bytes::from_static(b"r")]),
        Message::Probe { number: 5, height },
        Message::Reached { number: 5, height, proof: Some(Reach::Decided(certificate())) },
        Message::LeftOut { height, requests: vec![block] },
    ]
}

#[test]
fn what_is_written_is_read() {
    for (tag, message) in all().into_iter().enumerate() {
        let bytes = message.encode();
        assert_eq!((bytes[0], bytes[1] as usize), (VERSION, tag));
        assert_eq!(Message::decode(&bytes).unwrap(), message);
        let longer = [&bytes[..], &[0]].concat();
        assert!(Message::decode(&longer).is_err(), "bytes are left over");
        assert!(Message::decode(&bytes[..bytes.len() - 1]).is_err(), "bytes are missing");
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        assert!(Message::decode(&newer).is_err());
    }
    assert!(Message::decode(&[]).is_err());
    assert!(Message::decode(&[VERSION, 13]).is_err(), "there is no such message");
}

#[test]
fn limits_hold() {
    let signatures = vec![(PublicKey([1; 32]), Signature([2; 64])); ValidatorSet::MAX + 1];
    let polka = Polka {
        group: GroupId(0),
        height: Height(1),
        round: 0,
        block: Hash([1; 32]),
        signatures: signatures.clone(),
    };
    assert!(Message::decode(&Message::Polka(polka).encode()).is_err());
    let decided = Decided { block: Bytes::new(), certificate: certificate() };
    assert!(Message::decode(&Message::Decided(vec![decided; Message::MOST_BLOCKS + 1]).encode()).is_err());
    let long = Message::Requests(vec![Bytes::new(); Message::MOST_REQUESTS + 1]);
    assert!(Message::decode(&long.encode()).is_err());
    let polka = Polka { group: GroupId(0), height: Height(1), round: 0, block: Hash([1; 32]), signatures };
    let reached = Message::Reached { number: 1, height: Height(1), proof: Some(Reach::Polka(polka)) };
    assert!(Message::decode(&reached.encode()).is_err());
    let left = |n| Message::LeftOut { height: Height(1), requests: vec![Hash([1; 32]); n] };
    assert!(Message::decode(&left(Message::MOST_REQUESTS).encode()).is_ok());
    assert!(Message::decode(&left(Message::MOST_REQUESTS + 1).encode()).is_err());
    let mut short = Message::Head { height: Height(1) }.encode();
    short.resize(Message::MOST_SHORT + 1, 0);
    assert!(matches!(Message::decode(&short), Err(DecodeError::TooLong { .. })));
}

#[test]
fn a_list_that_claims_to_be_long_takes_no_memory() {
    for tag in [2, 3, 8, 9, 12] {
        let mut bytes = vec![VERSION, tag];
        bytes.extend([0; 48]);
        bytes.extend(u32::MAX.to_le_bytes());
        assert!(Message::decode(&bytes).is_err());
        assert!(Message::decode(&[&[VERSION, tag][..], &u32::MAX.to_le_bytes()].concat()).is_err());
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_the_same(tag in 0_u8..13, rest in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [&[VERSION, tag][..], &rest].concat();
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}
