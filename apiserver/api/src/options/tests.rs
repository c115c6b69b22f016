//! The golden replies about options, and the rules around them.

use super::*;

fn list(text: &str) -> Result<ListOptions, Box<Status>> {
    ListOptions::parse(&Query::parse(text)?)
}

fn write(text: &str, kind: WriteKind) -> Result<WriteOptions, Box<Status>> {
    WriteOptions::parse(&Query::parse(text)?, kind)
}

fn delete(text: &str, body: &str) -> Result<DeleteOptions, Box<Status>> {
    DeleteOptions::parse(&Query::parse(text)?, body.as_bytes())
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Box<Status>>) -> String {
    let status = result.unwrap_err();
    format!("{} {:?} {}", status.code, status.reason, status.message)
}

#[test]
fn golden_list_refusals() {
    let status = list("resourceVersionMatch=Exact").unwrap_err();
    insta::assert_snapshot!(serde_json::to_string(&status).unwrap(), @r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided","reason":"Invalid","details":{"group":"meta.k8s.io","kind":"ListOptions","causes":[{"reason":"FieldValueForbidden","message":"Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided","field":"resourceVersionMatch"}]},"code":422}"#);
    let status = list("watch=1&timeoutSeconds=2&resourceVersion=abc").unwrap_err();
    insta::assert_snapshot!(serde_json::to_string(&status).unwrap(), @r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax","code":500}"#);
    insta::assert_snapshot!(refusal(list("watch=1&timeoutSeconds=2&sendInitialEvents=true")), @r#"422 "Invalid" ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"#);
}

#[test]
fn other_list_refusals() {
    insta::assert_snapshot!(refusal(list("resourceVersion=0&resourceVersionMatch=Exact")), @r#"422 "Invalid" ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0""#);
    insta::assert_snapshot!(refusal(list("resourceVersion=1&resourceVersionMatch=Best&sendInitialEvents=1")), @r#"422 "Invalid" ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Unsupported value: "Best": supported values: "Exact", "NotOlderThan", "", sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list]"#);
    insta::assert_snapshot!(refusal(list("watch=1&resourceVersion=5&resourceVersionMatch=Exact")), @r#"422 "Invalid" ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]"#);
    insta::assert_snapshot!(refusal(list("limit=many")), @r#"400 "BadRequest" strconv.ParseInt: parsing "many": invalid syntax"#);
    insta::assert_snapshot!(refusal(list("labelSelector=a+b")), @r#"400 "BadRequest" unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, >, <"#);
    insta::assert_snapshot!(refusal(list("resourceVersion=%2B5")), @r#"500 "" resourceVersion: Invalid value: "+5": strconv.ParseUint: parsing "+5": invalid syntax"#);
    insta::assert_snapshot!(refusal(list("resourceVersion=18446744073709551616")), @r#"500 "" resourceVersion: Invalid value: "18446744073709551616": strconv.ParseUint: parsing "18446744073709551616": value out of range"#);
}

#[test]
fn a_watch_from_nowhere_begins_with_the_state() {
    let options = list("watch=true").unwrap();
    assert_eq!(options.send_initial_events, Some(true));
    assert_eq!(options.resource_version_match, Some(VersionMatch::NotOlderThan));
    let options = list("watch=true&resourceVersion=7&allowWatchBookmarks=true").unwrap();
    assert_eq!((options.send_initial_events, options.resource_version), (None, Some(7)));
    assert!(options.allow_watch_bookmarks);
}

#[test]
fn golden_apply_without_manager() {
    insta::assert_snapshot!(refusal(write("", WriteKind::Apply)), @r#"422 "Invalid" PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch"#);
}

#[test]
fn write_refusals() {
    insta::assert_snapshot!(refusal(write("dryRun=Server", WriteKind::Create)), @r#"422 "Invalid" CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Server"]: supported values: "All""#);
    insta::assert_snapshot!(refusal(write("fieldValidation=Loose", WriteKind::Update)), @r#"422 "Invalid" UpdateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Loose": supported values: "", "Ignore", "Strict", "Warn""#);
    insta::assert_snapshot!(refusal(write("force=false", WriteKind::Patch)), @r#"422 "Invalid" PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch"#);
    insta::assert_snapshot!(refusal(write("fieldManager=a%07b", WriteKind::Apply)), @r#"422 "Invalid" PatchOptions.meta.k8s.io "" is invalid: fieldManager: Invalid value: "a\ab": invalid character U+0007 (at position 1)"#);
    let long = format!("fieldManager={}", "x".repeat(129));
    insta::assert_snapshot!(refusal(write(&long, WriteKind::Create)), @r#"422 "Invalid" CreateOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes"#);
}

#[test]
fn write_values() {
    let options =
        write("dryRun=All&fieldManager=m+1&fieldValidation=Strict&force=true", WriteKind::Apply).unwrap();
    assert!(options.dry_run && options.force);
    assert_eq!(
        (options.manager("curl/8"), options.field_validation),
        ("m 1".into(), FieldValidation::Strict)
    );
    let options = write("", WriteKind::Create).unwrap();
    assert_eq!(
        (options.manager("curl/8.5.0"), options.field_validation),
        ("curl".into(), FieldValidation::Warn)
    );
    assert_eq!(options.manager(&format!("a\u{7}{}/1", "é".repeat(100))).len(), 127);
}

#[test]
fn delete_reads_body_and_query() {
    let options = delete(
        "propagationPolicy=Orphan&dryRun=All&gracePeriodSeconds=3",
        r#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground","preconditions":{"uid":"u","resourceVersion":"7"}}"#,
    )
    .unwrap();
    assert!(options.dry_run, "a rehearsal asked for in the query is one, whatever the body holds");
    assert_eq!(options.propagation, Some(Propagation::Foreground));
    assert_eq!(options.grace_period_seconds, Some(3));
    assert_eq!(
        options.preconditions,
        Preconditions { uid: Some("u".into()), resource_version: Some("7".into()) }
    );
    assert_eq!(delete("orphanDependents=true", "").unwrap().propagation, Some(Propagation::Orphan));
    assert!(delete("", r#"{"dryRun":["All"],"gracePeriodSeconds":null}"#).unwrap().dry_run);
    assert_eq!(delete("", "").unwrap(), DeleteOptions::default());
}

#[test]
fn delete_refusals() {
    insta::assert_snapshot!(refusal(delete("propagationPolicy=Later", "")), @r#"422 "Invalid" DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Later": supported values: "Foreground", "Background", "Orphan", "nil""#);
    insta::assert_snapshot!(refusal(delete("orphanDependents=1", r#"{"propagationPolicy":"Orphan"}"#)), @r#"422 "Invalid" DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set"#);
    insta::assert_snapshot!(refusal(delete("dryRun=x", "")), @r#"422 "Invalid" DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["x"]: supported values: "All""#);
    insta::assert_snapshot!(refusal(delete("", r#"{"kind":"Pod"}"#)), @r#"400 "BadRequest" decoded object cannot be converted to DeleteOptions"#);
    insta::assert_snapshot!(refusal(delete("", r#"{"gracePeriodSeconds":"1"}"#)), @r#"400 "BadRequest" DeleteOptions cannot be decoded: gracePeriodSeconds must be a 64-bit integer"#);
    insta::assert_snapshot!(refusal(delete("", "[]")), @r#"400 "BadRequest" DeleteOptions cannot be decoded: the body must be a JSON object"#);
}
