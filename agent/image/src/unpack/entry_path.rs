//! Names within a layer, once they are known to be harmless.

use super::refusal::Refusal;
use crate::limits::Limits;

/// Components within a tree: no `..`, no NUL, none empty, bounded in number and length. Empty is the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryPath {
    /// Joined by single slashes.
    text: Vec<u8>,
}

impl EntryPath {
    /// A slash at the beginning means the tree's root, as every runtime takes it.
    pub(crate) fn parse(name: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        if name.len() > limits.path_bytes {
            return Err(Refusal::TooLong { found: name.len(), limit: limits.path_bytes });
        }
        if name.contains(&0) {
            return Err(Refusal::Nul);
        }
        let mut text = Vec::with_capacity(name.len());
        let mut depth = 0;
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return Err(Refusal::DotDot),
                _ if part.len() > 255 => return Err(Refusal::PartTooLong(part.len())),
                _ => {}
            }
            depth += 1;
            if depth > limits.depth {
                return Err(Refusal::TooDeep { found: depth, limit: limits.depth });
            }
            if !text.is_empty() {
                text.push(b'/');
            }
            text.extend_from_slice(part);
        }
        Ok(Self { text })
    }

    /// Parent and last component; none for the root.
    pub(crate) fn split(&self) -> Option<(&[u8], &[u8])> {
        if self.text.is_empty() {
            return None;
        }
        Some(match self.text.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&self.text[..at], &self.text[at + 1..]),
            None => (b"", &self.text),
        })
    }

    /// Its bytes.
    pub(crate) fn length(&self) -> usize {
        self.text.len()
    }

    /// The same parent with another last component.
    pub(crate) fn sibling(&self, name: &[u8]) -> Self {
        let mut text = self.split().map_or_else(Vec::new, |(parent, _)| parent.to_vec());
        if !text.is_empty() {
            text.push(b'/');
        }
        text.extend_from_slice(name);
        Self { text }
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        if self.text.is_empty() { "/".to_owned() } else { shown(&self.text) }
    }
}

/// As much of a stranger's bytes as an error shows.
pub(super) fn shown(bytes: &[u8]) -> String {
    let end = bytes.len().min(256);
    let mut text = String::from_utf8_lossy(&bytes[..end]).into_owned();
    if end < bytes.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(name: &[u8]) -> Result<Vec<u8>, Refusal> {
        EntryPath::parse(name, &Limits::default()).map(|path| path.text)
    }

    #[test]
    fn names_lose_what_means_nothing_and_keep_the_rest() {
        assert_eq!(parse(b"./a//b/./c/").unwrap(), b"a/b/c");
        assert_eq!(parse(b"/etc/passwd").unwrap(), b"etc/passwd");
        assert_eq!(parse(b"./").unwrap(), b"");
        assert_eq!(parse(b"a/..b/...").unwrap(), b"a/..b/...");
        assert_eq!(parse(b"a/../b"), Err(Refusal::DotDot));
        assert_eq!(parse(b".."), Err(Refusal::DotDot));
        assert_eq!(parse(b"a\0b"), Err(Refusal::Nul));
        assert_eq!(parse(&[b'a'; 256]), Err(Refusal::PartTooLong(256)));
        assert!(matches!(parse(&b"a/".repeat(300)), Err(Refusal::TooDeep { .. })));
        assert!(matches!(parse(&b"a".repeat(5000)), Err(Refusal::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn what_is_taken_stays_below(name in proptest::collection::vec(proptest::sample::select(b"a./\\\0".to_vec()), 0..40)) {
            if let Ok(path) = parse(&name) {
                let harmless = path.split(|byte| *byte == b'/').all(|part| part != b".." && part != b".");
                prop_assert!(harmless);
                prop_assert!(!path.starts_with(b"/") && !path.ends_with(b"/") && !path.contains(&0));
            }
        }
    }
}
