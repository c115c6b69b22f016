//! A proposer whose requests come to nothing waits in silence, and proposes what comes next in the same round.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use hypermesh_bft::event::{Action, Event, Head};
use hypermesh_bft::{Engine, Identity, Timing};
use hypermesh_chain::{ClusterId, GroupId, Hash, Height, SigningKey, Validator, ValidatorSet};

fn engine() -> Engine {
    let keys: Vec<SigningKey> = (1..5).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
    let all = keys.iter().map(|key| Validator { key: key.public(), power: 1 });
    let validators = ValidatorSet::new(all.collect()).unwrap();
    let head = Head { height: Height(7), block: Hash([3; 32]), proposer: keys[0].public(), validators };
    let identity = Identity { key: keys[0].clone(), cluster: ClusterId(Hash([1; 32])), group: GroupId(0) };
    Engine::new(identity, head, Timing::default()).unwrap()
}

#[test]
fn it_is_asked_again_when_something_comes() {
    let mut engine = engine();
    assert!(engine.recover(&[], false).unwrap().is_empty());
    let actions = engine.handle(Event::Work(true)).unwrap();
    assert!(actions.contains(&Action::Prepare));
    assert!(actions.iter().any(|action| matches!(action, Action::Start(..))));
    let actions = engine.handle(Event::Prepared(None)).unwrap();
    assert_eq!(actions, [Action::StopSteps], "nothing is waited for");
    let actions = engine.handle(Event::Work(true)).unwrap();
    assert!(actions.contains(&Action::Prepare), "{actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::Start(..))), "{actions:?}");
    assert_eq!(engine.round(), Some(0), "it is still the first round");
}
