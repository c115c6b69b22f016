//! Which of two connections between the same two replicas stays.
//!
//! Both ends may dial at once, and each learns of the other's connection at another moment. The rule needs nothing but
//! what both know: of connections that were dialled towards each other, that of the smaller key stays; of one end's own, the
//! newer. A connection that one end has lost, and the other not noticed, is told by the hello: it says which connection
//! its sender took up last and does not have any more.

use crate::hello::Hello;

/// Who dialled a connection, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This end; the number of its dial.
    Ours(u64),
    /// The other end.
    Theirs,
}

/// A connection that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) origin: Origin,
    /// The other end's, as its hello said.
    pub(crate) incarnation: u64,
}

/// This end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Us {
    pub(crate) incarnation: u64,
    /// Whether this end's key is the smaller.
    pub(crate) smaller: bool,
}

/// Whether a new connection takes the place of the one that there is.
pub(crate) fn replaces(us: Us, current: Taken, new: Origin, hello: &Hello) -> bool {
    if hello.incarnation != current.incarnation {
        // The other end began anew: what was before is dead.
        return true;
    }
    match (current.origin, new) {
        // Whoever dials has no other connection of its own.
        (Origin::Theirs, Origin::Theirs) | (Origin::Ours(_), Origin::Ours(_)) => true,
        (Origin::Ours(dial), Origin::Theirs) => {
            let has_lost_it = hello
                .taken
                .is_some_and(|(incarnation, taken)| incarnation == us.incarnation && taken >= dial);
            has_lost_it || !us.smaller
        }
        (Origin::Theirs, Origin::Ours(_)) => us.smaller,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::Hash;

    fn hello(incarnation: u64, taken: Option<(u64, u64)>) -> Hello {
        Hello { versions: (1, 1), cluster: Hash([0; 32]), incarnation, dial: 1, taken }
    }

    const SMALLER: Us = Us { incarnation: 1, smaller: true };
    const LARGER: Us = Us { incarnation: 2, smaller: false };

    #[test]
    fn of_two_dials_at_once_both_ends_keep_the_same() {
        // The smaller's dial is seen by the smaller as its own and by the larger as the other's.
        let (theirs, ours) = (Taken { origin: Origin::Theirs, incarnation: 2 }, Origin::Ours(7));
        assert!(replaces(SMALLER, theirs, ours, &hello(2, None)));
        let own = Taken { origin: Origin::Ours(7), incarnation: 2 };
        assert!(!replaces(SMALLER, own, Origin::Theirs, &hello(2, None)));
        let own = Taken { origin: Origin::Ours(3), incarnation: 1 };
        assert!(replaces(LARGER, own, Origin::Theirs, &hello(1, None)));
        let theirs = Taken { origin: Origin::Theirs, incarnation: 1 };
        assert!(!replaces(LARGER, theirs, Origin::Ours(3), &hello(1, None)));
    }

    #[test]
    fn whoever_lost_a_connection_gets_a_new_one_at_once() {
        let own = Taken { origin: Origin::Ours(7), incarnation: 2 };
        assert!(replaces(SMALLER, own, Origin::Theirs, &hello(2, Some((1, 7)))));
        assert!(
            !replaces(SMALLER, own, Origin::Theirs, &hello(2, Some((1, 6)))),
            "it took up an earlier one"
        );
        assert!(!replaces(SMALLER, own, Origin::Theirs, &hello(2, Some((9, 7)))), "of a process before");
        let theirs = Taken { origin: Origin::Theirs, incarnation: 2 };
        assert!(replaces(SMALLER, theirs, Origin::Theirs, &hello(2, None)));
    }

    #[test]
    fn a_replica_that_began_anew_replaces_what_was_before() {
        for origin in [Origin::Ours(7), Origin::Theirs] {
            for us in [SMALLER, LARGER] {
                let before = Taken { origin, incarnation: 5 };
                assert!(replaces(us, before, Origin::Theirs, &hello(6, None)));
                assert!(replaces(us, before, Origin::Ours(8), &hello(6, None)));
            }
        }
    }
}
