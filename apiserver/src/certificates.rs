//! The certificates of a data folder, for who looks after it without a running server.

use crate::folder::Folder;
use crate::store_key::{self, StoreKeyError};
use crate::upkeep;
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

/// How long a running server is waited for that takes something up, or looks who uses the former authority.
const PATIENCE: Duration = Duration::from_secs(5 * upkeep::LOOK.as_secs());

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
    /// What ending the rotation now would break, each a paragraph.
    #[error("the former authority cannot go yet:\n{}\nto end the rotation all the same: --force", .0.join("\n"))]
    NotYet(Vec<String>),
    /// Nobody has looked who uses it.
    #[error(
        "no server of this folder runs, so nobody knows who uses the former authority: start it, or end the rotation unseen by \
         --force"
    )]
    NotWatched,
    /// A running server does not take up what was written.
    #[error(
        "the server of this folder (process {holder}) has not taken up {what} in {} s: its log says why; {next}", PATIENCE.as_secs()
    )]
    NotTakenUp {
        /// Its process id.
        holder: String,
        /// What it was waited for.
        what: &'static str,
        /// What to do.
        next: &'static str,
    },
    /// Whether a server runs cannot be told.
    #[error("cannot tell whether a server of {folder} runs")]
    Holder {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
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
    let mut pki = open(dir, now)?;
    take_along(dir, &mut pki, now)?;
    pki.reissue(Renewal { server: true, admin: true }, now)?;
    Ok(())
}

/// Makes new authorities beside those of the cluster: from here on both count. A running server is waited for, which takes
/// them up first and then gives the folder's own clients certificates of them: nobody is ever shown one too early.
///
/// # Errors
/// While another rotation is under way; where the files cannot be used; where a running server does not follow.
pub fn begin_rotation(dir: &Path) -> Result<(), CertificatesError> {
    let now = now();
    let mut pki = open(dir, now)?;
    pki.begin_rotation(now)?;
    take_along(dir, &mut pki, now)
}

/// Has the folder's own clients follow a rotation that has begun. A certificate of the new authority is no good until the
/// server takes those: one that runs does it by itself, once it does.
fn take_along(dir: &Path, pki: &mut Pki, now: i64) -> Result<(), CertificatesError> {
    let begun = Instant::now();
    while pki.old().is_some() {
        let Some(holder) = holder(dir)? else {
            pki.take_along(now)?;
            return Ok(());
        };
        // What a server tells, it tells once it is done.
        if !pki.leaves_behind() && rotation::seen(dir)?.is_some() {
            return Ok(());
        }
        if begun.elapsed() >= PATIENCE {
            let next = "the new authorities are made, and the kubeconfigs follow once it does";
            return Err(CertificatesError::NotTakenUp { holder, what: "the new authorities", next });
        }
        std::thread::sleep(PATIENCE / 100);
        pki.reload()?;
    }
    Ok(())
}

fn holder(dir: &Path) -> Result<Option<String>, CertificatesError> {
    Folder::holder(dir).map_err(|source| CertificatesError::Holder { folder: dir.to_owned(), source })
}

/// Over what a rotation is ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Regardless {
    /// Nothing: whatever it would break keeps it from ending.
    #[default]
    OfNothing,
    /// Registered keys whose holders were not seen.
    OfUnseen,
    /// Everything.
    OfAll,
}

/// Drops the authorities of before, unless that would break something. What it breaks all the same comes back, each a
/// paragraph.
///
/// # Errors
/// [`CertificatesError::NotYet`] and [`CertificatesError::NotWatched`], as far as `regardless` does not say otherwise; where
/// no rotation is under way; where the files cannot be used.
pub fn finish_rotation(dir: &Path, regardless: Regardless) -> Result<Vec<String>, CertificatesError> {
    let mut runs = false;
    let mut breaks = Vec::new();
    if rotation::under_way(dir)? {
        let asked = now();
        match told(dir, |seen| seen.looked > asked)? {
            None if regardless == Regardless::OfAll => {
                breaks.push(
                    "nobody has looked who uses the former authority: no server of this folder runs"
                        .to_owned(),
                );
            }
            None => return Err(CertificatesError::NotWatched),
            Some(seen) => {
                let all = obstacles(&seen, now());
                let kept: Vec<String> =
                    all.iter().filter(|one| !one.is_passed(regardless)).map(|one| one.text.clone()).collect();
                if !kept.is_empty() {
                    return Err(CertificatesError::NotYet(kept));
                }
                breaks.extend(all.into_iter().map(|one| one.text));
                runs = true;
            }
        }
    }
    let mut pki = open(dir, now())?;
    take_along(dir, &mut pki, now())?;
    if runs {
        // First the server shows what everybody trusts by now, and then nothing else is trusted.
        pki.show_new_authority(now())?;
        let shown = told(dir, |seen| seen.shows == pki.server.serial)?;
        if let (None, Some(holder)) = (shown, holder(dir)?) {
            let next = "the rotation goes on: end it again once it does";
            let what = "its certificate of the new authority";
            return Err(CertificatesError::NotTakenUp { holder, what, next });
        }
    }
    pki.finish_rotation(now())?;
    Ok(breaks)
}

/// Something that the end of a rotation would break.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Obstacle {
    text: String,
    /// Whether it is that keys were not seen, and nothing worse.
    unseen: bool,
}

impl Obstacle {
    fn is_passed(&self, regardless: Regardless) -> bool {
        match regardless {
            Regardless::OfNothing => false,
            Regardless::OfUnseen => self.unseen,
            Regardless::OfAll => true,
        }
    }
}

/// All that the end of a rotation would break, by what the server has seen. Pure.
fn obstacles(seen: &rotation::Seen, now: i64) -> Vec<Obstacle> {
    let mut all = Vec::new();
    let listed = |title: &str, lines: Vec<String>, more: usize| {
        let mut text = format!("{title}\n  {}", lines.join("\n  "));
        if more > 0 {
            text.push_str(&format!("\n  and {more} more that are not listed"));
        }
        text
    };
    let watched = now.saturating_sub(seen.since);
    if watched < WATCHED {
        all.push(Obstacle {
            text: format!(
                "who uses it was looked at for {} min only: whoever did not call meanwhile would be shut out unseen; {} min \
                 are enough, at {}",
                watched / 60,
                WATCHED / 60,
                time(seen.since.saturating_add(WATCHED))
            ),
            unseen: false,
        });
    }
    if !seen.clients.is_empty() {
        let lines = seen.clients.iter().map(|(client, at)| format!("{client}, last seen {}", time(*at)));
        let title = "these clients were seen with a certificate of it, and not with one of the new one since: they would be \
                     refused; have each take a new certificate (nexusctl certs request) or kubeconfig:";
        all.push(Obstacle { text: listed(title, lines.collect(), 0), unseen: false });
    }
    let left = &seen.left;
    if !left.bundles.is_empty() {
        let lines = left.bundles.iter().map(|(namespace, lacking)| format!("{namespace}: {lacking}"));
        let title = "the ConfigMap kube-root-ca.crt of these namespaces does not hold both authorities, and what runs there would \
                     not trust the server; the controllers write it: see that they run, and what keeps them from it:";
        all.push(Obstacle { text: listed(title, lines.collect(), 0), unseen: false });
    }
    if !left.unseen.is_empty() {
        let title = "these registered keys were not seen since the rotation began: a certificate of theirs from before would be \
                     refused, and who knows the server by the former authority alone would not trust it; have each call \
                     once by a new kubeconfig, revoke it (nexusctl auth revoke), or leave it behind by --leave-unseen:";
        all.push(Obstacle { text: listed(title, left.unseen.clone(), left.more), unseen: true });
    }
    all
}

/// What a server has told, once it is what is waited for: one that runs tells every few seconds. `None` where it does not
/// come to that in time.
fn told(
    dir: &Path,
    awaited: impl Fn(&rotation::Seen) -> bool,
) -> Result<Option<rotation::Seen>, CertificatesError> {
    let begun = Instant::now();
    loop {
        let seen = rotation::seen(dir)?.filter(|seen| awaited(seen));
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

    fn texts(seen: &rotation::Seen, now: i64) -> Vec<String> {
        obstacles(seen, now).into_iter().map(|one| one.text).collect()
    }

    #[test]
    fn an_authority_goes_when_who_uses_it_had_the_time_to_be_seen() {
        let seen =
            rotation::Seen { since: 1_800_000_000, looked: 1_800_000_600, ..rotation::Seen::default() };
        let early = texts(&seen, 1_800_000_600).join("");
        assert!(early.contains("for 10 min") && early.contains("2027-01-15T09:00:00"), "{early}");
        assert_eq!(texts(&seen, seen.since + WATCHED - 1).len(), 1);
        assert_eq!(obstacles(&seen, seen.since + WATCHED), []);
        let error = CertificatesError::NotYet(texts(&seen, 1_800_000_600)).to_string();
        assert!(error.ends_with("--force"), "{error}");
    }

    #[test]
    fn what_the_end_of_a_rotation_would_break_is_named() {
        let mut seen = rotation::Seen { since: 1_800_000_000, ..rotation::Seen::default() };
        let now = seen.since + WATCHED;
        seen.clients.insert("bob (key 0202)".into(), now);
        seen.left.bundles.insert("shop".into(), "lacks the new authority".into());
        seen.left.unseen.push("system:node:n1 (key 0101)".into());
        seen.left.more = 2;
        let all = obstacles(&seen, now);
        let told: Vec<&str> = all.iter().map(|one| one.text.as_str()).collect();
        assert!(told[0].ends_with("\n  bob (key 0202), last seen 2027-01-15T09:00:00Z"), "{}", told[0]);
        assert!(told[1].ends_with("\n  shop: lacks the new authority"), "{}", told[1]);
        assert!(
            told[2].ends_with("\n  system:node:n1 (key 0101)\n  and 2 more that are not listed"),
            "{}",
            told[2]
        );
        let passed = |regardless| all.iter().map(|one| one.is_passed(regardless)).collect::<Vec<_>>();
        assert_eq!(passed(Regardless::OfNothing), [false; 3]);
        assert_eq!(passed(Regardless::OfUnseen), [false, false, true]);
        assert_eq!(passed(Regardless::OfAll), [true; 3]);
    }

    #[test]
    fn a_rotation_under_way_is_no_damage() {
        let told = CertificatesError::from(PkiError::Rotating).to_string();
        assert!(told.starts_with("a rotation"), "{told}");
    }
}
