//! Keys that sign, and bootstrap tokens: what is shown, what is sent, and what is refused before anything is.

use super::{run_with, server::Server};
use http::Method;
use insta::assert_snapshot;
use serde_json::{Value, json};

const IDENTITIES: &str = "/apis/hypermesh.online/v1/identities";
const OLD: &str = "3f9c2b7a61d0e8f4000000000000000000000000000000000000000000000001";
const TWIN: &str = "3f9c2b7a61d0e8f4000000000000000000000000000000000000000000000002";
const NEW: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn identity(key: &str, user: &str, groups: &[&str]) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Identity",
        "metadata": {"name": key, "creationTimestamp": "2020-01-01T00:00:00Z"},
        "spec": {"user": user, "groups": groups},
    })
}

/// A server that lists these keys, as often as it is asked.
fn knows(items: &[Value]) -> Server {
    let server = Server::start();
    for _ in 0..4 {
        server.script(Method::GET, IDENTITIES, 200, json!({"items": items, "metadata": {}}));
    }
    server
}

#[test]
fn keys_are_shown_by_whom_they_stand_for() {
    let server =
        knows(&[identity(OLD, "alice", &["dev", "ops"]), identity(NEW, "system:nexus-controllers", &[])]);
    let shown = server.run("auth keys").out;
    assert_snapshot!(without_ages(&shown), @"
    KEY USER GROUPS AGE
    3f9c2b7a61d0e8f4 alice dev,ops AGE
    d75a980182b10ab7 system:nexus-controllers <none> AGE
    ");
    assert_eq!(
        server.run("auth keys -o name").out,
        format!("identity.hypermesh.online/{OLD}\nidentity.hypermesh.online/{NEW}\n")
    );
    assert!(server.run("auth keys -o wide").out.contains(NEW));
    server.run("auth keys --of=a=b");
    assert!(server.seen().pop().unwrap().query.contains("spec.user%3Da%5C%3Db"), "{:?}", server.seen().pop());
    let nobody = knows(&[]).run("auth keys");
    assert_eq!((nobody.code, nobody.out.as_str(), nobody.err.as_str()), (0, "", "No keys are registered.\n"));
}

#[test]
fn a_key_of_an_account_that_is_gone_is_told_from_living_ones() {
    let of = |key: &str, account: &str, uid: &str| {
        let mut identity = identity(key, &format!("system:serviceaccount:ci:{account}"), &[]);
        identity["spec"]["uid"] = uid.into();
        identity
    };
    let other = "a".repeat(64);
    let (gone, again, alive) = (of(OLD, "gone", "1"), of(&other, "again", "1"), of(NEW, "alive", "2"));
    let server = knows(&[gone, again, alive]);
    for (name, uid) in [("again", "9"), ("alive", "2")] {
        let account = json!({"metadata": {"name": name, "namespace": "ci", "uid": uid}});
        let path = format!("/api/v1/namespaces/ci/serviceaccounts/{name}");
        server.script(Method::GET, &path, 200, account);
    }
    assert_snapshot!(without_ages(&server.run("auth keys").out), @"
    KEY USER GROUPS AGE
    3f9c2b7a61d0e8f4 system:serviceaccount:ci:gone <none> AGE (its account is gone)
    aaaaaaaaaaaaaaaa system:serviceaccount:ci:again <none> AGE (its account is gone)
    d75a980182b10ab7 system:serviceaccount:ci:alive <none> AGE
    ");
}

#[test]
fn no_user_makes_rows_of_keys_that_are_none() {
    let server = knows(&[identity(OLD, "alice\n3f9c2b7a61d0e8f5   \u{1b}[2Jbob", &["a\tb"])]);
    let shown = server.run("auth keys").out;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(!shown.contains(['\u{1b}', '\t']), "{shown}");
}

/// The lines without their ages, which go on.
fn without_ages(text: &str) -> String {
    let is_age = |word: &str| word.chars().all(|c| c.is_ascii_digit() || "dy".contains(c));
    let words = |line: &str| {
        line.split_whitespace()
            .map(|word| if is_age(word) { "AGE" } else { word })
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_key_is_registered_and_takes_the_place_of_another() {
    let server = Server::start();
    let line = format!("auth register alice --key {NEW} --group dev");
    assert_eq!(
        server.run(&line).out,
        format!("identity.hypermesh.online/{NEW} registered: it signs for alice in dev\n")
    );
    assert_eq!(
        server.run(&line).out,
        format!("identity.hypermesh.online/{NEW} unchanged: it signs for alice in dev\n")
    );
    let sent = &server.writes()[0];
    assert_eq!((sent.method.clone(), sent.path.as_str()), (Method::PATCH, &*format!("{IDENTITIES}/{NEW}")));
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!(body["spec"], json!({"user": "alice", "groups": ["dev"]}));

    let server = knows(&[identity(OLD, "bob", &["ops"])]);
    server.put(&format!("{IDENTITIES}/{OLD}"), identity(OLD, "bob", &["ops"]));
    let ran = server.run(&format!("auth register --replaces {} --key {NEW}", &OLD[..8]));
    assert_eq!(
        ran.out,
        format!(
            "identity.hypermesh.online/{NEW} registered: it signs for bob in ops\nidentity.hypermesh.online/{OLD} revoked\n"
        )
    );
    assert!(server.object(&format!("{IDENTITIES}/{OLD}")).is_none());

    // A key stands for one user: who it is, is said.
    server.put(&format!("{IDENTITIES}/{NEW}"), identity(NEW, "alice", &[]));
    let ran = server.run(&format!("auth register bob --key {NEW}"));
    assert_eq!(
        (ran.code, ran.err),
        (
            1,
            format!(
                "error: the key {NEW} already stands for alice, and a key stands for one user: register another key for bob\n"
            )
        )
    );

    // Groups go only where that is said.
    server.put(&format!("{IDENTITIES}/{NEW}"), identity(NEW, "alice", &["dev", "ops"]));
    let before = server.writes().len();
    let ran = server.run(&format!("auth register alice --key {NEW}"));
    assert!(ran.code == 1 && ran.err.contains("is registered in dev, ops: name the groups"), "{}", ran.err);
    assert_eq!(server.writes().len(), before);
    let fewer = server.run(&format!("auth register alice --key {NEW} --group ops"));
    assert!(fewer.out.ends_with("changed: it signs for alice in ops, no longer in dev\n"), "{}", fewer.out);
    let none = server.run(&format!("auth register alice --key {NEW} --overwrite"));
    assert!(none.out.ends_with("changed: it signs for alice, no longer in ops\n"), "{}", none.out);

    // A service account is meant as it is now.
    let server = Server::start();
    server.put("/api/v1/namespaces/ci/serviceaccounts/robot", json!({"metadata": {"name": "robot"}}));
    let uid =
        server.object("/api/v1/namespaces/ci/serviceaccounts/robot").unwrap()["metadata"]["uid"].clone();
    let ran = server.run(&format!("auth register system:serviceaccount:ci:robot --key {NEW}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let body: Value = serde_json::from_str(&server.writes()[0].body).unwrap();
    assert_eq!(body["spec"]["uid"], uid);
}

#[test]
fn keys_are_revoked_by_their_first_digits_where_they_mean_one() {
    let items = [identity(OLD, "alice", &[]), identity(TWIN, "alice", &[]), identity(NEW, "bob", &[])];
    let server = knows(&items);
    for item in &items {
        let name = item["metadata"]["name"].as_str().unwrap();
        server.put(&format!("{IDENTITIES}/{name}"), item.clone());
    }
    assert_snapshot!(server.run("auth revoke 3f9c2b7a").err, @"error: 2 keys begin with 3f9c2b7a: give more of its digits");
    assert_snapshot!(server.run("auth revoke d75").err, @r#"error: "d75" names no key: give its first 8 hexadecimal digits, or more"#);
    assert_snapshot!(server.run("auth revoke 0123456789").err, @"error: no key that is registered begins with 0123456789");
    assert_eq!(server.writes().len(), 0);
    assert_eq!(server.run("auth revoke D75A9801").out, format!("identity.hypermesh.online/{NEW} revoked\n"));
    assert!(server.object(&format!("{IDENTITIES}/{NEW}")).is_none());
    let server = knows(&items[..2]);
    for item in &items[..2] {
        let name = item["metadata"]["name"].as_str().unwrap();
        server.put(&format!("{IDENTITIES}/{name}"), item.clone());
    }
    assert_eq!(server.run("auth revoke --all-of alice").out.lines().count(), 2);
}

#[test]
fn tokens_that_nobody_would_take_are_not_made() {
    let server = Server::start();
    assert_snapshot!(server.run("token create --usages=signing").err, @"error: --usages signing: this version publishes no cluster-info that a token could sign; there is authentication");
    assert_snapshot!(server.run("token create --usages=nothing").err, @"error: --usages nothing: there is authentication");
    assert_snapshot!(server.run("token create --group=system:masters").err, @"error: --group system:masters: a group of a bootstrap token is system:bootstrappers: and then lower-case letters, digits, dashes and colons, a letter or digit at the end");
    assert_eq!(server.writes().len(), 0);
    assert_eq!(server.run("token create --ttl=0").code, 0);
    let body: Value = serde_json::from_str(&server.writes()[0].body).unwrap();
    assert!(body["stringData"].get("expiration").is_none(), "{body}");
    assert_eq!(server.run("token create --groups=system:bootstrappers:a,system:bootstrappers:b").code, 0);
    let body: Value = serde_json::from_str(&server.writes()[1].body).unwrap();
    assert_eq!(body["stringData"]["auth-extra-groups"], "system:bootstrappers:a,system:bootstrappers:b");
    assert!(body["stringData"]["expiration"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn tokens_are_deleted_by_what_stands_before_the_dot() {
    let server = Server::start();
    let place = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef";
    server.put(place, json!({"metadata": {"name": "bootstrap-token-abcdef"}}));
    assert_eq!(
        server.run("token delete abcdef.0123456789abcdef").out,
        "bootstrap token \"abcdef\" deleted\n"
    );
    assert!(server.object(place).is_none());
    server.put(place, json!({"metadata": {"name": "bootstrap-token-abcdef"}}));
    let by_secret = server.run("token delete bootstrap-token-abcdef");
    assert_eq!(by_secret.out, "bootstrap token \"abcdef\" deleted\n", "{}", by_secret.err);
    assert_snapshot!(server.run("token delete abcdef").err, @r#"error: there is no bootstrap token "abcdef""#);
    let wrong = run_with("token delete 0123456789abcdef", "").err;
    assert!(!wrong.contains("0123456789"), "it may be a secret: {wrong}");
}
