//! What all answers share.

use super::who::Who;
use crate::access;
use crate::budget::Budget;
use crate::config::Limits;
use crate::documents::Documents;
use crate::former::Former;
use crate::metrics::Metrics;
use crate::replication::Line;
use crate::streams::{Agents, Alive, Room, Seen, Usage};
use crate::tokens::Tokens;
use crate::views::View;
use arc_swap::ArcSwap;
use hypermesh_api::query::Query;
use hypermesh_api::request::RequestInfo;
use hypermesh_chain::{PublicKey, SigningKey};
use hypermesh_machine::Replica;
use hypermesh_pipeline::authz::UserInfo;
use hypermesh_pipeline::{Identities, Kind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, watch};
use x509_parser::extensions::ParsedExtension;

/// How long a request waits for room in memory before it is told to try again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Large lists that are produced at a time; each holds a thread while it is, and none while its client reads.
const MOST_LISTS: usize = 8;

/// The server's inside.
pub(crate) struct Api {
    pub replica: Arc<Replica>,
    pub metrics: Arc<Metrics>,
    /// Tokens that were verified.
    pub tokens: Tokens,
    /// Verifies service accounts' tokens.
    pub token_key: PublicKey,
    /// Signs them.
    pub token_signer: SigningKey,
    /// Who issues tokens, and whom they are for by default.
    pub issuer: String,
    /// Where clients reach the server.
    pub address: String,
    /// Turns true when the server shuts down: watches end.
    pub closing: watch::Receiver<bool>,
    /// What Alt-Svc (RFC 7838) says, once HTTP/3 is served.
    pub alternative: OnceLock<http::HeaderValue>,
    /// What bodies of requests hold until they are executed.
    pub bodies: Arc<Budget>,
    /// What replies hold until they are sent.
    pub replies: Arc<Budget>,
    /// How long a client may take nothing.
    pub stall: Duration,
    /// What agents are asked by, once there is a socket for it.
    pub agents: OnceLock<Agents>,
    /// The way to the other replicas, where there are some.
    pub line: OnceLock<Line>,
    /// Which agents are heard of.
    pub alive: Alive,
    /// What nodes and instances used lately.
    pub usage: Usage,
    /// How many streams there may be.
    pub room: Arc<Room>,
    /// Signatures that opened streams.
    pub seen: Seen,
    /// Turns at producing large lists.
    pub lists: Arc<Semaphore>,
    /// Who still uses a former authority.
    pub former: Former,
    documents: ArcSwap<Documents>,
    ids: AtomicU64,
    seed: u64,
}

/// One connection's client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    /// Whom its certificate names.
    pub user: Option<Arc<UserInfo>>,
    /// Until when the certificate is valid, in seconds since the epoch.
    pub expires: Option<i64>,
    /// The certificate's key, if it is an Ed25519 key.
    pub key: Option<[u8; 32]>,
    /// Key identifier of the authority that the certificate names.
    pub authority: Option<Arc<[u8]>>,
}

impl Client {
    /// The client that showed this certificate, or none.
    pub fn of(certificate: Option<&rustls::pki_types::CertificateDer<'_>>) -> Self {
        let Some(certificate) = certificate else { return Self::default() };
        let parsed = x509_parser::parse_x509_certificate(certificate).ok().map(|(_, parsed)| parsed);
        let expires = parsed.as_ref().map(|parsed| parsed.validity().not_after.timestamp());
        let key = parsed.as_ref().and_then(|parsed| hypermesh_pki::ed25519_key(parsed.public_key().raw));
        let authority = parsed.as_ref().and_then(|parsed| {
            parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(authority) => {
                    authority.key_identifier.as_ref().map(|key| Arc::from(key.0))
                }
                _ => None,
            })
        });
        Self { user: access::certificate_user(certificate).map(Arc::new), expires, key, authority }
    }

    /// Whether the certificate's key is registered for the user whom the certificate names.
    pub fn is_registered(&self, identities: &Identities) -> bool {
        let (Some(user), Some(key)) = (&self.user, &self.key) else { return false };
        identities.name(key) == Some(user.name.as_str())
    }
}

/// One request about a stored kind.
pub(crate) struct Asked {
    pub kind: Arc<Kind>,
    /// How its objects are shown, where they are another kind's.
    pub view: Option<Arc<View>>,
    pub who: Who,
    pub info: RequestInfo,
    pub query: Query,
    pub agent: String,
}

impl Api {
    pub fn new(
        replica: Arc<Replica>,
        token_signer: SigningKey,
        address: String,
        closing: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        let registry = Arc::clone(&replica.reading().derived.registry);
        let mut seed = [0_u8; 8];
        // Audit ids need to differ, not to be secret: without randomness the clock has to do.
        if getrandom::fill(&mut seed).is_err() {
            seed = replica.now().0.to_le_bytes();
        }
        Self {
            documents: ArcSwap::from_pointee(Documents::new(registry, address.clone())),
            issuer: format!("https://{}.hypermesh", &replica.cluster().0.to_string()[..16]),
            tokens: Tokens::default(),
            token_key: token_signer.public(),
            replica,
            metrics,
            bodies: Budget::new("bytes of requests", limits.memory, PATIENCE),
            replies: Budget::new("bytes of replies", limits.memory, PATIENCE),
            stall: limits.stall,
            agents: OnceLock::new(),
            line: OnceLock::new(),
            alive: Alive::default(),
            usage: Usage::default(),
            room: Arc::default(),
            seen: Seen::default(),
            lists: Arc::new(Semaphore::new(MOST_LISTS)),
            token_signer,
            address,
            closing,
            alternative: OnceLock::new(),
            former: Former::default(),
            ids: AtomicU64::new(0),
            seed: u64::from_le_bytes(seed),
        }
    }

    /// The documents of the kinds that are served now.
    pub fn documents(&self) -> Arc<Documents> {
        let kept = self.documents.load_full();
        let reading = self.replica.reading();
        if kept.are_of(&reading.derived.registry) {
            return kept;
        }
        let fresh = Arc::new(Documents::new(Arc::clone(&reading.derived.registry), self.address.clone()));
        self.documents.store(Arc::clone(&fresh));
        fresh
    }

    /// Seconds since the epoch.
    pub fn unix_now(&self) -> i64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
    }

    /// An id in the form of a UUID that no other request of this server has.
    pub fn fresh_id(&self) -> String {
        let n = self.ids.fetch_add(1, Ordering::Relaxed);
        let (a, b) = (mix(self.seed ^ n), mix(self.seed.rotate_left(32).wrapping_add(n)));
        let version = (a & !0xf000) | 0x4000;
        let variant = (b & !(0b11 << 62)) | (0b10 << 62);
        uuid(version, variant)
    }
}

/// 128 bits as a UUID is written. Every reply has one: the formatting of `std` took as long as finding the object.
fn uuid(high: u64, low: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    let nibbles = (0..16).rev().map(|n| high >> (4 * n)).chain((0..16).rev().map(|n| low >> (4 * n)));
    for (place, nibble) in nibbles.enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(char::from(DIGITS[(nibble & 15) as usize]));
    }
    text
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that looks random.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_rfc_9562_has_it() {
        assert_eq!(
            uuid(0x0123_4567_89ab_4def, 0x8123_4567_89ab_cdef),
            "01234567-89ab-4def-8123-456789abcdef"
        );
    }
}
