//! Where a manifest lies: a URL taken apart.

use http::Uri;
use std::net::IpAddr;

/// A URL of `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) tls: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
}

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        // A fragment is the browser's business.
        let url = url.split_once('#').map_or(url, |(before, _)| before);
        let uri: Uri = url.parse().map_err(|error| format!("this is no URL ({error})"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("manifests are fetched over https".to_owned()),
        };
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err(
                "a name and password in a URL end up in logs and histories: fetch it with a tool that keeps \
                        them, and pipe it into `-f -`"
                    .to_owned(),
            );
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("the URL names no host".to_owned());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }), path })
    }

    /// Refuses plain HTTP to other machines.
    pub(super) fn permit(&self, insecure: bool) -> Result<(), String> {
        if self.tls || insecure || self.is_loopback() {
            return Ok(());
        }
        Err(format!(
            "what comes over plain HTTP may be anybody's: take https://{}{}, or --insecure-fetch if you must",
            self.host, self.path
        ))
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// `host:port` as a Host header has it.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Where a redirect leads (RFC 3986, section 5.2, for the forms that servers send).
    pub(super) fn join(&self, target: &str) -> Result<Self, String> {
        if target.contains("://") {
            return Self::parse(target)
                .map_err(|why| format!("a redirect to {:?}: {why}", super::shown(target)));
        }
        let scheme = if self.tls { "https" } else { "http" };
        if let Some(rest) = target.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = if target.starts_with('/') {
            target.to_owned()
        } else {
            let folder = self.path.split('?').next().unwrap_or("/");
            format!("{}/{target}", folder.rsplit_once('/').map_or("", |(folder, _)| folder))
        };
        Self::parse(&format!("{scheme}://{}{path}", self.authority()))
    }

    /// Where the file itself lies, if this is the page of a file on GitHub.
    pub(super) fn raw(&self) -> Option<String> {
        let mut parts = self.path.trim_start_matches('/').splitn(4, '/');
        let (owner, name, kind, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (self.host == "github.com" && kind == "blob")
            .then(|| format!("https://raw.githubusercontent.com/{owner}/{name}/{rest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_leaves_the_machine() {
        let permitted = |url: &str, insecure| Location::parse(url).and_then(|l| l.permit(insecure));
        assert!(permitted("https://example.com/a.yaml", false).is_ok());
        assert!(permitted("http://127.0.0.1:8080/a.yaml", false).is_ok());
        assert!(permitted("http://[::1]/a.yaml", false).is_ok());
        assert!(permitted("http://localhost/a.yaml", false).is_ok());
        assert!(permitted("http://localhost.example.com/a.yaml", false).is_err());
        assert!(
            permitted("http://example.com/a.yaml", false).unwrap_err().contains("https://example.com/a.yaml")
        );
        assert!(permitted("http://example.com/a.yaml", true).is_ok());
        assert!(permitted("https://user:secret@example.com/", false).is_err());
        assert!(permitted("ftp://example.com/", false).is_err());
    }

    #[test]
    fn redirects_lead_where_servers_mean() {
        let from = Location::parse("https://example.com:8443/a/b.yaml?x=1").unwrap();
        let to = |target: &str| {
            let location = from.join(target).unwrap();
            format!("{} {}{}", location.tls, location.authority(), location.path)
        };
        assert_eq!(to("/c?y=2"), "true example.com:8443/c?y=2");
        assert_eq!(to("c.yaml"), "true example.com:8443/a/c.yaml");
        assert_eq!(to("//other.com/c"), "true other.com/c");
        assert_eq!(to("http://other.com/c#top"), "false other.com/c");
        let page = Location::parse("https://github.com/o/n/blob/main/x/y.yaml").unwrap();
        assert_eq!(page.raw().as_deref(), Some("https://raw.githubusercontent.com/o/n/main/x/y.yaml"));
    }
}
