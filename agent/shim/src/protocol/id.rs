//! Names of what a shim runs: parts of paths, of cgroups and of messages, so they hold nothing that would leave one.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name: a DNS label's 63 bytes, a dash, and a counter or uid behind it.
const LONGEST: usize = 128;

/// A name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no id: 1 to 128 characters of a-z, A-Z, 0-9, '.', '_' and '-', the first of them a letter or digit"
)]
pub struct IdError(pub String);

fn check(text: &str) -> Result<(), IdError> {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let all = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if first && all && text.len() <= LONGEST { Ok(()) } else { Err(IdError(text.to_owned())) }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a name: 1 to 128 letters, digits, dots, dashes and underscores, a letter or digit first.
            ///
            /// # Errors
            /// If it is none.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text).map(|()| Self(text))
            }

            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// One Instance on this node: its folder, its cgroup and its shim are named after it. The Instance's uid, or anything
    /// else that no other Instance of this node ever had.
    InstanceId
}

id! {
    /// One run of one container within its Instance, such as `web-0`: a restart is another container.
    ContainerId
}

id! {
    /// One process that was started in a running container beside its own.
    ExecId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_a_folder_is_no_id() {
        for bad in ["", ".", "..", "a/b", "-a", "_shim", ".a", "a b", "ä", "a\0", &"a".repeat(129)] {
            assert!(ContainerId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "web-0", "A.b_c-1", &"a".repeat(128)] {
            assert!(ContainerId::new(good).is_ok(), "{good:?}");
        }
        assert!(serde_json::from_str::<InstanceId>("\"../x\"").is_err());
    }
}
