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
/// interface that did so until now is told to go on: else the node would lose its own way out some minutes later.
pub fn forward(host: &Host) -> Result<(), NetworkError> {
    let listening = host
        .run(|| {
            let mut names = Vec::new();
            for entry in fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten() {
                let name = entry?.file_name().to_string_lossy().into_owned();
                let now = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"));
                if now.is_ok_and(|now| now.trim() == "1") {
                    names.push(name);
                }
            }
            Ok(names)
        })
        .map_err(|source| NetworkError::Setting { name: "net/ipv6/conf".to_owned(), source })?;
    for name in listening {
        set(host, &format!("net/ipv6/conf/{name}/accept_ra"), "2")?;
    }
    set(host, "net/ipv6/conf/all/forwarding", "1")?;
    set(host, "net/ipv4/ip_forward", "1")
}
