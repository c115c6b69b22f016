//! Verification of a data folder: everything that is stored is read, and what is wrong is named.

use hypermesh_chain::{Block, Canonical, Height, ValidatorSet};
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

/// Verifies keys, certificates and kubeconfigs, files, records, seals and indexes, then the chain: every block follows the
/// one before, its certificate holds, and the state adds up to the newest block's root. No file changes but the store's
/// lock.
///
/// # Errors
/// When the folder cannot be verified at all: it is in use, or holds no cluster.
pub fn check(dir: &Path) -> Result<Report, Box<dyn Error + Send + Sync>> {
    let Some(genesis) = read_genesis(dir)? else {
        return Err(format!("{} holds no cluster", dir.display()).into());
    };
    let stored = hypermesh_store::check(&dir.join(STORE_FOLDER), &Options::default())?;
    let keys = hypermesh_pki::check(dir, &crate::opening::pinned(&genesis))?;
    let mut findings: Vec<String> = keys.iter().map(ToString::to_string).collect();
    findings.extend(stored.findings.iter().map(|f| format!("{}: {}", f.file.display(), f.what)));
    if stored.more > 0 {
        findings.push(format!("and {} more", stored.more));
    }
    let readable = stored.more == 0 && stored.findings.iter().all(|finding| finding.mends);
    let named = findings.len();
    // Damaged files could not be told from a chain that does not hold.
    let blocks = if readable { Some(chain(dir, &genesis, &mut findings)?) } else { None };
    let verdict = if findings.is_empty() {
        Verdict::Sound
    } else if !readable || findings.len() > named {
        Verdict::Damaged
    } else if keys.iter().any(|finding| !finding.mends) {
        Verdict::Keys
    } else {
        Verdict::Mends
    };
    let summary = format!("{}: {}", dir.display(), verdict.summary(stored.rows, blocks));
    Ok(Report { sound: findings.is_empty(), findings, summary })
}

/// What the findings come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// There are none.
    Sound,
    /// What they name holds no data, or is made of what is sound.
    Mends,
    /// Keys or certificates are damaged, which nobody but an operator mends; the state is sound.
    Keys,
    /// What is stored is damaged.
    Damaged,
}

impl Verdict {
    /// One line on `rows` that were read and `blocks` that were verified, if any could be.
    fn summary(self, rows: u64, blocks: Option<u64>) -> String {
        let number = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let rows = number(rows, "row");
        let verified = match blocks {
            Some(blocks) => format!("{rows} and {} verified", number(blocks, "block")),
            None => format!("{rows} read; blocks are verified once the files are sound"),
        };
        match self {
            Self::Sound => format!("{verified}: sound"),
            Self::Mends => {
                format!("{verified}: nothing is lost, and each line above says what becomes of its file")
            }
            Self::Keys => {
                format!(
                    "{verified}: what is stored is sound; keys are DAMAGED: each line above says what to do"
                )
            }
            Self::Damaged => {
                format!("{verified}: DAMAGED: restore what is named above from a backup, or a snapshot")
            }
        }
    }
}

fn chain(
    dir: &Path,
    genesis: &hypermesh_chain::Genesis,
    findings: &mut Vec<String>,
) -> Result<u64, Box<dyn Error + Send + Sync>> {
    let cluster = genesis.cluster_id();
    let store = Store::look(&dir.join(STORE_FOLDER), &Options::default())?;
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
                let quorum =
                    if height.0 == 0 { founder(genesis, &certificate) } else { genesis.validators.clone() };
                if let Err(error) = certificate.verify(&quorum, &cluster) {
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

/// Who certifies the first block, which follows from the genesis alone: each replica for itself.
fn founder(genesis: &hypermesh_chain::Genesis, certificate: &hypermesh_chain::Certificate) -> ValidatorSet {
    let all = genesis.validators.validators().iter();
    let signed = |key| certificate.signatures.iter().any(|(signer, _)| *signer == key);
    let own = all.filter(|validator| signed(validator.key)).cloned().collect();
    ValidatorSet::new(own).unwrap_or_else(|_| genesis.validators.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_claims_no_more_than_was_done() {
        assert_eq!(Verdict::Sound.summary(234, Some(10)), "234 rows and 10 blocks verified: sound");
        assert_eq!(
            Verdict::Damaged.summary(1, None),
            "1 row read; blocks are verified once the files are sound: DAMAGED: restore what is named above from a \
             backup, or a snapshot"
        );
        let keys = Verdict::Keys.summary(2, Some(1));
        assert!(keys.starts_with("2 rows and 1 block verified: what is stored is sound"), "{keys}");
        assert!(Verdict::Mends.summary(0, Some(0)).contains("nothing is lost"));
    }
}
