//! HTTP/3 with a client that shares no code with the server: aioquic, which has QUIC, TLS and QPACK of its own.
//!
//! It is used where a Python has it: `AIOQUIC_PYTHON`, else `python3` (`pip install aioquic`).

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Cluster;
use hypermesh_e2e::skip::skip;
use std::path::Path;
use std::process::Command;

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

#[test]
fn aioquic_writes_reads_watches_and_resumes_with_early_data() -> Result<()> {
    let python = std::env::var_os("AIOQUIC_PYTHON").unwrap_or_else(|| "python3".into());
    let has_it = Command::new(&python).args(["-c", "import aioquic"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skip(
            "aioquic_writes_reads_watches_and_resumes_with_early_data",
            "no Python has aioquic: pip install aioquic, or name one that has it in AIOQUIC_PYTHON",
        );
        return Ok(());
    }
    let cluster = Cluster::start(Vec::new())?;
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http3/client.py"))
        .arg(cluster.address()?.port().to_string())
        .arg(cluster.dir())
        .output()
        .context("running aioquic")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said == FACTS, "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
