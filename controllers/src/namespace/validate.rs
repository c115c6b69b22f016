//! A namespace cannot be wrong; it can be on its way out.

use super::Observed;
use crate::root_bundle::RootBundle;
use crate::runtime::Subject;
use k8s_openapi::api::core::v1::Namespace;

/// A namespace and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Valid {
    /// It is being deleted: whatever is missing stays missing.
    Leaving,
    /// It lives.
    Living {
        /// What it has.
        observed: Observed,
        /// The authorities that its programs are to know.
        pem: String,
    },
}

pub(super) fn validate(subject: &Subject<Namespace>, observed: Observed, bundle: &RootBundle) -> Valid {
    if subject.deleting() {
        return Valid::Leaving;
    }
    Valid::Living { observed, pem: bundle.pem().to_owned() }
}
