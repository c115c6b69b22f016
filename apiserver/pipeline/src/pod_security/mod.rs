//! Pod Security Standards: what a namespace lets its instances ask of a node, by labels on the namespace.
//!
//! [`Policy`] is read from the labels, [`violations`] holds what is run against a level, and neither reads anything else:
//! the state machine's hook (`hook::pod_security`) decides what follows. Semantics, order and words are those of
//! `k8s.io/pod-security-admission`, so that who knows a refusal there knows it here.

mod checks;
mod pod;
mod policy;

pub(crate) use checks::{Violation, violations};
pub(crate) use pod::Pod;
pub(crate) use policy::{Level, Policy, Standard};

/// What is wrong, in few words: `hostPort, privileged`.
pub(crate) fn reasons(violations: &[Violation]) -> String {
    let reasons: Vec<&str> = violations.iter().map(|violation| violation.reason).collect();
    reasons.join(", ")
}

/// What is wrong, and where: `privileged (container "a" must not set securityContext.privileged=true)`.
pub(crate) fn details(violations: &[Violation]) -> String {
    let details = violations.iter().map(|violation| format!("{} ({})", violation.reason, violation.detail));
    details.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
