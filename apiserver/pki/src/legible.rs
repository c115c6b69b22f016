//! Why a text is no key or certificate, in words that say what was expected.
//!
//! What stands in the text is not repeated: it may be a key.

use pem::PemError;

/// Why a text is no PEM (RFC 7468).
pub(crate) fn pem(text: &str, error: &PemError) -> String {
    match error {
        _ if text.trim().is_empty() => "it is empty".to_owned(),
        PemError::MalformedFraming | PemError::MissingBeginTag | PemError::MissingEndTag => {
            let has = |mark: &str| text.contains(mark);
            match (has("-----BEGIN "), has("-----END ")) {
                (false, _) => "it is no PEM, which begins with a line -----BEGIN …-----".to_owned(),
                (true, false) => "it is cut off: its last line, -----END …-----, is missing".to_owned(),
                (true, true) => {
                    "its lines -----BEGIN …----- and -----END …----- do not stand alone".to_owned()
                }
            }
        }
        PemError::MismatchedTags(..) => {
            "its lines -----BEGIN …----- and -----END …----- do not name the same thing".to_owned()
        }
        PemError::MissingData => "nothing stands between its lines BEGIN and END".to_owned(),
        PemError::InvalidData(_) | PemError::InvalidHeader(_) | PemError::NotUtf8(_) => {
            "what stands between its lines BEGIN and END is damaged: base64 was expected".to_owned()
        }
    }
}

/// Told of PEM that is well formed and holds something else than a certificate.
pub(crate) const NO_X509: &str = "its PEM is well formed, and what it holds is no X.509 certificate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damage_is_told_in_words() {
        let of = |text: &str| pem(text, &::pem::parse(text).unwrap_err());
        let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(of(""), "it is empty");
        assert!(of("AAAA").starts_with("it is no PEM"));
        assert!(of(block.split("-----END").next().unwrap()).starts_with("it is cut off"));
        assert!(of(&block.replacen("CERTIFICATE", "KEY", 1)).ends_with("do not name the same thing"));
        assert!(of(&block.replace("AAAA", "A!AA")).ends_with("base64 was expected"));
    }
}
