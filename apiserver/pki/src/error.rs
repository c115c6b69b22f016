//! What may go wrong with keys and certificates.

use std::path::PathBuf;
use thiserror::Error;

/// Keys or certificates could not be made or read.
#[derive(Debug, Error)]
pub enum PkiError {
    /// A file or folder.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what its name says.
    #[error("{path} is no {what}: {why}; restore it, or remove it to have a new one made")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {subject}")]
    Issue {
        /// For whom.
        subject: String,
        /// Why.
        source: rcgen::Error,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name:?} is no DNS name or IP address")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
    /// New authorities are asked for while the former ones still count.
    #[error(
        "a rotation of the authorities is under way already: end it by `nexusctl certs rotate-ca --finish`"
    )]
    Rotating,
    /// A rotation is to be ended that was not begun.
    #[error("no rotation of the authorities is under way: `nexusctl certs rotate-ca` begins one")]
    NotRotating,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}")]
    Random(getrandom::Error),
}
