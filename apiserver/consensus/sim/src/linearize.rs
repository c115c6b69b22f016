//! Whether a history of a register is linearizable: whether every operation can be thought to have happened at one moment
//! between its call and its return, such that each read has what was written last.
//!
//! The search is that of Wing and Gong (*Testing and verifying concurrent objects*, 1993) with Lowe's memory of where it
//! was before (*Testing for linearizability*, 2017). Registers are independent of each other, so each has a history of its
//! own (Horn and Kroening, *Faster linearizability checking via P-compositionality*, 2015). There are crates that do this;
//! those that are kept come with a model checker around them, and the others are not kept.

use std::collections::BTreeSet;

/// The longest history.
pub const MOST: usize = 128;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// This was written.
    Write(u64),
    /// This was read.
    Read(u64),
}

/// An operation on a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it was called: any measure of time, in which no two moments are the same.
    pub called: u64,
    /// When it returned; nothing if it never did. Then it may have happened at any time after its call, or not at all.
    pub returned: Option<u64>,
    /// What it did.
    pub access: Access,
}

/// Whether a history of a register that held `first` is linearizable; `None` if it is longer than [`MOST`].
pub fn check(first: u64, history: &[Operation]) -> Option<bool> {
    // A read that never returned told nobody anything.
    let unread =
        |operation: &&Operation| operation.returned.is_some() || matches!(operation.access, Access::Write(_));
    let mut history: Vec<Operation> = history.iter().filter(unread).copied().collect();
    if history.len() > MOST {
        return None;
    }
    history.sort_by_key(|operation| operation.called);
    let returned = history.iter().enumerate().filter(|(_, operation)| operation.returned.is_some());
    let needed = returned.fold(0_u128, |all, (place, _)| all | 1 << place);
    let mut seen = BTreeSet::new();
    // What has happened, by places in the history, and what the register holds then.
    let mut todo = vec![(0_u128, first)];
    while let Some((done, value)) = todo.pop() {
        if done & needed == needed {
            return Some(true);
        }
        if seen.insert((done, value)) {
            todo.extend(next(&history, done, value));
        }
    }
    Some(false)
}

/// What may happen next: whatever was called before anything that is open returned.
fn next(history: &[Operation], done: u128, value: u64) -> impl Iterator<Item = (u128, u64)> {
    let open = move |place: &usize| done & (1 << place) == 0;
    let operations = move || history.iter().enumerate().filter(move |(place, _)| open(place));
    let first = operations().filter_map(|(_, operation)| operation.returned).min().unwrap_or(u64::MAX);
    operations().filter(move |(_, operation)| operation.called < first).filter_map(
        move |(place, operation)| match operation.access {
            Access::Write(written) => Some((done | 1 << place, written)),
            Access::Read(read) => (read == value).then_some((done | 1 << place, value)),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    fn write(called: u64, returned: u64, value: u64) -> Operation {
        Operation { called, returned: Some(returned), access: Access::Write(value) }
    }

    fn read(called: u64, returned: u64, value: u64) -> Operation {
        Operation { called, returned: Some(returned), access: Access::Read(value) }
    }

    #[test]
    fn what_happens_one_after_another_has_one_order() {
        assert_eq!(check(0, &[]), Some(true));
        assert_eq!(check(0, &[read(1, 2, 0), write(3, 4, 1), read(5, 6, 1)]), Some(true));
        assert_eq!(check(0, &[write(1, 2, 1), read(3, 4, 0)]), Some(false), "a read is stale");
        assert_eq!(check(0, &[read(1, 2, 1), write(3, 4, 1)]), Some(false), "a read is of the future");
        assert_eq!(check(0, &[write(1, 2, 1), read(3, 4, 2)]), Some(false), "nobody wrote it");
    }

    #[test]
    fn what_overlaps_may_have_either() {
        assert_eq!(check(0, &[write(1, 4, 1), read(2, 3, 0)]), Some(true));
        assert_eq!(check(0, &[write(1, 4, 1), read(2, 3, 1)]), Some(true));
        assert_eq!(check(0, &[write(1, 10, 1), read(2, 3, 1), read(4, 5, 0)]), Some(false), "it went back");
        let both = [write(1, 10, 1), write(2, 9, 2), read(3, 4, 2), read(5, 6, 1), read(7, 8, 1)];
        assert_eq!(check(0, &both), Some(true));
        let back = [write(1, 10, 1), write(2, 9, 2), read(3, 4, 2), read(5, 6, 1), read(7, 8, 2)];
        assert_eq!(check(0, &back), Some(false));
    }

    #[test]
    fn what_never_returned_may_have_happened_or_not() {
        let lost = Operation { called: 1, returned: None, access: Access::Write(1) };
        assert_eq!(check(0, &[lost, read(2, 3, 0)]), Some(true));
        assert_eq!(check(0, &[lost, read(2, 3, 1)]), Some(true));
        assert_eq!(check(0, &[lost, read(2, 3, 0), read(4, 5, 1)]), Some(true), "late");
        assert_eq!(check(0, &[lost, read(2, 3, 1), read(4, 5, 0)]), Some(false));
        let unheard = Operation { called: 1, returned: None, access: Access::Read(7) };
        assert_eq!(check(0, &[unheard]), Some(true));
    }

    /// Every history that a real register leaves is linearizable, and one read of a value that was not there is not.
    #[test]
    fn a_real_register_is_linearizable() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let (mut value, mut history) = (0, Vec::new());
            for number in 1..60 {
                let moment = number * 100;
                let (called, returned) =
                    (moment - random.below(400).min(moment), moment + 1 + random.below(400));
                let (called, returned) = (called * 100 + number, Some(returned * 100 + number));
                let access = if random.chance(400) {
                    value = number;
                    Access::Write(value)
                } else {
                    Access::Read(value)
                };
                history.push(Operation { called, returned, access });
            }
            assert_eq!(check(0, &history), Some(true), "{seed}");
            let place = random.below(history.len() as u64) as usize;
            if let Access::Read(value) = &mut history[place].access {
                *value = 1000;
                assert_eq!(check(0, &history), Some(false), "{seed}");
            }
        }
    }

    #[test]
    fn a_history_that_is_too_long_is_not_judged() {
        let long: Vec<Operation> = (0..=MOST as u64).map(|n| write(2 * n, 2 * n + 1, n)).collect();
        assert_eq!(check(0, &long), None);
        assert_eq!(check(0, &long[1..]), Some(true));
    }
}
