//! The node's rules, in nft's own language (nft(8)): what stands here is what `nft list table inet hypermesh0` shows.
//!
//! One table, replaced whole in one transaction. A connection that exists keeps its way: the kernel remembers where it
//! was led to, so a backend that left the rules drains.

use crate::pool::Ipv4Pool;
use crate::service::{Backend, Reach, Service};
use hypermesh_chain::ClusterPrefix;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the rules are made of.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The bridge, by whose name the table is called too: each agent of a node has its own.
    pub bridge: &'a str,
    /// The cluster's addresses.
    pub prefix: ClusterPrefix,
    /// The node's IPv4 addresses.
    pub pool: Ipv4Pool,
    /// The addresses of the instances that are here.
    pub instances: &'a [(Ipv6Addr, Ipv4Addr)],
    /// The node's own stable address.
    pub node: Ipv6Addr,
    /// The node's addresses under which the world reaches ports that are published to it.
    pub world: &'a [IpAddr],
    /// Whether instances reach what tells a machine of a cloud who it is.
    pub metadata: bool,
    /// The published ports.
    pub services: &'a [Service],
}

/// Where clouds tell a machine who it is, and give it keys: link-local addresses (AWS, Azure, Google, OpenStack and most
/// others), and those that are not (Azure's agent, Alibaba, Oracle).
const METADATA4: [&str; 4] = ["100.100.100.200", "168.63.129.16", "169.254.0.0/16", "192.0.0.192"];
/// The same (AWS).
const METADATA6: [&str; 2] = ["fd00:ec2::23", "fd00:ec2::254"];

impl Rules<'_> {
    /// The whole transaction.
    pub fn text(&self) -> String {
        let table = self.bridge;
        let mut out = format!("table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n");
        self.sources(&mut out);
        self.services(&mut out);
        self.refusals(&mut out);
        self.out(&mut out);
        out.push_str("}\n");
        out
    }

    /// Drops what comes from the bridge and is from nobody there: an address that is the node's or the API server's, or of
    /// no instance. That it is the instance's own is seen where it comes in, if the kernel filters bridges.
    fn sources(&self, out: &mut String) {
        let (bridge, prefix, pool, node) = (self.bridge, self.prefix, self.pool, self.node);
        let (api, gateway) = (prefix.api_server(), pool.gateway());
        let _ = write!(
            out,
            "\tchain sources {{
\t\ttype filter hook prerouting priority -300; policy accept;
\t\tiifname != {bridge:?} accept
\t\tip6 saddr != {{ ::, fe80::/10, {prefix} }} drop
\t\tip6 saddr {{ {node}, {api} }} drop
\t\tip saddr != {pool} drop
\t\tip saddr {gateway} drop
"
        );
        self.closed(out);
        out.push_str("\t}\n");
    }

    /// Drops what is for the node alone, before anything leads it elsewhere: its loopback addresses, which a host that
    /// routes them (`route_localnet`) would answer for, its link-local ones, and what a cloud tells it. Names are asked for
    /// there, too: some clouds have their resolvers at the same addresses.
    fn closed(&self, out: &mut String) {
        let local = [
            "ip daddr 127.0.0.0/8 drop",
            "ip6 daddr ::1 drop",
            "ip6 daddr fe80::/10 meta l4proto != ipv6-icmp drop",
        ];
        for rule in local {
            let _ = writeln!(out, "\t\t{rule}");
        }
        if self.metadata {
            return;
        }
        // Who gave instances such addresses meant them.
        let ours = |text: &&&str| text.parse().is_ok_and(|address: Ipv4Addr| self.pool.contains(address));
        let four: Vec<&str> = METADATA4.iter().filter(|text| !ours(text)).copied().collect();
        let (four, six) = (four.join(", "), METADATA6.join(", "));
        let _ = writeln!(out, "\t\tip daddr {{ {four} }} meta l4proto {{ tcp, udp }} th dport 53 accept");
        let _ = writeln!(out, "\t\tip daddr {{ {four} }} drop");
        let _ = writeln!(out, "\t\tip6 daddr {{ {six} }} drop");
    }

    /// Leads what is sent to a published port to a backend. Priorities are numbers: nft calls -100 `dstnat` for some hooks
    /// and not for others. Who listens on the same port of an address that is not the world's, as the API server's way
    /// does, keeps it.
    fn services(&self, out: &mut String) {
        let world = |six: bool| {
            let of = self.world.iter().filter(|address| address.is_ipv6() == six).map(IpAddr::to_string);
            let of: Vec<_> = of.collect();
            (!of.is_empty()).then(|| of.join(", "))
        };
        let (world6, world4) = (world(true), world(false));
        out.push_str("\tchain services {\n");
        for service in self.services.iter().filter(|service| service.reach >= Reach::Mesh) {
            let (protocol, port) = (service.protocol, service.port);
            let open = service.reach == Reach::World;
            if let Some(to) = balanced(&service.backends, |backend| backend.ipv6.to_string()) {
                if let Some(own) = service.address {
                    let _ = writeln!(out, "\t\tip6 daddr {own} {protocol} dport {port} dnat ip6 to {to}");
                }
                if let Some(world) = world6.as_deref().filter(|_| open) {
                    let _ =
                        writeln!(out, "\t\tip6 daddr {{ {world} }} {protocol} dport {port} dnat ip6 to {to}");
                }
            }
            if let Some(to) = balanced(&service.backends, |backend| backend.ipv4.to_string())
                && let Some(world) = world4.as_deref().filter(|_| open)
            {
                let _ = writeln!(out, "\t\tip daddr {{ {world} }} {protocol} dport {port} dnat ip to {to}");
            }
        }
        out.push_str("\t}\n");
        for (chain, hook) in [("arriving", "prerouting"), ("leaving", "output")] {
            let _ = writeln!(
                out,
                "\tchain {chain} {{\n\t\ttype nat hook {hook} priority -100; policy accept;\n\t\tjump services\n\t}}"
            );
        }
    }

    /// Refuses at once what is sent to a workload's address and leads nowhere; else its sender would wait.
    fn refusals(&self, out: &mut String) {
        out.push_str("\tchain nowhere {\n");
        let mut addresses: Vec<_> = self.services.iter().filter_map(|service| service.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        for address in addresses {
            let _ = writeln!(out, "\t\tip6 daddr {address} meta l4proto tcp reject with tcp reset");
            let _ = writeln!(out, "\t\tip6 daddr {address} reject with icmpv6 port-unreachable");
        }
        out.push_str("\t}\n");
        for (chain, hook) in [("forwarded", "forward"), ("sent", "output")] {
            let _ = writeln!(
                out,
                "\tchain {chain} {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\t\tjump nowhere\n\t}}"
            );
        }
    }

    /// Gives what leaves the node the node's address, and what an instance sends to itself over a published port the
    /// bridge's: else it would refuse a packet from its own address.
    fn out(&self, out: &mut String) {
        let (prefix, pool, bridge) = (self.prefix, self.pool, self.bridge);
        out.push_str("\tchain way-out {\n\t\ttype nat hook postrouting priority 100; policy accept;\n");
        let _ =
            writeln!(out, "\t\tip6 saddr {prefix} ip6 daddr != {prefix} oifname != {bridge:?} masquerade");
        let _ = writeln!(out, "\t\tip saddr {pool} ip daddr != {pool} oifname != {bridge:?} masquerade");
        let pairs = |pairs: Vec<String>| pairs.join(", ");
        if !self.instances.is_empty() {
            let six = pairs(self.instances.iter().map(|(six, _)| format!("{six} . {six}")).collect());
            let four = pairs(self.instances.iter().map(|(_, four)| format!("{four} . {four}")).collect());
            let _ = writeln!(out, "\t\tip6 saddr . ip6 daddr {{ {six} }} masquerade");
            let _ = writeln!(out, "\t\tip saddr . ip daddr {{ {four} }} masquerade");
        }
        out.push_str("\t}\n");
    }
}

/// One backend by chance, each as often as its weight says. None: no backend gets new connections.
fn balanced(backends: &[Backend], address: impl Fn(&Backend) -> String) -> Option<String> {
    let open: Vec<_> = backends.iter().filter(|backend| backend.weight > 0).collect();
    let mut start = 0_u64;
    let mut parts = Vec::with_capacity(open.len());
    for backend in &open {
        let end = start + u64::from(backend.weight) - 1;
        let range = if start == end { start.to_string() } else { format!("{start}-{end}") };
        parts.push(format!("{range} : {} . {}", address(backend), backend.port));
        start = end + 1;
    }
    match open.as_slice() {
        [] => None,
        [backend] if address(backend).contains(':') => {
            Some(format!("[{}]:{}", address(backend), backend.port))
        }
        [backend] => Some(format!("{}:{}", address(backend), backend.port)),
        _ => Some(format!("numgen random mod {start} map {{ {} }}", parts.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Claim, Protocol};

    fn service(reach: Reach, weights: &[u32]) -> Service {
        let backends = weights.iter().zip(1_u8..).map(|(weight, last)| Backend {
            ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()),
            ipv4: Ipv4Addr::new(10, 212, 0, last),
            port: 8080,
            weight: *weight,
        });
        Service {
            name: "default/web".to_owned(),
            claim: Claim::default(),
            address: Some("fd00::a".parse().unwrap()),
            port: 80,
            protocol: Protocol::Tcp,
            reach,
            backends: backends.collect(),
        }
    }

    fn text(services: &[Service]) -> String {
        Rules {
            bridge: "hypermesh0",
            prefix: ClusterPrefix::of(&hypermesh_chain::ClusterId::default()),
            pool: Ipv4Pool::DEFAULT,
            instances: &[("fd00::1".parse().unwrap(), Ipv4Addr::new(10, 212, 0, 1))],
            node: "fd00::ff".parse().unwrap(),
            world: &["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            metadata: false,
            services,
        }
        .text()
    }

    #[test]
    fn a_whole_table() {
        insta::assert_snapshot!(text(&[service(Reach::World, &[100, 50, 0])]));
    }

    #[test]
    fn who_is_to_reach_metadata_does_and_reaches_nothing_else_of_the_node() {
        let rules = |metadata: bool, pool: &str| {
            let text = Rules {
                bridge: "hypermesh0",
                prefix: ClusterPrefix::of(&hypermesh_chain::ClusterId::default()),
                pool: Ipv4Pool::parse(pool).unwrap(),
                instances: &[],
                node: "fd00::ff".parse().unwrap(),
                world: &[],
                metadata,
                services: &[],
            };
            text.text()
        };
        let (closed, open) = (rules(false, "10.0.0.0/16"), rules(true, "10.0.0.0/16"));
        assert!(closed.contains("169.254.0.0/16") && closed.contains("fd00:ec2::254"), "{closed}");
        assert!(!open.contains("169.254.0.0/16") && !open.contains("fd00:ec2::254"), "{open}");
        assert!(open.contains("127.0.0.0/8") && open.contains("fe80::/10 meta l4proto"), "{open}");
        // A range of addresses that somebody chose is theirs.
        let own = rules(false, "100.100.0.0/16");
        assert!(!own.contains("100.100.100.200") && own.contains("168.63.129.16"), "{own}");
    }

    #[test]
    fn no_rule_takes_a_port_of_an_address_that_is_not_the_worlds() {
        let mut https = service(Reach::World, &[1]);
        https.port = 443;
        let text = text(&[https]);
        let rules: Vec<_> = text.lines().filter(|line| line.contains("dport 443")).map(str::trim).collect();
        assert_eq!(
            rules,
            [
                "ip6 daddr fd00::a tcp dport 443 dnat ip6 to [fd00::1]:8080",
                "ip6 daddr { 2001:db8::1 } tcp dport 443 dnat ip6 to [fd00::1]:8080",
                "ip daddr { 192.0.2.1 } tcp dport 443 dnat ip to 10.212.0.1:8080",
            ]
        );
    }

    #[test]
    fn who_is_not_to_reach_a_port_has_no_rule() {
        let of = |reach, weights: &[u32]| {
            text(&[service(reach, weights)]).lines().filter(|line| line.contains("dnat ")).count()
        };
        assert_eq!([Reach::Node, Reach::Mesh, Reach::World].map(|reach| of(reach, &[1])), [0, 1, 3]);
        assert_eq!([&[][..], &[0], &[0, 0]].map(|weights| of(Reach::World, weights)), [0, 0, 0]);
    }
}
