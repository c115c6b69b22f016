//! Who may begin a handshake. Counts only; the router acts on the verdict.
//!
//! A handshake takes a few round trips, so what has been waiting longest is most likely nobody: at the limit it gives
//! way. Were newcomers refused instead, strangers who begin handshakes and never end them would keep everyone out. One
//! network alone gets only a share, so that it cannot drive others out.
//!
//! Where an application counts connections of other kinds too, it has a say beside the limits.

use crate::settings::Limits;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use tokio::sync::Notify;

/// One network begins at most this part of the handshakes at a time.
const SHARES: usize = 8;

#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    say: Option<Say>,
    counts: Mutex<Counts>,
}

/// What the application gives a connection for as long as it lasts.
pub(crate) type Permit = Box<dyn Send + Sync>;

/// Whether the application lets a connection of an address in.
#[derive(Clone)]
pub(crate) struct Say(pub(crate) Arc<dyn Fn(IpAddr) -> Option<Permit> + Send + Sync>);

impl fmt::Debug for Say {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application's")
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    next: u64,
    /// Handshakes in progress, in the order of their beginning.
    begun: BTreeMap<u64, Begun>,
    by_network: HashMap<IpAddr, Held>,
}

#[derive(Debug)]
struct Begun {
    network: IpAddr,
    validated: bool,
    displaced: Arc<Notify>,
}

/// What a network holds.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    connections: usize,
    /// Handshakes in progress of proven addresses: who forges addresses must not use up another's share.
    handshakes: usize,
}

impl Counts {
    fn begin(&mut self, network: IpAddr, validated: bool) -> (u64, Arc<Notify>) {
        let number = self.next;
        self.next += 1;
        self.connections += 1;
        let held = self.by_network.entry(network).or_default();
        held.connections += 1;
        held.handshakes += usize::from(validated);
        let displaced = Arc::new(Notify::new());
        self.begun.insert(number, Begun { network, validated, displaced: Arc::clone(&displaced) });
        (number, displaced)
    }

    /// The handshake is over, or another takes its place.
    fn end(&mut self, number: u64) -> Option<Begun> {
        let begun = self.begun.remove(&number)?;
        if let Some(held) = self.by_network.get_mut(&begun.network) {
            held.handshakes -= usize::from(begun.validated);
        }
        Some(begun)
    }

    fn displace_oldest(&mut self) {
        let oldest = self.begun.keys().next().copied();
        if let Some(begun) = oldest.and_then(|number| self.end(number)) {
            begun.displaced.notify_one();
        }
    }
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
    pub(crate) fn new(limits: Limits, say: Option<Say>) -> Arc<Self> {
        Arc::new(Self { limits, say, counts: Mutex::default() })
    }

    /// `validated`: whether the address is proven. One that is not displaces nobody and is not refused, for it may be
    /// forged.
    pub(crate) fn judge(self: &Arc<Self>, address: IpAddr, validated: bool) -> Verdict {
        let network = network(address);
        let mut counts = self.counts.lock();
        if counts.connections >= self.limits.connections {
            return Verdict::Refuse;
        }
        let crowded = counts.begun.len() >= self.limits.handshakes;
        if !validated && (crowded || counts.begun.len() >= self.limits.retry_from) {
            return Verdict::Retry;
        }
        let held = counts.by_network.get(&network).copied().unwrap_or_default();
        let share = (self.limits.handshakes / SHARES).max(1);
        let too_much = held.connections >= self.limits.per_address || held.handshakes >= share;
        if too_much && !address.to_canonical().is_loopback() {
            return if validated { Verdict::Refuse } else { Verdict::Retry };
        }
        let permit = match &self.say {
            None => None,
            Some(say) => match (say.0)(address) {
                None => return if validated { Verdict::Refuse } else { Verdict::Retry },
                permit => permit,
            },
        };
        if crowded {
            counts.displace_oldest();
        }
        let (number, displaced) = counts.begin(network, validated);
        drop(counts);
        Verdict::Accept(Place {
            admission: Arc::clone(self),
            network,
            number,
            displaced,
            _permit: Permitted(permit),
        })
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    network: IpAddr,
    number: u64,
    displaced: Arc<Notify>,
    _permit: Permitted,
}

struct Permitted(Option<Permit>);

impl fmt::Debug for Permitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "permitted" } else { "needs no permit" })
    }
}

impl Place {
    /// The handshake is over.
    pub(crate) fn established(&self) {
        self.admission.counts.lock().end(self.number);
    }

    /// Notified once when another handshake takes the place of this one.
    pub(crate) fn displaced(&self) -> Arc<Notify> {
        Arc::clone(&self.displaced)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.end(self.number);
        counts.connections -= 1;
        if let Some(held) = counts.by_network.get_mut(&self.network) {
            held.connections -= 1;
            if held.connections == 0 {
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
    use std::time::Duration;

    const LIMITS: Limits = Limits { connections: 6, per_address: 3, handshakes: 4, retry_from: 2 };

    fn accept(admission: &Arc<Admission>, address: &str, validated: bool) -> Option<Place> {
        match admission.judge(address.parse().unwrap(), validated) {
            Verdict::Accept(place) => Some(place),
            Verdict::Retry | Verdict::Refuse => None,
        }
    }

    async fn is_displaced(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.displaced().notified()).await.is_ok()
    }

    #[tokio::test]
    async fn strangers_prove_their_address_once_handshakes_pile_up_and_then_the_oldest_gives_way() {
        let admission = Admission::new(LIMITS, None);
        let first = accept(&admission, "10.0.0.1", false).unwrap();
        let second = accept(&admission, "10.0.0.2", false).unwrap();
        assert!(matches!(admission.judge("10.0.0.3".parse().unwrap(), false), Verdict::Retry));
        let _third = accept(&admission, "10.0.0.3", true).unwrap();
        let _fourth = accept(&admission, "10.0.0.4", true).unwrap();
        assert!(matches!(admission.judge("10.0.0.5".parse().unwrap(), false), Verdict::Retry));
        assert!(!is_displaced(&first).await);
        let fifth = accept(&admission, "10.0.0.5", true).unwrap();
        assert!(is_displaced(&first).await && !is_displaced(&second).await);
        // Who is through is not displaced.
        second.established();
        let _sixth = accept(&admission, "10.0.0.6", true).unwrap();
        assert!(!is_displaced(&second).await && !is_displaced(&fifth).await);
    }

    #[test]
    fn unfinished_handshakes_of_one_network_leave_room_for_others() {
        let admission = Admission::new(Limits { handshakes: 16, connections: 100, ..LIMITS }, None);
        let held = [accept(&admission, "10.0.0.1", true), accept(&admission, "10.0.0.1", true)];
        let [Some(first), Some(_)] = &held else { panic!("two are its share") };
        assert!(matches!(admission.judge("10.0.0.1".parse().unwrap(), true), Verdict::Refuse));
        assert!(matches!(admission.judge("10.0.0.1".parse().unwrap(), false), Verdict::Retry));
        assert!(accept(&admission, "10.0.0.2", true).is_some());
        let local: Vec<_> = (0..16).filter_map(|_| accept(&admission, "127.0.0.1", true)).collect();
        assert_eq!(local.len(), 16, "this machine's own have no share");
        drop(local);
        first.established();
        assert!(accept(&admission, "10.0.0.1", true).is_some());
        // Forged addresses take nothing of the share.
        let admission = Admission::new(Limits { handshakes: 16, connections: 100, ..LIMITS }, None);
        let _forged = [accept(&admission, "10.0.0.1", false), accept(&admission, "10.0.0.1", false)];
        assert!(accept(&admission, "10.0.0.1", true).is_some());
    }

    #[test]
    fn a_network_has_its_share_and_gets_it_back() {
        let admission = Admission::new(LIMITS, None);
        let mut held: Vec<_> = (1..=3)
            .map(|n| {
                let place = accept(&admission, &format!("2001:db8::{n}"), true).unwrap();
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
        assert_eq!((counts.connections, counts.begun.len(), counts.by_network.len()), (0, 0, 0));
    }

    #[test]
    fn the_application_has_a_say_and_hears_of_the_end() {
        let (budget, held) = (Arc::new(()), 2);
        let counted = Arc::clone(&budget);
        let say = Say(Arc::new(move |_| {
            (Arc::strong_count(&counted) < 2 + held).then(|| Box::new(Arc::clone(&counted)) as Permit)
        }));
        let admission = Admission::new(LIMITS, Some(say));
        let first = accept(&admission, "10.0.0.1", true).unwrap();
        let _second = accept(&admission, "10.0.0.2", true).unwrap();
        assert!(matches!(admission.judge("10.0.0.3".parse().unwrap(), true), Verdict::Refuse));
        assert!(matches!(admission.judge("10.0.0.3".parse().unwrap(), false), Verdict::Retry));
        assert_eq!(admission.counts.lock().connections, 2, "who was not let in is not counted");
        // A place elsewhere is given back: there is room here.
        let elsewhere = Arc::clone(&budget);
        drop(first);
        assert!(accept(&admission, "10.0.0.3", true).is_none());
        drop(elsewhere);
        assert!(accept(&admission, "10.0.0.3", true).is_some());
    }
}
