//! Replicas as they run: each in its thread, with a store and a log of its own, over a network in memory.

use super::network::*;
use super::one_of_four;
use super::support::*;
use hypermesh_bft::Message;
use hypermesh_chain::request::{Authority, Media, Method, Request};
use hypermesh_chain::{Height, signature};
use hypermesh_driver::NoLog;
use hypermesh_store::Options;
use serde_json::json;

#[test]
fn every_replica_takes_and_endorses_what_it_is_asked() {
    let cluster = Cluster::new();
    for place in 0..4 {
        assert_eq!(cluster.ask(place, cluster.create(place, &format!("entry-{place}"))), 201);
    }
    let target = format!("{CONFIG_MAPS}/entry-0");
    let patch = ask(Method::Patch, &target, Media::MergePatch, &json!({"data": {"key": "new"}}), 0, 0);
    assert_eq!(cluster.ask(2, cluster.endorsed(2, patch)), 200);
    assert_eq!(cluster.agreed(), 5);
    for place in 0..4 {
        assert!((0..4).all(|entry| cluster.has(place, &format!("entry-{entry}"))));
        assert_eq!(cluster.replica(place).failure(), None);
    }
}

#[test]
fn many_clients_at_all_replicas_share_blocks_and_batches() {
    let cluster = Cluster::new();
    std::thread::scope(|scope| {
        for client in 0..16 {
            let cluster = &cluster;
            scope.spawn(move || {
                for number in 0..4 {
                    let request = cluster.create(client % 4, &format!("of-{client}-{number}"));
                    assert_eq!(cluster.ask(client % 4, request), 201);
                }
            });
        }
    });
    let blocks = cluster.agreed();
    assert!((4..=64).contains(&blocks), "{blocks}");
    assert!((0..16).all(|client| cluster.has(0, &format!("of-{client}-3"))));
}

#[test]
fn what_writes_nothing_is_answered_anywhere_and_never_ordered() {
    let cluster = Cluster::new();
    assert_eq!(cluster.ask(1, cluster.create(1, "entry")), 201);
    for place in 0..4 {
        assert_eq!(cluster.ask(place, cluster.create(place, "entry")), 409);
        let target = format!("{CONFIG_MAPS}?dryRun=All");
        let body = json!({"metadata": {"name": "rehearsed"}});
        let request = ask(Method::Post, &target, Media::Json, &body, 0, 0);
        assert_eq!(cluster.ask(place, cluster.endorsed(place, request)), 201);
        let gone = ask(Method::Delete, &format!("{CONFIG_MAPS}/none"), Media::None, &json!(null), 0, 0);
        assert_eq!(cluster.ask(place, cluster.endorsed(place, gone)), 404);
        assert!(!cluster.has(place, "rehearsed"));
    }
    assert_eq!(cluster.agreed(), 1, "one write was ordered, and nothing else");
}

/// The answers to the same creation at all replicas at once.
fn race(cluster: &Cluster, name: &str) -> Vec<u16> {
    let mut codes: Vec<u16> = std::thread::scope(|scope| {
        let ask = |place| scope.spawn(move || cluster.ask(place, cluster.create(place, name)));
        let asked: Vec<_> = (0..4).map(ask).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    codes.sort_unstable();
    codes
}

#[test]
fn of_those_who_want_the_same_one_gets_it_and_all_are_told() {
    let cluster = Cluster::new();
    for number in 0..6 {
        assert_eq!(race(&cluster, &format!("entry-{number}")), [201, 409, 409, 409]);
    }
    cluster.agreed();
}

#[test]
fn who_is_not_told_what_was_left_out_finds_out() {
    let cluster = Cluster::new();
    cluster.network.set(Weather { mute: true, ..Weather::default() });
    assert_eq!(race(&cluster, "entry"), [201, 409, 409, 409]);
}

#[test]
fn who_lies_about_what_was_left_out_changes_nothing() {
    let cluster = Cluster::new();
    let me = key_of(0).public();
    cluster.network.set(Weather { down: true, ..Weather::default() });
    let request = cluster.create(0, "entry");
    let digest = request.digest();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cluster.ask(0, request));
        cluster.network.wait_until_told(me, 1);
        for (liar, height) in (1..4).flat_map(|liar| [0, 1, u64::MAX].map(|height| (liar, height))) {
            let lie = Message::LeftOut { height: Height(height), requests: vec![digest] };
            cluster.network.forge(key_of(liar).public(), me, &lie);
        }
        cluster.heal();
        assert_eq!(asked.join().unwrap(), 201);
    });
    assert_eq!(cluster.agreed(), 1);
}

#[test]
fn a_read_misses_nothing_that_was_acknowledged_elsewhere() {
    let cluster = Cluster::new();
    for number in 0..12 {
        let name = format!("entry-{number}");
        let (writer, reader) = (number % 4, (number * 7 + 1) % 4);
        assert_eq!(cluster.ask(writer, cluster.create(writer, &name)), 201);
        assert!(
            cluster.has(reader, &name),
            "{name} was acknowledged by {writer}, and {reader} does not see it"
        );
    }
}

#[test]
fn whatever_the_network_does_each_request_runs_once_and_is_answered() {
    let cluster = Cluster::new();
    cluster.network.set(Weather { lost: 50, doubled: 100, late: 100, ..Weather::default() });
    std::thread::scope(|scope| {
        for place in 0..4 {
            let cluster = &cluster;
            scope.spawn(move || {
                for number in 0..3 {
                    let request = cluster.create(place, &format!("of-{place}-{number}"));
                    assert_eq!(cluster.ask(place, request), 201);
                }
            });
        }
    });
    cluster.heal();
    assert!((1..=12).contains(&cluster.agreed()));
    assert!((0..4).all(|place| (0..3).all(|number| cluster.has(3, &format!("of-{place}-{number}")))));
}

#[test]
fn the_proposer_may_die_and_comes_back_under_load() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.ask(0, cluster.create(0, "first")), 201);
    // Of the first height, it is the first in order of keys.
    let first = genesis_of_four().validators.validators()[0].key;
    let dead = (0..4).find(|place| key_of(*place).public() == first).unwrap();
    cluster.stop(dead);
    let alive: Vec<usize> = (0..4).filter(|place| *place != dead).collect();
    for number in 0..30 {
        let place = alive[number % 3];
        assert_eq!(cluster.ask(place, cluster.create(place, &format!("without-{number}"))), 201);
    }
    cluster.start(dead);
    std::thread::scope(|scope| {
        for place in &alive {
            let cluster = &cluster;
            scope.spawn(move || {
                for number in 0..10 {
                    let request = cluster.create(*place, &format!("with-{place}-{number}"));
                    assert_eq!(cluster.ask(*place, request), 201);
                }
            });
        }
        assert!(cluster.has(dead, "without-29"), "it has caught up while the others went on");
        assert_eq!(cluster.ask(dead, cluster.create(dead, "back")), 201);
    });
    cluster.agreed();
    assert!((0..4).all(|place| cluster.has(place, "back")));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn who_is_hundreds_of_blocks_behind_catches_up_while_the_others_go_on() {
    let (past, mut machine) = one_of_four::machine(0);
    for number in 0..160 {
        drop(one_of_four::asked(&mut machine, 0, number..number + 1));
        machine.tell(one_of_four::NOW);
        let block = prepare(&mut machine, one_of_four::NOW.0 + number).unwrap();
        one_of_four::decide(&mut machine, &block);
    }
    drop(machine);
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    dirs[..3].iter().for_each(|dir| copy(past.path(), dir.path()));
    // None of them has spoken to another yet.
    let cluster = Cluster::of(dirs, NoLog::New);
    std::thread::scope(|scope| {
        for place in 0..3 {
            let cluster = &cluster;
            scope.spawn(move || {
                for number in 0..10 {
                    let request = cluster.create(place, &format!("of-{place}-{number}"));
                    assert_eq!(cluster.ask(place, request), 201);
                }
            });
        }
        assert!(cluster.has(3, "entry-159"));
        assert_eq!(cluster.ask(3, cluster.create(3, "there")), 201);
    });
    assert!(cluster.agreed() > 160);
    assert!((0..3).all(|place| cluster.has(3, &format!("of-{place}-9"))));
}

#[test]
fn all_may_end_and_begin_again_from_their_folders() {
    let mut cluster = Cluster::new();
    for place in 0..4 {
        assert_eq!(cluster.ask(place, cluster.create(place, &format!("entry-{place}"))), 201);
    }
    let before = cluster.agreed();
    (0..4).for_each(|place| cluster.stop(place));
    (0..4).for_each(|place| cluster.start(place));
    assert_eq!(cluster.agreed(), before);
    assert_eq!(cluster.ask(3, cluster.create(3, "after")), 201);
    assert_eq!(cluster.ask(1, cluster.create(1, "entry-0")), 409);
    assert!((0..4).all(|place| cluster.has(place, "after")));
}

#[test]
fn a_replica_without_room_takes_no_writes_and_keeps_those_of_the_others() {
    let mut cluster = Cluster::new();
    cluster.stop(2);
    cluster.start_with(2, Options { min_free_bytes: u64::MAX, ..options() });
    let refused = cluster.submit(2, cluster.create(2, "here")).unwrap_err();
    assert_eq!((refused.0.code, refused.0.reason.as_str()), (507, "InsufficientStorage"));
    assert_eq!(cluster.ask(1, cluster.create(1, "there")), 201);
    assert!(cluster.has(2, "there") && !cluster.has(1, "here"));
    let gone = ask(Method::Delete, &format!("{CONFIG_MAPS}/there"), Media::None, &json!(null), 0, 0);
    assert_eq!(cluster.ask(2, cluster.endorsed(2, gone)), 200);
    assert_eq!(cluster.replica(2).failure(), None);
}

#[test]
fn a_signed_request_runs_once_wherever_it_is_sent() {
    let cluster = Cluster::new();
    let time = cluster.replica(0).now().0;
    let mut request = create("entry", 0, time);
    request.authority = Authority::Signed { signatures: Vec::new() };
    let message = signature::Message::of(&request);
    let id = cluster.replica(0).cluster();
    let signature = signature::sign(&administrator(), &id, &message, time / SECOND, None, 7);
    request.authority = Authority::Signed { signatures: vec![signature] };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let ask = |place: usize| {
            let (cluster, request): (_, Request) = (&cluster, request.clone());
            scope.spawn(move || cluster.submit(place, request).unwrap())
        };
        let asked: Vec<_> = [0, 1, 2, 3, 0, 1].map(ask).into_iter().collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| outcome.code == 201), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.revision == outcomes[0].revision));
    assert_eq!(cluster.agreed(), 1);
}

#[test]
fn who_waits_when_the_end_comes_is_told_that_nobody_knows() {
    let cluster = Cluster::new();
    cluster.network.set(Weather { down: true, ..Weather::default() });
    let request = cluster.create(0, "entry");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| cluster.submit(0, request));
        cluster.network.wait_until_told(key_of(0).public(), 1);
        cluster.replica(0).stop();
        let refused = asked.join().unwrap().unwrap_err();
        assert_eq!(refused.0.code, 503);
        assert!(refused.0.message.contains("not known"), "{}", refused.0.message);
    });
    assert_eq!(cluster.submit(0, cluster.create(0, "late")).unwrap_err().0.code, 503);
}

#[test]
fn a_replica_whose_log_fails_stops_writing_and_says_why() {
    let cluster = Cluster::new();
    // Nothing was logged yet, so the file is not open: what is written to it from now on finds no room.
    let files: Vec<_> =
        std::fs::read_dir(cluster.log_of(0)).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    std::fs::remove_file(file).unwrap();
    std::os::unix::fs::symlink("/dev/full", file).unwrap();
    let refused = cluster.submit(0, cluster.create(0, "here")).unwrap_err();
    assert_eq!(refused.0.code, 500);
    let failure = cluster.replica(0).failure().unwrap();
    assert!(
        failure.starts_with("the replica stops: its log failed: cannot write the log's file"),
        "{failure}"
    );
    assert!(refused.0.message.contains(&failure), "{}", refused.0.message);
    assert!(cluster.submit(0, cluster.create(0, "later")).is_err());
    assert!(block_on(cluster.replica(0).barrier()).is_err(), "what it would read may be old");
    assert_eq!(cluster.replica(0).reading().view.head().unwrap().height, Height(0), "old states can be read");
    for place in 1..4 {
        assert_eq!(
            cluster.ask(place, cluster.create(place, &format!("there-{place}"))),
            201,
            "the others go on"
        );
    }
}

#[test]
fn a_replica_whose_thread_panics_says_so() {
    let cluster = Cluster::new();
    assert_eq!(cluster.ask(0, cluster.create(0, "entry")), 201);
    cluster.network.break_senders();
    assert!(cluster.submit(0, cluster.create(0, "other")).is_err());
    cluster.replica(0).stop();
    assert_eq!(cluster.replica(0).failure().unwrap(), "the replica's thread panicked; restart the server");
    assert_eq!(cluster.submit(0, cluster.create(0, "late")).unwrap_err().0.code, 500);
}
