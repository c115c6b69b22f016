//! Two networks with a long way between them: a network namespace for each end, a TUN device in each, and threads of this
//! process that hold every packet for half a round trip, in order.
//!
//! The kernel would do it itself with netem, which not every kernel has. Nothing outside sees any of it, and everything
//! goes with the process.

use nix::sched::{CloneFlags, unshare};
use std::error::Error as StdError;
use std::fs::File;
use std::io::{Error, Read, Result, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Of the addresses for documentation (RFC 5737): nothing else is in the namespaces.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// The longest packet.
const MTU: usize = 1500;

/// Runs a server far away from now on, on a thread of its own, and puts this thread, and those it starts, where the
/// client is: there [`SERVER`] is one way of `delay` off. Returns once the server serves. To be called before the process
/// has a second thread. `serve` returns what the server lives by.
pub fn apart<F, R, T>(delay: Duration, serve: F) -> Result<()>
where
    F: FnOnce() -> R + Send + 'static,
    R: Future<Output = std::result::Result<T, Box<dyn StdError + Send + Sync>>>,
{
    be_root()?;
    let (device, devices) = mpsc::channel();
    let (ready, readiness) = mpsc::channel();
    std::thread::spawn(move || {
        let entered = enter(SERVER, CLIENT);
        let is_there = entered.is_ok();
        if device.send(entered).is_ok() && is_there {
            let _ = ready.send(run(serve, &ready));
        }
    });
    let ended = |_| Error::other("the server's thread has ended");
    let theirs = devices.recv().map_err(ended)??;
    let ours = enter(CLIENT, SERVER)?;
    carry(ours.try_clone()?, theirs.try_clone()?, delay);
    carry(theirs, ours, delay);
    readiness.recv().map_err(ended)?
}

/// Serves until the process ends.
fn run<F, R, T>(serve: F, ready: &mpsc::Sender<Result<()>>) -> Result<()>
where
    F: FnOnce() -> R,
    R: Future<Output = std::result::Result<T, Box<dyn StdError + Send + Sync>>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _kept = serve().await.map_err(Error::other)?;
        let _ = ready.send(Ok(()));
        std::future::pending().await
    })
}

/// Whoever is not root becomes it in a user namespace.
fn be_root() -> Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if user.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Puts this thread, and those it starts, into a namespace in which `own` is its address and `other` is far away.
fn enter(own: IpAddr, other: IpAddr) -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let device = tun("far")?;
    ip(&["link", "set", "lo", "up"])?;
    ip(&["address", "add", &own.to_string(), "peer", &other.to_string(), "dev", "far"])?;
    ip(&["link", "set", "far", "mtu", &MTU.to_string(), "up"])?;
    Ok(device)
}

fn ip(arguments: &[&str]) -> Result<()> {
    let told = |what: &dyn std::fmt::Display| Error::other(format!("ip {}: {what}", arguments.join(" ")));
    let status = Command::new("ip").args(arguments).status().map_err(|error| told(&error))?;
    if status.success() { Ok(()) } else { Err(told(&status)) }
}

#[expect(unsafe_code, reason = "the kernel makes TUN devices by ioctl alone")]
fn tun(name: &str) -> Result<File> {
    let device = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // Both are bits of a short.
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    let mut request = libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags } };
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is there until the call is over; the descriptor is open.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &mut request) };
    if made == 0 { Ok(device) } else { Err(Error::last_os_error()) }
}

/// Carries packets from one device to another from now on, each after `delay`.
fn carry(mut from: File, mut to: File, delay: Duration) {
    let (sender, held) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        for (due, packet) in held {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // A device that is not up yet loses packets, as networks do.
            let _ = to.write_all(&packet);
        }
    });
    std::thread::spawn(move || {
        let mut packet = [0; MTU];
        while let Ok(length) = from.read(&mut packet) {
            if sender.send((Instant::now() + delay, packet[..length].to_vec())).is_err() {
                return;
            }
        }
    });
}
