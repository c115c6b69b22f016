//! The certificates of a data folder, for who looks after it without a running server.

use crate::store_key::{self, StoreKeyError};
use hypermesh_chain::{Genesis, Timestamp};
use hypermesh_pipeline::clock;
pub use hypermesh_pki::make_request;
pub use hypermesh_pki::request::{CertificateRequest, KeyKind};
use hypermesh_pki::rotation;
pub use hypermesh_pki::signer::Signer;
use hypermesh_pki::{Held, Pki, PkiError, Renewal, Settings};
pub use hypermesh_pki::{LONGEST_LIFE, SHORTEST_LIFE};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a server is waited for that looks who uses the former authority.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is looked who uses the former authority before it may go, in seconds: who works with a cluster every hour is
/// seen, and bundles and kubeconfigs that hold both authorities have come to where they are read.
const WATCHED: i64 = 3600;

/// The certificates cannot be shown or renewed.
#[derive(Debug, Error)]
pub enum CertificatesError {
    /// Keys and certificates.
    #[error("the keys and certificates cannot be used")]
    Pki(#[source] PkiError),
    /// A rotation is under way, or none.
    #[error(transparent)]
    Rotation(PkiError),
    /// The genesis, whose id the kubeconfig names.
    #[error("the cluster's genesis cannot be read")]
    Genesis(#[from] hypermesh_machine::OpenError),
    /// There is no cluster in the folder.
    #[error("{0} holds no cluster; `nexusctl up` makes one")]
    Empty(PathBuf),
    /// The key that seals the store.
    #[error("the key that seals the store cannot be shown")]
    StoreKey(#[from] StoreKeyError),
    /// Clients use the authority that is to be dropped.
    #[error(
        "these clients were seen with a certificate of the former authority, and not with one of the new one since:\n{}\n\
         have each take a new certificate (nexusctl certs request) or kubeconfig, or shut them out by --force",
        .0.join("\n")
    )]
    StillUsed(Vec<String>),
    /// Nobody can know yet who uses it.
    #[error(
        "it was looked for {} min who uses the former authority, and for less than {} min that says little: whoever has not \
         called meanwhile would be shut out unseen; wait until {}, or end the rotation now by --force",
        .watched / 60, WATCHED / 60, time(.since + WATCHED)
    )]
    TooSoon {
        /// Since when a server has looked, in seconds since the epoch.
        since: i64,
        /// For how long that is, in seconds.
        watched: i64,
    },
    /// Nobody has looked who uses it.
    #[error(
        "no server of this folder runs, so nobody knows who uses the former authority: start it, or end the rotation unseen by \
         --force"
    )]
    NotWatched,
    /// The kubeconfig names no server.
    #[error("{0} names no server; start the cluster once, and it is written anew")]
    Kubeconfig(PathBuf),
    /// The kubeconfigs, which are written together, name different servers: one of them is damaged.
    #[error("{0} and {1} name different servers; start the cluster once, and both are written anew")]
    Servers(PathBuf, PathBuf),
}

impl From<PkiError> for CertificatesError {
    fn from(error: PkiError) -> Self {
        match error {
            // The files are sound.
            PkiError::Rotating | PkiError::NotRotating => Self::Rotation(error),
            error => Self::Pki(error),
        }
    }
}

/// One certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `ca`, `client-ca`, `server`, `admin` or `controllers`; `store-key` for the key that seals the store.
    pub name: String,
    /// Whom it names.
    pub subject: String,
    /// Until when it is valid (RFC 3339).
    pub expires: String,
    /// When it is renewed by itself (RFC 3339), or `never`.
    pub renews: String,
    /// Serial number.
    pub serial: String,
}

/// The certificates of a data folder, and the key that seals its store.
pub fn status(dir: &Path) -> Result<Vec<Certificate>, CertificatesError> {
    let held = Pki::list(dir)?;
    let mut all: Vec<Certificate> = held.into_iter().map(|(name, held)| shown(name, &held)).collect();
    if let Some(key) = store_key::status(dir)? {
        let made =
            key.made.map_or_else(|| "of the operator's own making".to_owned(), |made| format!("made {made}"));
        let renews = if key.asked { "now, as asked" } else { "by age (--key-rotation)" };
        all.push(Certificate {
            name: "store-key".to_owned(),
            subject: made,
            expires: "never".to_owned(),
            renews: renews.to_owned(),
            serial: "<none>".to_owned(),
        });
    }
    Ok(all)
}

/// Renews the server's and the administrator's certificate. A running server takes them up by itself.
pub fn rotate(dir: &Path) -> Result<(), CertificatesError> {
    let now = now();
    open(dir, now)?.reissue(Renewal { server: true, admin: true }, now)?;
    Ok(())
}

/// Makes new authorities beside those of the cluster: from here on both count. A running server takes them up by itself.
///
/// # Errors
/// While another rotation is under way, and where the files cannot be used.
pub fn begin_rotation(dir: &Path) -> Result<(), CertificatesError> {
    let now = now();
    open(dir, now)?.begin_rotation(now)?;
    Ok(())
}

/// Drops the authorities of before, unless clients still use them; `force` drops them all the same.
///
/// # Errors
/// [`CertificatesError::StillUsed`], [`CertificatesError::TooSoon`] and [`CertificatesError::NotWatched`], unless `force`; where no rotation is under way;
/// where the files cannot be used.
pub fn finish_rotation(dir: &Path, force: bool) -> Result<(), CertificatesError> {
    let mut runs = false;
    if rotation::under_way(dir)? {
        match looked(dir)? {
            None if force => {}
            None => return Err(CertificatesError::NotWatched),
            Some(seen) if !seen.clients.is_empty() && !force => {
                let told = |(user, at): (String, i64)| format!("  {user}, last seen {}", time(at));
                let clients: Vec<String> = seen.clients.into_iter().map(told).collect();
                return Err(CertificatesError::StillUsed(clients));
            }
            Some(seen) => match too_soon(&seen, now()) {
                Some(early) if !force => return Err(early),
                _ => runs = true,
            },
        }
    }
    let mut pki = open(dir, now())?;
    if runs {
        // First the server shows what everybody trusts by now, and then nothing else is trusted.
        pki.show_new_authority(now())?;
        looked(dir)?;
    }
    pki.finish_rotation(now())?;
    Ok(())
}

/// Whether too little was seen to let the former authority go. Pure.
fn too_soon(seen: &rotation::Seen, now: i64) -> Option<CertificatesError> {
    let watched = now.saturating_sub(seen.since);
    (watched < WATCHED).then_some(CertificatesError::TooSoon { since: seen.since, watched })
}

/// What a server has seen until now: one that runs tells it every few seconds.
fn looked(dir: &Path) -> Result<Option<rotation::Seen>, PkiError> {
    let (begun, asked) = (Instant::now(), now());
    loop {
        let seen = rotation::seen(dir)?.filter(|seen| seen.looked > asked);
        if seen.is_some() || begun.elapsed() >= PATIENCE {
            return Ok(seen);
        }
        std::thread::sleep(PATIENCE / 100);
    }
}

fn now() -> i64 {
    crate::server::unix_now()
}

/// Opens the keys and certificates as the server did that wrote the kubeconfig.
fn open(dir: &Path, now: i64) -> Result<Pki, CertificatesError> {
    let held = Pki::list(dir)?;
    let Some((_, server)) = held.iter().find(|(name, _)| *name == "server") else {
        return Err(CertificatesError::Empty(dir.to_owned()));
    };
    let [kubeconfig, second] = ["admin.kubeconfig", "controllers.kubeconfig"].map(|name| dir.join(name));
    let server_of = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.trim().strip_prefix("server: ").map(str::to_owned))
    };
    let Some(url) = server_of(&kubeconfig) else { return Err(CertificatesError::Kubeconfig(kubeconfig)) };
    if server_of(&second).is_some_and(|other| other != url) {
        return Err(CertificatesError::Servers(kubeconfig, second));
    }
    let mut settings = Settings::new(url, server.names.clone());
    settings.cluster = hypermesh_machine::read_genesis(dir)?.as_ref().map(Genesis::cluster_id);
    Ok(Pki::open(dir, settings, now)?)
}

fn time(seconds: i64) -> String {
    clock::rfc3339(Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000)))
}

fn shown(name: &str, held: &Held) -> Certificate {
    Certificate {
        name: name.to_owned(),
        subject: held.subject.clone(),
        expires: time(held.not_after),
        renews: match name {
            "ca" | "client-ca" => "by nexusctl certs rotate-ca".to_owned(),
            "ca.old" | "client-ca.old" => "ends by nexusctl certs rotate-ca --finish".to_owned(),
            _ => time(held.renew_at()),
        },
        serial: held.serial.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_goes_when_who_uses_it_had_the_time_to_be_seen() {
        let seen =
            rotation::Seen { since: 1_800_000_000, looked: 1_800_000_600, ..rotation::Seen::default() };
        let early = too_soon(&seen, 1_800_000_600).unwrap().to_string();
        assert!(early.contains("for 10 min") && early.contains("--force"), "{early}");
        assert!(early.contains("2027-01-15T09:00:00"), "{early}");
        assert!(too_soon(&seen, seen.since + WATCHED - 1).is_some());
        assert!(too_soon(&seen, seen.since + WATCHED).is_none());
    }

    #[test]
    fn a_rotation_under_way_is_no_damage() {
        let told = CertificatesError::from(PkiError::Rotating).to_string();
        assert!(told.starts_with("a rotation"), "{told}");
    }
}
