//! Keys as strings of bits.
//!
//! A byte is nine bits, a 1 that says "there is a byte" and its eight bits from the highest; past the end all bits are
//! 0. So no key's bits are another's beginning, a key that is the beginning of another sorts before it, and the order
//! of bit strings is the order of bytes.

/// Bits a byte takes.
pub(super) const BITS: u32 = 9;

/// The bit of `key` at `index`.
pub(super) fn bit(key: &[u8], index: u32) -> bool {
    match key.get((index / BITS) as usize) {
        None => false,
        Some(byte) => {
            let place = index % BITS;
            place == 0 || byte >> (BITS - 1 - place) & 1 == 1
        }
    }
}

/// How many bytes `a` and `b` have in common from the start.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// The first bit in which `a` and `b` differ; `None` if they are equal.
pub(super) fn crit(a: &[u8], b: &[u8]) -> Option<u32> {
    let at = common(a, b);
    let start = end(at);
    match (a.get(at), b.get(at)) {
        (None, None) => None,
        (Some(x), Some(y)) => Some(start + 1 + (x ^ y).leading_zeros()),
        _ => Some(start),
    }
}

/// The number of bits that `length` bytes take.
pub(super) fn end(length: usize) -> u32 {
    length as u32 * BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0, 1, 2, 0x7f, 0x80, 0xff]), 0..5)
    }

    proptest! {
        #[test]
        fn the_critical_bit_is_the_first_that_differs_and_orders(a in key(), b in key()) {
            let differs = |i: &u32| bit(&a, *i) != bit(&b, *i);
            prop_assert_eq!(crit(&a, &b), (0..end(6)).find(differs));
            if let Some(i) = crit(&a, &b) {
                prop_assert_eq!(a < b, bit(&b, i));
            }
        }
    }
}
