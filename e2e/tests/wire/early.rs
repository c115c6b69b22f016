//! Refusals that are sent before the body of the request was read: whoever is still sending must see them, and not a
//! connection that is reset. Over HTTP/1.1 and HTTP/2, by curl as people have it.

use crate::CONFIGMAPS;
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Cluster;
use hypermesh_e2e::skip::skip;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Sizes of bodies: one that fits what may be sent unread, one over the limit, one beyond all that is thrown away.
const SIZES: [usize; 3] = [1_000_000, 4_000_000, 64_000_000];

struct Curl<'t> {
    folder: &'t Path,
    address: String,
}

impl Curl<'_> {
    /// Sends a body of a size; the code and the Status.
    fn upload(&self, size: usize, arguments: &[&str]) -> Result<(u16, Value)> {
        let body = self.folder.join(format!("{size}.json"));
        if !body.exists() {
            std::fs::write(&body, vec![b' '; size])?;
        }
        let reply = self.folder.join("reply.json");
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--request", "POST"])
            .args(["--header", "Content-Type: application/json", "--write-out", "%{http_code}"])
            .args(arguments)
            .arg("--cacert")
            .arg(self.folder.join("ca.pem"))
            .arg("--upload-file")
            .arg(&body)
            .arg("--output")
            .arg(&reply)
            .arg(format!("https://{}{CONFIGMAPS}", self.address))
            .output()
            .context("running curl")?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.success(),
            "curl {arguments:?} with {size} bytes: {} {out} {err}",
            output.status
        );
        let text = std::fs::read(&reply)?;
        let status =
            serde_json::from_slice(&text).with_context(|| String::from_utf8_lossy(&text).into_owned())?;
        Ok((out.trim().parse()?, status))
    }
}

#[test]
fn who_is_still_sending_sees_the_refusal() -> Result<()> {
    if Command::new("curl").arg("--version").output().is_err() {
        skip("who_is_still_sending_sees_the_refusal", "there is no curl");
        return Ok(());
    }
    let cluster = Cluster::start(Vec::new())?;
    let folder = tempfile::tempdir()?;
    let credentials = cluster.credentials();
    let write = |name: &str, bytes: &[u8]| -> Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    };
    write("ca.pem", &credentials.authority)?;
    let (certificate, key) =
        (write("cert.pem", &credentials.certificate)?, write("key.pem", &credentials.key)?);
    let curl = Curl { folder: folder.path(), address: cluster.address()?.to_string() };
    let admin = ["--cert", certificate.as_str(), "--key", key.as_str()];
    let mut failures = Vec::new();
    for version in ["--http1.1", "--http2"] {
        for size in SIZES {
            let cases: [(&str, u16, Vec<&str>); 3] = [
                ("nobody", 401, vec![]),
                ("a bad token", 401, vec!["--header", "Authorization: Bearer x"]),
                ("a body in parts", if size > 3 << 20 { 413 } else { 400 }, {
                    let mut all = admin.to_vec();
                    all.extend(["--header", "Transfer-Encoding: chunked"]);
                    all
                }),
            ];
            for (who, code, mut arguments) in cases {
                // Chunks are HTTP/1.1's own.
                arguments.retain(|word| version == "--http1.1" || !word.starts_with("Transfer"));
                if arguments.last() == Some(&"--header") {
                    arguments.pop();
                }
                // curl would wait for leave to send, and see the refusal before it does.
                arguments.extend([version, "--header", "Expect:"]);
                match curl.upload(size, &arguments) {
                    Ok((got, status)) if got == code && status["code"] == code => {}
                    Ok((got, status)) => failures.push(format!("{version} {who} {size}: {got} {status}")),
                    Err(error) => failures.push(format!("{version} {who} {size}: {error:#}")),
                }
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
