//! Tokens that were given, until they expire.

use crate::credentials::Credential;
use crate::limits::TOKENS;
use http::HeaderValue;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// What a token is good for if its server does not say (distribution's token specification).
const DEFAULT: Duration = Duration::from_secs(60);
/// No token is believed for longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// Tokens are no longer used shortly before they expire.
const MARGIN: Duration = Duration::from_secs(5);

/// What a token server answers.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Answer {
    /// The header to show, and for how long it is good; none if there is no token, or one that no header can hold.
    pub(super) fn header(self) -> Option<(HeaderValue, Duration)> {
        let token = self.token.filter(|token| !token.is_empty()).or(self.access_token)?;
        let good = self.expires_in.map_or(DEFAULT, Duration::from_secs).clamp(DEFAULT, LONGEST);
        Some((bearer(&Zeroizing::new(token))?, good))
    }
}

/// A header with a token; none if it has characters that no header can hold.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&Zeroizing::new(format!("Bearer {token}")))
}

pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// For what a header is shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub host: String,
    pub repository: String,
    pub credential: Credential,
}

/// Headers that worked.
#[derive(Default)]
pub(super) struct Tokens {
    kept: Mutex<Vec<(Key, HeaderValue, Instant)>>,
}

impl Tokens {
    pub(super) fn get(&self, key: &Key) -> Option<HeaderValue> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|(_, _, until)| *until > now);
        kept.iter().find(|(of, _, _)| of == key).map(|(_, header, _)| header.clone())
    }

    pub(super) fn put(&self, key: Key, header: HeaderValue, good: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, _, _)| *of != key);
        if kept.len() >= TOKENS {
            let first = kept.iter().enumerate().min_by_key(|(_, (_, _, until))| *until).map(|(at, _)| at);
            if let Some(at) = first {
                kept.swap_remove(at);
            }
        }
        kept.push((key, header, Instant::now() + good.saturating_sub(MARGIN)));
    }

    pub(super) fn forget(&self, key: &Key) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _, _)| of != key);
    }
}
