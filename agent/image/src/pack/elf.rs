//! What an ELF file is for: enough of its header to say so before anybody runs it.

use crate::platform::Platform;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What an ELF file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    /// What it runs on; none if its machine is not known here.
    pub platform: Option<Platform>,
    /// The loader it asks for; a static binary asks for none.
    pub loader: Option<String>,
}

/// Segments that are looked at.
const SEGMENTS: u64 = 256;

/// Reads the header; none if it is no ELF file, or a damaged one.
pub(super) fn read(file: &File) -> io::Result<Option<Elf>> {
    let mut head = [0; 64];
    if read_some(file, &mut head, 0)? < 52 || head[..4] != *b"\x7fELF" {
        return Ok(None);
    }
    let (wide, little) = (head[4] == 2, head[5] == 1);
    let number = |bytes: &[u8]| {
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
    };
    let architecture = match (number(&head[18..20]), wide, little) {
        (62, true, true) => Some("amd64"),
        (3, false, true) => Some("386"),
        (183, true, true) => Some("arm64"),
        (40, false, true) => Some("arm"),
        (243, true, true) => Some("riscv64"),
        (21, true, true) => Some("ppc64le"),
        (22, true, false) => Some("s390x"),
        (258, true, true) => Some("loong64"),
        _ => None,
    };
    let (table, size, count) = if wide {
        (number(&head[32..40]), number(&head[54..56]), number(&head[56..58]))
    } else {
        (number(&head[28..32]), number(&head[42..44]), number(&head[44..46]))
    };
    let mut loader = None;
    for at in 0..count.min(SEGMENTS) {
        let mut segment = [0; 56];
        let from = table.saturating_add(at.saturating_mul(size));
        let wanted = if wide { 56 } else { 32 };
        if read_some(file, &mut segment[..wanted], from)? < wanted {
            break;
        }
        // PT_INTERP
        if number(&segment[..4]) == 3 {
            let (offset, length) = if wide {
                (number(&segment[8..16]), number(&segment[32..40]))
            } else {
                (number(&segment[4..8]), number(&segment[16..20]))
            };
            let mut name = vec![0; usize::try_from(length.min(4096)).unwrap_or(0)];
            let read = read_some(file, &mut name, offset)?;
            let name: Vec<u8> = name.into_iter().take(read).take_while(|byte| *byte != 0).collect();
            loader = Some(String::from_utf8_lossy(&name).into_owned());
        }
    }
    Ok(Some(Elf { platform: architecture.map(|name| Platform::new("linux", name, None)), loader }))
}

fn read_some(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An offset beyond what files can have.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
