//! The smaller verbs, and what the command line itself answers.

use super::{run_in, run_with, server::Server};
use http::Method;
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::json;

const CONFIG: &str = "/api/v1/namespaces/default/configmaps/settings";
const MANIFEST: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: '1', b: '2'}\n";

#[test]
fn diff_shows_what_would_change_and_says_so_by_its_exit_code() {
    let server = Server::start();
    let new = server.run_with("diff -f -", MANIFEST);
    assert_eq!(new.code, 1);
    assert_snapshot!(new.out, @r#"
    --- /dev/null
    +++ b/configmaps/default/settings
    @@ -0,0 +1,8 @@
    +apiVersion: v1
    +data:
    +  a: "1"
    +  b: "2"
    +kind: ConfigMap
    +metadata:
    +  name: settings
    +  namespace: default
    "#);
    assert!(server.object(CONFIG).is_none());
    let _ = server.run_with("apply -f -", MANIFEST);
    let same = server.run_with("diff -f -", MANIFEST);
    assert_eq!((same.code, same.out.as_str()), (0, ""));
    let changed = server.run_with("diff -f -", &MANIFEST.replace("'2'", "'3'"));
    assert_eq!(changed.code, 1);
    assert_snapshot!(changed.out, @r#"
    --- a/configmaps/default/settings
    +++ b/configmaps/default/settings
    @@ -1,7 +1,7 @@
     apiVersion: v1
     data:
       a: "1"
    -  b: "2"
    +  b: "3"
     kind: ConfigMap
     metadata:
       name: settings
    "#);
    assert_eq!(server.run_with("diff -f -", "kind: [").code, 2);
    server.script(Method::PATCH, CONFIG, 400, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "message": "no", "reason": "BadRequest", "code": 400}));
    assert_eq!(server.run_with("diff -f -", MANIFEST).code, 2);
    assert_eq!(server.run("diff --nonsense").code, 2);
}

#[test]
fn versions_and_identity() {
    let server = Server::start();
    assert_snapshot!(server.run("version").out, @"
    Client Version: v0.1.0
    Server Version: v1.36.0+hypermesh
    ");
    assert_eq!(run_with("version --client", "").code, 0);
    server.script(
        Method::POST,
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        201,
        json!({"status": {"allowed": false, "reason": "no rule allows it"}}),
    );
    let ran = server.run("auth can-i delete wl/web");
    assert_eq!((ran.code, ran.out.as_str()), (1, "no - no rule allows it\n"));
    assert_snapshot!(server.writes()[0].body, @r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"group":"hypermesh.online","name":"web","namespace":"default","resource":"workloads","subresource":"","verb":"delete","version":"v1"}}}"#);
    server.script(
        Method::POST,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        201,
        json!({"status": {"userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]}}}),
    );
    assert_snapshot!(server.run("auth whoami").out, @"
    ATTRIBUTE   VALUE
    Username    admin
    Groups      [system:masters system:authenticated]
    Signed      no: there is no client certificate with an Ed25519 key, or a token goes before it
    ");
    assert_eq!(server.run("get --raw /readyz").out, "ok");
}

#[test]
fn everything_that_is_allowed_is_listed() {
    let server = Server::start();
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let status = json!({
        "resourceRules": [{"verbs": ["get", "list"], "apiGroups": ["hypermesh.online"], "resources": ["workloads"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/livez"]}],
        "incomplete": true, "evaluationError": "a webhook is silent",
    });
    server.script(Method::POST, reviews, 201, json!({"status": status}));
    let ran = server.run("auth can-i --list -n shop");
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out, @"
    Resources                    Non-Resource URLs   Resource Names   Verbs
    workloads.hypermesh.online   []                  []               [get list]
                                 [/livez]            []               [get]
    ");
    assert_snapshot!(ran.err, @"Warning: more than this may be allowed, since the server could not tell: a webhook is silent");
    assert_snapshot!(server.writes()[0].body, @r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":"shop"}}"#);
    assert!(
        server.run("auth can-i --list -o yaml").out.starts_with("evaluationError: a webhook is silent\n")
    );
    assert!(server.run("auth can-i --list -o name").err.contains("json or yaml"));
    assert!(server.run("auth can-i --list get wl").err.contains("cannot be used with"));
    assert!(server.run("auth can-i get").err.contains("<WHAT>"));
}

#[test]
fn a_verb_that_nobody_asks_for_is_doubted() {
    let server = Server::start();
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    server.script(Method::POST, reviews, 201, json!({"status": {"allowed": true}}));
    let ran = server.run("auth can-i lst workloads");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "yes\n", "Warning: \"lst\" is no usual verb; did you mean \"list\"?\n")
    );
}

#[test]
fn mistakes_on_the_command_line() {
    assert_snapshot!(run_with("aply -f x", "").err, @"
    error: unrecognized subcommand 'aply'

      tip: a similar subcommand exists: 'apply'

    Usage: nexusctl [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    // What looks like a flag is what was said, and is judged as that.
    for (line, why) in [
        ("token create --ttl -5", "\"-5\" is not a time"),
        ("get cm a --at -5m", "\"-5m\" is neither a revision"),
        ("get cm a --at -1", "\"-1\" is neither a revision"),
        ("get cm a --at 0", "\"0\" is no revision: the first is 1"),
    ] {
        let ran = run_with(line, "");
        assert_eq!(ran.code, 1, "{line}");
        assert!(ran.err.contains(why), "{line}: {}", ran.err);
    }
    assert_eq!(run_with("aply -f x", "").code, 1);
    assert_eq!(run_with("--help", "").code, 0);
    assert_snapshot!(run_with("--server https://127.0.0.1:1 apply -f nothere.yaml", "").err, @r#"
    error: the path "nothere.yaml" does not exist

    nothing was sent
    "#);
    assert_snapshot!(run_with("--server https://127.0.0.1:1 apply -f http://example.com/x.yaml", "").err, @"
    error: http://example.com/x.yaml: what comes over plain HTTP may be anybody's: take https://example.com/x.yaml, or --insecure-fetch if you must

    nothing was sent
    ");
    assert_snapshot!(run_with("--server http://example.com get wl", "").err, @r#"error: --server: "http://example.com": plain http would show credentials to whoever listens: use https"#);
}

#[test]
fn without_a_cluster_it_says_where_it_looked() {
    let environment = Environment { home: Some("/nonexistent/home".into()), ..Environment::default() };
    assert_snapshot!(run_in(environment, "get wl", "").err, @"
    error: no cluster is known: start one with `nexusctl up`, or name one with --kubeconfig, KUBECONFIG or --server
      looked at /nonexistent/home/.local/share/hypermesh/admin.kubeconfig
      looked at /nonexistent/home/.kube/config
    ");
}

#[test]
fn impatient_retries_follow_the_servers_wish() {
    let server = Server::start();
    server.script_full(super::server::Scripted {
        method: Method::GET,
        path: "/version".into(),
        code: 503,
        headers: vec![("retry-after", "0".into())],
        body: json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "ServiceUnavailable", "code": 503}).to_string(),
        times: 2,
    });
    assert_eq!(server.run("version").code, 0);
    assert_eq!(server.seen().iter().filter(|s| s.path == "/version").count(), 3);
}
