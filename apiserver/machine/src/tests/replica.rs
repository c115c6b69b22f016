//! A running replica: answers, a disk without room, the end.

use super::support::*;
use crate::{Config, Replica, Unavailable};
use hypermesh_chain::request::{Media, Method, Request};
use hypermesh_pipeline::{Call, Outcome};
use hypermesh_store::Options;
use serde_json::Value;

fn start(dir: &std::path::Path, store: Options) -> Replica {
    let config = Config { dir: dir.to_owned(), store, key: key(), definitions: definitions() };
    Replica::start(config, &genesis()).unwrap()
}

fn send(replica: &Replica, request: Request) -> Result<Outcome, Unavailable> {
    let call = Call::decode(&request).unwrap();
    block_on(replica.submit(request, call))
}

fn new(replica: &Replica, name: &str) -> Request {
    create(name, replica.next_nonce(), replica.now().0)
}

fn gone(replica: &Replica, name: &str) -> Request {
    let target = format!("{CONFIG_MAPS}/{name}");
    ask(Method::Delete, &target, Media::None, &Value::Null, replica.next_nonce(), replica.now().0)
}

#[test]
fn what_was_answered_is_there_after_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let replica = start(dir.path(), options());
    let outcome = send(&replica, new(&replica, "one")).unwrap();
    assert_eq!((outcome.code, replica.reading().revision), (201, outcome.revision));
    replica.stop();
    let stopped = send(&replica, new(&replica, "two")).unwrap_err();
    assert_eq!(stopped.0.code, 503);
    drop(replica);
    let replica = start(dir.path(), options());
    assert_eq!(replica.reading().revision, outcome.revision);
    assert_eq!(send(&replica, new(&replica, "one")).unwrap().code, 409);
}

#[test]
fn without_room_it_takes_deletions_alone_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let replica = start(dir.path(), options());
    send(&replica, new(&replica, "one")).unwrap();
    drop(replica);
    let replica = start(dir.path(), Options { min_free_bytes: u64::MAX, ..options() });
    let refused = send(&replica, new(&replica, "two")).unwrap_err();
    assert_eq!((refused.0.code, refused.0.reason.as_str()), (507, "InsufficientStorage"));
    assert_eq!(replica.failure(), None, "it is no failure: it recovers when there is room");
    assert_eq!(send(&replica, gone(&replica, "one")).unwrap().code, 200);
    drop(replica);
    let replica = start(dir.path(), options());
    assert_eq!(send(&replica, new(&replica, "two")).unwrap().code, 201);
}
