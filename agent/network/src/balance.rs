//! Which backend gets the next connection: smooth weighted round robin, as nginx has it.
//!
//! Each turn every backend gains its weight, the one with most is taken and pays the sum of all weights. Over as many
//! turns as the sum of the weights each is taken exactly as often as its weight says, and its turns lie as far apart as
//! they can.

use crate::service::Backend;

/// The state of one service's round robin.
#[derive(Debug, Default)]
pub struct Turns {
    backends: Vec<(Backend, i64)>,
}

impl Turns {
    /// Takes over a new set of backends. Those that were there keep their place in the round.
    pub fn set(&mut self, backends: &[Backend]) {
        let place = |wanted: &Backend| {
            self.backends
                .iter()
                .find(|(known, _)| (known.ipv6, known.port) == (wanted.ipv6, wanted.port))
                .map_or(0, |(_, place)| *place)
        };
        self.backends = backends.iter().map(|backend| (backend.clone(), place(backend))).collect();
    }

    /// The next backend; none: none gets new connections.
    pub fn take(&mut self) -> Option<Backend> {
        let mut sum = 0;
        for (backend, place) in &mut self.backends {
            *place = place.saturating_add(i64::from(backend.weight));
            sum += i64::from(backend.weight);
        }
        let (backend, place) = self
            .backends
            .iter_mut()
            .filter(|(backend, _)| backend.weight > 0)
            .max_by_key(|(_, place)| *place)?;
        *place -= sum;
        Some(backend.clone())
    }

    /// The next backend, and after it up to so many altogether that stand in for it if it does not answer: whoever is
    /// next anyway first. It alone has had its turn.
    pub fn next(&mut self, most: usize) -> Vec<Backend> {
        let Some(first) = self.take() else { return Vec::new() };
        let same = |backend: &Backend| (backend.ipv6, backend.port) == (first.ipv6, first.port);
        let mut others: Vec<_> = self
            .backends
            .iter()
            .filter(|(backend, _)| backend.weight > 0 && !same(backend))
            .map(|(backend, place)| (place.saturating_add(i64::from(backend.weight)), backend.clone()))
            .collect();
        others.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        std::iter::once(first).chain(others.into_iter().map(|(_, backend)| backend)).take(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn backends(weights: &[u32]) -> Vec<Backend> {
        weights
            .iter()
            .zip(1_u16..)
            .map(|(weight, port)| Backend {
                ipv6: Ipv6Addr::LOCALHOST,
                ipv4: Ipv4Addr::LOCALHOST,
                port,
                weight: *weight,
            })
            .collect()
    }

    #[test]
    fn turns_are_spread() {
        let mut turns = Turns::default();
        turns.set(&backends(&[5, 1, 1]));
        let ports: Vec<_> = (0..7).filter_map(|_| turns.take()).map(|backend| backend.port).collect();
        assert_eq!(ports, [1, 1, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn a_backend_that_drains_gets_nothing_new() {
        let mut turns = Turns::default();
        turns.set(&backends(&[1, 1]));
        turns.take();
        turns.set(&backends(&[1, 0]));
        assert!((0..10).all(|_| turns.take().is_some_and(|backend| backend.port == 1)));
        turns.set(&backends(&[0, 0]));
        assert_eq!((turns.take(), turns.next(4)), (None, Vec::new()));
        turns.set(&[]);
        assert_eq!(turns.take(), None);
    }

    #[test]
    fn those_who_stand_in_keep_their_turns() {
        let mut turns = Turns::default();
        turns.set(&backends(&[1, 1, 0]));
        let mut next = || -> Vec<u16> { turns.next(4).iter().map(|backend| backend.port).collect() };
        let (one, other) = (next(), next());
        assert_eq!(one.iter().rev().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
        assert_eq!((one.len(), next()), (2, one));
        assert_eq!(turns.next(1).len(), 1);
    }

    proptest! {
        #[test]
        fn each_gets_its_share(weights in proptest::collection::vec(0_u32..20, 1..8)) {
            let mut turns = Turns::default();
            turns.set(&backends(&weights));
            let sum = weights.iter().sum::<u32>();
            let mut counts = vec![0; weights.len()];
            for _ in 0..sum {
                counts[usize::from(turns.take().unwrap().port) - 1] += 1;
            }
            prop_assert_eq!(counts, weights);
        }
    }
}
