//! The IPv4 addresses of a node's instances.
//!
//! They are the node's alone: what leaves the node wears the node's own address, so all nodes may use one range. An
//! address that was given back is given out again as late as possible, since somebody may still talk to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

/// A range of IPv4 addresses: its network, and how many bits of it are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Pool {
    network: Ipv4Addr,
    length: u8,
}

impl Ipv4Pool {
    /// `10.212.0.0/16`: a range that neither home routers, Docker nor Kubernetes' distributions take by default.
    pub const DEFAULT: Self = Self { network: Ipv4Addr::new(10, 212, 0, 0), length: 16 };

    /// Reads `10.212.0.0/16`. None: it is no range, is not written from its first address, or holds fewer than 6.
    pub fn parse(text: &str) -> Option<Self> {
        let (network, length) = text.split_once('/')?;
        let (network, length) = (network.parse::<Ipv4Addr>().ok()?, length.parse::<u8>().ok()?);
        let pool = Self { network, length };
        ((8..=29).contains(&length) && network.to_bits() & !pool.mask() == 0).then_some(pool)
    }

    /// The ranges of its size behind it, within `10.0.0.0/8` where it lies in that.
    pub fn following(&self) -> impl Iterator<Item = Self> + use<> {
        let (own, length) = (*self, self.length);
        let size = (!own.mask()).wrapping_add(1);
        (1..=16_u32)
            .map(move |step| Ipv4Addr::from_bits(own.network.to_bits().wrapping_add(step.wrapping_mul(size))))
            .filter(move |network| network.octets()[0] == own.network.octets()[0])
            .map(move |network| Self { network, length })
    }

    /// Its first address.
    pub fn network(&self) -> Ipv4Addr {
        self.network
    }

    /// How many bits of it are fixed.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The node's own address in it, to which instances send what is not for themselves.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + 1)
    }

    /// Whether it holds the address.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.network.to_bits()
    }

    /// Whether it and `other` share an address.
    pub fn overlaps(&self, other: Ipv4Addr, length: u8) -> bool {
        let mask = mask(self.length.min(length));
        length > 0 && self.network.to_bits() & mask == other.to_bits() & mask
    }

    /// How many instances can have an address: all but the network's own, the node's and the broadcast address.
    pub fn capacity(&self) -> u32 {
        !self.mask() - 2
    }

    fn mask(&self) -> u32 {
        mask(self.length)
    }
}

impl fmt::Display for Ipv4Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

/// Which addresses of the range are taken, and by whom.
#[derive(Debug)]
pub struct Leases {
    pool: Ipv4Pool,
    taken: BTreeMap<Ipv4Addr, String>,
    last: u32,
}

impl Leases {
    /// None taken.
    pub fn new(pool: Ipv4Pool) -> Self {
        Self { pool, taken: BTreeMap::new(), last: 0 }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    /// Takes what an instance already has. False: it is not of this range, or somebody else has it.
    pub fn keep(&mut self, address: Ipv4Addr, owner: &str) -> bool {
        let offset = address.to_bits().wrapping_sub(self.pool.network.to_bits());
        if !self.pool.contains(address) || !(2..=self.pool.capacity() + 1).contains(&offset) {
            return false;
        }
        let holder = self.taken.entry(address).or_insert_with(|| owner.to_owned());
        holder == owner
    }

    /// A free address, the next after the one that was given out last. None: all are taken.
    pub fn take(&mut self, owner: &str) -> Option<Ipv4Addr> {
        let capacity = self.pool.capacity();
        let address = (0..capacity)
            .map(|step| (self.last + step) % capacity)
            .map(|index| Ipv4Addr::from_bits(self.pool.network.to_bits() + 2 + index))
            .find(|address| !self.taken.contains_key(address))?;
        self.last = (address.to_bits() - self.pool.network.to_bits() - 1) % capacity;
        self.taken.insert(address, owner.to_owned());
        Some(address)
    }

    /// Gives an address back.
    pub fn free(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges() {
        assert_eq!(Ipv4Pool::parse("10.212.0.0/16"), Some(Ipv4Pool::DEFAULT));
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.1/16",
            "10.0.0.0/30",
            "10.0.0.0/33",
            "0.0.0.0/0",
            "fd00::/48",
            "10.0.0/8",
        ] {
            assert_eq!(Ipv4Pool::parse(wrong), None, "{wrong}");
        }
        let pool = Ipv4Pool::parse("10.0.0.0/29").unwrap();
        assert_eq!((pool.gateway(), pool.capacity()), (Ipv4Addr::new(10, 0, 0, 1), 5));
        assert!(
            pool.overlaps(Ipv4Addr::new(10, 0, 0, 0), 8) && pool.overlaps(Ipv4Addr::new(10, 0, 0, 4), 32)
        );
        let next: Vec<_> = Ipv4Pool::DEFAULT.following().map(|pool| pool.to_string()).take(2).collect();
        assert_eq!(next, ["10.213.0.0/16", "10.214.0.0/16"]);
        assert!(!pool.overlaps(Ipv4Addr::new(10, 0, 0, 8), 29) && !pool.overlaps(Ipv4Addr::UNSPECIFIED, 0));
    }

    #[test]
    fn an_address_comes_back_late_and_never_twice() {
        let mut leases = Leases::new(Ipv4Pool::parse("10.0.0.0/29").unwrap());
        let all: BTreeSet<_> = (0..5).map(|_| leases.take("a").unwrap()).collect();
        assert_eq!(all, (2..7).map(|last| Ipv4Addr::new(10, 0, 0, last)).collect());
        assert_eq!(leases.take("a"), None);
        leases.free(Ipv4Addr::new(10, 0, 0, 3));
        leases.free(Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(leases.take("b"), Some(Ipv4Addr::new(10, 0, 0, 3)));
        leases.free(Ipv4Addr::new(10, 0, 0, 3));
        assert_eq!(leases.take("b"), Some(Ipv4Addr::new(10, 0, 0, 5)));
    }

    #[test]
    fn what_is_kept_is_of_the_range_and_has_one_owner() {
        let mut leases = Leases::new(Ipv4Pool::parse("10.0.0.0/29").unwrap());
        for (last, right) in [(0, false), (1, false), (2, true), (6, true), (7, false), (8, false)] {
            assert_eq!(leases.keep(Ipv4Addr::new(10, 0, 0, last), "a"), right, "{last}");
        }
        assert!(leases.keep(Ipv4Addr::new(10, 0, 0, 2), "a"));
        assert!(!leases.keep(Ipv4Addr::new(10, 0, 0, 2), "b"));
    }

    proptest! {
        #[test]
        fn no_two_owners_share_one(steps in proptest::collection::vec((any::<bool>(), 0_usize..8), 0..64)) {
            let mut leases = Leases::new(Ipv4Pool::parse("10.0.0.0/29").unwrap());
            let mut held = Vec::new();
            for (take, index) in steps {
                if take {
                    if let Some(address) = leases.take("a") {
                        prop_assert!(!held.contains(&address));
                        held.push(address);
                    } else {
                        prop_assert_eq!(held.len(), 5);
                    }
                } else if index < held.len() {
                    leases.free(held.swap_remove(index));
                }
                prop_assert_eq!(leases.taken(), held.len());
            }
        }
    }
}
