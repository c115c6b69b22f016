//! How many connections each source may have at once, so that no one of them keeps all others out.
//!
//! Nobody gets more than a quarter of what is left (as switches share their buffers, by dynamic thresholds): one alone may
//! have a fifth of all places, and however many come, some places stay free for who comes next.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What anybody may have for as long as there is room.
const LEAST: usize = 8;

/// Connections that are open, by source.
#[derive(Clone, Debug)]
pub struct Crowd {
    most: usize,
    places: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

/// A place in it, until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Mutex<Places>>,
    source: IpAddr,
}

impl Crowd {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Self { most, places: Arc::default() }
    }

    /// A place for a connection from `source`. None: it has its share. Processes of the node share everything.
    pub fn enter(&self, source: IpAddr) -> Option<Place> {
        let source = source.to_canonical();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.most.saturating_sub(places.all);
        let share = if source.is_loopback() { self.most } else { (free / 4).max(LEAST) };
        let own = places.of.get(&source).copied().unwrap_or_default();
        if free == 0 || own >= share {
            return None;
        }
        places.all += 1;
        places.of.insert(source, own + 1);
        Some(Place { places: Arc::clone(&self.places), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.all = places.all.saturating_sub(1);
        if let Some(own) = places.of.get_mut(&self.source) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                places.of.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn source(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn take_all(crowd: &Crowd, source: IpAddr) -> Vec<Place> {
        std::iter::from_fn(|| crowd.enter(source)).collect()
    }

    #[test]
    fn however_many_want_all_the_next_one_finds_room() {
        let crowd = Crowd::new(4096);
        let taken: Vec<Vec<Place>> = (1..=16).map(|last| take_all(&crowd, source(last))).collect();
        assert_eq!(taken[0].len(), 819);
        let next = take_all(&crowd, source(17));
        assert!(next.len() >= LEAST, "{}", next.len());
        drop(taken);
        assert!(crowd.enter(source(1)).is_some(), "who went makes room");
        drop(next);
        assert_eq!(crowd.places.lock().unwrap().of.len(), 0, "nothing is kept of who is gone");
    }

    #[test]
    fn processes_of_the_node_share_everything() {
        let crowd = Crowd::new(64);
        assert_eq!(take_all(&crowd, Ipv4Addr::LOCALHOST.into()).len(), 64);
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_there_is_room_for(
            steps in proptest::collection::vec((any::<bool>(), 0_u8..12, 0_usize..64), 0..200),
        ) {
            let crowd = Crowd::new(32);
            let mut held = Vec::new();
            for (come, last, which) in steps {
                if come {
                    held.extend(crowd.enter(source(last)));
                } else if !held.is_empty() {
                    held.swap_remove(which % held.len());
                }
                prop_assert!(held.len() <= 32);
                let places = crowd.places.lock().unwrap();
                prop_assert_eq!((places.all, places.of.values().sum::<usize>()), (held.len(), held.len()));
            }
        }
    }
}
