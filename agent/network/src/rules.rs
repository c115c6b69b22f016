//! The node's rules, in nft's own language (nft(8)): what stands here is what `nft list table inet hypermesh0` shows.
//!
//! One table, replaced whole in one transaction. A connection that exists keeps its way: the kernel remembers where it
//! was led to, so a backend that left the rules drains.

use crate::pool::Ipv4Pool;
use crate::service::{Backend, Reach, Service};
use hypermesh_chain::ClusterPrefix;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

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
    /// The published ports.
    pub services: &'a [Service],
}

impl Rules<'_> {
    /// The whole transaction.
    pub fn text(&self) -> String {
        let table = self.bridge;
        let mut out = format!("table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n");
        self.services(&mut out);
        self.refusals(&mut out);
        self.out(&mut out);
        out.push_str("}\n");
        out
    }

    /// Leads what is sent to a published port to a backend. Priorities are numbers: nft calls -100 `dstnat` for some hooks
    /// and not for others.
    fn services(&self, out: &mut String) {
        out.push_str("\tchain services {\n");
        for service in self.services.iter().filter(|service| service.reach >= Reach::Mesh) {
            let (protocol, port) = (service.protocol, service.port);
            if let Some(to) = balanced(&service.backends, |backend| backend.ipv6.to_string()) {
                if let Some(own) = service.address {
                    let _ = writeln!(out, "\t\tip6 daddr {own} {protocol} dport {port} dnat ip6 to {to}");
                }
                if service.reach == Reach::World {
                    let _ = writeln!(
                        out,
                        "\t\tmeta nfproto ipv6 fib daddr type local ip6 daddr != ::1 {protocol} dport {port} dnat ip6 to {to}"
                    );
                }
            }
            if let Some(to) = balanced(&service.backends, |backend| backend.ipv4.to_string())
                && service.reach == Reach::World
            {
                let _ = writeln!(
                    out,
                    "\t\tmeta nfproto ipv4 fib daddr type local ip daddr != 127.0.0.0/8 {protocol} dport {port} dnat ip to {to}"
                );
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
    use crate::service::Protocol;

    fn service(reach: Reach, weights: &[u32]) -> Service {
        let backends = weights.iter().zip(1_u8..).map(|(weight, last)| Backend {
            ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()),
            ipv4: Ipv4Addr::new(10, 212, 0, last),
            port: 8080,
            weight: *weight,
        });
        Service {
            name: "default/web".to_owned(),
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
            services,
        }
        .text()
    }

    #[test]
    fn a_whole_table() {
        insta::assert_snapshot!(text(&[service(Reach::World, &[100, 50, 0])]));
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
