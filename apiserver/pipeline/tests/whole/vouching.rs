//! Who vouches for a request: keys, replicas, their times, and that nothing runs twice.

use crate::support::*;
use hypermesh_chain::Timestamp;
use hypermesh_pipeline::Window;
use proptest::prelude::*;
use serde_json::json;

fn now(cluster: &Cluster) -> u64 {
    cluster.time.0 / SECOND
}

#[test]
fn a_registered_key_signs_for_its_user() {
    let mut cluster = Cluster::new();
    let ask = post(ASSETS, asset("a1", json!({})));
    let request = ask.clone().signed(&cluster.id, &[&administrator()], now(&cluster), None);
    let object = cluster.order(request.clone()).object();
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "unknown");
    assert_eq!(cluster.order(request).refusal(), "409 Conflict: this request was executed before");
    let stranger = ask.clone().signed(&cluster.id, &[&key(8)], now(&cluster), None);
    insta::assert_snapshot!(cluster.order(stranger).refusal(), @"401 Unauthorized: the key that signed the request is not registered in this cluster");
    let several = ask.signed(&cluster.id, &[&administrator(), &key(8)], now(&cluster), None);
    insta::assert_snapshot!(cluster.order(several).refusal(), @"401 Unauthorized: several keys signed the request, and no subject of this cluster acts by several keys");
}

#[test]
fn a_request_has_its_time() {
    let mut cluster = Cluster::new();
    let ask = || post(ASSETS, asset("a1", json!({})));
    let at = |cluster: &Cluster, seconds: i64| {
        Timestamp(cluster.time.0.saturating_add_signed(seconds * SECOND as i64))
    };
    for (made, code) in [(-60_i64, 401), (62, 401), (-59, 201)] {
        // The block is a second later.
        let request = ask().endorsed(&replica(), 1000 + made.unsigned_abs(), at(&cluster, made));
        let answer = cluster.order(request);
        assert_eq!(answer.code, code, "{made}: {}", answer.message());
    }
    let late = ask().endorsed(&replica(), 1, Timestamp(START - 100 * SECOND));
    insta::assert_snapshot!(cluster.order(late).refusal(), @"401 Unauthorized: the request is too old: it was made at 2025-12-31T23:58:20Z, the cluster's time is 2026-01-01T00:00:04Z; a request is valid for 60 s");
    let old = ask().signed(&cluster.id, &[&administrator()], now(&cluster) - 60, None);
    assert_eq!(cluster.order(old).code, 401);
    let ended = ask().signed(&cluster.id, &[&administrator()], now(&cluster) - 5, Some(now(&cluster) - 1));
    insta::assert_snapshot!(cluster.order(ended).refusal(), @"401 Unauthorized: the request's signature expired at 2026-01-01T00:00:04Z, the cluster's time is 2026-01-01T00:00:06Z");
}

#[test]
fn a_request_runs_once_however_it_comes_again() {
    let mut cluster = Cluster::new();
    let request = cluster.endorse(post(CONFIG_MAPS, json!({"metadata": {"generateName": "c-"}})));
    let outcomes = cluster.block(&[request.clone(), request.clone()]);
    assert_eq!(outcomes.iter().map(|o| o.code).collect::<Vec<_>>(), [201, 409], "in one block");
    for _ in 0..58 {
        cluster.block(&[]);
    }
    assert_eq!(cluster.order(request.clone()).code, 409, "while it is valid");
    assert_eq!(cluster.order(request).code, 401, "and after that");
    // A refusal is not remembered: what was refused may be asked again.
    let early = cluster.endorse(merge(format!("{CONFIG_MAPS}/x"), json!({"data": {"a": "b"}})));
    assert_eq!(cluster.order(early.clone()).code, 404);
    cluster.run(post(CONFIG_MAPS, config_map("x", json!({})))).object();
    assert_eq!(cluster.order(early).code, 200);
}

#[test]
fn a_replica_among_several_vouches_for_little() {
    let mut cluster = Cluster::with_replicas(4);
    cluster.run(post(ASSETS.replace("assets", "names"), json!({}))).refusal();
    cluster.run(post(CONFIG_MAPS, config_map("c", json!({})))).object();
    let secret = || post("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}}));
    insta::assert_snapshot!(cluster.run(secret()).refusal(), @"403 Forbidden: no replica may vouch for this request (create secrets): sign it with a registered key (nexusctl does, and `nexusctl proxy` does for other clients)");
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "r"}, "rules": []});
    assert_eq!(cluster.run(post(format!("{rbac}/clusterroles"), role)).code, 403);
    let inside = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [inside]});
    let transaction = post("/apis/hypermesh.online/v1/transactions?fieldManager=m", list);
    assert_eq!(cluster.run(transaction).code, 403);
    let signed = secret().signed(&cluster.id, &[&administrator()], now(&cluster), None);
    cluster.order(signed).object();
    let unknown = post(CONFIG_MAPS, config_map("d", json!({}))).endorsed(&key(9), 1, cluster.time);
    assert_eq!(cluster.order(unknown).code, 403, "no replica, no vouching");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A replica that has run for long remembers what one remembers that has read the last blocks.
    #[test]
    fn the_window_is_a_function_of_the_last_blocks(
        blocks in prop::collection::vec((1_u64..40, prop::collection::btree_set(0_u64..12, 0..6)), 1..40),
    ) {
        let authority = |nonce| hypermesh_pipeline::call::Authority::Endorsed {
            replica: [7; 32], nonce, received: Timestamp(0), user: Default::default(),
        };
        let mut long = Window::default();
        let mut time = 1000 * SECOND;
        let mut kept = Vec::new();
        for (gap, nonces) in blocks {
            time += gap * SECOND;
            let fresh: Vec<u64> = nonces.into_iter().filter(|nonce| !long.contains(&authority(*nonce))).collect();
            let block = |nonces: &[u64]| {
                let mut seen = Window::default();
                nonces.iter().for_each(|nonce| seen.insert(&authority(*nonce), Timestamp(time)));
                seen
            };
            long.absorb(block(&fresh), Timestamp(time), 60);
            kept.push((time, block(&fresh)));
            let mut restarted = Window::default();
            for (at, seen) in kept.iter().filter(|(at, _)| *at >= time - 120 * SECOND) {
                restarted.absorb(seen.clone(), Timestamp(*at), 60);
            }
            prop_assert_eq!(&long, &restarted);
        }
    }
}
