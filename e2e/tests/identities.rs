//! People and nodes come in by the keys that they made themselves, and authorities change under them.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hypermesh_e2e::controllers::{Controllers, grant, until};
use hypermesh_e2e::kubeconfig::Kubeconfig;
use hypermesh_e2e::{Client, Cluster};
use nexusctl::{Environment, Streams};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const OURS: &str = "/apis/hypermesh.online/v1";

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("poisoned"))?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs nexusctl by a kubeconfig: exit code, and all that it says.
fn nexusctl(kubeconfig: &Path, words: &[&str]) -> (u8, String) {
    let said = Shared::default();
    let environment = Environment { kubeconfig: Some(kubeconfig.into()), ..Environment::default() };
    let streams = Streams {
        input: Box::new(io::empty()),
        out: Box::new(said.clone()),
        err: Box::new(said.clone()),
        ..Streams::of_process()
    };
    let arguments = ["nexusctl", "--color=never"].into_iter().chain(words.iter().copied()).map(Into::into);
    let code = nexusctl::run(arguments, environment, streams);
    let text = said.0.lock().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    (code, text)
}

fn succeeds(kubeconfig: &Path, words: &[&str]) -> Result<String> {
    let (code, text) = nexusctl(kubeconfig, words);
    ensure!(code == 0, "{words:?} ended with {code}: {text}");
    Ok(text)
}

fn shown(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

/// Asks as somebody, who then waits in the background.
fn asks(kubeconfig: &Path, folder: &Path, name: &str, groups: &[&str]) -> Result<Vec<String>> {
    let (key, out) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.kubeconfig")));
    let mut words: Vec<String> =
        ["certs", "request", name, "--key", shown(&key)?, "--out", shown(&out)?].map(str::to_owned).into();
    for group in groups {
        words.extend(["--group".to_owned(), (*group).to_owned()]);
    }
    let mut first = words.clone();
    first.push("--no-wait".to_owned());
    succeeds(kubeconfig, &first.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(words)
}

#[test]
fn a_person_makes_a_key_and_is_let_in_by_another() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let folder = tempfile::tempdir()?;
    let admin = cluster.kubeconfig()?;
    let words = asks(admin, folder.path(), "ann", &["developers", "ops"])?;
    let mode = std::fs::metadata(folder.path().join("ann.key"))?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let pending = succeeds(admin, &["certs", "list", "--pending"])?;
    ensure!(pending.contains("ann (developers, ops)"), "{pending}");
    let name = succeeds(admin, &["certs", "list", "--pending", "-o", "name"])?.trim().to_owned();
    let approved = succeeds(admin, &["certs", "approve", &name])?;
    ensure!(
        approved.contains("approved for ann (developers, ops)") && approved.contains("registered"),
        "{approved}"
    );
    succeeds(admin, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
    let ann = folder.path().join("ann.kubeconfig");
    let who = succeeds(&ann, &["auth", "whoami"])?;
    ensure!(who.contains("ann") && who.contains("[developers ops system:authenticated]"), "{who}");
    ensure!(who.lines().any(|line| line.starts_with("Signed") && line.contains(" by ")), "{who}");
    ensure!(std::fs::read_to_string(&ann)?.contains("hypermesh.online/signing"));
    // What was decided stays, and nobody gives themselves what the signer refuses.
    let (code, told) = nexusctl(admin, &["certs", "deny", &name]);
    ensure!(code == 1 && told.contains("approved, and that stays"), "{told}");
    let (code, told) = nexusctl(admin, &["certs", "request", "eve", "--group", "system:masters", "--print"]);
    ensure!(code == 1 && told.contains("system:masters"), "{told}");
    asks(admin, folder.path(), "bob", &[])?;
    let name = succeeds(admin, &["certs", "list", "--pending", "-o", "name"])?.trim().to_owned();
    succeeds(admin, &["certs", "deny", &name, "-m", "not on the team"])?;
    let key = folder.path().join("bob.key");
    let (code, told) = nexusctl(admin, &["certs", "request", "bob", "--key", shown(&key)?]);
    ensure!(code == 1 && told.contains("was denied: not on the team"), "{told}");
    // A key of another's is not approved by who may not, whatever else they may.
    let (code, told) = nexusctl(&ann, &["certs", "approve", &name]);
    ensure!(code == 1 && told.contains("Forbidden"), "{told}");
    Ok(())
}

fn hex(key: &KeyPair) -> String {
    key.der_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request of a node's.
fn request(name: &str, node: &str, key: &KeyPair) -> Result<Value> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{node}"));
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {
            "request": STANDARD.encode(params.serialize_request(key)?.pem()?),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["client auth", "digital signature"],
        },
    }))
}

/// Joins as a node by a token; the node's client.
fn joins(cluster: &Cluster, token: &str, node: &str, key: &KeyPair) -> Result<Client> {
    let stranger = cluster.anonymous()?.bearer(token);
    stranger.post(REQUESTS, &request(node, node, key)?)?.expect(201)?;
    let certificate = until("the certificate", || {
        let request = stranger.get(&format!("{REQUESTS}/{node}"))?.expect(200)?;
        let text = request["status"]["certificate"].as_str().unwrap_or_default();
        Ok(if text.is_empty() { None } else { Some(STANDARD.decode(text)?) })
    })?;
    cluster.with_certificate(&certificate, key.serialize_pem().as_bytes())
}

#[test]
fn a_node_joins_by_a_token_and_does_what_concerns_it() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    let admin = cluster.admin()?;
    let token = succeeds(cluster.kubeconfig()?, &["token", "create"])?.trim().to_owned();
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let n1 = joins(&cluster, &token, "n1", &key)?;
    // The token does nothing else.
    let stranger = cluster.anonymous()?.bearer(&token);
    for path in ["/apis/hypermesh.online/v1/nodes", "/api/v1/namespaces/kube-system/secrets"] {
        stranger.get(path)?.expect(403)?;
    }
    // It is itself, and is registered before it has its certificate.
    let node = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"publicKey": hex(&key)},
    });
    n1.post(&format!("{OURS}/nodes"), &node)?.expect(201)?;
    n1.get(&format!("{OURS}/nodes/n1"))?.expect(200)?;
    // Instances of nodes that do not exist are ended.
    let mut other = node.clone();
    other["metadata"]["name"] = "n2".into();
    other["spec"]["publicKey"] = hex(&KeyPair::generate_for(&rcgen::PKCS_ED25519)?).into();
    n1.post(&format!("{OURS}/nodes"), &other)?.expect(403)?;
    cluster.admin()?.post(&format!("{OURS}/nodes"), &other)?.expect(201)?;
    n1.get(&format!("{OURS}/instances"))?.expect(403)?;
    n1.get(&format!("{OURS}/instances?fieldSelector=spec.nodeName%3Dn1"))?.expect(200)?;
    // Its instance, and what that needs.
    let instance = |name: &str, node: &str| {
        json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Instance", "metadata": {"name": name},
            "spec": {"workload": "web", "revision": "1", "nodeName": node, "pod": {
                "serviceAccountName": "default",
                "containers": [{"name": "c", "image": "example.com/web:1", "envFrom": [{"secretRef": {"name": format!("{name}-secret")}}]}],
            }},
        })
    };
    let instances = format!("{OURS}/namespaces/default/instances");
    let mine = admin.post(&instances, &instance("mine", "n1"))?.expect(201)?;
    let theirs = admin.post(&instances, &instance("theirs", "n2"))?.expect(201)?;
    for name in ["mine-secret", "theirs-secret"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"k": "v"}});
        admin.post("/api/v1/namespaces/default/secrets", &secret)?.expect(201)?;
    }
    n1.get("/api/v1/namespaces/default/secrets/mine-secret")?.expect(200)?;
    n1.get("/api/v1/namespaces/default/secrets/theirs-secret")?.expect(403)?;
    n1.get("/api/v1/namespaces/default/secrets")?.expect(403)?;
    let running = json!({"status": {"phase": "Running"}});
    n1.merge(&format!("{instances}/mine/status"), &running)?.expect(200)?;
    n1.merge(&format!("{instances}/theirs/status"), &running)?.expect(403)?;
    // Tokens of its instances, each bound to one; and they end with it.
    until("the account", || {
        Ok((admin.get("/api/v1/namespaces/default/serviceaccounts/default")?.code == 200).then_some(()))
    })?;
    let ask = |bound: Value| {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}});
        n1.post("/api/v1/namespaces/default/serviceaccounts/default/token", &body)
    };
    let bound = |object: &Value| {
        json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Instance", "name": object["metadata"]["name"], "uid": object["metadata"]["uid"],
        })
    };
    ask(Value::Null)?.expect(403)?;
    ask(bound(&theirs))?.expect(403)?;
    let token = ask(bound(&mine))?.expect(201)?["status"]["token"].as_str().unwrap_or_default().to_owned();
    let program = cluster.anonymous()?.bearer(&token);
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let who = program.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)?.expect(201)?;
    ensure!(
        who.pointer("/status/userInfo/extra/authentication.kubernetes.io~1pod-name")
            == Some(&json!(["mine"])),
        "{who}"
    );
    admin.delete(&format!("{instances}/mine"))?.expect(200)?;
    program.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)?.expect(401)?;
    n1.get("/api/v1/namespaces/default/secrets/mine-secret")?.expect(403)?;
    // Another key of its name is denied; its own renews.
    let thief = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    stranger.post(REQUESTS, &request("thief", "n1", &thief)?)?.expect(201)?;
    n1.post(REQUESTS, &request("again", "n1", &key)?)?.expect(201)?;
    until("the renewal", || {
        let request = n1.get(&format!("{REQUESTS}/again"))?.expect(200)?;
        Ok(request["status"]["certificate"].is_string().then_some(()))
    })?;
    until("the denial", || {
        let thief = admin.get(&format!("{REQUESTS}/thief"))?.expect(200)?;
        let reason = thief.pointer("/status/conditions/0/reason").and_then(Value::as_str);
        Ok((reason == Some("NameHeld")).then_some(()))
    })?;
    n1.get(&format!("{REQUESTS}/thief"))?.expect(403)?;
    // Once its key is revoked, its certificate is nobody's.
    admin.delete(&format!("{OURS}/identities/{}", hex(&key)))?.expect(200)?;
    n1.get(&format!("{OURS}/nodes/n1"))?.expect(401)?;
    // And its token lets it not in again, as long as the Node stands there: a person decides, and is told why.
    stranger.post(REQUESTS, &request("back", "n1", &key)?)?.expect(201)?;
    until("the word", || {
        let events =
            admin.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dback")?;
        let events = events.expect(200)?;
        Ok((events.pointer("/items/0/reason") == Some(&json!("WaitsForApproval"))).then_some(()))
    })?;
    let back = admin.get(&format!("{REQUESTS}/back"))?.expect(200)?;
    ensure!(back.pointer("/status/conditions").is_none(), "{back}");
    controllers.stop()
}

/// The public key of RFC 8032's first test.
const ANN: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

fn copied(from: &Path, folder: &Path, name: &str) -> Result<PathBuf> {
    let to = folder.join(name);
    std::fs::copy(from, &to)?;
    Ok(to)
}

#[test]
fn authorities_change_and_nobody_is_locked_out_in_between() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let folder = tempfile::tempdir()?;
    let data = shown(cluster.dir())?.to_owned();
    let before = copied(cluster.kubeconfig()?, folder.path(), "before")?;
    let (code, told) = nexusctl(&before, &["certs", "rotate-ca", "--data-dir", &data, "--finish"]);
    ensure!(code == 1 && told.contains("no rotation of the authorities is under way"), "{told}");
    succeeds(&before, &["certs", "rotate-ca", "--data-dir", &data])?;
    let (code, told) = nexusctl(&before, &["certs", "rotate-ca", "--data-dir", &data]);
    ensure!(code == 1 && told.contains("under way already"), "{told}");
    let between = copied(cluster.kubeconfig()?, folder.path(), "between")?;
    let authorities = Kubeconfig::read(&between)?.authority;
    ensure!(String::from_utf8_lossy(&authorities).matches("BEGIN CERTIFICATE").count() == 2);
    // Both come in, the new one as soon as the server has taken it up.
    succeeds(&before, &["get", "namespaces"])?;
    until("the new certificate taken", || {
        Ok((nexusctl(&between, &["get", "namespaces"]).0 == 0).then_some(()))
    })?;
    let status = succeeds(&between, &["certs", "status", "--data-dir", &data])?;
    ensure!(status.contains("ca.old") && status.contains("--finish"), "{status}");
    // Who still uses the old one is named, and keeps it from going.
    until("the client named", || {
        succeeds(&before, &["get", "namespaces"])?;
        let (code, told) = nexusctl(&between, &["certs", "rotate-ca", "--data-dir", &data, "--finish"]);
        ensure!(code == 1, "{told}");
        Ok(told.contains("  admin (key ").then_some(()))
    })?;
    until("the client gone over", || {
        succeeds(&between, &["get", "namespaces"])?;
        let (code, told) = nexusctl(&between, &["certs", "rotate-ca", "--data-dir", &data, "--finish"]);
        ensure!(code == 1, "{told}");
        Ok((told.contains("would be shut out unseen") && !told.contains("  admin (key ")).then_some(()))
    })?;
    // So do a namespace that hands out the old one alone, and a key that was not seen.
    let stale = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-root-ca.crt, namespace: shop}\ndata: {ca.crt: old}\n";
    succeeds(&between, &["create", "namespace", "shop"])?;
    let manifest = folder.path().join("stale.yaml");
    std::fs::write(&manifest, stale)?;
    succeeds(&between, &["apply", "-f", shown(&manifest)?, "--force-conflicts"])?;
    succeeds(&between, &["auth", "register", "ann", "--key", ANN])?;
    until("what would break named", || {
        let (code, told) =
            nexusctl(&between, &["certs", "rotate-ca", "--data-dir", &data, "--finish", "--leave-unseen"]);
        ensure!(code == 1 && !told.contains("  ann (key "), "{told}");
        let (_, all) = nexusctl(&between, &["certs", "rotate-ca", "--data-dir", &data, "--finish"]);
        let both =
            told.contains("  shop: lacks both authorities") && all.contains("  ann (key d75a980182b10ab7)");
        Ok(both.then_some(()))
    })?;
    // Whoever calls more seldom than this test lasts would be shut out: that takes a word.
    succeeds(&between, &["certs", "rotate-ca", "--data-dir", &data, "--finish", "--force"])?;
    succeeds(&between, &["get", "namespaces"])?;
    let after = copied(cluster.kubeconfig()?, folder.path(), "after")?;
    ensure!(
        String::from_utf8_lossy(&Kubeconfig::read(&after)?.authority).matches("BEGIN CERTIFICATE").count()
            == 1
    );
    succeeds(&after, &["get", "namespaces"])?;
    let (code, told) = nexusctl(&before, &["get", "namespaces"]);
    ensure!(code == 1 && told.contains("take the kubeconfig that the cluster has written since"), "{told}");
    Ok(())
}

/// Calls as the administrator by a new connection each time, with what the kubeconfig says by then, until told to stop: how
/// often, and what failed.
fn calls(cluster: &Cluster, stop: &AtomicBool) -> Result<(usize, Vec<String>)> {
    let (mut count, mut failures) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let kubeconfig = Kubeconfig::read(cluster.kubeconfig()?)?;
        let identity = Some((kubeconfig.certificate.as_slice(), kubeconfig.key.as_slice()));
        let client =
            Client::new(cluster.runtime().clone(), cluster.address()?, &kubeconfig.authority, identity)?;
        match client.get("/apis/authentication.k8s.io/v1") {
            Ok(reply) if reply.code == 200 => count += 1,
            Ok(reply) => failures.push(format!("{}: {}", reply.code, reply.text())),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    Ok((count, failures))
}

#[test]
fn no_call_fails_while_authorities_change() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let data = shown(cluster.dir())?.to_owned();
    let kubeconfig = cluster.kubeconfig()?.to_owned();
    let before = Kubeconfig::read(&kubeconfig)?;
    let stop = AtomicBool::new(false);
    let (count, failures) = std::thread::scope(|scope| -> Result<_> {
        let caller = scope.spawn(|| calls(&cluster, &stop));
        let rotated = || -> Result<()> {
            succeeds(&kubeconfig, &["certs", "rotate-ca", "--data-dir", &data])?;
            let between = Kubeconfig::read(&kubeconfig)?;
            ensure!(between.certificate != before.certificate, "it follows before the command ends");
            succeeds(&kubeconfig, &["certs", "rotate", "--data-dir", &data])?;
            succeeds(&kubeconfig, &["certs", "rotate-ca", "--data-dir", &data, "--finish", "--force"])?;
            // Until the server trusts the former authority no more.
            let authority = Kubeconfig::read(&kubeconfig)?.authority;
            let (runtime, address) = (cluster.runtime(), cluster.address()?);
            until("the end", || {
                let identity = Some((before.certificate.as_slice(), before.key.as_slice()));
                let client = Client::new(runtime.clone(), address, &authority, identity)?;
                let taken = client.get("/version").is_ok_and(|reply| reply.code == 200);
                Ok((!taken).then_some(()))
            })
        };
        let rotated = rotated();
        stop.store(true, Ordering::Relaxed);
        let called = caller.join().map_err(|_| anyhow::anyhow!("the caller panicked"))??;
        rotated.map(|()| called)
    })?;
    ensure!(failures.is_empty() && count > 10, "{count} calls, and these failed: {failures:#?}");
    Ok(())
}
