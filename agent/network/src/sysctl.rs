//! Settings of the kernel below `/proc/sys/net`. They are those of the network namespace that the thread is in.

use crate::error::NetworkError;
use crate::host::Host;
use std::fs;
use std::io;

/// Writes a setting, unless it is so already: where `/proc/sys` is read-only, what is right need not be written.
pub fn set(host: &Host, name: &str, value: &str) -> Result<(), NetworkError> {
    host.run(|| write(name, value)).map_err(|source| NetworkError::Setting { name: name.to_owned(), source })
}

/// As [`set`], in the namespace that the thread is in.
pub fn write(name: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/sys/{name}");
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        Ok(())
    } else {
        fs::write(&path, value)
    }
}

/// Makes the node forward packets of both families.
///
/// A node that forwards no longer listens to routers by itself (RFC 4861, section 6.2; the kernel's `ip-sysctl`), so an
/// interface that has a route from a router is told to go on: else the node would lose its own way out some minutes later.
/// No other is, and none that is made later: who listens to routers on a link of containers takes their word for
/// everybody's way out (CVE-2020-13401). Where the node forwards already, what listens has been settled by others.
pub fn forward(host: &Host) -> Result<(), NetworkError> {
    let failed = |name: &str| {
        let name = name.to_owned();
        move |source| NetworkError::Setting { name, source }
    };
    let listening = host.run(listening).map_err(failed("net/ipv6/conf"))?;
    for name in listening {
        set(host, &format!("net/ipv6/conf/{name}/accept_ra"), "2")?;
    }
    set(host, "net/ipv6/conf/all/forwarding", "1")?;
    set(host, "net/ipv4/ip_forward", "1")
}

/// The interfaces of the thread's namespace that are to go on listening.
fn listening() -> io::Result<Vec<String>> {
    let setting = |name: &str, what: &str| {
        fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{name}/{what}")).unwrap_or_default()
    };
    if setting("all", "forwarding").trim() != "0" {
        return Ok(Vec::new());
    }
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let mut names = Vec::new();
    for entry in fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if goes_on(&name, &setting(&name, "forwarding"), &setting(&name, "accept_ra"), &routes) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether an interface listens to routers and has heard one. `routes` is `/proc/net/ipv6_route`, whose last two columns
/// are flags and interface.
fn goes_on(name: &str, forwarding: &str, accept_ra: &str, routes: &str) -> bool {
    /// `RTF_ADDRCONF`: the route is of a router's advertisement.
    const OF_A_ROUTER: u32 = 0x0004_0000;
    let heard = |line: &str| {
        let mut columns = line.split_whitespace().rev();
        let on = columns.next() == Some(name);
        let flags = columns.next().and_then(|flags| u32::from_str_radix(flags, 16).ok());
        on && flags.is_some_and(|flags| flags & OF_A_ROUTER != 0)
    };
    let one = !matches!(name, "all" | "default" | "lo");
    one && forwarding.trim() == "0" && accept_ra.trim() == "1" && routes.lines().any(heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_heard_a_router_goes_on_and_nobody_else_begins() {
        let none = "00000000000000000000000000000000";
        let routes = format!(
            "{none} 00 {none} 00 fe800000000000000000000000000099 00000400 00000001 00000000 00450003     eth0\n\
             fe800000000000000000000000000000 40 {none} 00 {none} 00000100 00000001 00000000 00000001  docker0\n\
             {none} 00 {none} 00 {none} ffffffff 00000001 00000000 00200200       lo\n"
        );
        let goes_on = |name, forwarding, accept_ra| goes_on(name, forwarding, accept_ra, &routes);
        assert!(goes_on("eth0", "0\n", "1\n"));
        assert!(!goes_on("eth0", "1\n", "1\n"), "it does not listen any more");
        assert!(!goes_on("eth0", "0\n", "0\n") && !goes_on("eth0", "0\n", "2\n"));
        for other in ["docker0", "lo", "all", "default", "eth1", "eth"] {
            assert!(!goes_on(other, "0\n", "1\n"), "{other}");
        }
    }
}
