//! A kubeconfig broken in each field, in every way that people break them: the message says file, line, column and field,
//! what is wrong and what to do next, and never repeats a secret.

use super::{run_in, server::Server};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use insta::assert_snapshot;
use nexusctl::Environment;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_ED25519};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

/// A kubeconfig that works, as its parts.
struct Good {
    folder: tempfile::TempDir,
    certificate: String,
    key: String,
    other_key: String,
}

impl Good {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec!["admin".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        let other_key = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
        let good =
            Self { folder: tempfile::tempdir().unwrap(), certificate, key: key.serialize_pem(), other_key };
        for (name, text) in
            [("c.pem", &good.certificate), ("k.pem", &good.key), ("other.pem", &good.other_key)]
        {
            fs::write(good.at(name), text).unwrap();
        }
        fs::write(good.at("token"), "from-a-file\n").unwrap();
        fs::create_dir(good.at("folder")).unwrap();
        symlink(good.at("loop"), good.at("pool")).unwrap();
        symlink(good.at("pool"), good.at("loop")).unwrap();
        symlink(good.at("nowhere"), good.at("dangling")).unwrap();
        fs::write(good.at("bytes"), [0xff, 0xfe]).unwrap();
        fs::write(good.at("nothing"), "").unwrap();
        good
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text, each field on a line of its own.
    fn text(&self) -> String {
        format!(
            "apiVersion: v1
kind: Config
preferences: {{}}
current-context: here
contexts:
- name: here
  context:
    cluster: c
    user: u
    namespace: prod
clusters:
- name: c
  cluster:
    server: https://127.0.0.1:1
    tls-server-name: api.example
    certificate-authority-data: {}
users:
- name: u
  user:
    client-certificate-data: {}
    client-key-data: {}
",
            data(&self.certificate),
            data(&self.certificate),
            data(&self.key)
        )
    }

    /// What is said of a kubeconfig. Nothing may be dialled: what is wrong is found before.
    fn told(&self, text: &str) -> String {
        let path = self.at("config");
        fs::write(&path, text).unwrap();
        self.told_of(&path)
    }

    fn told_of(&self, path: &Path) -> String {
        let environment = Environment { kubeconfig: Some(path.into()), ..Environment::default() };
        let ran = run_in(environment, "get --raw /version", "");
        assert!(ran.code != 0 && ran.out.is_empty(), "{}", ran.out);
        let secret = |pem: &str| pem.lines().nth(1).unwrap().to_owned();
        for secret in [secret(&self.key), secret(&self.other_key), "s3cret".to_owned()] {
            assert!(!ran.err.contains(&secret) && !ran.err.contains(&data(&secret)), "{}", ran.err);
        }
        ran.err.replace(&self.folder.path().display().to_string(), "").trim_end().to_owned()
    }

    /// The good text with one line in the place of another.
    fn with(&self, field: &str, line: &str) -> String {
        let text = self.text();
        let lines: Vec<String> = text
            .lines()
            .map(|old| {
                if old.trim_start().starts_with(&format!("{field}:")) {
                    line.to_owned()
                } else {
                    old.to_owned()
                }
            })
            .filter(|line| !line.is_empty())
            .collect();
        let changed = lines.join("\n") + "\n";
        assert_ne!(changed, text, "{field}");
        changed
    }
}

fn data(text: &str) -> String {
    STANDARD.encode(text)
}

/// What is told, a paragraph for each way.
fn all(good: &Good, ways: &[(&str, String)]) -> String {
    let told: Vec<String> = ways.iter().map(|(way, text)| format!("# {way}\n{}", good.told(text))).collect();
    told.join("\n")
}

/// Values of every type where a text belongs.
const NO_TEXT: [(&str, &str); 4] =
    [("a number", "5"), ("a boolean", "true"), ("a list", "[x]"), ("a mapping", "{a: b}")];

#[test]
fn a_kubeconfig_without_a_fault_is_read_to_the_end() {
    let good = Good::new();
    let told = good.told(&good.text());
    assert!(told.starts_with("error: cannot reach https://127.0.0.1:1: connection refused"), "{told}");
}

#[test]
fn the_file_as_a_whole() {
    let good = Good::new();
    let text = good.text();
    let mut ways = vec![
        ("nothing", String::new()),
        ("no mapping", "- a\n".to_owned()),
        ("only a comment", "# later\n".to_owned()),
        ("no YAML", "a: [\n".to_owned()),
        ("tabs", text.replace("    cluster: c\n", "\tcluster: c\n")),
        ("two documents", format!("{text}---\n{text}")),
        ("a key twice", text.replace("kind: Config", "kind: Config\nkind: Config")),
        ("another kind", good.with("kind", "kind: Pod")),
        ("another version", good.with("apiVersion", "apiVersion: v2")),
        ("a list that is none", text.replace("clusters:\n- name: c", "clusters:\n  name: c")),
        ("a misspelt list", text.replace("clusters:\n", "cluster:\n")),
        ("JSON with a comma too many", "{\"kind\": \"Config\", \"contexts\": [{]}".to_owned()),
    ];
    for list in ["contexts", "clusters", "users"] {
        ways.push((list, text.replace(&format!("{list}:\n"), &format!("{list}: 5\nx:\n"))));
        ways.push((list, text.replace(&format!("{list}:\n"), &format!("{list}:\n- 5\n"))));
        ways.push((list, text.replace(&format!("{list}:\n"), &format!("{list}: null\nx:\n"))));
    }
    for name in ["c", "here", "u"] {
        ways.push(("an entry without a name", text.replace(&format!("- name: {name}\n"), "- nome: x\n")));
    }
    let twice = text.replace("users:\n", "users:\n- {name: u, user: {token: s3cret}}\n");
    ways.push(("two entries of a name", twice));
    assert_snapshot!(all(&good, &ways));
    for (way, name) in [
        ("a folder", "folder"),
        ("a circle of links", "loop"),
        ("no UTF-8", "bytes"),
        ("no end", "/dev/zero"),
    ] {
        let path = if name.starts_with('/') { PathBuf::from(name) } else { good.at(name) };
        let told = good.told_of(&path);
        assert!(told.starts_with("error: cannot read the kubeconfig "), "{way}: {told}");
    }
}

#[test]
fn contexts() {
    let good = Good::new();
    let mut ways = vec![
        ("no current one", good.with("current-context", "")),
        ("one that is not there", good.with("current-context", "current-context: hree")),
        ("no cluster", good.text().replace("    cluster: c\n", "")),
        ("a cluster that is not there", good.text().replace("    cluster: c\n", "    cluster: d\n")),
        ("a user that is not there", good.text().replace("    user: u\n", "    user: v\n")),
        ("a namespace that is none", good.with("namespace", "    namespace: Prod/1")),
        ("a misspelt field", good.with("namespace", "    namespaces: prod")),
        (
            "no mapping",
            good.text()
                .replace("  context:\n    cluster: c\n    user: u\n    namespace: prod\n", "  context: c\n"),
        ),
        (
            "nothing",
            good.text().replace("  context:\n    cluster: c\n    user: u\n    namespace: prod\n", ""),
        ),
    ];
    for (of, value) in NO_TEXT {
        ways.push((of, good.with("current-context", &format!("current-context: {value}"))));
        ways.push((of, good.text().replace("    cluster: c\n", &format!("    cluster: {value}\n"))));
        ways.push((of, good.text().replace("    user: u\n", &format!("    user: {value}\n"))));
        ways.push((of, good.with("namespace", &format!("    namespace: {value}"))));
    }
    assert_snapshot!(all(&good, &ways));
}

#[test]
fn clusters() {
    let good = Good::new();
    let server = |text: &str| good.with("server", &format!("    server: {text}"));
    let mut ways = vec![
        ("no server", good.with("server", "")),
        ("a misspelt server", good.with("server", "    sever: https://127.0.0.1:1")),
        ("an empty server", server("''")),
        ("another scheme", server("ftp://127.0.0.1")),
        ("plain HTTP", server("http://10.0.0.1:6443")),
        ("no host", server("'https://'")),
        ("a host that is none", server("https://a..b:6443")),
        ("spaces", server("'https://a b'")),
        ("a port that is none", server("https://a:70000")),
        ("credentials", server("https://me:s3cret@a")),
        ("a query", server("https://a?b=c")),
        ("a proxy", good.with("tls-server-name", "    proxy-url: http://proxy:3128")),
        ("any certificate, as a text", good.with("tls-server-name", "    insecure-skip-tls-verify: 'true'")),
        (
            "any certificate, and an authority",
            good.with("tls-server-name", "    insecure-skip-tls-verify: true"),
        ),
    ];
    for (way, name) in [
        ("a name with a scheme", "https://api.example"),
        ("a name with a port", "api.example:6443"),
        ("a pattern", "'*.example'"),
        ("a name with spaces", "'api example'"),
    ] {
        ways.push((way, good.with("tls-server-name", &format!("    tls-server-name: {name}"))));
    }
    for (of, value) in NO_TEXT {
        ways.push((of, server(value)));
        ways.push((of, good.with("tls-server-name", &format!("    tls-server-name: {value}"))));
    }
    let pinned = |id: &str| {
        good.with(
            "tls-server-name",
            &format!("    extensions: [{{name: hypermesh.online/cluster, extension: {id}}}]"),
        )
    };
    ways.push(("a pin that is none", pinned("{id: abc}")));
    ways.push(("a pin without an id", pinned("{}")));
    ways.push(("a misspelt field", good.with("tls-server-name", "    tls_server_name: api.example")));
    assert_snapshot!(all(&good, &ways));
}

/// In every way in which a field that holds base64 of PEM, or names a file of it, can be wrong.
fn material(good: &Good, field: &str, damaged: &str, strange: &str) -> String {
    let data_field = format!("{field}-data");
    let held = |value: &str| good.with(&data_field, &format!("    {data_field}: {value}"));
    let file = |value: &str| good.with(&data_field, &format!("    {field}: {value}"));
    let indented = |pem: &str| pem.lines().map(|line| format!("      {line}\n")).collect::<String>();
    let pem = if field == "client-key" { &good.key } else { &good.certificate };
    let der: Vec<u8> = pem
        .lines()
        .filter(|line| !line.starts_with('-'))
        .flat_map(|line| STANDARD.decode(line).unwrap())
        .collect();
    let whole = data(pem);
    let mut ways = vec![
        ("no base64", held("'%%%'")),
        ("spaces", held("'   '")),
        ("PEM as it is", held(&format!("|\n{}", indented(pem).trim_end()))),
        ("base64 of base64", held(&data(&whole))),
        ("the name of a file", held("/etc/pki/x.pem")),
        ("base64 for URLs", held(&whole.replace('L', "-").replace('0', "_"))),
        ("cut off", held(&whole[..whole.len() / 2 - 1])),
        ("cut off within PEM", held(&data(&pem[..pem.len() / 2]))),
        ("DER", held(&STANDARD.encode(&der))),
        ("line breaks lost", held(&data(&pem.replace('\n', "")))),
        ("no PEM", held(&data("hello"))),
        ("what is in it is something else", held(&data(strange))),
        ("what is in it is damaged", held(&data(damaged))),
        (
            "misspelt",
            good.text().replace(&format!("{data_field}:"), &format!("{}:", data_field.replace('-', "_"))),
        ),
        ("a file that is not there", file("none.pem")),
        ("a path from home", file("'~/none.pem'")),
        ("a variable", file("$HOME/none.pem")),
        ("a folder", file("folder")),
        ("below a file", file("c.pem/x")),
        ("a circle of links", file("loop")),
        ("a link that leads to nothing", file("dangling")),
        ("an empty file", file("nothing")),
        ("a file of something else", file("bytes")),
    ];
    for (of, value) in NO_TEXT {
        ways.push((of, held(value)));
        ways.push((of, file(value)));
    }
    all(good, &ways)
}

fn block(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[test]
fn authorities() {
    let good = Good::new();
    let damaged = block("CERTIFICATE", &[0x30, 0x03, 0x02, 0x01, 0x00]);
    assert_snapshot!(material(&good, "certificate-authority", &damaged, &good.key));
}

#[test]
fn certificates_of_clients() {
    let good = Good::new();
    let damaged = block("CERTIFICATE", &[0x30, 0x03, 0x02, 0x01, 0x00]);
    assert_snapshot!(material(&good, "client-certificate", &damaged, &good.key));
}

#[test]
fn keys_of_clients() {
    let good = Good::new();
    let damaged = block("PRIVATE KEY", &[0x30, 0x03, 0x02, 0x01, 0x00]);
    assert_snapshot!(material(&good, "client-key", &damaged, &good.certificate));
    let ways = [
        (
            "of another certificate",
            good.with("client-key-data", &format!("    client-key-data: {}", data(&good.other_key))),
        ),
        ("of another certificate, in a file", good.with("client-key-data", "    client-key: other.pem")),
        ("none", good.with("client-key-data", "")),
        ("no certificate", good.with("client-certificate-data", "")),
        ("an empty one", good.with("client-key-data", "    client-key-data: ''")),
        (
            "locked",
            good.with(
                "client-key-data",
                &format!("    client-key-data: {}", data(&block("ENCRYPTED PRIVATE KEY", b"x"))),
            ),
        ),
        (
            "of OpenSSH",
            good.with(
                "client-key-data",
                &format!("    client-key-data: {}", data(&block("OPENSSH PRIVATE KEY", b"x"))),
            ),
        ),
    ];
    assert_snapshot!("keys_and_certificates", all(&good, &ways));
}

#[test]
fn who_calls() {
    let good = Good::new();
    let user = |lines: &str| {
        good.with("client-certificate-data", lines)
            .replace(&format!("    client-key-data: {}\n", data(&good.key)), "")
    };
    let mut ways = vec![
        ("an empty token in a file", user("    tokenFile: nothing")),
        ("a token file that is not there", user("    tokenFile: none")),
        ("a token file that is a folder", user("    tokenFile: folder")),
        ("a token file of bytes", user("    tokenFile: bytes")),
        ("a misspelt token file", user("    token-file: token")),
        ("a token of two words", user("    token: s3cret s3cret")),
        ("a password", user("    username: me\n    password: s3cret")),
        ("a provider", user("    auth-provider: {name: gcp}")),
        ("groups of nobody", user("    token: t\n    as-groups: [a]")),
        ("groups that are no list", user("    token: t\n    as: me\n    as-groups: a")),
        ("groups that are no texts", user("    token: t\n    as: me\n    as-groups: [1]")),
        ("a uid", user("    token: t\n    as: me\n    as-uid: '7'")),
        ("attributes", user("    token: t\n    as: me\n    as-user-extra: {a: [b]}")),
        ("a plugin that is no mapping", user("    exec: aws")),
        (
            "a plugin without a command",
            user("    exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}"),
        ),
        (
            "a plugin of another version",
            user(
                "    exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x, interactiveMode: Never}",
            ),
        ),
        (
            "a plugin with a misspelt field",
            user(
                "    exec: {apiVersion: client.authentication.k8s.io/v1, comand: x, interactiveMode: Never}",
            ),
        ),
        (
            "a plugin that is not there",
            user(
                "    exec: {apiVersion: client.authentication.k8s.io/v1, command: ./none, interactiveMode: Never}",
            ),
        ),
        (
            "signing, as a text",
            user("    extensions: [{name: hypermesh.online/signing, extension: {required: 'yes'}}]"),
        ),
        ("no mapping", good.text().split("  user:\n").next().unwrap().to_owned() + "  user: me\n"),
    ];
    for (of, value) in NO_TEXT {
        for field in ["token", "tokenFile", "as"] {
            ways.push((of, user(&format!("    {field}: {value}"))));
        }
    }
    assert_snapshot!(all(&good, &ways));
}

/// A user without rights over a file, who is not this one where this is root.
#[test]
fn what_may_not_be_read_says_so() {
    if nix::unistd::Uid::effective().is_root() {
        // Root may read everything: then it is the words alone that are looked at, where they are made.
        return;
    }
    let good = Good::new();
    fs::set_permissions(good.at("k.pem"), fs::Permissions::from_mode(0o0)).unwrap();
    let told = good.told(&good.with("client-key-data", "    client-key: k.pem"));
    assert!(
        told.ends_with(
            "users[0].user.client-key: cannot read /k.pem: its permissions keep this user from it"
        ),
        "{told}"
    );
}

/// Whom a kubeconfig trusts that names nobody, and what is said of a name that its server does not have.
#[test]
fn an_empty_authority_is_as_good_as_none_and_is_not_blamed() {
    let good = Good::new();
    let (server, authority) = super::tls::serving(&["api.example"]);
    let port = server.port();
    let text = |authority: &str| {
        good.text()
            .replace("127.0.0.1:1\n", &format!("127.0.0.1:{port}\n"))
            .replace(&format!("certificate-authority-data: {}", data(&good.certificate)), authority)
    };
    for nothing in
        ["certificate-authority-data: ''", "certificate-authority: ''", "disable-compression: true"]
    {
        let told = good.told(&text(nothing));
        let wanted = "its certificate was not issued by an authority that this machine trusts, and no other is named: the cluster's \
                      belongs into certificate-authority-data";
        assert!(told.contains(wanted), "{told}");
    }
    let told = good.told(
        &text(&format!("certificate-authority-data: {}", data(&authority)))
            .replace("api.example", "api.other"),
    );
    assert_snapshot!(told.replace(&port.to_string(), "PORT"), @"error: cannot reach https://127.0.0.1:PORT: its certificate is for other names (api.example), not for api.other, which /config:15:22: clusters[0].cluster.tls-server-name asks for: name one of them there; `nexusctl up --tls-san` adds a name");
    drop::<Server>(server);
}
