//! A header's fields.

use super::BLOCK;
use super::reader::Kind;
use std::ops::Range;
use tar::{EntryType, Header};

pub(super) fn kind(kind: EntryType) -> Kind {
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Dir,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::Hardlink,
        EntryType::Char => Kind::CharDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Fifo => Kind::Fifo,
        other => Kind::Other(other.as_byte()),
    }
}

/// Bytes up to the next block.
pub(super) const fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

pub(super) fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}

pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;

/// A field's number: octal, between blanks and NULs, or GNU's base 256. An empty field is 0.
pub(super) fn numeric(header: &Header, range: Range<usize>) -> Option<i64> {
    let field = header.as_bytes().get(range)?;
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement: the first byte's highest bit is the mark, the next one the sign.
        let negative = first & 0x40 != 0;
        let start = if negative { i128::from(first | 0x80) - 256 } else { i128::from(first & 0x3f) };
        let value =
            rest.iter().try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(i128::from(*byte)))?;
        return i64::try_from(value).ok();
    }
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).ok()?.trim_matches(' ');
    if text.is_empty() {
        return Some(0);
    }
    // `from_str_radix` would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| i64::from_str_radix(text, 8).ok())?
}

pub(super) fn unsigned(header: &Header, range: Range<usize>) -> Option<u64> {
    numeric(header, range).and_then(|value| u64::try_from(value).ok())
}

/// The sum of all bytes, the sum's own field taken for spaces.
pub(super) fn check_sum(block: &[u8; BLOCK]) -> Result<(), &'static str> {
    let text = &block[148..156];
    let text: Vec<u8> = text
        .iter()
        .copied()
        .skip_while(|byte| *byte == b' ')
        .take_while(|b| (b'0'..=b'7').contains(b))
        .collect();
    let written = std::str::from_utf8(&text).ok().and_then(|text| u64::from_str_radix(text, 8).ok());
    let written = written.ok_or("its sum is no number")?;
    let bytes =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let sum: u64 = bytes.clone().map(u64::from).sum();
    let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
    if written == sum || i64::try_from(written) == Ok(signed) { Ok(()) } else { Err("its sum is wrong") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_of_base_256() {
        let of = |text: &[u8]| {
            let mut header = Header::new_old();
            header.as_mut_bytes()[MTIME][..text.len()].copy_from_slice(text);
            numeric(&header, MTIME)
        };
        assert_eq!(of(b""), Some(0));
        assert_eq!(of(b" 17 \0x"), Some(15));
        assert_eq!(of(b"00000000017"), Some(15));
        assert_eq!(of(b"+17"), None);
        assert_eq!(of(b"18"), None);
        assert_eq!(of(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(of(&[0xff; 12]), Some(-1));
        assert_eq!(of(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
