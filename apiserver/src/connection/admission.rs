//! How many connections there may be, of all clients and of one address.
//!
//! A connection beyond the limits is closed at once and counted: one that waited would look like a server that hangs.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of all clients.
    pub all: usize,
    /// Of one address; of IPv6, of one /64, which is what a host is given. Of this machine's own, `all`.
    pub address: usize,
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There are too many.
    All,
    /// There are too many of its address.
    Address,
}

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A connection that was let in, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    from: IpAddr,
}

impl Admission {
    /// Nobody is in.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Lets a connection in.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Place, Refused> {
        let from = host(from);
        let mut open = self.open.lock();
        if open.all >= self.limits.all {
            return Err(Refused::All);
        }
        let of = open.of.get(&from).copied().unwrap_or(0);
        if of >= self.limits.address && !from.is_loopback() {
            return Err(Refused::Address);
        }
        open.all += 1;
        open.of.insert(from, of + 1);
        Ok(Place { admission: Arc::clone(self), from })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.all -= 1;
        if let Some(of) = open.of.get_mut(&self.from) {
            *of -= 1;
            if *of == 0 {
                open.of.remove(&self.from);
            }
        }
    }
}

/// The part of an address that tells hosts apart.
fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_does_not_take_every_place_and_this_machine_may() {
        let admission = Admission::new(Limits { all: 6, address: 2 });
        let [first, _second] = [0; 2].map(|_| admission.enter(address("192.0.2.1")).unwrap());
        assert_eq!(admission.enter(address("192.0.2.1")).unwrap_err(), Refused::Address);
        assert_eq!(admission.enter(address("::ffff:192.0.2.1")).unwrap_err(), Refused::Address);
        let _six = [1, 2].map(|n| admission.enter(address(&format!("2001:db8::{n}"))).unwrap());
        assert_eq!(admission.enter(address("2001:db8::3")).unwrap_err(), Refused::Address);
        let _own = [0; 2].map(|_| admission.enter(address("127.0.0.1")).unwrap());
        assert_eq!(admission.enter(address("::1")).unwrap_err(), Refused::All);
        drop(first);
        let _third = admission.enter(address("::1")).unwrap();
    }

    #[test]
    fn who_left_is_forgotten() {
        let admission = Admission::new(Limits { all: 1, address: 1 });
        for n in 0..100 {
            drop(admission.enter(address(&format!("192.0.2.{n}"))).unwrap());
        }
        assert!(admission.open.lock().of.is_empty());
    }
}
