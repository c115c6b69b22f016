//! Tells two flipped bits in the log files and the manifest that RocksDB would not tell.
//!
//! - In a record's *type*, where it makes one of the types of recycled logs of another: RocksDB reads that record again
//!   and again, for ever (`log::Reader::ReadPhysicalRecord` takes nothing off its buffer), or takes the file to end there.
//!   This store recycles no log, so there is no record of such a type.
//! - In a record's *length*, in the manifest: RocksDB ends reading it at a record that runs past the end of the file. A
//!   crash leaves such a one, and what it said was not in force yet. But a flipped bit makes one of a record that was, and
//!   what stood from there on would be gone without a word. The checksum tells the two apart: with the bit put back, it
//!   holds. (In a log the mark tells, `mark.rs`.)
//!
//! Every other flaw RocksDB tells itself. The format is that of its logs (`db/log_format.h`): blocks of 32 KiB, in them
//! records of a masked CRC-32C (four bytes), a length (two) and a type (one), which the checksum covers together with what
//! follows it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// The types of records of recycled logs.
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// The first file of the database in `path` with such a flaw, and what it is. What cannot be read RocksDB tells.
pub(super) fn flaw(path: &Path) -> Option<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| is_log(file))
        .collect();
    files.sort();
    let manifest = current(path);
    let logs = files.into_iter().map(|file| (file, false));
    manifest.into_iter().map(|file| (file, true)).chain(logs).find_map(|(file, is_manifest)| {
        let found = File::open(&file).and_then(|bytes| flaw_in(bytes, is_manifest));
        Some((file, found.ok().flatten()?))
    })
}

fn is_log(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "log")
}

/// The manifest that `CURRENT` names.
fn current(path: &Path) -> Option<PathBuf> {
    let name = std::fs::read_to_string(path.join("CURRENT")).ok()?;
    let name = name.trim_end();
    Some(path.join(name)).filter(|file| super::is_manifest(file) && !name.contains('/'))
}

/// What is wrong with a file; with `lengths`, in the lengths of its records, too.
fn flaw_in(mut file: impl Read, lengths: bool) -> io::Result<Option<String>> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut start = 0;
    loop {
        block.clear();
        file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        let mut rest = block.as_slice();
        while let Some((&[a, b, c, d, low, high, kind], body)) = rest.split_first_chunk::<HEADER>() {
            let place = start + block.len() - rest.len();
            if RECYCLED.contains(&kind) {
                let what = format!("the record at byte {place} is of a type that is never written ({kind})");
                return Ok(Some(what));
            }
            let length = u16::from_le_bytes([low, high]);
            // Space that was set aside.
            if kind == 0 && length == 0 {
                break;
            }
            if let Some(next) = body.get(usize::from(length)..) {
                rest = next;
                continue;
            }
            let sum = u32::from_le_bytes([a, b, c, d]);
            let holds = |bit: u32| {
                let body = body.get(..usize::from(length ^ (1 << bit)));
                body.is_some_and(|body| masked(crc32c(kind, body)) == sum)
            };
            let flipped = lengths && block.len() < BLOCK && (0..u16::BITS).any(holds);
            return Ok(
                flipped.then(|| format!("a bit is flipped in the length of the record at byte {place}"))
            );
        }
        if block.len() < BLOCK {
            return Ok(None);
        }
        start += BLOCK;
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

    fn told(bytes: &[u8]) -> Option<String> {
        flaw_in(bytes, true).unwrap()
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
        assert_eq!(told(&bytes), None);
        for cut in second..bytes.len() {
            assert_eq!(told(&bytes[..cut]), None, "cut at {cut}");
        }
        for (start, length) in [(0, 100), (second, length)] {
            for bit in 0..16 {
                let mut damaged = bytes.clone();
                damaged[start + 4 + bit / 8] ^= 1 << (bit % 8);
                let past = start + HEADER + (length ^ (1 << bit)) > bytes.len();
                // One that stays inside has RocksDB meet a checksum that does not hold.
                if past {
                    let said = told(&damaged).unwrap();
                    assert!(said.ends_with(&format!("record at byte {start}")), "bit {bit}: {said}");
                    assert_eq!(
                        flaw_in(&damaged[..], false).unwrap(),
                        None,
                        "a log's end is the mark's to judge"
                    );
                }
            }
        }
        // Space set aside at the end is none, and neither is garbage.
        assert_eq!(told(&[bytes.as_slice(), &[0; 40]].concat()), None);
        assert_eq!(told(&[bytes.as_slice(), &[0xff; 40]].concat()), None);
    }

    #[test]
    fn a_type_that_would_be_read_for_ever_is_told() {
        let first = record(&[7; 100]);
        let bytes = [first.as_slice(), &record(&[8; 20])].concat();
        for start in [0, first.len()] {
            for kind in 0..=u8::MAX {
                let mut damaged = bytes.clone();
                damaged[start + 6] = kind;
                let said = flaw_in(&damaged[..], false).unwrap();
                assert_eq!(said.is_some(), RECYCLED.contains(&kind), "{kind}: {said:?}");
                assert!(said.is_none_or(|said| said.contains(&format!("byte {start} "))));
            }
        }
    }

    #[test]
    fn records_go_on_past_the_end_of_a_block() {
        let mut bytes = record(&vec![1; BLOCK - 2 * HEADER - 3]);
        bytes.resize(BLOCK, 0);
        bytes.extend(record(b"next"));
        assert_eq!(told(&bytes), None);
        bytes[BLOCK + 4] ^= 0x40;
        assert!(told(&bytes).unwrap().ends_with(&format!("record at byte {BLOCK}")));
        bytes[BLOCK + 6] ^= 4;
        assert!(told(&bytes).unwrap().contains(&format!("byte {BLOCK} is of a type")));
    }
}
