//! Namespaces: their phase, and how they are emptied.

use crate::support::*;
use serde_json::{Value, json};

const NAMESPACES: &str = "/api/v1/namespaces";

fn tenant(cluster: &mut Cluster) -> Value {
    cluster.run(post(NAMESPACES, json!({"metadata": {"name": "tenant"}}))).object()
}

fn assets() -> String {
    ASSETS.replace("default", "tenant")
}

fn fill(cluster: &mut Cluster, count: usize, finalizers: usize) {
    let requests: Vec<_> = (0..count)
        .map(|i| {
            let mut object = asset(&format!("a{i:05}"), json!({}));
            if i < finalizers {
                object["metadata"]["finalizers"] = json!(["example.com/hold"]);
            }
            cluster.endorse(post(assets(), object))
        })
        .collect();
    assert!(cluster.block(&requests).iter().all(|outcome| outcome.code == 201));
}

fn namespace(cluster: &Cluster) -> Option<Value> {
    cluster.get("/namespaces", "", "tenant")
}

#[test]
fn a_new_one_is_active_and_named_by_its_label() {
    let mut cluster = Cluster::new();
    let object = tenant(&mut cluster);
    assert_eq!(object["status"], json!({"phase": "Active"}));
    assert_eq!(object["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(object["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "tenant"}));
    assert_eq!(
        object["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}})
    );
    // Nobody but the state machine changes these.
    let path = format!("{NAMESPACES}/tenant");
    let hostile = [
        merge(&path, json!({"spec": {"finalizers": []}})),
        merge(format!("{path}/status"), json!({"status": {"phase": "Gone"}})),
        merge(format!("{path}/finalize"), json!({"spec": {"finalizers": []}})),
        merge(&path, json!({"metadata": {"labels": {"kubernetes.io/metadata.name": "other"}}})),
    ];
    for ask in hostile {
        assert_eq!(cluster.run(ask).writes, 0);
    }
}

#[test]
fn its_finalizers_are_replaced_by_whoever_means_to() {
    let mut cluster = Cluster::new();
    let labelled = json!({"metadata": {"name": "tenant", "labels": {"a": "a"}}});
    cluster.run(post(NAMESPACES, labelled)).object();
    let path = format!("{NAMESPACES}/tenant/finalize");
    let wanted = |finalizers: Value| {
        json!({
            "metadata": {"name": "tenant", "labels": {"a": "b"}}, "spec": {"finalizers": finalizers},
            "status": {"phase": "Gone"},
        })
    };
    let bad = cluster.run(put(&path, wanted(json!(["kubernetes", "own", "example.com/b ad"]))));
    insta::assert_debug_snapshot!(bad.causes(), @r#"
[
    "spec.finalizers[1]: Invalid value: \"own\": name is neither a standard finalizer name nor is it fully qualified",
    "spec.finalizers[2]: Invalid value: \"example.com/b ad\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
]
"#);
    let stored = cluster.run(put(&path, wanted(json!(["kubernetes", "example.com/own"])))).object();
    assert_eq!(stored["spec"]["finalizers"], json!(["kubernetes", "example.com/own"]));
    assert_eq!(stored["status"]["phase"], "Active", "the status has an endpoint of its own");
    let managed = stored["metadata"]["managedFields"].as_array().unwrap_or_else(|| panic!("{stored:#}"));
    assert!(managed.iter().any(|entry| entry["subresource"] == "finalize"), "{managed:?}");
    for verb in [merge(&path, json!({"spec": {"finalizers": []}})), delete(&path), post(&path, json!({}))] {
        let refused = cluster.run(verb).refusal();
        assert!(refused.starts_with("405 ") && refused.contains("\"namespaces/finalize\""), "{refused}");
    }
    assert_eq!(
        cluster.run(put(format!("{NAMESPACES}/none/finalize"), json!({"metadata": {"name": "none"}}))).code,
        404
    );

    cluster.run(delete(format!("{NAMESPACES}/tenant"))).object();
    cluster.settle();
    let waiting = namespace(&cluster).unwrap();
    assert_eq!(waiting["spec"]["finalizers"], json!(["example.com/own"]));
    let again = cluster.run(put(&path, wanted(json!(["kubernetes"]))));
    insta::assert_snapshot!(again.causes().join("\n"), @r#"spec.finalizers: Forbidden: "kubernetes" cannot be added: the namespace has been emptied"#);
    let gone = cluster.run(put(&path, wanted(json!([])))).object();
    assert_eq!(gone["metadata"]["name"], "tenant");
    assert!(namespace(&cluster).is_none(), "a terminating namespace that nothing holds goes");
    assert_eq!(cluster.jobs(), Vec::<String>::new(), "nothing waits in its name");
}

#[test]
fn what_it_holds_is_never_left_to_the_next_of_its_name() {
    let mut cluster = Cluster::new();
    tenant(&mut cluster);
    let path = format!("{NAMESPACES}/tenant");
    let secret = json!({"metadata": {"name": "s", "finalizers": ["example.com/hold"]}});
    cluster.run(post(format!("{path}/secrets"), secret)).object();
    let name = json!({"name": "tenant"});
    // No spec at all takes them all away.
    let cleared = [
        json!({"metadata": name}),
        json!({"metadata": name, "spec": {}}),
        json!({"metadata": name, "spec": {"finalizers": []}}),
        json!({"metadata": name, "spec": {"finalizers": ["example.com/own"]}}),
    ];
    for deleting in [false, true] {
        if deleting {
            cluster.run(delete(&path)).object();
            cluster.settle();
        }
        for body in &cleared {
            let refused = cluster.run(put(format!("{path}/finalize"), body.clone()));
            assert_eq!((refused.code, refused.writes), (422, 0), "{body}");
            let words = if deleting { "status.conditions tell what is left in it" } else { "delete it" };
            assert!(refused.causes().iter().any(|cause| cause.ends_with(words)), "{}", refused.body);
        }
    }
    assert_eq!(cluster.run(post(NAMESPACES, json!({"metadata": name}))).code, 409);
    cluster.run(merge(format!("{path}/secrets/s"), json!({"metadata": {"finalizers": null}}))).object();
    cluster.settle();
    assert_eq!(namespace(&cluster), None);
    assert_eq!(cluster.count("/secrets"), 0);
    tenant(&mut cluster);
}

#[test]
fn it_is_emptied_in_bounded_steps_and_takes_nothing_more() {
    let mut cluster = Cluster::new();
    tenant(&mut cluster);
    fill(&mut cluster, 1200, 0);
    cluster.run(post(ASSETS, asset("outside", json!({})))).object();
    let marked = cluster.run(delete(format!("{NAMESPACES}/tenant"))).object();
    assert_eq!(marked["status"]["phase"], "Terminating");
    let late = cluster.run(post(assets(), asset("late", json!({}))));
    insta::assert_snapshot!(late.refusal(), @r#"403 Forbidden: assets.hm.example.com "late" is forbidden: unable to create new content in namespace tenant because it is being terminated"#);
    assert_eq!(late.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let (blocks, most) = cluster.settle();
    assert!(blocks >= 2 && most <= 1000, "{blocks} blocks, {most} writes");
    assert_eq!(namespace(&cluster), None);
    assert_eq!(cluster.count("hm.example.com/assets"), 1);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
    assert_eq!(cluster.run(post(assets(), asset("late", json!({})))).code, 404);
}

#[test]
fn it_says_what_it_waits_for_and_always_ends() {
    let mut cluster = Cluster::new();
    tenant(&mut cluster);
    fill(&mut cluster, 40, 2);
    cluster.run(delete(format!("{NAMESPACES}/tenant"))).object();
    cluster.settle();
    let conditions = namespace(&cluster).unwrap()["status"]["conditions"].clone();
    let told: Vec<&str> =
        conditions.as_array().unwrap().iter().filter_map(|c| c["message"].as_str()).collect();
    insta::assert_debug_snapshot!(told, @r#"
[
    "All content successfully deleted, may be waiting on finalization",
    "Some resources are remaining: assets has 2 resource instances",
    "Some content in the namespace has finalizers remaining: example.com/hold in 2 resource instances",
]
"#);
    assert_eq!(cluster.jobs(), ["~/waiting namespace/tenant"]);
    for name in ["a00000", "a00001"] {
        cluster
            .run(merge(format!("{}/{name}", assets()), json!({"metadata": {"finalizers": null}})))
            .object();
        cluster.settle();
    }
    assert_eq!(namespace(&cluster), None);
    assert_eq!(cluster.jobs(), Vec::<String>::new());
}

#[test]
fn a_finalizer_of_its_own_holds_it_when_it_is_empty() {
    let mut cluster = Cluster::new();
    tenant(&mut cluster);
    fill(&mut cluster, 1, 1);
    let path = format!("{NAMESPACES}/tenant");
    cluster.run(merge(&path, json!({"metadata": {"finalizers": ["example.com/own"]}}))).object();
    cluster.run(delete(&path)).object();
    cluster.settle();
    cluster.run(merge(format!("{}/a00000", assets()), json!({"metadata": {"finalizers": null}}))).object();
    cluster.settle();
    let left = namespace(&cluster).unwrap();
    assert_eq!(left["spec"]["finalizers"], json!([]));
    let statuses: Vec<&Value> =
        left["status"]["conditions"].as_array().unwrap().iter().map(|c| &c["status"]).collect();
    assert_eq!(statuses, ["False", "False", "True"]);
    cluster.run(merge(&path, json!({"metadata": {"finalizers": null}}))).object();
    assert_eq!(namespace(&cluster), None);
}

#[test]
fn one_that_was_empty_says_that_its_own_finalizers_hold_it() {
    let path = format!("{NAMESPACES}/tenant");
    let hold = |cluster: &mut Cluster, ask: Ask| {
        tenant(cluster);
        cluster.run(ask).object();
        cluster.run(delete(&path)).object();
        cluster.settle();
        namespace(cluster).unwrap()["status"]["conditions"][2].clone()
    };
    let own = json!(["kubernetes", "example.com/own"]);
    let asks = [
        merge(&path, json!({"metadata": {"finalizers": ["example.com/own"]}})),
        put(format!("{path}/finalize"), json!({"metadata": {"name": "tenant"}, "spec": {"finalizers": own}})),
    ];
    for ask in asks {
        let told = hold(&mut Cluster::new(), ask);
        assert_eq!(
            (&told["type"], &told["status"]),
            (&json!("NamespaceFinalizersRemaining"), &json!("True"))
        );
        let words = told["message"].as_str().unwrap();
        assert!(words.contains("its own finalizers"), "{words}");
    }
}

#[test]
fn owners_that_wait_for_each_other_do_not_hold_it() {
    let mut cluster = Cluster::new();
    tenant(&mut cluster);
    let one = cluster.run(post(assets(), asset("one", json!({})))).object();
    let two = cluster.run(post(assets(), owned("two", &[(&one, true)]))).object();
    let back = json!({"metadata": {"ownerReferences": [reference(&two, true)]}});
    cluster.run(merge(format!("{}/one", assets()), back)).object();
    for name in ["one", "two"] {
        cluster.run(delete(format!("{}/{name}?propagationPolicy=Foreground", assets())));
    }
    cluster.run(delete(format!("{NAMESPACES}/tenant"))).object();
    cluster.settle();
    assert_eq!(namespace(&cluster), None);
}

#[test]
fn those_that_every_cluster_has_stay() {
    let mut cluster = Cluster::new();
    insta::assert_snapshot!(cluster.run(delete(format!("{NAMESPACES}/default"))).refusal(), @r#"403 Forbidden: namespaces "default" is forbidden: this namespace may not be deleted"#);
    assert_eq!(cluster.run(delete(NAMESPACES)).code, 405);
}
