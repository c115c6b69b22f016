//! What has to be done so that a namespace has what every namespace has.

use super::validate::Valid;
use std::fmt;

/// What is done about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it should be.
    Keep,
    /// It is missing.
    Create,
    /// Its data is put right; whether there is binary data to take away.
    Update {
        /// There is.
        binary: bool,
    },
    /// It can never change again, and is wrong: it is deleted and made anew. Its uid and revision.
    Replace(String, String),
    /// It is being deleted: once it is gone it is made anew.
    Await,
}

/// What is done about a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The namespace is being deleted.
    pub leaving: bool,
    /// The ServiceAccount.
    pub account: Step,
    /// The ConfigMap.
    pub bundle: Step,
}

pub(super) fn build(valid: &Valid) -> Plan {
    let Valid::Living { observed, pem } = valid else {
        return Plan { leaving: true, account: Step::Keep, bundle: Step::Keep };
    };
    let account = if observed.account { Step::Keep } else { Step::Create };
    let bundle = match &observed.bundle {
        None => Step::Create,
        Some(bundle) if bundle.deleting => Step::Await,
        Some(bundle) if bundle.pem.as_ref() == Some(pem) => Step::Keep,
        Some(bundle) if bundle.immutable => {
            Step::Replace(bundle.uid.clone(), bundle.resource_version.clone())
        }
        Some(bundle) => Step::Update { binary: bundle.binary },
    };
    Plan { leaving: false, account, bundle }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.leaving {
            return f.write_str("the namespace is being deleted: nothing is put into it");
        }
        let account = match &self.account {
            Step::Keep => "",
            _ => "create the ServiceAccount default, which is missing",
        };
        let bundle = match &self.bundle {
            Step::Keep => "",
            Step::Create => "create the ConfigMap kube-root-ca.crt, which is missing",
            Step::Update { .. } => "put the data of the ConfigMap kube-root-ca.crt right",
            Step::Replace(..) => "replace the ConfigMap kube-root-ca.crt, whose data is wrong and immutable",
            Step::Await => "wait until the ConfigMap kube-root-ca.crt is gone, to create it anew",
        };
        match (account, bundle) {
            ("", "") => f.write_str("the namespace has what every namespace has"),
            (one, "") | ("", one) => f.write_str(one),
            (account, bundle) => write!(f, "{account}; {bundle}"),
        }
    }
}
