//! A proposer whose requests come to nothing waits in silence, and proposes what comes next in the same round.

use crate::four::*;
use hypermesh_bft::event::{Action, Event, Head};

#[test]
fn it_is_asked_again_when_something_comes() {
    let mut engine = engine_of(Head { proposer: key(0).public(), ..head(7, PARENT) });
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
