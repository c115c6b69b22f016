//! `config`: what is shown, what is changed and where, what is kept, and what broken files are told.

use super::{Ran, run_in, server::Server};
use http::Method;
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::json;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const FIRST: &str = "apiVersion: v1
kind: Config
current-context: here
x-team: platform
clusters:
- name: c
  cluster:
    server: https://a.example:6443
    certificate-authority: ca.crt
    extensions:
    - name: hypermesh.online/cluster
      extension: {id: \"0707070707070707070707070707070707070707070707070707070707070707\"}
contexts:
- name: here
  context: {cluster: c, user: u, namespace: prod, x-note: kept}
users:
- name: u
  user: {client-key-data: c2VjcmV0, client-certificate-data: aGk=, token: secret}
";
const SECOND: &str = "current-context: there
clusters:
- {name: c, cluster: {server: 'https://shadowed'}}
- {name: d, cluster: {server: 'https://b.example'}}
contexts:
- name: there
  context: {cluster: d}
";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.path("one"), FIRST).unwrap();
        fs::write(folder.path("two"), SECOND).unwrap();
        fs::write(folder.path("ca.crt"), "the authority").unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `nexusctl config …` over files, `KUBECONFIG` naming them in this order.
    fn over(&self, files: &[&str], words: &str) -> Ran {
        let list = std::env::join_paths(files.iter().map(|file| self.path(file))).unwrap();
        let environment = Environment { kubeconfig: Some(list), ..Environment::default() };
        let mut ran = run_in(environment, &format!("config {words}"), "");
        let folder = self.0.path().display().to_string();
        (ran.out, ran.err) = (ran.out.replace(&folder, ""), ran.err.replace(&folder, ""));
        ran
    }

    fn ok(&self, files: &[&str], words: &str) -> String {
        let ran = self.over(files, words);
        assert_eq!(ran.code, 0, "config {words}: {}", ran.err);
        ran.out + &ran.err
    }

    fn fails(&self, files: &[&str], words: &str) -> String {
        let ran = self.over(files, words);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "config {words}");
        ran.err
    }
}

const BOTH: [&str; 2] = ["one", "two"];

#[test]
fn the_first_file_wins_and_secrets_are_left_out() {
    let folder = Folder::new();
    let view = folder.ok(&BOTH, "view");
    assert!(!view.contains("secret") && !view.contains("c2VjcmV0"), "{view}");
    assert_snapshot!(view);
    assert!(folder.ok(&BOTH, "view --raw").contains("token: secret"));
    let small = folder.ok(&BOTH, "view --minify --context there -o json");
    let small: serde_json::Value = serde_json::from_str(&small).unwrap();
    assert_eq!(small["clusters"].as_array().unwrap().len(), 1);
    assert_eq!(small["users"].as_array().unwrap().len(), 0);
    let whole = folder.ok(&BOTH, "view --flatten");
    assert!(whole.contains("certificate-authority-data: dGhlIGF1dGhvcml0eQ=="), "{whole}");
    assert_snapshot!(folder.fails(&BOTH, "view --minify --context nowhere"), @"error: cannot locate context nowhere");
}

#[test]
fn contexts_are_listed() {
    let folder = Folder::new();
    assert_snapshot!(folder.ok(&BOTH, "get-contexts"), @"
    CURRENT   NAME    CLUSTER   AUTHINFO   NAMESPACE
    *         here    c         u          prod
              there   d                    
    ");
    assert_snapshot!(folder.ok(&BOTH, "get-contexts -o name"), @"
    here
    there
    ");
    assert_snapshot!(folder.ok(&BOTH, "current-context"), @"here");
    assert_snapshot!(folder.ok(&BOTH, "get-clusters"), @"
    NAME
    c
    d
    ");
    assert_snapshot!(folder.fails(&BOTH, "get-contexts hree"), @r#"error: there is no context "hree"; did you mean "here"?"#);
}

#[test]
fn a_change_goes_where_the_entry_stands() {
    let folder = Folder::new();
    let (one, two) = (folder.text("one"), folder.text("two"));
    assert_snapshot!(folder.ok(&BOTH, "set-context there --namespace team"), @r#"Context "there" modified."#);
    assert_eq!(folder.text("one"), one);
    assert!(folder.text("two").contains("namespace: team"));
    assert_snapshot!(folder.ok(&BOTH, "set-context new --cluster c --user u"), @r#"Context "new" created."#);
    assert!(folder.text("one").contains("name: new"));
    // The file that is read first says which context is the current one.
    assert_snapshot!(folder.ok(&BOTH, "use-context there"), @r#"Switched to context "there"."#);
    assert_snapshot!(folder.ok(&BOTH, "current-context"), @"there");
    assert!(folder.text("one").contains("current-context: there"));
    assert!(two.contains("current-context: there"));
    assert_snapshot!(folder.fails(&BOTH, "use-context thre"), @r#"error: there is no context "thre"; did you mean "there"?"#);
}

#[test]
fn what_is_not_understood_is_kept() {
    let folder = Folder::new();
    folder.ok(&["one"], "set-context --current --namespace team");
    let text = folder.text("one");
    for kept in ["x-team: platform", "x-note: kept", "hypermesh.online/cluster", "namespace: team", "\"0707"]
    {
        assert!(text.contains(kept), "{kept}:\n{text}");
    }
}

#[test]
fn permissions_and_links_stay_and_no_draft_is_left() {
    let folder = Folder::new();
    fs::set_permissions(folder.path("one"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("one", folder.path("link")).unwrap();
    folder.ok(&["link"], "set-context here --namespace a");
    assert!(fs::symlink_metadata(folder.path("link")).unwrap().file_type().is_symlink());
    assert_eq!(fs::metadata(folder.path("one")).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(folder.text("one").contains("namespace: a"));
    // A file that was not there is its owner's alone: it will hold keys.
    folder.ok(&["three"], "set-credentials x --token abc");
    assert_eq!(fs::metadata(folder.path("three")).unwrap().permissions().mode() & 0o777, 0o600);
    let mut names: Vec<_> = fs::read_dir(folder.0.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ca.crt", "link", "one", "three", "two"]);
}

#[test]
fn clusters_and_users_are_made_whole() {
    let folder = Folder::new();
    let ca = folder.path("ca.crt");
    let set = format!(
        "set-cluster net --server n.example:6443 --certificate-authority {} --embed-certs",
        ca.display()
    );
    assert_snapshot!(folder.ok(&["three"], &set), @r#"Cluster "net" set."#);
    folder.ok(&["three"], "set-credentials me --token t");
    folder.ok(&["three"], "set-context net --cluster net --user me");
    folder.ok(&["three"], "use-context net");
    assert_snapshot!(folder.text("three"), @"
    apiVersion: v1
    clusters:
    - cluster:
        certificate-authority-data: dGhlIGF1dGhvcml0eQ==
        server: https://n.example:6443
      name: net
    contexts:
    - context:
        cluster: net
        user: me
      name: net
    current-context: net
    kind: Config
    users:
    - name: me
      user:
        token: t
    ");
    folder.ok(&["three"], "set-cluster net --insecure-skip-tls-verify");
    assert!(!folder.text("three").contains("certificate-authority"));
    assert_snapshot!(folder.fails(&["three"], "set-cluster net --server ftp://x"), @r#"error: --server: "ftp://x": the scheme "ftp" is not https"#);
}

#[test]
fn entries_are_deleted_and_renamed() {
    let folder = Folder::new();
    assert_snapshot!(folder.ok(&BOTH, "delete-cluster d"), @"
    deleted cluster d from /two
    warning: contexts still name it: there
    ");
    assert_snapshot!(folder.ok(&BOTH, "rename-context here home"), @r#"Context "here" renamed to "home"."#);
    assert_snapshot!(folder.ok(&BOTH, "current-context"), @"home");
    assert_snapshot!(folder.fails(&BOTH, "rename-context home there"), @r#"error: there is a context "there" already: choose another name, or delete that one first"#);
    assert_snapshot!(folder.ok(&BOTH, "delete-context home"), @"
    deleted context home from /one
    warning: that was the current context: choose another with config use-context
    ");
    assert_snapshot!(folder.fails(&BOTH, "delete-user v"), @r#"error: there is no user "v"; did you mean "u"?"#);
}

#[test]
fn what_is_broken_is_told_and_left_as_it_was() {
    let folder = Folder::new();
    for (text, told) in [
        ("a: [\n", "error: /one:1:4: unclosed bracket '['"),
        ("clusters: {}\n", "error: /one:1:11: clusters: must be a list; this is a mapping"),
        ("users: [{name: u}]\n", "error: /one:1:9: users[0].user: is missing"),
        ("contexts: [{context: {}}]\n", "error: /one:1:12: contexts[0].name: is missing"),
        ("current-context: [x]\n", ""),
    ] {
        fs::write(folder.path("one"), text).unwrap();
        let ran = folder.over(&["one"], "set-context x --namespace y");
        if told.is_empty() {
            continue;
        }
        assert_eq!((ran.code, ran.err.trim_end()), (1, told));
        assert_eq!(folder.text("one"), text);
    }
}

#[test]
fn a_file_that_a_server_writes_anew_is_not_changed() {
    let folder = Folder::new();
    let home = folder.0.path();
    let by_up = home.join(".local/share/hypermesh/admin.kubeconfig");
    fs::create_dir_all(by_up.parent().unwrap()).unwrap();
    fs::write(&by_up, FIRST).unwrap();
    let environment = Environment { home: Some(home.to_owned()), ..Environment::default() };
    let ran = run_in(environment.clone(), "config set-context --current --namespace x", "");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("belongs to `nexusctl up`") && ran.err.contains("config view --raw"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_to_string(&by_up).unwrap(), FIRST);
    assert_eq!(run_in(environment, "config current-context", "").out, "here\n");
    // Wherever the cluster's folder is.
    let (elsewhere, words) = (folder.path("admin.kubeconfig"), "config set-context --current --namespace x");
    fs::write(&elsewhere, FIRST).unwrap();
    let named = Environment { kubeconfig: Some(elsewhere.clone().into()), ..Environment::default() };
    assert_eq!(run_in(named.clone(), words, "").code, 0);
    fs::write(folder.path("genesis"), "").unwrap();
    let ran = run_in(named, words, "");
    assert!(ran.code == 1 && ran.err.contains("belongs to `nexusctl up`"), "{}", ran.err);
}

#[test]
fn a_lock_that_stays_is_named() {
    let folder = Folder::new();
    fs::write(folder.path("one.lock"), "").unwrap();
    let told = folder.fails(&["one"], "use-context here");
    assert_snapshot!(told, @"error: /one is being changed by another program: try again, or remove /one.lock if none runs");
    assert!(Path::new(&folder.path("one.lock")).exists());
}

#[test]
fn certificates_are_looked_for_where_the_kubeconfig_lies() {
    let home = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("genesis"), "").unwrap();
    let kubeconfig = data.path().join("admin.kubeconfig");
    fs::write(&kubeconfig, "").unwrap();
    let environment = Environment {
        home: Some(home.path().to_owned()),
        kubeconfig: Some(kubeconfig.into()),
        ..Environment::default()
    };
    let hint = format!("--data-dir {}", data.path().display());
    for verb in ["status", "rotate", "rotate-store-key"] {
        let ran = run_in(environment.clone(), &format!("certs {verb}"), "");
        assert_eq!(ran.code, 1);
        assert!(ran.err.trim_end().ends_with(&hint), "{verb}: {}", ran.err);
        let said = run_in(environment.clone(), &format!("certs {verb} --data-dir /nowhere"), "");
        assert!(!said.err.contains(&hint), "{verb}: {}", said.err);
    }
}

#[test]
fn a_plugin_says_who_is_calling_and_is_asked_once() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let kubeconfig = |plugin: &str| {
        let text = format!(
            "current-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{}'}}}}]\n\
             users:\n- name: u\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      \
             command: {plugin}\n      args: [eu]\n      interactiveMode: IfAvailable\n",
            server.url()
        );
        fs::write(at("kubeconfig"), text).unwrap();
    };
    let plugin = r#"#!/bin/sh
echo "$1" >> "$(dirname "$0")/asked"
echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "from-a-plugin"}}'
"#;
    fs::write(at("login"), plugin).unwrap();
    fs::set_permissions(at("login"), fs::Permissions::from_mode(0o755)).unwrap();
    let environment =
        Environment { kubeconfig: Some(at("kubeconfig").into_os_string()), ..Environment::default() };
    kubeconfig("./login");
    let ran = run_in(environment.clone(), "get cm,secrets", "");
    assert_eq!((ran.code, ran.err.as_str()), (0, "No resources found in default namespace.\n"));
    assert!(
        server.seen().len() > 2 && server.seen().iter().all(|s| s.authorization == "Bearer from-a-plugin")
    );
    assert_eq!(fs::read_to_string(at("asked")).unwrap(), "eu\n");
    // A token of the command line goes before it.
    let _ = run_in(environment.clone(), "--token mine get cm", "");
    assert_eq!(server.seen().pop().unwrap().authorization, "Bearer mine");
    assert_eq!(fs::read_to_string(at("asked")).unwrap(), "eu\n");
    // Whom the server does not know is told who vouched for them, and what to do.
    let unauthorized = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401});
    server.script(Method::GET, "/api/v1/namespaces/default/configmaps", 401, unauthorized);
    let refused = |flags: &str| {
        let ran = run_in(environment.clone(), &format!("get cm {flags}"), "");
        assert_eq!(ran.code, 1);
        ran.err.replace(&folder.path().display().to_string(), "").replace(&server.url(), "URL")
    };
    assert_snapshot!(refused(""), @r#"error: URL does not know who is asking (Unauthorized): it refuses what /./login handed out, the credential plugin of /kubeconfig:9:16: users[0].user.exec.command (context "c", user "u"): it expired, was revoked, or is of another cluster. Log in again with that program, or run it by itself to see what it says"#);
    assert_snapshot!(refused("--token mine"), @"error: URL does not know who is asking (Unauthorized): it refuses what --token says: it expired, was revoked, or is of another cluster");
    kubeconfig("no-such-login");
    let ran = run_in(environment, "get cm", "");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("users[0].user.exec.command: there is no program no-such-login, which is to hand out"),
        "{}",
        ran.err
    );
}
