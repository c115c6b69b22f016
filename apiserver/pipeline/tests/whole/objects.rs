//! Create, update, patch, apply, status and scale.

use crate::support::*;
use hypermesh_chain::request::Media;
use serde_json::{Value, json};

#[test]
fn a_creation_is_told_whole_and_stored_so() {
    let mut cluster = Cluster::new();
    let answer = cluster.run(post(ASSETS, asset("a1", json!({"color": "red"}))));
    assert_eq!((answer.code, answer.writes), (201, 1));
    let object = answer.object();
    assert_eq!(object["metadata"]["creationTimestamp"], "2026-01-01T00:00:01Z");
    assert_eq!(object["metadata"]["generation"], 1);
    assert_eq!(object["metadata"]["namespace"], "default");
    assert_eq!(object["metadata"]["resourceVersion"], cluster.revision.0.to_string());
    assert_eq!(object["metadata"]["managedFields"][0]["manager"], "agent");
    assert_eq!(cluster.asset("a1"), Some(object));
}

#[test]
fn what_is_derived_from_chance_is_derived_from_the_block() {
    let made = |generated: usize| {
        let mut cluster = Cluster::new();
        let named = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "c-"}});
        let requests: Vec<_> =
            (0..generated).map(|_| cluster.endorse(post(CONFIG_MAPS, named.clone()))).collect();
        let outcomes = cluster.block(&requests);
        outcomes
            .iter()
            .map(|o| {
                let object: Value = serde_json::from_slice(o.body.bytes()).unwrap();
                let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
                (text("name"), text("uid"))
            })
            .collect::<Vec<_>>()
    };
    let (some, more) = (made(3), made(4));
    assert_eq!(some, more[..3], "the same request in the same block");
    let distinct: std::collections::BTreeSet<_> = more.iter().flat_map(|(name, uid)| [name, uid]).collect();
    assert_eq!(distinct.len(), 8);
    assert!(more.iter().all(|(name, _)| name.starts_with("c-") && name.len() == 7), "{more:?}");
}

#[test]
fn creations_are_refused_with_the_words_of_kubernetes() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({})))).object();
    let mut versioned = asset("v", json!({}));
    versioned["metadata"]["resourceVersion"] = "1".into();
    let mut elsewhere = asset("e", json!({}));
    elsewhere["metadata"]["namespace"] = "other".into();
    let nowhere = ASSETS.replace("default", "nowhere");
    let cases = [
        post(ASSETS, asset("a1", json!({}))),
        post(ASSETS, versioned),
        post(ASSETS, elsewhere),
        post(nowhere, asset("a1", json!({}))),
        post(ASSETS, json!({"kind": "Asset", "metadata": {"name": "x"}})),
        post(ASSETS, json!({"apiVersion": "hm.example.com/v2", "kind": "Asset"})),
        post(ASSETS, json!([])),
        post(ASSETS, asset("", json!({}))),
        post(ASSETS, asset("A_bad", json!({"replicas": 12}))),
        post(format!("{ASSETS}?fieldValidation=Strict"), asset("s", json!({"colour": "red"}))),
        post("/apis/hm.example.com/v1/namespaces/default/nothings", json!({})),
    ];
    let told: Vec<String> = cases.into_iter().map(|ask| cluster.run(ask).refusal()).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
409 AlreadyExists: assets.hm.example.com "a1" already exists
400 BadRequest: resourceVersion should not be set on objects to be created
400 BadRequest: the namespace of the provided object does not match the namespace sent on the request
404 NotFound: namespaces "nowhere" not found
400 BadRequest: Object 'apiVersion' is missing in the body of the request
400 BadRequest: the API version in the data (hm.example.com/v2) does not match the expected API version (hm.example.com/v1)
400 BadRequest: the body of the request is not a JSON object
422 Invalid: Asset.hm.example.com "" is invalid: metadata.name: Required value: name or generateName is required
422 Invalid: Asset.hm.example.com "A_bad" is invalid: [metadata.name: Invalid value: "A_bad": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'), spec.replicas: Invalid value: 12: too many]
400 BadRequest: Asset in version "v1" cannot be handled as a Asset: strict decoding error: unknown field "spec.colour"
404 NotFound: the server could not find the requested resource
"#);
    assert_eq!(cluster.count("hm.example.com/assets"), 1);
}

#[test]
fn unknown_fields_are_dropped_and_told() {
    let mut cluster = Cluster::new();
    let answer =
        cluster.run(post(format!("{ASSETS}?fieldValidation=Warn"), asset("a", json!({"colour": "red"}))));
    assert_eq!(answer.warnings, ["unknown field \"spec.colour\""]);
    assert_eq!(answer.object()["spec"], json!({}));
}

#[test]
fn a_status_that_has_no_endpoint_counts_for_the_generation() {
    let mut cluster = Cluster::new();
    let part = |status: &str| json!({"apiVersion": "hm.example.com/v1", "kind": "Part", "metadata": {"name": "p"}, "status": {"phase": status}});
    let path = "/apis/hm.example.com/v1/namespaces/default/parts";
    assert_eq!(cluster.run(post(path, part("new"))).object()["metadata"]["generation"], 1);
    let one = format!("{path}/p");
    assert_eq!(cluster.run(merge(&one, part("new"))).object()["metadata"]["generation"], 1);
    assert_eq!(cluster.run(merge(&one, part("worn"))).object()["metadata"]["generation"], 2);
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    assert_eq!(cluster.run(merge(&one, labelled)).object()["metadata"]["generation"], 2);
}

#[test]
fn an_update_raises_the_generation_only_with_the_spec() {
    let mut cluster = Cluster::new();
    let path = format!("{ASSETS}/a1");
    let mut object = cluster.run(post(ASSETS, asset("a1", json!({"color": "red"})))).object();
    object["metadata"]["labels"] = json!({"tier": "one"});
    let mut labelled = cluster.run(put(&path, object)).object();
    assert_eq!(labelled["metadata"]["generation"], 1);
    labelled["spec"]["color"] = "blue".into();
    let coloured = cluster.run(put(&path, labelled.clone())).object();
    assert_eq!(coloured["metadata"]["generation"], 2);
    let stale = cluster.run(put(&path, labelled)).refusal();
    insta::assert_snapshot!(stale, @r#"409 Conflict: Operation cannot be fulfilled on assets.hm.example.com "a1": the object has been modified; please apply your changes to the latest version and try again"#);
    let mut foreign = coloured.clone();
    foreign["metadata"]["uid"] = "5b1d9ad8-0000-0000-0000-000000000000".into();
    assert_eq!(cluster.run(put(&path, foreign)).code, 409);
    let mut versionless = coloured;
    versionless["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    insta::assert_snapshot!(cluster.run(put(&path, versionless)).refusal(), @r#"422 Invalid: Asset.hm.example.com "a1" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"#);
    insta::assert_snapshot!(cluster.run(put(format!("{ASSETS}/b"), asset("b", json!({})))).refusal(), @r#"404 NotFound: assets.hm.example.com "b" not found"#);
    insta::assert_snapshot!(cluster.run(put(&path, asset("b", json!({})))).refusal(), @"400 BadRequest: the name of the object (b) does not match the name on the URL (a1)");
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let mut cluster = Cluster::new();
    let path = format!("{ASSETS}/a1");
    let object = cluster.run(post(ASSETS, asset("a1", json!({"color": "red"})))).object();
    cluster.run(apply(&path, asset("a1", json!({"color": "red"})))).object();
    let stored = cluster.asset("a1").unwrap();
    let again = [
        put(&path, stored.clone()),
        merge(&path, json!({"spec": {"color": "red"}})),
        patch(&path, Media::JsonPatch, json!([{"op": "replace", "path": "/spec/color", "value": "red"}])),
        apply(&path, asset("a1", json!({"color": "red"}))),
        merge(format!("{path}/status"), json!({})),
    ];
    for ask in again {
        let answer = cluster.run(ask);
        assert_eq!((answer.code, answer.writes), (200, 0), "{}", answer.message());
        assert_eq!(answer.body, stored);
    }
    assert_ne!(object["metadata"]["managedFields"], stored["metadata"]["managedFields"]);
}

#[test]
fn a_dry_run_tells_what_would_be_and_leaves_nothing() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"color": "red"})))).object();
    let before = cluster.state.objects.clone();
    let path = format!("{ASSETS}/a1?dryRun=All");
    let asks = [
        (post(format!("{ASSETS}?dryRun=All"), asset("a2", json!({}))), 201),
        (merge(&path, json!({"spec": {"color": "blue"}})), 200),
        (apply(&format!("{path}&fieldManager=m&force=true"), asset("a1", json!({"color": "green"}))), 200),
        (delete(&path), 200),
        (delete(format!("{ASSETS}?dryRun=All")), 200),
    ];
    for (ask, code) in asks {
        let answer = cluster.run(ask);
        assert_eq!((answer.code, answer.writes), (code, 0), "{}", answer.message());
    }
    assert_eq!(cluster.state.objects, before);
    // Nor does it let the next one of its block see anything.
    let dry = cluster.endorse(delete(&path));
    let real = cluster.endorse(post(ASSETS, asset("a1", json!({}))));
    assert_eq!(cluster.block(&[dry, real])[1].code, 409);
}

#[test]
fn status_and_the_rest_change_apart() {
    let mut cluster = Cluster::new();
    let mut object = asset("a1", json!({"color": "red"}));
    object["status"] = json!({"replicas": 3});
    let path = format!("{ASSETS}/a1");
    assert_eq!(cluster.run(post(ASSETS, object.clone())).object().get("status"), None);
    object["spec"]["color"] = "blue".into();
    object["metadata"]["labels"] = json!({"a": "b"});
    object["metadata"]["resourceVersion"] = cluster.revision.0.to_string().into();
    let stored = cluster.run(put(format!("{path}/status"), object)).object();
    assert_eq!((&stored["spec"]["color"], &stored["status"]["replicas"]), (&json!("red"), &json!(3)));
    assert_eq!(stored["metadata"].get("labels"), None);
    assert_eq!(stored["metadata"]["generation"], 1);
    let stored =
        cluster.run(merge(&path, json!({"status": {"replicas": 7}, "spec": {"color": "green"}}))).object();
    assert_eq!((&stored["spec"]["color"], &stored["status"]["replicas"]), (&json!("green"), &json!(3)));
    assert_eq!(cluster.run(merge(format!("{CONFIG_MAPS}/x/status"), json!({}))).code, 404);
    assert_eq!(cluster.run(post(format!("{path}/status"), json!({}))).code, 405);
}

#[test]
fn scale_reads_and_writes_its_paths() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"replicas": 2})))).object();
    let path = format!("{ASSETS}/a1/scale");
    let scale = cluster.run(merge(&path, json!({"spec": {"replicas": 5}}))).object();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(5)));
    assert_eq!(cluster.asset("a1").unwrap()["spec"]["replicas"], 5);
    assert_eq!(cluster.asset("a1").unwrap()["metadata"]["generation"], 2);
    let old = json!({"metadata": {"name": "a1", "resourceVersion": "1"}, "spec": {"replicas": 6}});
    assert_eq!(cluster.run(put(&path, old)).code, 409);
    insta::assert_snapshot!(cluster.run(merge(&path, json!({"spec": {"replicas": -1}}))).refusal(), @r#"422 Invalid: Scale.autoscaling "a1" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#);
    insta::assert_snapshot!(cluster.run(merge(&path, json!({"spec": {"replicas": 50}}))).refusal(), @r#"422 Invalid: Asset.hm.example.com "a1" is invalid: spec.replicas: Invalid value: 50: too many"#);
    let wrong = cluster.run(merge(&path, json!({"spec": {"replicas": "x"}}))).refusal();
    let why = "json: cannot unmarshal string into Go struct field Scale.spec.replicas of type int32";
    assert!(wrong.starts_with("422 Invalid: ") && wrong.ends_with(why), "{wrong}");
    let strategic = patch(&path, Media::StrategicMergePatch, json!({"spec": {"replicas": 1}}));
    assert_eq!(cluster.run(strategic).code, 415);
}

#[test]
fn a_scale_is_held_to_field_validation() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"replicas": 2})))).object();
    let path = |validation: &str| format!("{ASSETS}/a1/scale?fieldValidation={validation}");
    let strange = || {
        json!({
            "metadata": {"name": "a1", "strange": 1}, "spec": {"replicas": 3, "replica": 4}, "speck": {},
            "status": {"replicas": 9, "selector": null},
        })
    };
    insta::assert_snapshot!(cluster.run(put(path("Strict"), strange())).refusal(), @r#"400 BadRequest: Scale in version "v1" cannot be handled as a Scale: strict decoding error: unknown field "metadata.strange", unknown field "speck", unknown field "spec.replica""#);
    let wrong = cluster.run(merge(path("Strict"), json!({"spec": {"replica": 4}}))).refusal();
    let why = r#"strict decoding error: unknown field "spec.replica""#;
    assert!(wrong.starts_with("422 Invalid: ") && wrong.ends_with(why), "{wrong}");
    let outcome = cluster.run(put(path("Warn"), strange()));
    assert_eq!(outcome.warnings.len(), 3, "{:?}", outcome.warnings);
    assert_eq!(outcome.object()["spec"], json!({"replicas": 3}));
    let outcome = cluster.run(put(path("Ignore"), strange()));
    assert_eq!((outcome.warnings.len(), outcome.code), (0, 200));
    for (wrong, words) in [
        (
            json!({"metadata": {"name": "a1"}, "spec": {"replicas": 1.5}}),
            "number into Go struct field Scale.spec.replicas of type int32",
        ),
        (
            json!({"metadata": {"name": "a1"}, "spec": []}),
            "array into Go struct field Scale.spec of type v1.ScaleSpec",
        ),
        (json!({"metadata": {"name": "a1"}, "spec": {"replicas": 1u64 << 40}}), "of type int32"),
        (json!({"metadata": {"name": "a1"}, "kind": "Skale"}), "the kind in the data (Skale) does not match"),
        (json!({"spec": {"replicas": 1}}), "name must be provided"),
        (json!({"metadata": {"name": "a2"}, "spec": {"replicas": 1}}), "does not match the name on the URL"),
        (
            json!({"metadata": {"name": "a1", "namespace": "other"}}),
            "the namespace of the provided object does not match",
        ),
    ] {
        let refusal = cluster.run(put(path("Warn"), wrong.clone())).refusal();
        assert!(refusal.starts_with("400 ") && refusal.contains(words), "{wrong}: {refusal}");
    }
    let other = json!({"metadata": {"name": "a1", "uid": "another"}, "spec": {"replicas": 1}});
    assert_eq!(cluster.run(put(path("Strict"), other)).code, 409);
    assert_eq!(cluster.asset("a1").unwrap()["spec"]["replicas"], 3);
}

#[test]
fn a_scale_is_applied_by_whoever_wants_so_many() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"replicas": 2, "color": "red"})))).object();
    let by = |manager: &str, rest: &str| format!("{ASSETS}/a1/scale?fieldManager={manager}{rest}");
    let scale = |replicas: u8| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a1"}, "spec": {"replicas": replicas}});
    let conflict = cluster.run(apply(&by("scaler", ""), scale(5)));
    insta::assert_snapshot!(conflict.refusal(), @r#"409 Conflict: Apply failed with 1 conflict: conflict with "agent" using hm.example.com/v1: .spec.replicas"#);
    let told = cluster.run(apply(&by("scaler", "&force=true"), scale(5))).object();
    assert_eq!((&told["kind"], &told["spec"]["replicas"]), (&json!("Scale"), &json!(5)));
    let stored = cluster.asset("a1").unwrap();
    assert_eq!((&stored["spec"]["replicas"], &stored["spec"]["color"]), (&json!(5), &json!("red")));
    let entries = stored["metadata"]["managedFields"].as_array().unwrap().clone();
    let own = entries.iter().find(|entry| entry["manager"] == "scaler").unwrap();
    assert_eq!(own["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!((&own["operation"], &own["subresource"]), (&json!("Apply"), &json!("scale")));
    // Who no longer says how many gives the field up, and one that nobody wants goes.
    let nothing = json!({"apiVersion": "autoscaling/v1", "kind": "Scale"});
    cluster.run(apply(&by("scaler", ""), nothing)).object();
    assert_eq!(cluster.asset("a1").unwrap()["spec"], json!({"color": "red"}));
    assert_eq!(
        cluster.run(apply(&by("scaler", "&fieldValidation=Strict"), json!({"spec": {"replica": 1}}))).code,
        400
    );
    assert_eq!(
        cluster.run(apply(&format!("{ASSETS}/none/scale?fieldManager=m"), nothing_of("none"))).code,
        404
    );
}

fn nothing_of(name: &str) -> Value {
    json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name}})
}

#[test]
fn patches_of_every_kind() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"color": "red", "replicas": 1})))).object();
    let path = format!("{ASSETS}/a1");
    let failed = json!([{"op": "test", "path": "/spec/color", "value": "blue"}]);
    assert_eq!(cluster.run(patch(&path, Media::JsonPatch, failed)).code, 422);
    let patched = cluster.run(merge(&path, json!({"spec": {"color": null}}))).object();
    assert_eq!(patched["spec"], json!({"replicas": 1}));
    // A name that is patched away is not filled in: all other metadata would go with it unseen.
    let bare = patch(&path, Media::JsonPatch, json!([{"op": "remove", "path": "/metadata"}]));
    for nameless in [bare, merge(&path, json!({"metadata": null}))] {
        let refused = cluster.run(nameless);
        assert_eq!(refused.code, 400, "{}", refused.refusal());
    }
    let strategic = patch(&path, Media::StrategicMergePatch, json!({"spec": {"color": "x"}}));
    insta::assert_snapshot!(cluster.run(strategic).refusal(), @"415 UnsupportedMediaType: the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
    let renamed = merge(&path, json!({"metadata": {"name": "b"}}));
    assert_eq!(cluster.run(renamed).code, 400);
    assert_eq!(cluster.run(merge(format!("{ASSETS}/none"), json!({}))).code, 404);
    cluster.run(post(CONFIG_MAPS, config_map("c", json!({"a": "1"})))).object();
    let path = format!("{CONFIG_MAPS}/c");
    let strategic = patch(path, Media::StrategicMergePatch, json!({"data": {"b": "2"}}));
    assert_eq!(cluster.run(strategic).object()["data"], json!({"a": "1", "b": "2"}));
}

#[test]
fn an_apply_creates_owns_and_conflicts() {
    let mut cluster = Cluster::new();
    let path = format!("{ASSETS}/a1");
    let answer = cluster.run(apply(&path, asset("a1", json!({"color": "red"}))));
    assert_eq!(answer.code, 201);
    let other = |query: &str| {
        apply(&format!("{path}?fieldManager=other{query}"), asset("a1", json!({"color": "blue"})))
    };
    insta::assert_snapshot!(cluster.run(other("")).refusal(), @r#"409 Conflict: Apply failed with 1 conflict: conflict with "test": .spec.color"#);
    assert_eq!(cluster.run(other("&force=true")).object()["spec"]["color"], "blue");
    let dropped = cluster.run(apply(&path, asset("a1", json!({})))).object();
    assert_eq!(dropped["spec"]["color"], "blue", "what another owns now stays");
    let mut gone = asset("a2", json!({}));
    gone["metadata"]["uid"] = "5b1d9ad8-0000-0000-0000-000000000000".into();
    assert_eq!(cluster.run(apply(&format!("{ASSETS}/a2"), gone)).code, 409);
    let mut managed = asset("a1", json!({}));
    managed["metadata"]["managedFields"] = json!([{}]);
    assert_eq!(cluster.run(apply(&path, managed)).code, 400);
}

#[test]
fn a_put_creates_only_what_may_be_made_so() {
    let mut cluster = Cluster::new();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me"},
    });
    let mut known = lease.clone();
    known["metadata"]["resourceVersion"] = "5".into();
    assert_eq!(cluster.run(put(format!("{leases}/l"), known)).code, 404, "a version names what was there");
    let answer = cluster.run(put(format!("{leases}/l"), lease.clone()));
    assert_eq!((answer.code, answer.writes), (201, 1));
    assert_eq!(
        cluster.run(put(format!("{leases}/l"), lease)).code,
        422,
        "a Lease is not overwritten blindly"
    );
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "One",
        "involvedObject": {"kind": "Asset", "name": "a1"},
    });
    let events = "/api/v1/namespaces/default/events/e";
    assert_eq!(cluster.run(put(events, event.clone())).code, 201);
    let mut second = event;
    second["reason"] = "Two".into();
    assert_eq!(cluster.run(put(events, second)).object()["reason"], "Two");
    assert_eq!(cluster.run(put(format!("{CONFIG_MAPS}/c"), config_map("c", json!({})))).code, 404);
}

#[test]
fn a_value_that_cannot_be_is_told_before_a_conflict() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"color": "red", "replicas": 1})))).object();
    let target = format!("{ASSETS}/a1");
    let wrong = cluster.run(apply(&target, asset("a1", json!({"color": 5, "replicas": 2}))));
    insta::assert_snapshot!(wrong.refusal(), @r#"422 Invalid: Asset.hm.example.com "a1" is invalid: spec.color: Invalid value: "integer": spec.color in body must be of type string: "integer""#);
    assert_eq!(cluster.run(apply(&target, asset("a1", json!({"color": "blue"})))).code, 409);
}

#[test]
fn a_patch_that_does_not_fit_says_where() {
    let mut cluster = Cluster::new();
    cluster.run(post(CONFIG_MAPS, config_map("c", json!({"a": "1"})))).object();
    let target = format!("{CONFIG_MAPS}/c");
    let mut tell = |operations: Value| {
        let answer = cluster.run(patch(&target, Media::JsonPatch, operations));
        format!("{} | {}", answer.refusal(), answer.warnings.join(" | "))
    };
    insta::assert_snapshot!(tell(json!([{"op": "test", "path": "/data/a", "value": "2"}])), @r#"422 Invalid: the server rejected our request due to an error in our request | the patch does not apply: operation 0: test "/data/a" failed: it is another string"#);
    insta::assert_snapshot!(tell(json!([{"op": "add", "path": "/data/b", "value": ""}, {"op": "remove", "path": "/data/c"}])), @r#"422 Invalid: the server rejected our request due to an error in our request | the patch does not apply: operation 1: remove "/data/c": "/data" has no field "c""#);
    insta::assert_snapshot!(tell(json!([{"op": "remove", "path": "/data", "from": 1}, {"op": "frob", "path": ""}])), @r#"400 BadRequest: operation 1: unknown "op" "frob" |"#);
    // The whole object in place of itself: never a broken one.
    insta::assert_snapshot!(tell(json!([{"op": "replace", "path": "", "value": {}}])), @r#"400 BadRequest: the name of the object (c based on URL) was undeterminable: name must be provided |"#);
    insta::assert_snapshot!(tell(json!([{"op": "replace", "path": "", "value": 5}])), @r#"422 Invalid:  "" is invalid: patch: Invalid value: "5": the object provided is not a JSON object |"#);
    insta::assert_snapshot!(tell(json!([{"op": "replace", "path": "", "value": {"metadata": {"name": "d"}}}])), @r#"400 BadRequest: the name of the object (d) does not match the name on the URL (c) |"#);
    let kept = cluster.get("/configmaps", "default", "c").unwrap();
    assert_eq!(kept["data"], json!({"a": "1"}));
    // One that is an object of the same name is an update like any other; what the client does not decide stays.
    let whole =
        json!([{"op": "replace", "path": "", "value": {"metadata": {"name": "c"}, "data": {"b": "2"}}}]);
    let stored = cluster.run(patch(&target, Media::JsonPatch, whole)).object();
    assert_eq!((&stored["data"], &stored["metadata"]["uid"]), (&json!({"b": "2"}), &kept["metadata"]["uid"]));
}

#[test]
fn a_patch_that_strict_decoding_minds_is_invalid() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"color": "red"})))).object();
    cluster.run(post(CONFIG_MAPS, config_map("c", json!({"a": "1"})))).object();
    let strict = |path: &str| format!("{path}?fieldValidation=Strict");
    let (asset, map) = (strict(&format!("{ASSETS}/a1")), strict(&format!("{CONFIG_MAPS}/c")));
    let colour = json!({"spec": {"colour": "blue"}});
    let operation = json!([{"op": "add", "path": "/spec/colour", "value": "blue", "why": "?"}]);
    let mut tell = |ask| {
        let answer = cluster.run(ask);
        let status: hypermesh_api::Status = serde_json::from_value(answer.body.clone()).unwrap();
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{}", status.message);
        let details = status.details.unwrap();
        assert!(details.name.is_empty() && details.kind.is_empty() && details.group.is_empty());
        let cause = details.causes.into_iter().next().unwrap();
        assert_eq!((cause.reason.as_str(), cause.field.as_str()), ("FieldValueInvalid", "patch"));
        assert_eq!(status.message, format!(" \"\" is invalid: patch: {}", cause.message));
        let text = cause.message.strip_prefix("Invalid value: \"").unwrap();
        let (shown, why) = text.rsplit_once("\": ").unwrap();
        let shown: String = serde_json::from_str(&format!("\"{shown}\"")).unwrap();
        (shown, why.to_owned())
    };
    let (shown, why) = tell(merge(&asset, colour));
    assert_eq!(why, "strict decoding error: unknown field \"spec.colour\"");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["spec"], json!({"color": "red", "colour": "blue"}), "what the patch made is shown");
    assert!(shown["metadata"]["managedFields"].is_array());
    let (_, why) = tell(patch(&asset, Media::JsonPatch, operation.clone()));
    assert_eq!(
        why,
        "strict decoding error: json patch unknown field \"[0].why\", unknown field \"spec.colour\""
    );
    let strategic = json!({"data": {"b": "2"}, "dat": {"n": null, "l": [1, true]}});
    let (shown, why) = tell(patch(&map, Media::StrategicMergePatch, strategic));
    assert_eq!(why, "strict decoding error: unknown field \"dat\"");
    assert_eq!(shown, "map[dat:map[l:[1 true] n:<nil>] data:map[b:2]]");
    // What is no object of the kind is as wrong, strict or not.
    let (_, why) = tell(merge(format!("{ASSETS}/a1"), json!({"metadata": {"labels": ["a"]}})));
    assert_eq!(
        why,
        "json: cannot unmarshal array into Go struct field Asset.metadata.labels of type map[string]string"
    );
    let (_, why) = tell(merge(format!("{ASSETS}/a1"), json!({"kind": null})));
    assert_eq!(why, "Object 'Kind' is missing in the body of the request");
    let warned = cluster.run(patch(format!("{ASSETS}/a1?fieldValidation=Warn"), Media::JsonPatch, operation));
    assert_eq!(
        (warned.code, warned.warnings),
        (
            200,
            vec![
                "json patch unknown field \"[0].why\"".to_owned(),
                "unknown field \"spec.colour\"".to_owned()
            ]
        )
    );
    // However large the object is, the refusal is not.
    let long = "x".repeat(200_000);
    let ask = merge(&map, json!({"data": {"a": long}, "dat": 1}));
    assert!(cluster.run(ask).message().len() < 50_000);
}

#[test]
fn an_update_names_what_it_updates() {
    let mut cluster = Cluster::new();
    cluster.run(post(CONFIG_MAPS, config_map("c", json!({"a": "1"})))).object();
    let nameless = cluster.run(put(format!("{CONFIG_MAPS}/c"), json!({"data": {}})));
    insta::assert_snapshot!(nameless.refusal(), @r#"400 BadRequest: the name of the object (c based on URL) was undeterminable: name must be provided"#);
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "2"}});
    let stored = cluster.run(apply(&format!("{CONFIG_MAPS}/c"), applied)).object();
    assert_eq!(stored["data"], json!({"a": "1", "b": "2"}));
}

#[test]
fn an_owner_is_named_once() {
    let mut cluster = Cluster::new();
    let owner = cluster.run(post(ASSETS, asset("owner", json!({})))).object();
    let other = reference(&owner, true);
    let twice = owned("a1", &[(&owner, false), (&owner, false)]);
    let answer = cluster.run(post(ASSETS, twice));
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
    assert!(
        answer.warnings[0].ends_with(owner["metadata"]["uid"].as_str().unwrap()),
        "{:?}",
        answer.warnings
    );
    let stored = answer.object();
    assert_eq!(stored["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    // Those that differ are not the same.
    let mut both = stored;
    both["metadata"]["ownerReferences"].as_array_mut().unwrap().push(other);
    let answer = cluster.run(put(format!("{ASSETS}/a1"), both));
    assert_eq!((answer.code, answer.warnings.len()), (200, 0), "{}", answer.message());
}

#[test]
fn metadata_of_another_type_is_told_as_the_reference_tells_it() {
    let mut cluster = Cluster::new();
    let texts: Vec<String> = [
        json!(5),
        json!({"name": 5}),
        json!({"name": "c", "labels": ["a"]}),
        json!({"name": "c", "labels": {"a": 1}}),
        json!({"name": "c", "finalizers": {}}),
        json!({"name": "c", "finalizers": [true]}),
        json!({"name": "c", "generation": 1.5}),
        json!({"name": "c", "creationTimestamp": 5}),
        json!({"name": "c", "creationTimestamp": "yesterday"}),
        json!({"name": "c", "ownerReferences": [{"uid": 1}]}),
        json!({"name": "c", "managedFields": "x"}),
    ]
    .into_iter()
    .map(|meta| cluster.run(post(CONFIG_MAPS, json!({"metadata": meta}))).refusal())
    .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.metadata of type v1.ObjectMeta
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.metadata.name of type string
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go struct field ConfigMap.metadata.labels of type map[string]string
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.metadata.labels of type string
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal object into Go struct field ConfigMap.metadata.finalizers of type []string
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go struct field ConfigMap.metadata.finalizers of type string
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.metadata.generation of type int64
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.metadata.creationTimestamp of type v1.Time
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: metadata.creationTimestamp: parsing time "yesterday": it must be a time in RFC 3339 form
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.metadata.ownerReferences of type string
400 BadRequest: ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal string into Go struct field ConfigMap.metadata.managedFields of type []v1.ManagedFieldsEntry
"#);
}
