//! Which instance: its uid, and the name people know it by.

use std::fmt;

/// An instance's uid. It names folders, namespaces and shims of the node, so only what is harmless in a path is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceUid(String);

/// A text that is no uid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no uid: 1 to 64 lower-case hexadecimal digits and dashes")]
pub struct InvalidUid(String);

impl InstanceUid {
    /// Reads it.
    ///
    /// # Errors
    /// What is no uid, cut at 80 characters.
    pub fn parse(text: &str) -> Result<Self, InvalidUid> {
        let known = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
        if (1..=64).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidUid(text.chars().take(80).collect()))
        }
    }

    /// As the API server gave it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InstanceUid {
    type Error = InvalidUid;

    fn try_from(text: String) -> Result<Self, InvalidUid> {
        Self::parse(&text)
    }
}

impl From<InstanceUid> for String {
    fn from(uid: InstanceUid) -> Self {
        uid.0
    }
}

impl fmt::Display for InstanceUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_folder_is_no_uid() {
        assert!(InstanceUid::parse("9f8e7d6c-0000-4000-8000-00000000beef").is_ok());
        for text in ["", "..", "a/b", "A", "0\0", "x", &"a".repeat(65)] {
            assert!(InstanceUid::parse(text).is_err(), "{text:?}");
        }
    }
}
