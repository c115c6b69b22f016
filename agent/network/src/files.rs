//! The files by which an instance finds others: `/etc/resolv.conf` and `/etc/hosts`.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Most resolvers and search domains that resolvers of the C library read (resolv.conf(5)).
const SERVERS: usize = 3;
const DOMAINS: usize = 32;

/// What an instance's `resolv.conf` holds: the node's resolvers, without those that listen on the node's loopback
/// addresses, which an instance does not reach, and the node's search domains and options.
///
/// `upstream` is read where the first has none left: a resolver on loopback keeps its own list there
/// (`/run/systemd/resolve/resolv.conf`). Empty: the node has none that an instance could reach.
pub fn resolv_conf(node: &str, upstream: Option<&str>) -> String {
    let servers = servers(node);
    let (text, servers) = match upstream {
        Some(upstream) if servers.is_empty() => (upstream, self::servers(upstream)),
        _ => (node, servers),
    };
    let mut out = String::new();
    for server in servers.into_iter().take(SERVERS) {
        let _ = writeln!(out, "nameserver {server}");
    }
    let last = |keyword: &str| {
        let words =
            |line: &str| Some(line.trim().strip_prefix(keyword)?.trim_start_matches([' ', '\t']).to_owned());
        text.lines()
            .filter(|line| line.split_whitespace().next() == Some(keyword))
            .filter_map(words)
            .next_back()
    };
    if let Some(domains) = last("search").or_else(|| last("domain")) {
        let domains: Vec<_> =
            domains.split_whitespace().take(DOMAINS).filter(|domain| *domain != ".").collect();
        if !domains.is_empty() {
            let _ = writeln!(out, "search {}", domains.join(" "));
        }
    }
    if let Some(options) = last("options").filter(|options| !options.is_empty()) {
        let _ = writeln!(out, "options {options}");
    }
    out
}

fn servers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = (words.next()? == "nameserver").then(|| words.next()).flatten()?;
            // A zone names an interface of the node, which an instance does not have.
            address.parse::<IpAddr>().ok()
        })
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .collect()
}

/// What an instance's `hosts` holds: the names of its own loopback addresses, and its own name.
pub fn hosts(hostname: &str, addresses: &[IpAddr]) -> String {
    let mut out = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    for address in addresses {
        let _ = writeln!(out, "{address}\t{hostname}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_that_an_instance_reaches() {
        let node = "# a comment\nnameserver 192.0.2.1\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n\
                    domain old\nsearch example.org sub.example.org\noptions ndots:2 edns0\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        insta::assert_snapshot!(resolv_conf(node, Some("nameserver 192.0.2.9")), @r"
        nameserver 192.0.2.1
        nameserver 2001:db8::1
        nameserver 192.0.2.3
        search example.org sub.example.org
        options ndots:2 edns0
        ");
    }

    #[test]
    fn a_resolver_on_loopback_is_passed_over() {
        let stub = "nameserver 127.0.0.53\nsearch .\n";
        assert_eq!(
            resolv_conf(stub, Some("nameserver 192.0.2.9\nsearch a\n")),
            "nameserver 192.0.2.9\nsearch a\n"
        );
        assert_eq!(resolv_conf(stub, None), "");
        assert_eq!(resolv_conf("nameserver\nnameserver x\nsearchable y\noptions\n", None), "");
    }

    #[test]
    fn an_instance_knows_its_own_name() {
        let hosts = hosts("web-1", &["fd00::1".parse().unwrap(), "10.212.0.2".parse().unwrap()]);
        assert!(hosts.ends_with("fd00::1\tweb-1\n10.212.0.2\tweb-1\n"), "{hosts}");
    }
}
