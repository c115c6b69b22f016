//! Requests on their way to whoever proposes, with what authorizes them.
//!
//! A replica tells the others of the requests that it took: those that their authors signed as they are, the rest under
//! one endorsement of its own for all of them. What is told again later, when some of a batch were ordered, names those as
//! absent. A bundle that verifies holds only requests that a block may hold.

use crate::{
    block::{BlockError, check_authorities, verify_authorities},
    codec::{self, Canonical, RuleError},
    genesis::ClusterId,
    ids::Hash,
    request::{BatchEndorsement, Request},
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Requests, and the endorsements that cover those which are endorsed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bundle {
    /// In the order in which they were taken.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Bundle::MAX_REQUESTS }>")]
    pub requests: Vec<Request>,
    /// They cover every endorsed request, each once.
    #[borsh(deserialize_with = "codec::at_most::<_, _, { Bundle::MAX_REQUESTS }>")]
    pub endorsements: Vec<BatchEndorsement>,
}

impl Bundle {
    /// The most requests of a bundle, and of a batch in it.
    pub const MAX_REQUESTS: usize = 1 << 10;

    /// Verifies that every request is authorized; their digests, in order.
    pub fn verify(&self, cluster: &ClusterId) -> Result<Vec<Hash>, BlockError> {
        let digests: Vec<_> = self.requests.iter().map(Request::digest).collect();
        verify_authorities(&self.requests, &self.endorsements, &digests, cluster, |_, _| false)?;
        Ok(digests)
    }
}

impl Canonical for Bundle {
    const WHAT: &'static str = "bundle of requests";
    const MAX_BYTES: usize = 8 << 20;

    fn check(&self) -> Result<(), RuleError> {
        RuleError::limit("requests", self.requests.len(), Self::MAX_REQUESTS)?;
        let most = self.endorsements.iter().map(BatchEndorsement::total).max().unwrap_or(0);
        RuleError::limit("endorsements", most, Self::MAX_REQUESTS)?;
        check_authorities(&self.requests, &self.endorsements)
    }
}

#[cfg(test)]
mod tests;
