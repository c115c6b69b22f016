//! Stable IPv6 addresses, each derived from who it belongs to: nothing hands them out, so nothing can run out of them
//! or hand one out twice.
//!
//! A cluster has a /48 of unique local addresses (RFC 4193, section 3.2: `fd`, then 40 bits that nobody else has by
//! chance). The 80 bits below it are a hash of the kind and the identity of what is addressed. With a million of them
//! in one cluster, the chance that any two are the same is below 10⁻¹².

use crate::domain;
use crate::genesis::ClusterId;
use crate::key::PublicKey;
use std::fmt;
use std::net::Ipv6Addr;

/// The addresses of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterPrefix([u8; 6]);

impl ClusterPrefix {
    /// How many bits of an address are the cluster's.
    pub const LENGTH: u8 = 48;

    /// The prefix of a cluster.
    pub fn of(cluster: &ClusterId) -> Self {
        let hash = domain::ADDRESS.hash(&[b"cluster", &cluster.0.0]).0;
        Self([0xfd, hash[0], hash[1], hash[2], hash[3], hash[4]])
    }

    /// The address of a node, by its key.
    pub fn node(&self, key: &PublicKey) -> Ipv6Addr {
        self.below(b"node", &key.0)
    }

    /// The address of an instance, by its uid.
    pub fn instance(&self, uid: &str) -> Ipv6Addr {
        self.below(b"instance", uid.as_bytes())
    }

    /// The address under which all instances of a workload are reached together, by its namespace and name: one that is
    /// made anew is found where it was.
    pub fn workload(&self, namespace: &str, name: &str) -> Ipv6Addr {
        self.below(b"workload", format!("{namespace}/{name}").as_bytes())
    }

    /// The address under which instances reach the API server, on whatever node they are.
    pub fn api_server(&self) -> Ipv6Addr {
        self.below(b"api server", &[])
    }

    /// Whether it is an address of the cluster.
    pub fn contains(&self, address: &Ipv6Addr) -> bool {
        address.octets().starts_with(&self.0)
    }

    /// The first address, which stands for all of them.
    pub fn network(&self) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets[..6].copy_from_slice(&self.0);
        Ipv6Addr::from(octets)
    }

    fn below(&self, kind: &[u8], identity: &[u8]) -> Ipv6Addr {
        let mut octets = self.network().octets();
        let length = [u8::try_from(kind.len()).unwrap_or(u8::MAX)];
        octets[6..].copy_from_slice(&domain::ADDRESS.hash(&[&length, kind, identity]).0[..10]);
        Ipv6Addr::from(octets)
    }
}

impl fmt::Display for ClusterPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), Self::LENGTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Hash;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_what_they_were() {
        let prefix = ClusterPrefix::of(&ClusterId(Hash([7; 32])));
        insta::assert_snapshot!(format!("{prefix} {} {} {}", prefix.instance("a"), prefix.workload("a", "b"), prefix.api_server()), @"fd73:ece4:321f::/48 fd73:ece4:321f:7b7f:b477:6f22:1566:5fea fd73:ece4:321f:a0a:48fd:2d3e:94a7:32ad fd73:ece4:321f:441:ccb4:d830:49e6:1953");
    }

    proptest! {
        #[test]
        fn each_is_its_own_and_the_clusters(cluster: [u8; 32], one in ".{0,40}", other in ".{0,40}") {
            let prefix = ClusterPrefix::of(&ClusterId(Hash(cluster)));
            let addresses = [prefix.api_server(), prefix.instance(&one), prefix.workload(&one, &other)];
            prop_assert!(addresses.iter().all(|address| prefix.contains(address) && address.is_unique_local()));
            prop_assert!(addresses[0] != addresses[1] && addresses[1] != addresses[2]);
            prop_assert!(one.contains('/') || other.contains('/') || one == other || prefix.workload(&other, &one) != addresses[2]);
            prop_assert_eq!(one == other, prefix.instance(&one) == prefix.instance(&other));
        }
    }
}
