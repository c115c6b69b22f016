//! Kubeconfigs of daemons, whole and broken in each field.

use super::*;

const GOOD: &str = r#"apiVersion: v1
kind: Config
current-context: here
contexts:
- name: here
  context: {cluster: c, user: u, namespace: prod}
clusters:
- name: c
  cluster:
    server: https://api.example.com:6443/prefix/
    certificate-authority-data: aGk=
    extensions:
    - name: hypermesh.online/cluster
      extension: {id: "0707070707070707070707070707070707070707070707070707070707070707"}
users:
- name: u
  user:
    client-certificate-data: aGk=
    client-key-data: c2VjcmV0
"#;

fn config(text: &str) -> Result<Config, Error> {
    File::parse(Path::new("/k"), text)?.config()
}

#[test]
fn a_context_names_server_identity_and_cluster() {
    let config = config(GOOD).unwrap();
    assert_eq!(config.server.url(), "https://api.example.com:6443/prefix");
    assert_eq!(config.namespace, "prod");
    assert_eq!(config.cluster.unwrap().0.0, [7; 32]);
    assert!(config.identity.certificate.is_some());
    assert!(matches!(config.trust, Trust::Authorities(_)));
}

#[test]
fn a_user_may_say_that_writes_have_to_be_signed() {
    assert!(!config(GOOD).unwrap().identity.must_sign);
    let extended = |required: &str| {
        let extension =
            format!("extensions: [{{name: hypermesh.online/signing, extension: {{required: {required}}}}}]");
        GOOD.replace("  user:\n", &format!("  user:\n    {extension}\n"))
    };
    assert!(config(&extended("true")).unwrap().identity.must_sign);
    assert!(!config(&extended("false")).unwrap().identity.must_sign);
}

#[test]
fn each_broken_field_is_told_by_its_name() {
    let mut told = String::new();
    for (from, to) in [
        (GOOD, "a: [\n"),
        (GOOD, "- x\n"),
        (GOOD, ""),
        ("current-context: here", "current-context: ''"),
        ("current-context: here", "current-context: [x]"),
        ("current-context: here", "current-context: hree"),
        ("cluster: c,", "cluster: nope,"),
        ("cluster: c,", ""),
        ("user: u,", "user: nope,"),
        ("namespace: prod", "namespace: 5"),
        ("  context: {cluster: c, user: u, namespace: prod}", "  x: {}"),
        ("  context: {cluster: c, user: u, namespace: prod}", "  context: []"),
        ("users:\n- name: u\n  user:\n", "users:\n  u:\n"),
        ("https://api.example.com:6443/prefix/", "ftp://x"),
        ("https://api.example.com:6443/prefix/", "http://10.0.0.1"),
        ("    server: https://api.example.com:6443/prefix/\n", ""),
        ("certificate-authority-data: aGk=", "certificate-authority-data: '%%%'"),
        ("certificate-authority-data: aGk=", "certificate-authority: nope.crt"),
        ("certificate-authority-data: aGk=", "proxy-url: http://p"),
        ("certificate-authority-data: aGk=", "insecure-skip-tls-verify: 'yes'"),
        ("    extensions:", "    insecure-skip-tls-verify: true\n    extensions:"),
        ("id: \"07", "id: \"xx"),
        ("    client-key-data: c2VjcmV0\n", ""),
        ("    client-certificate-data: aGk=\n", ""),
        ("client-key-data: c2VjcmV0", "client-key-data: [c2VjcmV0]"),
        ("client-key-data: c2VjcmV0", "exec: {command: aws}\n    client-key-data: c2VjcmV0"),
        ("client-key-data: c2VjcmV0", "password: hunter2\n    client-key-data: c2VjcmV0"),
        ("client-key-data: c2VjcmV0", "tokenFile: nope\n    client-key-data: c2VjcmV0"),
        ("client-key-data: c2VjcmV0", "token: \"a b\"\n    client-key-data: c2VjcmV0"),
        ("client-key-data: c2VjcmV0", "as-groups: x\n    client-key-data: c2VjcmV0"),
        (
            "  user:\n",
            "  user:\n    extensions: [{name: hypermesh.online/signing, extension: {required: 'yes'}}]\n",
        ),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let error = config(&text).err().map_or_else(|| "no fault".to_owned(), |e| e.to_string());
        assert!(!error.contains("c2VjcmV0") && !error.contains("hunter2"), "{error}");
        told.push_str(&format!("{error}\n"));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::from_kubeconfig(Path::new("/nowhere/k")).unwrap_err();
    insta::assert_snapshot!(error, @"/nowhere/k: the kubeconfig cannot be read: No such file or directory (os error 2)");
}

#[test]
fn files_that_are_named_are_watched() {
    let text = GOOD.replace("client-key-data: c2VjcmV0", "client-key: k.pem\n    tokenFile: /t");
    let file = File::parse(Path::new("/d/k"), &text).unwrap();
    assert_eq!(file.files(), ["/d/k", "/d/k.pem", "/t"].map(PathBuf::from));
}
