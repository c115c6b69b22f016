//! Finding, merging and resolving of kubeconfigs, and the words for each fault.

use crate::{
    environment::Environment,
    kubeconfig::{Error, File, Merged, Overrides, Target, load, locate, resolve},
};
use insta::assert_snapshot;
use std::{fs, path::Path};

const GOOD: &str = "apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: c, user: u, namespace: prod}
- name: there
  context: {cluster: c2, user: u}
clusters:
- name: c
  cluster:
    server: https://api.example.com:6443/prefix/
    tls-server-name: internal
- name: c2
  cluster: {server: '[::1]:7443'}
users:
- name: u
  user:
    token: secret-token
";

fn resolved(texts: &[&str], overrides: &Overrides) -> Result<Target, Error> {
    let files: Result<Vec<File>, Error> =
        texts.iter().enumerate().map(|(i, t)| File::parse(Path::new(&format!("/k/{i}")), t)).collect();
    resolve(&Merged::new(files?), overrides)
}

fn fault(text: &str) -> String {
    match resolved(&[text], &Overrides::default()) {
        Ok(_) => "no fault".to_owned(),
        Err(error) => crate::error::chain(&error),
    }
}

#[test]
fn a_context_names_server_identity_and_namespace() {
    let target = resolved(&[GOOD], &Overrides::default()).unwrap();
    assert_eq!(target.server.url(), "https://api.example.com:6443/prefix");
    let server = &target.server;
    assert_eq!((server.host(), server.port(), server.prefix()), ("api.example.com", 6443, "/prefix"));
    assert_eq!((target.namespace.as_str(), target.tls_server_name.as_deref()), ("prod", Some("internal")));
    assert_eq!(target.identity.token.as_deref(), Some("secret-token"));
    let there =
        Overrides { context: Some("there".into()), namespace: Some("x".into()), ..Overrides::default() };
    let target = resolved(&[GOOD], &there).unwrap();
    assert_eq!((target.server.host(), target.server.port(), target.namespace.as_str()), ("::1", 7443, "x"));
}

#[test]
fn the_pin_holds_for_another_address_and_not_for_another_authority() {
    let id = "07".repeat(32);
    let extensions = format!(
        "tls-server-name: internal\n    extensions: [{{name: hypermesh.online/cluster, extension: {{id: '{id}'}}}}]"
    );
    let pinned = GOOD.replace("tls-server-name: internal", &extensions);
    let pin = |overrides: &Overrides| {
        resolved(&[&pinned], overrides).unwrap().cluster.map(|cluster| cluster.to_string())
    };
    assert_eq!(pin(&Overrides::default()), Some(id.clone()));
    let elsewhere = Overrides { server: Some("https://10.0.0.7:6443".into()), ..Overrides::default() };
    assert_eq!(pin(&elsewhere), Some(id));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.crt");
    fs::write(&authority, "pem").unwrap();
    assert_eq!(pin(&Overrides { certificate_authority: Some(authority), ..elsewhere }), None);
}

#[test]
fn the_first_file_that_sets_a_name_wins() {
    let first = "clusters:\n- {name: c, cluster: {server: 'https://first'}}\ncurrent-context: ''\n";
    let target = resolved(&[first, GOOD], &Overrides::default()).unwrap();
    assert_eq!((target.server.url(), target.server.port()), ("https://first", 443));
    assert_eq!(target.namespace, "prod");
    let target = resolved(&[GOOD, first], &Overrides::default()).unwrap();
    assert_eq!(target.server.host(), "api.example.com");
}

#[test]
fn flags_replace_the_identity_of_files() {
    let overrides =
        Overrides { token: Some("other".into()), server: Some("127.0.0.1:1".into()), ..Overrides::default() };
    let target = resolved(&[GOOD], &overrides).unwrap();
    assert_eq!(target.server.url(), "https://127.0.0.1:1");
    assert_eq!(target.identity.token.as_deref(), Some("other"));
    assert_eq!(target.namespace, "prod");
}

#[test]
fn every_fault_has_its_place() {
    assert_snapshot!(fault("a: [\n"), @"/k/0:1:4: unclosed bracket '['");
    assert_snapshot!(fault("- x\n"), @"/k/0:1:1: kubeconfig: must be a mapping; this is a list");
    assert_snapshot!(fault("kind: Pod\n"), @r#"/k/0:1:7: kind: must be "Config"; this is "Pod""#);
    assert_snapshot!(fault(&GOOD.replace("namespace: prod", "namespace: ../x")), @r#"/k/0:6:45: contexts[0].context.namespace: "../x" is no name of a namespace: a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#);
    assert_snapshot!(fault(""), @"/k/0: contexts: there is none, and no --server is given: is this a whole kubeconfig?");
    assert_snapshot!(fault(&GOOD.replace("current-context: here", "current-context: hree")), @r#"/k/0:3:18: current-context: there is no context "hree"; did you mean "here"?"#);
    assert_snapshot!(fault(&GOOD.replace("cluster: c,", "cluster: nope,")), @r#"/k/0:6:22: contexts[0].context.cluster: there is no cluster "nope"; there are c, c2"#);
    assert_snapshot!(fault(&GOOD.replace("user: u, namespace", "user: v, namespace")), @r#"/k/0:6:31: contexts[0].context.user: there is no user "v"; did you mean "u"?"#);
    assert_snapshot!(fault(&GOOD.replace("https://api.example.com:6443/prefix/", "ftp://x")), @r#"/k/0:12:13: clusters[0].cluster.server: "ftp://x": the scheme "ftp" is not https"#);
    assert_snapshot!(fault(&GOOD.replace("https://api.example.com:6443/prefix/", "https://x:99999")), @r#"/k/0:12:13: clusters[0].cluster.server: "https://x:99999" has no port from 1 to 65535"#);
    assert_snapshot!(fault(&GOOD.replace("https://api.example.com:6443/prefix/", "http://10.0.0.1")), @r#"/k/0:12:13: clusters[0].cluster.server: "http://10.0.0.1": plain http would show credentials to whoever listens: use https"#);
    assert_snapshot!(fault(&GOOD.replace("    server: https://api.example.com:6443/prefix/\n", "")), @"/k/0:12:5: clusters[0].cluster.server: is missing: https://HOST:PORT of the API server is expected");
    assert_snapshot!(fault(&GOOD.replace("tls-server-name: internal", "certificate-authority-data: '%%%'")), @"/k/0:13:33: clusters[0].cluster.certificate-authority-data: is no base64: its character 1 is none of A-Z, a-z, 0-9, + and /; `base64 -w0 FILE` makes it of a file");
    assert_snapshot!(fault(&GOOD.replace("tls-server-name: internal", "certificate-authority: ca.crt")), @"/k/0:13:28: clusters[0].cluster.certificate-authority: cannot read /k/ca.crt: there is no such file; a path that does not begin with / begins at the kubeconfig's folder");
    assert_snapshot!(fault(&GOOD.replace("tls-server-name: internal", "insecure-skip-tls-verify: 'yes'")), @"/k/0:13:31: clusters[0].cluster.insecure-skip-tls-verify: must be true or false; this is a string");
    assert_snapshot!(fault(&GOOD.replace("tls-server-name: internal", "proxy-url: http://p")), @"/k/0:13:16: clusters[0].cluster.proxy-url: proxies are not spoken to, as requests go to the server itself, over UDP or TCP: forward a port of this machine to it (`ssh -L 6443:HOST:6443 …`), and name that by --server https://127.0.0.1:6443 --tls-server-name HOST");
    assert_snapshot!(fault(&GOOD.replace("token: secret-token", "auth-provider: {name: gcp}")), @"/k/0:19:20: users[0].user.auth-provider: Kubernetes has these no more: name the program that took their place in exec");
    for (exec, why) in [
        ("[]", "exec: must be a mapping; this is a list"),
        ("{command: aws}", "exec.apiVersion: is missing"),
        ("{apiVersion: x/v1, command: aws}", "\"x/v1\" is not spoken here"),
        ("{apiVersion: V1, interactiveMode: Never}", "exec.command: is missing"),
        ("{apiVersion: V1, command: aws}", "exec.interactiveMode: is missing: with client.authentication"),
        ("{apiVersion: V1, command: aws, interactiveMode: never}", "\"never\" is none of Never, IfAvailable"),
        (
            "{apiVersion: V1, command: aws, interactiveMode: Never, args: eks}",
            "exec.args: must be a list of strings",
        ),
        (
            "{apiVersion: V1, command: aws, interactiveMode: Never, env: [{name: A}]}",
            "exec.env: must be a list of map",
        ),
        (
            "{apiVersion: V1, command: aws, interactiveMode: Never, env: [{name: A=, value: b}]}",
            "\"A=\" can be no var",
        ),
        (
            "{apiVersion: V1, command: aws, interactiveMode: Never, provideClusterInfo: 1}",
            "must be true or false",
        ),
        ("{apiVersion: V1, command: aws, interactiveMode: Never}", "no fault"),
        ("{apiVersion: V1beta1, command: aws}", "no fault"),
    ] {
        let exec = exec.replace("V1", "client.authentication.k8s.io/v1");
        let told = fault(&GOOD.replace("token: secret-token", &format!("exec: {exec}")));
        assert!(told.contains(why), "{exec}: {told}");
    }
    assert_snapshot!(fault(&GOOD.replace("token: secret-token", "password: hunter2")), @"/k/0:19:15: users[0].user.password: no server takes passwords any more: use a client certificate or a token");
    assert_snapshot!(fault(&GOOD.replace("token: secret-token", "client-key-data: aGk=")), @"/k/0:19:5: users[0].user.client-certificate-data: is missing, while there is a client key");
    assert_snapshot!(fault(&GOOD.replace("token: secret-token", "token: 5")), @"/k/0:19:12: users[0].user.token: must be a string; this is a number: write it in quotes");
    assert_snapshot!(fault(&GOOD.replace("token: secret-token", "tokenFile: nope")), @"/k/0:19:16: users[0].user.tokenFile: cannot read /k/nope: there is no such file; a path that does not begin with / begins at the kubeconfig's folder");
    assert_snapshot!(fault("clusters: {}\n"), @"/k/0: contexts: there is none, and no --server is given: is this a whole kubeconfig?");
    assert_snapshot!(fault("contexts: [{name: a, context: {}}, {name: b, context: {}}]\n"), @"/k/0: current-context: is missing: choose one with --context, or `nexusctl config use-context` (a, b)");
}

#[test]
fn no_fault_shows_a_secret() {
    for text in [
        GOOD.replace("token: secret-token", "token: \"a\\nsecret-token\""),
        GOOD.to_owned() + "\tsecret-token",
    ] {
        let shown = fault(&text);
        assert!(shown != "no fault" && !shown.contains("secret-token"), "{shown}");
    }
    let target = resolved(&[GOOD], &Overrides::default()).unwrap();
    assert!(target.identity.certificate.is_none());
}

#[test]
fn files_are_looked_for_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let environment = Environment { home: Some(home.into()), ..Environment::default() };
    fs::create_dir_all(home.join(".kube")).unwrap();
    fs::write(home.join(".kube/config"), GOOD).unwrap();
    assert_eq!(locate(&environment, None).unwrap().files, [home.join(".kube/config")]);
    let by_up = home.join(".local/share/hypermesh/admin.kubeconfig");
    fs::create_dir_all(by_up.parent().unwrap()).unwrap();
    fs::write(&by_up, GOOD).unwrap();
    assert_eq!(locate(&environment, None).unwrap().files, std::slice::from_ref(&by_up));
    let list = std::env::join_paths([home.join("none"), home.join(".kube/config"), by_up.clone()]).unwrap();
    let environment = Environment { kubeconfig: Some(list), ..environment };
    let located = locate(&environment, None).unwrap();
    assert_eq!(located.files, [home.join(".kube/config"), by_up.clone()]);
    assert_eq!(located.looked_at, [home.join("none")]);
    assert_eq!(locate(&environment, Some(&by_up)).unwrap().files, [by_up]);
    assert!(matches!(locate(&environment, Some(&home.join("none"))), Err(Error::Unreadable { .. })));
    let nothing = Environment { kubeconfig: Some(home.join("none").into()), ..Environment::default() };
    assert!(matches!(load(&nothing, &Overrides::default()), Err(Error::NoConfiguration { .. })));
}

#[test]
fn a_plugin_is_what_the_user_names_unless_a_token_goes_before_it() {
    let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login, args: [a, b], env: [{name: R, \
                value: eu}], interactiveMode: IfAvailable, installHint: Get it., provideClusterInfo: true}";
    let text = GOOD.replace("token: secret-token", exec).replace(
        "tls-server-name: internal",
        "tls-server-name: internal\n    certificate-authority-data: aGk=\n    extensions: [{name: \
         client.authentication.k8s.io/exec, extension: {audience: x}}]",
    );
    let plugin = resolved(&[&text], &Overrides::default()).unwrap().plugin.unwrap();
    // Relative to the kubeconfig that names it.
    assert_eq!(plugin.command, Path::new("/k/bin/login"));
    assert_eq!(
        (plugin.arguments.len(), plugin.variables.len(), plugin.hint.as_deref()),
        (2, 1, Some("Get it."))
    );
    assert_eq!(
        plugin.cluster.unwrap(),
        serde_json::json!({"server": "https://api.example.com:6443/prefix", "tls-server-name": "internal",
            "certificate-authority-data": "aGk=", "config": {"audience": "x"}})
    );
    let both = text.replace("    exec:", "    token: t\n    exec:");
    assert!(resolved(&[&both], &Overrides::default()).unwrap().plugin.is_none());
    let flag = Overrides { token: Some("t".into()), ..Overrides::default() };
    assert!(resolved(&[&text], &flag).unwrap().plugin.is_none());
    let two =
        text.replace("    exec:", "    client-certificate-data: aGk=\n    client-key-data: aGk=\n    exec:");
    assert!(
        fault(&two).contains("users[0].user.exec: a client certificate stands beside it"),
        "{}",
        fault(&two)
    );
}
