//! `create`: what is built from words and files, and what is refused before anything is sent.

use super::server::Server;
use http::Method;
use insta::assert_snapshot;
use std::fs;

/// A manifest built without a cluster.
fn built(words: &str) -> String {
    let ran = super::run_with(&format!("create {words} --dry-run=client -o yaml"), "");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{words}");
    ran.out
}

#[test]
fn builds_what_words_say() {
    assert_snapshot!(built("namespace team"), @"
    apiVersion: v1
    kind: Namespace
    metadata:
      name: team
    ");
    assert_snapshot!(built("sa robot -n team"), @"
    apiVersion: v1
    kind: ServiceAccount
    metadata:
      name: robot
      namespace: team
    ");
    assert_snapshot!(built("configmap c --from-literal=a=1 --from-literal=b=x=y --immutable"), @r#"
    apiVersion: v1
    data:
      a: "1"
      b: x=y
    immutable: true
    kind: ConfigMap
    metadata:
      name: c
      namespace: default
    "#);
    assert_snapshot!(built("secret generic s --from-literal=user=me --type=example.com/login"), @"
    apiVersion: v1
    data:
      user: bWU=
    kind: Secret
    metadata:
      name: s
      namespace: default
    type: example.com/login
    ");
    assert_snapshot!(built("secret docker-registry d --docker-server=r.example --docker-username=u --docker-password=p"), @"
    apiVersion: v1
    data:
      .dockerconfigjson: eyJhdXRocyI6eyJyLmV4YW1wbGUiOnsiYXV0aCI6ImRUcHciLCJwYXNzd29yZCI6InAiLCJ1c2VybmFtZSI6InUifX19
    kind: Secret
    metadata:
      name: d
      namespace: default
    type: kubernetes.io/dockerconfigjson
    ");
    assert_snapshot!(built("rolebinding b --clusterrole=view --user=jane --group=g --serviceaccount=team:robot"), @"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: RoleBinding
    metadata:
      name: b
      namespace: default
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: ClusterRole
      name: view
    subjects:
    - apiGroup: rbac.authorization.k8s.io
      kind: User
      name: jane
    - apiGroup: rbac.authorization.k8s.io
      kind: Group
      name: g
    - kind: ServiceAccount
      name: robot
      namespace: team
    ");
    assert_snapshot!(built("clusterrolebinding b --clusterrole=view --group=g"), @"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRoleBinding
    metadata:
      name: b
    roleRef:
      apiGroup: rbac.authorization.k8s.io
      kind: ClusterRole
      name: view
    subjects:
    - apiGroup: rbac.authorization.k8s.io
      kind: Group
      name: g
    ");
    assert_snapshot!(built("clusterrole m --verb=get --non-resource-url=/metrics"), @"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      name: m
    rules:
    - nonResourceURLs:
      - /metrics
      verbs:
      - get
    ");
    assert_snapshot!(built("clusterrole a --aggregation-rule=part=a"), @"
    aggregationRule:
      clusterRoleSelectors:
      - matchLabels:
          part: a
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      name: a
    rules: []
    ");
}

#[test]
fn roles_name_what_the_server_serves() {
    let server = Server::start();
    let ran =
        server.run("create role r --verb=get,lst --resource=wl,cm,workloads/scale --dry-run=client -o yaml");
    assert_snapshot!(ran.out, @r#"
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      name: r
      namespace: default
    rules:
    - apiGroups:
      - ""
      resources:
      - configmaps
      verbs:
      - get
      - lst
    - apiGroups:
      - hypermesh.online
      resources:
      - workloads
      - workloads/scale
      verbs:
      - get
      - lst
    "#);
    assert_snapshot!(ran.err, @r#"Warning: "lst" is no usual verb; did you mean "list"?"#);
    assert_snapshot!(server.run("create role r --verb=get --resource=worklods").err, @r#"error: the server doesn't have a resource type "worklods"; did you mean "workloads"?"#);
}

#[test]
fn files_become_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.txt"), "text\n").unwrap();
    fs::write(path("b.bin"), [0xff, 0x00]).unwrap();
    fs::write(path("not a key"), "x").unwrap();
    fs::write(path("c.env"), "A=1\n# no\nB=two words\n").unwrap();
    assert_snapshot!(built(&format!("cm c --from-file={}", folder.path().display())), @"
    apiVersion: v1
    binaryData:
      b.bin: /wA=
    data:
      a.txt: |
        text
      c.env: |
        A=1
        # no
        B=two words
    kind: ConfigMap
    metadata:
      name: c
      namespace: default
    ");
    let (env, bin) = (path("c.env"), path("b.bin"));
    assert_snapshot!(built(&format!("cm c --from-env-file={} --from-file=k={}", env.display(), bin.display())), @r#"
    apiVersion: v1
    binaryData:
      k: /wA=
    data:
      A: "1"
      B: two words
    kind: ConfigMap
    metadata:
      name: c
      namespace: default
    "#);
    let refused = |words: &str| super::run_with(&format!("create {words} --dry-run=client"), "").err;
    assert_snapshot!(refused("cm c --from-literal=a"), @"error: --from-literal=a: give KEY=VALUE");
    assert_snapshot!(refused("cm c --from-literal=a=1 --from-literal=a=2"), @r#"error: --from-literal: the key "a" is given twice"#);
    assert_snapshot!(refused("cm c --from-literal=a/b=1"), @r#"error: --from-literal: "a/b" cannot be a key: letters, digits, '-', '_' and '.' can"#);
    assert_snapshot!(refused("cm c --from-file=/nowhere/x"), @"error: cannot read /nowhere/x: No such file or directory (os error 2)");
    assert_snapshot!(refused("namespace a/b"), @r#"error: "a/b" cannot be a name"#);
}

#[test]
fn what_is_secret_may_come_from_standard_input() {
    let words = "create secret docker-registry d --docker-server=r --docker-username=u --docker-password-stdin --dry-run=client -o json";
    let ran = super::run_with(words, "p\n");
    // {"auths":{"r":{"auth":"dTpw","password":"p","username":"u"}}}
    assert!(
        ran.out
            .contains("eyJhdXRocyI6eyJyIjp7ImF1dGgiOiJkVHB3IiwicGFzc3dvcmQiOiJwIiwidXNlcm5hbWUiOiJ1In19fQ=="),
        "{}",
        ran.out
    );
    let ran = super::run_with("create secret generic s --from-file=key=- --dry-run=client -o json", "hidden");
    assert!(ran.out.contains("aGlkZGVu"), "{}{}", ran.out, ran.err);
}

#[test]
fn certificates_and_keys_must_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let pair = |name: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (cert, key) =
            (folder.path().join(format!("{name}.crt")), folder.path().join(format!("{name}.key")));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert.display().to_string(), key.display().to_string())
    };
    let ((cert, key), (_, other)) = (pair("a"), pair("b"));
    assert!(built(&format!("secret tls t --cert={cert} --key={key}")).contains("type: kubernetes.io/tls"));
    let shown = |words: String| {
        let ran = super::run_with(&format!("create secret tls t --dry-run=client {words}"), "");
        ran.err.replace(&folder.path().display().to_string(), "")
    };
    assert_snapshot!(shown(format!("--cert={cert} --key={other}")), @"error: /b.key is not the key of the certificate in /a.crt");
    assert_snapshot!(shown(format!("--cert={key} --key={key}")), @"error: /a.key holds no certificate: it holds PRIVATE KEY, and -----BEGIN CERTIFICATE----- was expected");
    assert_snapshot!(shown(format!("--cert={cert} --key={cert}")), @"error: /a.crt holds no usable private key: it holds CERTIFICATE, and -----BEGIN PRIVATE KEY----- was expected");
    // Well-formed PEM of what is no certificate.
    let empty = folder.path().join("empty.crt").display().to_string();
    fs::write(&empty, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert_snapshot!(shown(format!("--cert={empty} --key={key}")), @"error: /empty.crt holds a block CERTIFICATE that is no X.509 certificate in DER: take it anew from whoever issued it");
}

#[test]
fn who_asks_and_who_is_bound_are_not_mixed_up() {
    let ran =
        super::run_with("--user me create rolebinding b --clusterrole=view --group=g --dry-run=client", "");
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err, @"error: --user before `create` would choose who asks, and after it says who is bound: choose who asks by --context");
}

#[test]
fn creates_what_does_not_exist() {
    let server = Server::start();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n";
    let ran = server.run_with("create -f -", manifest);
    assert_eq!(ran.err, "");
    assert_snapshot!(ran.out, @"
    configmap/x-102 created
    configmap/two created
    ");
    let again = server.run_with("create -f -", manifest);
    assert_eq!((again.code, again.out.as_str()), (1, ""));
    assert_snapshot!(again.err, @r#"
    error: ConfigMap "two": the server refused it (AlreadyExists): /api/v1/namespaces/default/configmaps/two already exists
     --> <stdin>:5:1
      |
    5 | apiVersion: v1
      | ^

    error: 1 of 2 objects refused, so nothing was created
    "#);
    assert!(server.run("create").err.contains("say what to create"));
    let post = server.writes().into_iter().find(|seen| seen.method == Method::POST).unwrap();
    assert_eq!(post.query, "fieldManager=nexusctl-create&fieldValidation=Strict&dryRun=All");
}
