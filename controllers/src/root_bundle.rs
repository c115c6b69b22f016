//! The authorities of the API server, as programs in namespaces get them.

use thiserror::Error;

/// PEM certificates and nothing else: at least one, never a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootBundle(String);

/// Text that is no bundle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RootBundleError {
    /// Nothing in it.
    #[error("it holds no certificate: a PEM block CERTIFICATE is expected")]
    Empty,
    /// Something that has no place in it.
    #[error("it holds {0:?} beside certificates, which must not be given to every namespace")]
    Foreign(String),
    /// A block that does not decode.
    #[error("it holds a PEM block that cannot be read: {0}")]
    Malformed(String),
}

impl RootBundle {
    /// Reads PEM text. What stands between its blocks is dropped.
    pub fn parse(text: &str) -> Result<Self, RootBundleError> {
        use rustls_pki_types::pem::{PemObject as _, SectionKind};
        let mut count = 0_usize;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            match section.map_err(|error| RootBundleError::Malformed(error.to_string()))? {
                (SectionKind::Certificate, _) => count += 1,
                (other, _) => return Err(RootBundleError::Foreign(format!("{other:?}"))),
            }
        }
        if count == 0 {
            return Err(RootBundleError::Empty);
        }
        let mut kept = String::with_capacity(text.len());
        let mut inside = false;
        for line in text.lines().map(str::trim_end) {
            inside |= line.starts_with("-----BEGIN ");
            if inside {
                kept.push_str(line);
                kept.push('\n');
            }
            inside &= !line.starts_with("-----END ");
        }
        Ok(Self(kept))
    }

    /// The certificates in PEM, each line ended.
    pub fn pem(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

    #[test]
    fn certificates_are_kept_and_words_between_them_dropped() {
        let text = format!("# mine\r\n{}subject: x\n{ONE}", ONE.replace('\n', "\r\n"));
        assert_eq!(RootBundle::parse(&text).unwrap().pem(), format!("{ONE}{ONE}"));
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        assert_eq!(RootBundle::parse(""), Err(RootBundleError::Empty));
        assert_eq!(RootBundle::parse("hello"), Err(RootBundleError::Empty));
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        assert!(matches!(RootBundle::parse(&format!("{ONE}{key}")), Err(RootBundleError::Foreign(_))));
        let broken = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(RootBundle::parse(broken), Err(RootBundleError::Malformed(_))));
    }
}
