//! Who may begin a handshake. Counts only; the router acts on the verdict.

use crate::settings::Limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    handshakes: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// What to do with a client's first packet.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accept(Place),
    /// It has to prove its address first.
    Retry,
    Refuse,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// `validated`: whether the address is proven. Nothing is counted for an address that is not: who forges
    /// addresses must not use up another's share.
    pub(crate) fn judge(self: &Arc<Self>, address: IpAddr, validated: bool) -> Verdict {
        let network = network(address);
        let mut counts = self.counts.lock();
        if counts.connections >= self.limits.connections {
            return Verdict::Refuse;
        }
        if !validated && counts.handshakes >= self.limits.retry_from {
            return Verdict::Retry;
        }
        if counts.handshakes >= self.limits.handshakes {
            return Verdict::Refuse;
        }
        let held = counts.by_network.get(&network).copied().unwrap_or(0);
        if held >= self.limits.per_address && !address.to_canonical().is_loopback() {
            return if validated { Verdict::Refuse } else { Verdict::Retry };
        }
        counts.connections += 1;
        counts.handshakes += 1;
        counts.by_network.insert(network, held + 1);
        drop(counts);
        Verdict::Accept(Place { admission: Arc::clone(self), network, shaking: true })
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    network: IpAddr,
    shaking: bool,
}

impl Place {
    /// The handshake is over.
    pub(crate) fn established(&mut self) {
        if std::mem::take(&mut self.shaking) {
            self.admission.counts.lock().handshakes -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.established();
        let mut counts = self.admission.counts.lock();
        counts.connections -= 1;
        if let Some(held) = counts.by_network.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

/// What one party is likely to have: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { connections: 6, per_address: 3, handshakes: 4, retry_from: 2 };

    fn accept(admission: &Arc<Admission>, address: &str, validated: bool) -> Option<Place> {
        match admission.judge(address.parse().unwrap(), validated) {
            Verdict::Accept(place) => Some(place),
            Verdict::Retry | Verdict::Refuse => None,
        }
    }

    #[test]
    fn strangers_prove_their_address_once_handshakes_pile_up() {
        let admission = Admission::new(LIMITS);
        let _held = [accept(&admission, "10.0.0.1", false), accept(&admission, "10.0.0.2", false)];
        assert!(matches!(admission.judge("10.0.0.3".parse().unwrap(), false), Verdict::Retry));
        let _third = accept(&admission, "10.0.0.3", true).unwrap();
        let _fourth = accept(&admission, "10.0.0.4", true).unwrap();
        assert!(matches!(admission.judge("10.0.0.5".parse().unwrap(), true), Verdict::Refuse));
    }

    #[test]
    fn a_network_has_its_share_and_gets_it_back() {
        let admission = Admission::new(LIMITS);
        let mut held: Vec<_> = (1..=3)
            .map(|n| {
                let mut place = accept(&admission, &format!("2001:db8::{n}"), true).unwrap();
                place.established();
                place
            })
            .collect();
        assert!(accept(&admission, "2001:db8::4", true).is_none());
        assert!(
            matches!(admission.judge("2001:db8::4".parse().unwrap(), false), Verdict::Retry),
            "a forged address must not be told that its owner is refused"
        );
        assert!(accept(&admission, "2001:db8:0:1::4", true).is_some());
        held.pop();
        assert!(accept(&admission, "2001:db8::4", true).is_some());
        drop(held);
        let counts = admission.counts.lock();
        assert_eq!((counts.connections, counts.handshakes, counts.by_network.len()), (0, 0, 0));
    }
}
