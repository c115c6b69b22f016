//! Who asks: answers to challenges, and the tokens that are had for them.

use super::address::{authority, encoded, protocol};
use super::challenge::{self, Challenge};
use super::client::HttpRegistry;
use super::error::RegistryError;
use super::token::{Answer, Key, sensitive};
use crate::credentials::Credential;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};
use std::time::Duration;
use zeroize::Zeroizing;

impl HttpRegistry {
    /// What to show for a challenge, asked for where it says; none if the credential does not answer any.
    pub(super) async fn authenticate(
        &self,
        url: &Uri,
        key: &Key,
        challenges: &[Challenge],
    ) -> Result<Option<HeaderValue>, RegistryError> {
        for challenge in challenges {
            match (challenge, &key.credential) {
                (Challenge::Bearer { realm, service, scope }, _) => {
                    let scope =
                        scope.clone().unwrap_or_else(|| format!("repository:{}:pull", key.repository));
                    let (header, good) = self.token(url, key, realm, service.as_deref(), &scope).await?;
                    self.tokens.put(key.clone(), header.clone(), good);
                    return Ok(Some(header));
                }
                (Challenge::Basic, Credential::Basic { username, password }) => {
                    let header = basic(&key.host, username, password)?;
                    self.tokens.put(key.clone(), header.clone(), Duration::from_secs(3600));
                    return Ok(Some(header));
                }
                (Challenge::Basic, _) => {}
            }
        }
        Ok(None)
    }

    /// Asks a token server (distribution's token specification; for identity tokens its OAuth 2 form).
    async fn token(
        &self,
        url: &Uri,
        key: &Key,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<(HeaderValue, Duration), RegistryError> {
        let host = &key.host;
        let realm: Uri = realm.parse().map_err(|_| protocol(host, "its realm is no address"))?;
        let secret = key.credential != Credential::Anonymous;
        check_realm(host, url, &realm, secret)?;
        let mut fields = format!("scope={}", encoded(scope));
        if let Some(service) = service {
            fields += &format!("&service={}", encoded(service));
        }
        let mut headers = HeaderMap::new();
        let request = match &key.credential {
            Credential::Identity(token) => {
                let form = Zeroizing::new(format!(
                    "grant_type=refresh_token&client_id=hypermesh&refresh_token={}&{fields}",
                    encoded(token)
                ));
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                (Method::POST, realm.clone(), Bytes::copy_from_slice(form.as_bytes()))
            }
            credential => {
                if let Credential::Basic { username, password } = credential {
                    headers.insert(header::AUTHORIZATION, basic(host, username, password)?);
                    fields += &format!("&account={}", encoded(username));
                }
                let glue = if realm.query().is_some() { '&' } else { '?' };
                let with_query = format!("{realm}{glue}{fields}");
                let uri = with_query.parse().map_err(|_| protocol(host, "its realm is no address"))?;
                (Method::GET, uri, Bytes::new())
            }
        };
        let at = authority(&realm);
        let response = self.send(&at, request.0, request.1, &headers, request.2).await?;
        match response.status() {
            StatusCode::OK => {}
            // The token server is the one who knows the password.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                let (host, repository) = (host.clone(), key.repository.clone());
                return Err(RegistryError::Unauthorized { host, repository, shown: usize::from(secret) });
            }
            _ => return Err(self.error(&at, &key.repository, "token", response).await),
        }
        let limit = self.limits.answer_bytes as u64;
        let body = Zeroizing::new(self.collect(&at, response, "a token", limit).await?);
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| protocol(&at, "its token is no JSON"))?;
        answer.header().ok_or_else(|| protocol(&at, "it gave no token, or one that no header can hold"))
    }
}

/// Whether credentials, or a token, may be had from there.
fn check_realm(host: &str, url: &Uri, realm: &Uri, secret: bool) -> Result<(), RegistryError> {
    let leak = |why| RegistryError::Leak { host: host.to_owned(), to: authority(realm), why };
    match realm.scheme_str() {
        Some("https") => Ok(()),
        // Someone who chose plain HTTP for this very host chose it for its tokens.
        Some("http") if url.scheme() == Some(&Scheme::HTTP) && (!secret || same_host(url, realm)) => Ok(()),
        Some("http") if url.scheme() == Some(&Scheme::HTTP) => Err(leak("it is another host, in the clear")),
        Some("http") => Err(leak("it is in the clear, and the registry is not")),
        _ => Err(protocol(host, "its realm is neither of https nor of http")),
    }
}

fn same_host(a: &Uri, b: &Uri) -> bool {
    a.host().zip(b.host()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
}

fn basic(host: &str, username: &str, password: &str) -> Result<HeaderValue, RegistryError> {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    sensitive(&text).ok_or_else(|| protocol(host, "no header can hold the credentials"))
}

pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut challenges: Vec<Challenge> = texts.flat_map(challenge::parse).collect();
    // A token can be narrowed to what is asked for; a password cannot.
    challenges.sort_by_key(|challenge| *challenge == Challenge::Basic);
    challenges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn credentials_go_nowhere_in_the_clear() {
        let tls = uri("https://r.example.org/v2/");
        let plain = uri("http://r.example.org:5000/v2/");
        let check = |url: &Uri, realm: &str, secret| check_realm("r", url, &uri(realm), secret).is_ok();
        assert!(check(&tls, "https://auth.example.net/token", true));
        assert!(!check(&tls, "http://auth.example.net/token", false));
        assert!(check(&plain, "http://r.example.org:5001/token", true));
        assert!(!check(&plain, "http://evil.example.net/token", true));
        assert!(check(&plain, "http://evil.example.net/token", false));
        assert!(!check(&plain, "ftp://r.example.org/token", false));
    }
}
