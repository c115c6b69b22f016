//! Platforms: what a node runs, and which manifest of an index that is.
//!
//! The order of preference is containerd's: the node's own variant, then older ones that the same processor runs
//! (arm/v7 runs v6 and v5, amd64/v3 runs v2 and v1). An arm64 without a variant is v8, an amd64 without one is v1.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Operating system, architecture and its variant, by Go's names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, `arm`, `riscv64`…
    pub architecture: String,
    /// `v8`, `v7`, `v2`…; not every architecture has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// What was no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform; write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, as in linux/arm64/v8")]
pub struct PlatformError(String);

impl Platform {
    /// A platform, in its normal form.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = match os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let variant = variant.map(str::to_ascii_lowercase).filter(|variant| !variant.is_empty());
        let (architecture, variant) = match (architecture.to_ascii_lowercase().as_str(), variant) {
            ("x86_64" | "x86-64" | "amd64", variant) => ("amd64".to_owned(), variant.filter(|v| v != "v1")),
            ("aarch64" | "arm64", variant) => ("arm64".to_owned(), variant.filter(|v| v != "v8" && v != "8")),
            ("armhf", _) => ("arm".to_owned(), Some("v7".to_owned())),
            ("armel", _) => ("arm".to_owned(), Some("v6".to_owned())),
            ("arm", variant) => {
                let variant = variant.unwrap_or_else(|| "v7".to_owned());
                let numbered = variant.bytes().all(|byte| byte.is_ascii_digit());
                ("arm".to_owned(), Some(if numbered { format!("v{variant}") } else { variant }))
            }
            ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386".to_owned(), None),
            ("powerpc64le", variant) => ("ppc64le".to_owned(), variant),
            (other, variant) => (other.to_owned(), variant),
        };
        Self { os, architecture, variant }
    }

    /// What this program was built for.
    #[must_use]
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, std::env::consts::ARCH, None)
    }

    /// What this machine runs at its best: with the level of its processor where architectures have levels.
    #[must_use]
    pub fn node() -> Self {
        Self { variant: level().map(str::to_owned), ..Self::host() }
    }

    /// How far an image for `self` is from the best that a node of `node` runs: 0 is the node's own variant; none if
    /// the node does not run it.
    #[must_use]
    pub fn distance(&self, node: &Self) -> Option<u32> {
        let image = Self::new(&self.os, &self.architecture, self.variant.as_deref());
        let node = Self::new(&node.os, &node.architecture, node.variant.as_deref());
        if image.os != node.os || image.architecture != node.architecture {
            return None;
        }
        if image.variant == node.variant {
            return Some(0);
        }
        let base = match node.architecture.as_str() {
            "amd64" => 1,
            "arm64" => 8,
            "arm" => 7,
            _ => return None,
        };
        let level = |variant: Option<&str>| match variant {
            None => Some(base),
            Some(variant) => variant.strip_prefix('v')?.split('.').next()?.parse::<u32>().ok(),
        };
        let (image, node) = (level(image.variant.as_deref())?, level(node.variant.as_deref())?);
        node.checked_sub(image)
    }
}

/// The x86-64 psABI's level of this processor; none is the first.
#[cfg(target_arch = "x86_64")]
fn level() -> Option<&'static str> {
    use std::is_x86_feature_detected as has;
    let second = has!("cmpxchg16b")
        && has!("popcnt")
        && has!("sse3")
        && has!("ssse3")
        && has!("sse4.1")
        && has!("sse4.2");
    let third = second
        && has!("avx")
        && has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe");
    let fourth = third
        && has!("avx512f")
        && has!("avx512bw")
        && has!("avx512cd")
        && has!("avx512dq")
        && has!("avx512vl");
    match (fourth, third, second) {
        (true, _, _) => Some("v4"),
        (_, true, _) => Some("v3"),
        (_, _, true) => Some("v2"),
        _ => None,
    }
}

/// What the program was built for is what there is.
#[cfg(not(target_arch = "x86_64"))]
const fn level() -> Option<&'static str> {
    None
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let word = |part: &str| {
            (1..=32).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let wrong = || PlatformError(text.chars().take(80).collect());
        if !parts.iter().all(|part| word(part)) {
            return Err(wrong());
        }
        match parts[..] {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(image: &str, node: &str) -> Option<u32> {
        image.parse::<Platform>().unwrap().distance(&node.parse().unwrap())
    }

    #[test]
    fn variants_fall_back_to_older_ones_alone() {
        assert_eq!(distance("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(distance("linux/arm64/v8", "linux/aarch64"), Some(0));
        assert_eq!(distance("linux/arm64/v8", "linux/arm64/v9"), Some(1));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), Some(1));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(distance("linux/arm", "linux/arm/v7"), Some(0));
        assert_eq!(distance("linux/amd64", "linux/amd64/v3"), Some(2));
        assert_eq!(distance("linux/amd64/v3", "linux/x86_64"), None);
        assert_eq!(distance("linux/arm/v7", "linux/arm64"), None);
        assert_eq!(distance("windows/amd64", "linux/amd64"), None);
        assert_eq!(distance("linux/riscv64", "linux/riscv64"), Some(0));
    }

    #[test]
    fn this_machine_runs_what_is_built_for_it() {
        assert!(Platform::host().distance(&Platform::node()).is_some());
        assert_eq!(Platform::node().distance(&Platform::node()), Some(0));
    }

    #[test]
    fn what_is_no_platform_is_refused() {
        for text in ["linux", "linux/", "linux/a/b/c", "linux/a b", ""] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        assert_eq!("Linux/X86_64/v1".parse::<Platform>().unwrap().to_string(), "linux/amd64");
    }
}
