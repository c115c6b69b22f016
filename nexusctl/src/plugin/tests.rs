//! Plugins that do their work, and each way of not doing it.

use super::*;
use crate::kubeconfig::Place;

const SHORT: Duration = Duration::from_millis(200);
const V1: &str = "client.authentication.k8s.io/v1";

pub(super) fn plugin(script: &str) -> Plugin {
    Plugin {
        place: Place { file: "/k".into(), line: 3, column: 5, field: "users[0].user.exec.command".into() },
        version: V1.to_owned(),
        command: "sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned()],
        variables: Vec::new(),
        hint: None,
        interactive: Interactive::Never,
        cluster: None,
    }
}

fn says(status: &str) -> Plugin {
    plugin(&format!(r#"echo '{{"apiVersion": "{V1}", "kind": "ExecCredential", "status": {status}}}'"#))
}

fn fault(plugin: &Plugin) -> String {
    run(plugin, false, None).err().map_or_else(|| "no fault".to_owned(), |error| error.to_string())
}

#[test]
fn a_token_or_a_certificate_is_handed_out() {
    let found =
        run(&says(r#"{"token": "t", "expirationTimestamp": "2196-11-21T09:30:00Z"}"#), false, None).unwrap();
    assert_eq!(found.token.as_deref(), Some("t"));
    let expires = found.expires.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(expires.as_secs(), 7_160_002_200);
    let found =
        run(&says(r#"{"clientCertificateData": "c", "clientKeyData": "k", "token": ""}"#), false, None)
            .unwrap();
    assert!(found.token.is_none() && found.expires.is_none());
    let (certificate, key) = found.certificate.unwrap();
    assert_eq!((certificate.pem, key.pem), (b"c".to_vec(), b"k".to_vec()));
    assert_eq!(key.origin, "/k:3:5: users[0].user.exec.command: clientKeyData of sh");
}

#[test]
fn a_plugin_gets_its_variables_and_the_question() {
    let mut asks = plugin(
        r#"[ "$REGION" = eu ] && printf '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
           "status": {"token": "%s"}}' "$(printf %s "$KUBERNETES_EXEC_INFO" | base64 -w0)""#,
    );
    asks.variables = vec![("REGION".to_owned(), "eu".to_owned())];
    asks.cluster = Some(json!({"server": "https://a.example"}));
    let token = run(&asks, false, None).unwrap().token.unwrap();
    let question = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, token).unwrap();
    let question: serde_json::Value = serde_json::from_slice(&question).unwrap();
    let spec = json!({"interactive": false, "cluster": {"server": "https://a.example"}});
    assert_eq!(question, json!({"apiVersion": V1, "kind": "ExecCredential", "spec": spec}));
}

#[test]
fn each_way_of_handing_out_nothing_is_told_and_no_secret_with_it() {
    let absent = Plugin {
        command: "no-such-program-here".into(),
        hint: Some("Get it from https://plugins.example".to_owned()),
        ..plugin("")
    };
    let asks = Plugin { interactive: Interactive::Always, ..plugin("") };
    let mut told = String::new();
    for plugin in [
        &absent,
        &asks,
        &plugin("exit 7"),
        &plugin("kill -9 $$"),
        &plugin("echo secret"),
        &plugin("head -c 2000000 /dev/zero"),
        &plugin(r#"echo '{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1"}'"#),
        &plugin(&format!(r#"echo '{{"kind": "ExecCredential", "apiVersion": "{V1}"}}'"#)),
        &says("{}"),
        &says(r#"{"token": "secret secret"}"#),
        &says(r#"{"clientKeyData": "secret"}"#),
        &says(r#"{"clientCertificateData": "secret"}"#),
        &says(r#"{"token": ["secret"]}"#),
        &says(r#"{"token": "secret", "expirationTimestamp": "secret"}"#),
    ] {
        told.push_str(&fault(plugin));
        told.push('\n');
    }
    assert!(!told.contains("secret"), "{told}");
    insta::assert_snapshot!(told, @r#"
    /k:3:5: users[0].user.exec.command: there is no program no-such-program-here, which is to hand out credentials

    Get it from https://plugins.example
    /k:3:5: users[0].user.exec.command: sh has to ask (interactiveMode: Always), and standard input is no terminal
    /k:3:5: users[0].user.exec.command: sh ended with 7, so there are no credentials: run it by itself to see why
    /k:3:5: users[0].user.exec.command: sh was killed, so there are no credentials: run it by itself to see why
    /k:3:5: users[0].user.exec.command: sh said something that is no ExecCredential, at 1:1
    /k:3:5: users[0].user.exec.command: sh said more than 1048576 bytes, which no credential is
    /k:3:5: users[0].user.exec.command: sh answered with "client.authentication.k8s.io/v1beta1" "ExecCredential", and the kubeconfig asks for "client.authentication.k8s.io/v1" "ExecCredential"
    /k:3:5: users[0].user.exec.command: sh answered without a status
    /k:3:5: users[0].user.exec.command: sh handed out neither a token nor a certificate
    /k:3:5: users[0].user.exec.command: sh handed out a token with characters that no token has
    /k:3:5: users[0].user.exec.command: sh handed out a key without its certificate
    /k:3:5: users[0].user.exec.command: sh handed out a certificate without its key
    /k:3:5: users[0].user.exec.command: sh said something that is no ExecCredential, at 1:96
    /k:3:5: users[0].user.exec.command: sh handed out credentials whose status.expirationTimestamp is no time of the form 2026-11-21T09:30:00Z (RFC 3339)
    "#);
}

#[test]
fn a_plugin_that_hangs_is_given_up_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let hangs = plugin(&format!("echo $$ > {}; exec sleep 1000", file.display()));
    let error = ask(&hangs, false, SHORT, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("handed out nothing within"), "{error}");
    // Where the machine was so slow that it had not begun, it was ended before.
    if let Ok(pid) = std::fs::read_to_string(&file).unwrap_or_default().trim().parse::<i32>() {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    // One that closes its output and stays is no better.
    let stays = plugin("exec >&-; exec sleep 1000");
    assert!(ask(&stays, false, SHORT, &mut |_| {}).is_err());
}

#[test]
fn what_a_plugin_left_running_holds_nobody_up() {
    let begin = Instant::now();
    let leaves = plugin("sleep 3 2>/dev/null & echo {");
    let error = fault(&leaves);
    assert!(error.contains("something that it started holds its output open"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[test]
fn a_plugin_is_looked_at_while_it_runs() {
    let mut seen = Vec::new();
    let hangs = plugin("exec sleep 1000");
    assert!(ask(&hangs, false, SHORT, &mut |child| seen.push(child)).is_err());
    assert!(seen.len() > 1 && seen.iter().all(|child| Some(child) == seen.first()), "{seen:?}");
}

#[test]
fn what_has_expired_is_not_used() {
    let error = fault(&says(r#"{"token": "t", "expirationTimestamp": "2026-01-01T00:00:00Z"}"#));
    assert!(error.contains("sh handed out credentials that have expired (2026-01-01T00:00:00Z)"), "{error}");
}
