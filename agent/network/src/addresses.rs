//! Under which addresses of the node the world reaches what is published to it. Pure.

use crate::links::GATEWAY;
use hypermesh_chain::ClusterPrefix;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// An address of one of the node's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link's number.
    pub link: u32,
    /// The address.
    pub ip: IpAddr,
    /// Whether it may be used: it was looked for on the link, and nobody else has it (RFC 4862, section 5.4).
    pub settled: bool,
}

/// The node's addresses, without those that are between the node and instances alone: what is on a bridge of instances,
/// of this agent or another one, is the API server's or the node's own, and whoever published a port there would take it
/// from all instances. Addresses of loopback and of a link alone are not the world's either.
pub fn of_the_world(all: &[Address], prefix: ClusterPrefix) -> Vec<IpAddr> {
    let bridges: BTreeSet<u32> = all.iter().filter(|one| one.ip == GATEWAY).map(|one| one.link).collect();
    let fits = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !prefix.contains(ip),
    };
    let world = all.iter().filter(|one| one.settled && !bridges.contains(&one.link) && fits(&one.ip));
    world.map(|one| one.ip).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_node_and_instances_is_not_the_worlds() {
        let prefix = ClusterPrefix::of(&hypermesh_chain::ClusterId::default());
        let address = |link: u32, ip: &str| Address { link, ip: ip.parse().unwrap(), settled: true };
        let api = prefix.api_server().to_string();
        let all = [
            address(1, "127.0.0.1"),
            address(1, "::1"),
            address(1, "198.51.100.1"),
            address(2, "192.0.2.1"),
            address(2, "2001:db8::1"),
            address(2, "fe80::2"),
            address(2, "169.254.0.1"),
            Address { settled: false, ..address(2, "2001:db8::2") },
            address(3, "fe80::1"),
            address(3, "10.212.0.1"),
            // Another cluster's, on a bridge of its own.
            address(3, "fd11:2233:4455::1"),
            address(4, &api),
        ];
        let world: Vec<_> = of_the_world(&all, prefix).iter().map(IpAddr::to_string).collect();
        assert_eq!(world, ["192.0.2.1", "198.51.100.1", "2001:db8::1"]);
    }
}
