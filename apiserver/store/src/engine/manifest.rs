//! Tells a flipped bit in the manifest from a record that a crash cut short.
//!
//! RocksDB ends reading the manifest at a record that runs past the end of the file: a crash leaves such a one, and what
//! it said was not in force yet. But so does a flipped bit in the length of a record that was, and what stood from there
//! on would be gone without a word. The record's checksum tells the two apart: with the bit put back, it holds.
//!
//! The format is that of RocksDB's logs (`db/log_format.h`): blocks of 32 KiB, in them records of a masked CRC-32C (four
//! bytes), a length (two) and a type (one), which the checksum covers together with what follows it. Every other flaw
//! RocksDB tells itself.

use std::path::{Path, PathBuf};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

/// The manifest of the database in `path` and what is wrong with it, if a flipped bit hides the end of it. `None`, too,
/// where there is no manifest to read: RocksDB says so.
pub(super) fn flaw(path: &Path) -> Option<(PathBuf, String)> {
    let current = std::fs::read_to_string(path.join("CURRENT")).ok()?;
    let name = current.trim_end();
    let file = path.join(name);
    if !super::is_manifest(&file) || name.contains('/') {
        return None;
    }
    let bytes = std::fs::read(&file).ok()?;
    let place = flipped_length(&bytes)?;
    Some((file, format!("a bit is flipped in the length of the record at byte {place}")))
}

/// Where the first record starts whose length runs past the end by a single flipped bit.
fn flipped_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let room = BLOCK - at % BLOCK;
        if room < HEADER {
            at += room;
            continue;
        }
        let rest = bytes.get(at..bytes.len().min(at + room)).filter(|rest| !rest.is_empty())?;
        let (header, body) = rest.split_at_checked(HEADER)?;
        let &[a, b, c, d, low, high, kind] = header else { return None };
        let length = u16::from_le_bytes([low, high]);
        if usize::from(length) <= body.len() {
            at += HEADER + usize::from(length);
            continue;
        }
        let sum = u32::from_le_bytes([a, b, c, d]);
        let holds = |bit: u32| {
            let length = usize::from(length ^ (1 << bit));
            body.get(..length).is_some_and(|body| masked(crc32c(kind, body)) == sum)
        };
        return (0..u16::BITS).any(holds).then_some(at);
    }
}

/// RocksDB's form of a checksum that is stored beside what it is of.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (RFC 3720, appendix B.4) of a byte and what follows it. Bit by bit: it runs over one record, where one is torn.
fn crc32c(first: u8, rest: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    };
    !std::iter::once(&first).chain(rest).fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &[u8]) -> Vec<u8> {
        let mut bytes = masked(crc32c(1, body)).to_le_bytes().to_vec();
        bytes.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
        bytes.push(1);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32c(b'1', b"23456789"), 0xe306_9283);
    }

    #[test]
    fn a_flipped_length_is_told_and_a_torn_tail_is_none() {
        let mut bytes = record(&[7; 100]);
        let (second, length) = (bytes.len(), 300);
        bytes.extend(record(&vec![9; length]));
        assert_eq!(flipped_length(&bytes), None);
        for cut in second..bytes.len() {
            assert_eq!(flipped_length(&bytes[..cut]), None, "cut at {cut}");
        }
        for (start, length) in [(0, 100), (second, length)] {
            for bit in 0..16 {
                let mut damaged = bytes.clone();
                damaged[start + 4 + bit / 8] ^= 1 << (bit % 8);
                let past = start + HEADER + (length ^ (1 << bit)) > bytes.len();
                // One that stays inside has RocksDB meet a checksum that does not hold.
                if past {
                    assert_eq!(flipped_length(&damaged), Some(start), "record at {start}, bit {bit}");
                }
            }
        }
        // Space set aside at the end is none, and neither is garbage.
        assert_eq!(flipped_length(&[bytes.as_slice(), &[0; 40]].concat()), None);
        assert_eq!(flipped_length(&[bytes.as_slice(), &[0xff; 40]].concat()), None);
    }

    #[test]
    fn records_go_on_past_the_end_of_a_block() {
        let mut bytes = record(&vec![1; BLOCK - 2 * HEADER - 3]);
        bytes.resize(BLOCK, 0);
        bytes.extend(record(b"next"));
        assert_eq!(flipped_length(&bytes), None);
        bytes[BLOCK + 4] ^= 0x40;
        assert_eq!(flipped_length(&bytes), Some(BLOCK));
    }
}
