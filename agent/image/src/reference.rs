//! Names of images, read as Docker and the OCI distribution specification do.
//!
//! `busybox` is `docker.io/library/busybox:latest`; the part before the first slash is a registry if it has a dot or a
//! colon, is `localhost`, or has a capital. The grammar is that of distribution/reference. What is well formed here is
//! safe within a URL's path.

use crate::digest::{Digest, DigestError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The registry of names that name none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The host that serves it.
const DEFAULT_REGISTRY_HOST: &str = "registry-1.docker.io";
/// What it was called before.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// The tag of names that have neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// Repositories are no longer than this, their registry aside.
const REPOSITORY_BYTES: usize = 255;
/// Tags are no longer than this.
const TAG_BYTES: usize = 128;

/// A registry, a repository in it, and a tag or a digest or both. Where both stand, the digest decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry as it is named: `docker.io`, `example.org:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The host, and port if there is one, that serves the registry.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.registry == DEFAULT_REGISTRY { DEFAULT_REGISTRY_HOST } else { &self.registry }
    }

    /// The repository within the registry: `library/busybox`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; there is none in a name that has a digest alone.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of what is meant, if the name pins it.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest, else the tag.
    #[must_use]
    pub fn target(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.to_owned(),
        }
    }

    /// The same repository, pinned to a digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// As people write it: without the default registry and its `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let whole = self.to_string();
        let shorter =
            ["docker.io/library/", "docker.io/"].iter().filter_map(|prefix| whole.strip_prefix(prefix));
        let same = |text: &&str| text.parse::<Self>().is_ok_and(|reference| reference == *self);
        shorter.into_iter().find(same).unwrap_or(&whole).to_owned()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// What was no name of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was there.
    #[error("an image needs a name, as in busybox:1.37 or registry.example.org/team/app@sha256:…")]
    Empty,
    /// A registry that is no host with an optional port.
    #[error("{0:?} is no registry: it is a host name or an address, with :PORT where it needs one")]
    Registry(String),
    /// A capital in the repository.
    #[error("the repository {0:?} has capitals; repositories are written in lower case")]
    Capitals(String),
    /// A part of the repository that is not of the grammar.
    #[error(
        "{0:?} is no part of a repository: it has a–z and 0–9, with one dot, one or two underscores, or dashes between"
    )]
    Component(String),
    /// A repository that is too long.
    #[error("the repository has {0} characters, and {REPOSITORY_BYTES} is the most")]
    TooLong(usize),
    /// A tag that is not of the grammar.
    #[error(
        "{0:?} is no tag: it has up to {TAG_BYTES} letters, digits, underscores, dots and dashes, and begins with a letter, a digit or an underscore"
    )]
    Tag(String),
    /// Sixty-four digits alone: Docker takes them for an image's id, never for a name.
    #[error("64 hexadecimal digits are no name; write sha256: before them, after the name and an @")]
    Id,
    /// What stands after the @ is no digest.
    #[error("what stands after the @ is no digest")]
    Digest(#[source] DigestError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to the registry's port. The first of several:
        // what is wrong is quoted as it was written.
        let last = name.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match name[last..].find(':') {
            Some(at) => (&name[..last + at], Some(&name[last + at + 1..])),
            None => (name, None),
        };
        if name.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if digest.is_none() && tag.is_none() && is_id(name) {
            return Err(ReferenceError::Id);
        }
        let (registry, repository) = split(name);
        check_registry(registry)?;
        let official = registry == DEFAULT_REGISTRY && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        check_repository(&repository)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

/// Registry and repository of a name without tag and digest.
fn split(name: &str) -> (&str, &str) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (first, rest),
        _ => (DEFAULT_REGISTRY, name),
    };
    (if registry == LEGACY_REGISTRY { DEFAULT_REGISTRY } else { registry }, repository)
}

fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is a host with an optional port, as a registry is named.
pub(crate) fn check_registry(registry: &str) -> Result<(), ReferenceError> {
    let wrong = || ReferenceError::Registry(shown(registry));
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (None, port)
        }
        None => match registry.split_once(':') {
            Some((host, _)) => (Some(host), &registry[host.len()..]),
            None => (Some(registry), ""),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host_is_fine = host.is_none_or(|host| host.len() <= 253 && host.split('.').all(label));
    let port_is_fine = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
    if host_is_fine && port_is_fine { Ok(()) } else { Err(wrong()) }
}

/// Whether this is a repository's path.
pub(crate) fn check_repository(repository: &str) -> Result<(), ReferenceError> {
    if repository.len() > REPOSITORY_BYTES {
        return Err(ReferenceError::TooLong(repository.len()));
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(ReferenceError::Capitals(shown(repository)));
    }
    for component in repository.split('/') {
        if !is_component(component) {
            return Err(ReferenceError::Component(shown(component)));
        }
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !bytes.first().is_some_and(plain) || !bytes.last().is_some_and(plain) {
        return false;
    }
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    separators
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

fn check_tag(tag: &str) -> Result<(), ReferenceError> {
    let bytes = tag.as_bytes();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let fine = bytes.len() <= TAG_BYTES
        && bytes.first().is_some_and(word)
        && bytes.iter().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
    if fine { Ok(()) } else { Err(ReferenceError::Tag(shown(tag))) }
}

/// As much of a stranger's text as an error shows; that there is more can be seen.
fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut characters = text.chars();
    let shown: String = characters.by_ref().take(MOST).collect();
    if characters.next().is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| format!("! {error}"), |reference| reference.to_string())
    }

    #[test]
    fn names_are_read_as_docker_reads_them() {
        let pin = format!("sha256:{}", "f".repeat(64));
        for (text, whole) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("test.com:5000", "docker.io/library/test.com:5000".to_owned()),
            ("test.com/repo:tag", "test.com/repo:tag".to_owned()),
            ("test:5000/repo", "test:5000/repo:latest".to_owned()),
            ("localhost/a/b", "localhost/a/b:latest".to_owned()),
            ("index.docker.io/x", "docker.io/library/x:latest".to_owned()),
            ("team/app__x.y--z:V1", "docker.io/team/app__x.y--z:V1".to_owned()),
            ("[2001:db8::1]:5000/a", "[2001:db8::1]:5000/a:latest".to_owned()),
            (&format!("a/b@{pin}"), format!("docker.io/a/b@{pin}")),
            (&format!("r.io:1/b:t@{pin}"), format!("r.io:1/b:t@{pin}")),
        ] {
            assert_eq!(read(text), whole, "{text}");
        }
        assert_eq!("busybox".parse::<Reference>().unwrap().host(), "registry-1.docker.io");
        assert_eq!("busybox".parse::<Reference>().unwrap().familiar(), "busybox:latest");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let texts = [
            "",
            ":tag",
            "a b",
            "Team/app",
            "x/../y",
            "x//y",
            "-x",
            "x-",
            "x___y",
            "x:",
            "x:.t",
            "x@sha256:00",
            "r.io:0/x",
            "r.io:99999/x",
            "r_.io:1/x",
            "[::g]:1/x",
            "x?y",
            "x/y%2e",
            "http://r.io/x",
            "UPPER/Case:::1",
            "busybox::1",
        ];
        let mut lines = texts.map(|text| format!("{text:?} {}", read(text))).to_vec();
        lines.push(read(&"a".repeat(64)));
        lines.push(read(&format!("x:{}", "-".repeat(100))));
        lines.push(read(&format!("r.io/{}", "a/".repeat(130) + "a")));
        insta::assert_snapshot!(lines.join("\n"));
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again(text in "[a-zA-Z0-9./:@_\\-\\[\\]]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().unwrap();
                prop_assert_eq!(&again, &reference);
                let familiar: Reference = reference.familiar().parse().unwrap();
                prop_assert_eq!(&familiar, &reference);
                prop_assert!(!reference.repository().contains(".."));
            }
        }
    }
}
