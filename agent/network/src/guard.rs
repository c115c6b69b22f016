//! Who may say what on the bridge, in nft's own language (nft(8)), where frames come in: before anything of the node has
//! looked at them.
//!
//! Any process may send from an address that is nobody's (`IPV6_FREEBIND`, ipv6(7)), and who may make packets of its own
//! (`CAP_NET_RAW`) writes what it likes into them. So what comes out of an instance bears its own hardware address and one
//! of its own addresses, is for the node, and is neither a router's word nor heard by other instances; the rest is
//! dropped. The kernel's own filter by reverse path (rp_filter) would not do: it tells bridges apart, not their ports.
//!
//! One table beside that of the published ports, of the same name and another family, replaced whole in one transaction.

use crate::attachments::Attachment;
use crate::links::{GATEWAY, hardware, inside};
use std::fmt::Write as _;

/// The whole transaction: instances on the ports of `bridge`, which all have names that begin with `head`.
pub fn text<'a>(bridge: &str, head: &str, instances: impl Iterator<Item = &'a Attachment> + Clone) -> String {
    let mut out =
        format!("table bridge {bridge} {{}}\ndelete table bridge {bridge}\ntable bridge {bridge} {{\n");
    let elements = |of: fn(&Attachment) -> String| -> Vec<String> {
        let port = |one: &'a Attachment| format!("{:?} . {}{}", one.link, show(inside(&one.link)), of(one));
        instances.clone().map(port).collect()
    };
    for (name, kind, elements) in [
        ("own", "", elements(|_| String::new())),
        ("own6", " . ipv6_addr", elements(|one| format!(" . {}", one.ipv6))),
        ("own4", " . ipv4_addr", elements(|one| format!(" . {}", one.ipv4))),
    ] {
        let _ = writeln!(out, "\tset {name} {{\n\t\ttype ifname . ether_addr{kind}");
        if !elements.is_empty() {
            let _ = writeln!(out, "\t\telements = {{ {} }}", elements.join(", "));
        }
        out.push_str("\t}\n");
    }
    let node = show(hardware(bridge));
    let _ = write!(
        out,
        "\tchain said {{
\t\ttype filter hook prerouting priority -300; policy accept;
\t\tiifname != \"{head}*\" accept
\t\tether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether daddr != {node} drop
\t\ticmpv6 type {{ nd-router-advert, nd-redirect }} drop
\t\tiifname . ether saddr . ip6 saddr @own6 accept
\t\tiifname . ether saddr . ip saddr @own4 accept
\t\tiifname . ether saddr . arp saddr ip @own4 accept
\t\tip6 saddr != {{ ::, fe80::/10 }} drop
\t\tip6 saddr {GATEWAY} drop
\t\tiifname . ether saddr @own meta protocol ip6 meta l4proto ipv6-icmp accept
\t\tdrop
\t}}
\tchain overheard {{
\t\ttype filter hook forward priority -200; policy accept;
\t\tiifname \"{head}*\" meta pkttype {{ broadcast, multicast }} drop
\t}}
}}
"
    );
    out
}

/// What takes the table away.
pub fn nothing(bridge: &str) -> String {
    format!("table bridge {bridge} {{}}\ndelete table bridge {bridge}\n")
}

fn show(hardware: [u8; 6]) -> String {
    hardware.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn attachment(last: u8) -> Attachment {
        Attachment {
            id: format!("{last}"),
            ipv6: format!("fd00::{last}").parse().unwrap(),
            ipv4: Ipv4Addr::new(10, 212, 0, last),
            namespace: std::path::PathBuf::new(),
            link: format!("hmabc-{last}"),
        }
    }

    #[test]
    fn a_whole_table() {
        let all = [attachment(2), attachment(3)];
        insta::assert_snapshot!(text("hypermesh0", "hmabc-", all.iter()));
    }

    #[test]
    fn nobody_may_say_anything_where_nobody_is() {
        assert!(!text("hypermesh0", "hmabc-", std::iter::empty()).contains("elements"));
    }
}
