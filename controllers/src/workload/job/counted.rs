//! Which instances of a job have been counted: a set of ordinals that is short to write, since it is mostly one range.

use std::collections::BTreeMap;
use std::fmt;

/// A set of ordinals, as `0-4,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Ranges that neither meet nor touch: the first ordinal of each, and the last.
    ranges: BTreeMap<u64, u64>,
}

impl Counted {
    /// Reads the notation. What is no part of it is left out.
    pub fn parse(text: &str) -> Self {
        let mut counted = Self::default();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>())
                && first <= last
            {
                counted.join(first, last);
            }
        }
        counted
    }

    /// Adds an ordinal; false when it was in it.
    pub fn insert(&mut self, ordinal: u64) -> bool {
        if self.contains(ordinal) {
            return false;
        }
        self.join(ordinal, ordinal);
        true
    }

    /// Whether an ordinal is in it.
    pub fn contains(&self, ordinal: u64) -> bool {
        self.ranges.range(..=ordinal).next_back().is_some_and(|(_, last)| *last >= ordinal)
    }

    /// The highest one.
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, last)| *last)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    fn join(&mut self, mut first: u64, mut last: u64) {
        while let Some((from, to)) =
            self.ranges.range(..=last.saturating_add(1)).next_back().map(|(f, t)| (*f, *t))
        {
            if to.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.ranges.insert(first, last);
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_short_to_write() {
        let mut counted = Counted::parse("0-2,9,x,7-5");
        assert!(counted.insert(4) && counted.insert(3) && !counted.insert(1));
        assert_eq!((counted.to_string().as_str(), counted.last()), ("0-4,9", Some(9)));
        assert!(Counted::parse("").is_empty());
    }

    proptest! {
        #[test]
        fn it_is_a_set(ordinals in prop::collection::vec(0_u64..40, 0..60), end: bool) {
            let (mut counted, mut plain) = (Counted::default(), BTreeSet::new());
            for ordinal in ordinals {
                let ordinal = if end { u64::MAX - ordinal } else { ordinal };
                prop_assert_eq!(counted.insert(ordinal), plain.insert(ordinal));
            }
            for ordinal in 0..40 {
                let ordinal = if end { u64::MAX - ordinal } else { ordinal };
                prop_assert_eq!(counted.contains(ordinal), plain.contains(&ordinal));
            }
            prop_assert_eq!(counted.last(), plain.last().copied());
            prop_assert_eq!(Counted::parse(&counted.to_string()), counted);
        }
    }
}
