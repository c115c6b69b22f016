//! What one request, and one block, may write.

use crate::support::*;
use hypermesh_chain::{Height, Timestamp};
use hypermesh_pipeline::execution::{MOST_BLOCK_WEIGHT, MOST_REQUEST_WEIGHT};
use hypermesh_pipeline::{BlockFacts, Call, Execution};
use serde_json::{Value, json};

fn fill(cluster: &mut Cluster, count: usize, size: usize) {
    for i in 0..count {
        let object = config_map(&format!("c{i:03}"), json!({"key": "x".repeat(size)}));
        cluster.run(post(CONFIG_MAPS, object)).object();
    }
}

#[test]
fn a_transaction_that_writes_too_much_is_refused_whole() {
    let mut cluster = Cluster::new();
    fill(&mut cluster, 20, 950_000);
    let touch = |i: usize| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": format!("c{i:03}"), "labels": {"touched": "yes"}},
        })
    };
    let list = |n: usize| {
        let items: Vec<Value> = (0..n).map(touch).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    };
    let path = "/apis/hypermesh.online/v1/transactions?fieldManager=test";
    let refused = cluster.run(post(path, list(20)));
    insta::assert_snapshot!(refused.refusal(), @"413 RequestEntityTooLarge: items[18]: a transaction writes at most 4096 times and 16777216 bytes: send it in parts; nothing of the transaction was stored");
    assert_eq!(cluster.run(post(path, list(10))).code, 200);
}

#[test]
fn a_collection_of_large_objects_is_deleted_in_parts() {
    let mut cluster = Cluster::new();
    fill(&mut cluster, 40, 950_000);
    let request = cluster.endorse(delete(CONFIG_MAPS));
    let time = Timestamp(cluster.time.0 + SECOND);
    let (outcomes, effects) = cluster.block_at(time, &[request]);
    assert_eq!(outcomes[0].code, 200);
    let bytes: usize = effects.iter().map(|effect| effect.change.record().body.len()).sum();
    assert!(bytes < 30 << 20, "{bytes}");
    assert!(cluster.count("/configmaps") > 0, "the rest is left to a job");
    cluster.settle();
    assert_eq!(cluster.count("/configmaps"), 0);
}

#[test]
fn a_block_is_full_once_it_has_written_enough() {
    let mut cluster = Cluster::new();
    fill(&mut cluster, 1, 950_000);
    let facts = BlockFacts { cluster: cluster.id.0, height: Height(cluster.height + 1), time: cluster.time };
    let requests: Vec<_> = (0..60)
        .map(|i| {
            let labels = json!({"metadata": {"labels": {"round": i.to_string()}}});
            cluster.endorse(merge(format!("{CONFIG_MAPS}/c000"), labels))
        })
        .collect();
    let mut execution =
        Execution::begin(&cluster.state, cluster.revision, cluster.derived.clone(), &cluster.window, facts);
    let mut taken = 0;
    for request in &requests {
        if execution.is_full() {
            break;
        }
        assert_eq!(execution.execute(Call::decode(request).unwrap()).unwrap().code, 200);
        taken += 1;
    }
    assert!((30..40).contains(&taken), "{taken}");
    let written: u64 =
        execution.finish().unwrap().effects.iter().map(|e| e.change.record().body.len() as u64).sum();
    assert!(written < MOST_BLOCK_WEIGHT + MOST_REQUEST_WEIGHT);
}
