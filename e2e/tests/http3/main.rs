//! HTTP/3 with clients that share no code with the server, where the machine has them: aioquic, which has QUIC, TLS and
//! QPACK of its own, and curl over ngtcp2.
//!
//! Both come from Python's registry (`pip install aioquic curl_cffi`): `HTTP3_PYTHON` names the Python that has them, else
//! `python3` is asked. A curl of the machine that has HTTP/3 is taken first.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::skip::skip;
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FACTS: &str = "\
version 200
create [201, 201, 201]
create of 900,000 bytes 201
get of 900,000 bytes 200 900000
watch True
missing 404 NotFound
create of 5 MiB 413
200 at a time {200}
early data 200 True True
";

/// A Python that can import this.
fn python(module: &str) -> Option<OsString> {
    let python = std::env::var_os("HTTP3_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    output.is_ok_and(|output| output.status.success()).then_some(python)
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http3").join(name)
}

#[test]
fn aioquic_writes_reads_watches_and_resumes_with_early_data() -> Result<()> {
    let Some(python) = python("aioquic") else {
        let why = "no Python has aioquic: pip install aioquic, or name one that has it in HTTP3_PYTHON";
        skip("aioquic_writes_reads_watches_and_resumes_with_early_data", why);
        return Ok(());
    };
    let cluster = Cluster::start(Vec::new())?;
    let output = Command::new(&python)
        .arg(script("client.py"))
        .arg(cluster.address()?.port().to_string())
        .arg(cluster.dir())
        .output()
        .context("running aioquic")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said == FACTS, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A curl that speaks HTTP/3: the machine's, or a Python's.
enum Curl {
    Own,
    Of(OsString),
}

impl Curl {
    fn find() -> Option<Self> {
        let version = Command::new("curl").arg("--version").output().ok();
        let has_it = version.is_some_and(|said| String::from_utf8_lossy(&said.stdout).contains("HTTP3"));
        if has_it { Some(Self::Own) } else { python("curl_cffi").map(Self::Of) }
    }

    /// The head's first line, and the body.
    fn ask(
        &self,
        cluster: &Cluster,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(String, String)> {
        let (url, ca) = (format!("https://{}{path}", cluster.address()?), cluster.dir().join("pki/ca.crt"));
        let mut command = match self {
            Self::Own => {
                let mut command = Command::new("curl");
                command.args([
                    "--http3-only",
                    "-sS",
                    "-i",
                    "-X",
                    method,
                    "-H",
                    "content-type: application/json",
                ]);
                command.arg("-H").arg(format!("authorization: Bearer {token}")).arg("--cacert").arg(ca);
                if !body.is_empty() {
                    command.args(["--data-binary", "@-"]);
                }
                command.arg(url);
                command
            }
            Self::Of(python) => {
                let mut command = Command::new(python);
                command.arg(script("curl.py")).arg(ca).args([method, &url, token]);
                command
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("curl")?;
        child.stdin.take().context("no input")?.write_all(body.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout)?.replace("\r\n", "\n");
        let (head, body) = said.split_once("\n\n").context("there is no head")?;
        Ok((head.lines().next().unwrap_or_default().trim().to_owned(), body.to_owned()))
    }
}

/// A token of an account that may do everything: not every TLS library of curl signs with Ed25519 keys.
fn token(admin: &Client) -> Result<String> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "curl"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", &account)?.expect(201)?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "curl"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "curl", "namespace": "default"}],
    });
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)?.expect(201)?;
    let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let path = "/api/v1/namespaces/default/serviceaccounts/curl/token";
    let answer = admin.post(path, &asked)?.expect(201)?;
    Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
}

#[test]
fn curl_writes_and_reads() -> Result<()> {
    let Some(curl) = Curl::find() else {
        let why = "the machine's curl has no HTTP/3, and no Python has curl_cffi: pip install curl_cffi, or name one \
                   that has it in HTTP3_PYTHON";
        skip("curl_writes_and_reads", why);
        return Ok(());
    };
    let cluster = Cluster::start(Vec::new())?;
    let token = token(&cluster.admin()?)?;
    let ask = |method: &str, path: &str, body: &str| curl.ask(&cluster, &token, method, path, body);
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "curl"},
        "data": {"key": "x".repeat(500_000)}});
    ensure!(ask("POST", maps, &map.to_string())?.0 == "HTTP/3 201", "a create");
    let (head, body) = ask("GET", &format!("{maps}/curl"), "")?;
    let read: Value = serde_json::from_str(&body)?;
    ensure!(head == "HTTP/3 200" && read["data"] == map["data"], "{head}");
    let (head, body) = ask("GET", &format!("{maps}/none"), "")?;
    ensure!(head == "HTTP/3 404" && body.contains("NotFound"), "{head}: {body}");
    ensure!(ask("DELETE", &format!("{maps}/curl"), "")?.0 == "HTTP/3 200", "a delete");
    ensure!(curl.ask(&cluster, "nonsense", "GET", maps, "")?.0 == "HTTP/3 401", "a stranger");
    Ok(())
}
