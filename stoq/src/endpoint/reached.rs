//! At which of its addresses a name was last reached.
//!
//! Early data goes to one address, before any has answered; what a name's resolver puts first may be one that never
//! does. A session is resumed where it came from, or not early at all.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;

/// Names that are remembered; beyond them, all are forgotten.
const MOST_NAMES: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Reached(Mutex<HashMap<String, SocketAddr>>);

impl Reached {
    pub(super) fn remember(&self, name: &str, address: SocketAddr) {
        let mut known = self.0.lock();
        if known.get(name) == Some(&address) {
            return;
        }
        if known.len() >= MOST_NAMES {
            known.clear();
        }
        known.insert(name.to_owned(), address);
    }

    /// The name is not reached there any more.
    pub(super) fn forget(&self, name: &str, address: SocketAddr) {
        let mut known = self.0.lock();
        if known.get(name) == Some(&address) {
            known.remove(name);
        }
    }

    /// The address to which early data may go: the only one there is, or the one that answered last.
    pub(super) fn early(&self, name: &str, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        match addresses {
            [only] => Some(*only),
            several => self.0.lock().get(name).copied().filter(|known| several.contains(known)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_data_goes_where_the_name_was_last_reached() {
        let reached = Reached::default();
        let [a, b, c] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(reached.early("x", &[a]), Some(a));
        assert_eq!(reached.early("x", &[a, b]), None);
        reached.remember("x", b);
        assert_eq!(reached.early("x", &[a, b]), Some(b));
        assert_eq!(reached.early("x", &[a, c]), None, "the name has moved");
        assert_eq!(reached.early("y", &[a, b]), None);
        reached.forget("x", a);
        assert_eq!(reached.early("x", &[a, b]), Some(b));
        reached.forget("x", b);
        assert_eq!(reached.early("x", &[a, b]), None);
        for n in 0..=MOST_NAMES {
            reached.remember(&n.to_string(), a);
        }
        assert_eq!(reached.0.lock().len(), 1);
    }
}
