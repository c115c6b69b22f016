//! Verification of a data folder: everything that is stored is read, and what is wrong is named.

use hypermesh_chain::{Block, Canonical, Height};
use hypermesh_machine::{GENESIS_FILE, STORE_FOLDER, read_genesis};
use hypermesh_store::{Options, Store};
use std::error::Error;
use std::path::Path;

/// What a verification found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whether nothing is wrong.
    pub sound: bool,
    /// What is wrong, each with the file that it is in.
    pub findings: Vec<String>,
    /// One line on the whole.
    pub summary: String,
}

/// Verifies keys and certificates, files, records, seals and indexes, then the chain: every block follows the one before, its certificate
/// holds, and the state adds up to the newest block's root.
///
/// # Errors
/// When the folder cannot be verified at all: it is in use, or holds no cluster.
pub fn check(dir: &Path) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let Some(genesis) = read_genesis(dir)? else {
        return Err(format!("{} holds no cluster", dir.display()).into());
    };
    let stored = hypermesh_store::check(&dir.join(STORE_FOLDER), &Options::default())?;
    let mut report = Report::default();
    report
        .findings
        .extend(hypermesh_pki::check(dir, &crate::server::pinned(&genesis))?.iter().map(ToString::to_string));
    // What keys and certificates lack, nobody but an operator mends.
    let mends = report.findings.is_empty() && stored.more == 0 && stored.findings.iter().all(|f| f.mends);
    for finding in &stored.findings {
        report.findings.push(format!("{}: {}", finding.file.display(), finding.what));
    }
    if stored.more > 0 {
        report.findings.push(format!("and {} more", stored.more));
    }
    let mut blocks = 0_u64;
    let named = report.findings.len();
    if mends {
        blocks = chain(dir, &genesis, &mut report.findings)?;
    }
    report.sound = report.findings.is_empty();
    let verdict = if report.sound {
        "sound"
    } else if mends && report.findings.len() == named {
        "nothing is lost, and what is named above is written anew when the cluster runs"
    } else {
        "DAMAGED: restore what is named above from a backup, or a snapshot"
    };
    report.summary =
        format!("{}: {} rows and {blocks} blocks verified: {verdict}", dir.display(), stored.rows);
    Ok(report)
}

fn chain(
    dir: &Path,
    genesis: &hypermesh_chain::Genesis,
    findings: &mut Vec<String>,
) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let cluster = genesis.cluster_id();
    let store = Store::open(&dir.join(STORE_FOLDER), Options::default())?;
    let mut parent = None;
    let mut count = 0;
    let mut newest = None;
    for stored in store.blocks(store.oldest_height()?) {
        let stored = stored?;
        let height = stored.height;
        count += 1;
        let Ok(block) = Block::decode(&stored.block) else {
            findings.push(format!("block {}: it does not decode", height.0));
            continue;
        };
        let id = block.header.id(&cluster);
        if id != stored.id && height == Height(0) {
            // The store has vouched for its own bytes, so what ids are derived from is another cluster's or damaged.
            findings.push(format!(
                "{}: the stored blocks are not of the cluster that it founds",
                dir.join(GENESIS_FILE).display()
            ));
            return Ok(count);
        }
        if id != stored.id {
            findings.push(format!("block {}: its id is not the one that it was kept under", height.0));
        }
        if parent.is_some_and(|parent| parent != block.header.parent) {
            findings.push(format!(
                "block {}: it does not follow block {}",
                height.0,
                height.0.saturating_sub(1)
            ));
        }
        if height != Height(0)
            && let Err(error) = block.verify_authorities(&cluster)
        {
            findings.push(format!("block {}: {error}", height.0));
        }
        match hypermesh_chain::Certificate::decode(&stored.certificate) {
            Ok(certificate) if certificate.block == id => {
                if let Err(error) = certificate.verify(&genesis.validators, &cluster) {
                    findings.push(format!("block {}: its certificate does not hold: {error}", height.0));
                }
            }
            _ => findings.push(format!("block {}: its certificate is of another block", height.0)),
        }
        parent = Some(id);
        newest = Some(block.header);
    }
    if let Some(header) = newest {
        let mut leaves = Vec::new();
        store.view()?.leaves(|key, leaf| leaves.push((key.to_vec(), leaf)))?;
        match hypermesh_chain::StateTree::from_sorted(leaves) {
            Ok(tree) if tree.root() == header.state => {}
            _ => findings.push(format!("the state does not add up to the root of block {}", header.height.0)),
        }
    }
    Ok(count)
}
