//! The bytes of a log's file.
//!
//! ```text
//! file   = header frame*
//! header = "HMWALOG\0" version:u16 salt:16 first:u64 sum:16        50 bytes
//! frame  = length:u32 number:u64 head:8 sum:16 body                36 bytes and `length`
//! body   = (length:u32 entry)*
//! ```
//! Integers are little-endian. `first` is the number of the file's first frame; frames are numbered without gaps, over
//! files too. `head` is a sum of length and number, `sum` one of them and the body; both are truncated SHA-256, keyed by
//! the salt. That the head has a sum of its own makes looking for a later frame cheap wherever bytes only look like one.

use sha2::{Digest, Sha256};

/// The newest format that is read and written.
pub const VERSION: u16 = 1;
/// The longest body of a frame, in bytes.
pub const MOST_BODY: usize = 64 << 20;
/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 50;
/// Bytes of a frame beside its body.
pub const FRAME_BYTES: usize = 36;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
const MAGIC: &[u8; 8] = b"HMWALOG\0";

/// What every sum of a file is keyed with.
pub type Salt = [u8; 16];

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Keys the file's sums.
    pub salt: Salt,
    /// The number of its first frame.
    pub first: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Of a newer version.
    Newer(u16),
    /// Not a header at all, or changed since.
    Bad(&'static str),
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Its entries, in order.
    pub entries: Vec<&'a [u8]>,
    /// The number that the next frame has.
    pub next: u64,
    /// Bytes up to the end of the last good frame.
    pub good: usize,
    /// What comes after it.
    pub tail: Tail,
}

/// What comes after the last good frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Clean,
    /// Bytes of a frame that was not flushed.
    Torn,
    /// A frame that was flushed and is bad now.
    Damaged(&'static str),
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..26].copy_from_slice(&self.salt);
        bytes[26..34].copy_from_slice(&self.first.to_le_bytes());
        let sum = sum(&[&bytes[..34]]);
        bytes[34..].copy_from_slice(&sum[..16]);
        bytes
    }

    /// Reads the header at the beginning of a file.
    pub fn decode(file: &[u8]) -> Result<Self, HeaderError> {
        let header: &[u8; HEADER_BYTES] = file.first_chunk().ok_or(HeaderError::Bad("it has no header"))?;
        let version = u16::from_le_bytes([header[8], header[9]]);
        if &header[..8] != MAGIC {
            return Err(HeaderError::Bad("it does not begin as a log does"));
        }
        if version > VERSION {
            return Err(HeaderError::Newer(version));
        }
        if version == 0 || header[34..] != sum(&[&header[..34]])[..16] {
            return Err(HeaderError::Bad("the sum of its header does not hold"));
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&header[10..26]);
        let mut first = [0; 8];
        first.copy_from_slice(&header[26..34]);
        Ok(Self { salt, first: u64::from_le_bytes(first) })
    }
}

/// A frame's bytes: `body` with what goes before it.
pub fn frame(salt: &Salt, number: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let number = number.to_le_bytes();
    let mut bytes = Vec::with_capacity(FRAME_BYTES + body.len());
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&number);
    bytes.extend_from_slice(&sum(&[salt, &length, &number])[..8]);
    bytes.extend_from_slice(&sum(&[salt, &length, &number, body])[..16]);
    bytes.extend_from_slice(body);
    bytes
}

/// Adds an entry to a frame's body.
pub fn push(body: &mut Vec<u8>, entry: &[u8]) {
    body.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
    body.extend_from_slice(entry);
}

/// Reads all frames of a file whose header was read. Nothing is copied, and each byte is summed a bounded number of
/// times, whatever the file holds.
pub fn scan<'a>(file: &'a [u8], header: &Header) -> Scan<'a> {
    let mut scan = Scan { entries: Vec::new(), next: header.first, good: HEADER_BYTES, tail: Tail::Clean };
    loop {
        let rest = file.get(scan.good..).unwrap_or_default();
        if rest.is_empty() {
            return scan;
        }
        let Some(body) = read_frame(rest, &header.salt, scan.next) else {
            scan.tail = tail(rest, scan.good, &header.salt, scan.next);
            return scan;
        };
        let Some(entries) = entries(body) else {
            // Its sum holds: it was written like this.
            scan.tail = Tail::Damaged("a frame holds no list of entries");
            return scan;
        };
        scan.entries.extend(entries);
        scan.good += FRAME_BYTES + body.len();
        scan.next = scan.next.wrapping_add(1);
    }
}

/// The body of the frame at the beginning of `bytes`, if that is frame `number` and whole.
fn read_frame<'a>(bytes: &'a [u8], salt: &Salt, number: u64) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(FRAME_BYTES)?;
    let (length, found) = read_head(head, salt)?;
    let body = rest.get(..length)?;
    let holds = found == number && head[20..36] == sum(&[salt, &head[..4], &head[4..12], body])[..16];
    holds.then_some(body)
}

/// Length and number that a frame's head tells, if its own sum holds.
fn read_head(head: &[u8], salt: &Salt) -> Option<(usize, u64)> {
    let length: [u8; 4] = head.get(..4)?.try_into().ok()?;
    let number: [u8; 8] = head.get(4..12)?.try_into().ok()?;
    let (length_value, number_value) = (u32::from_le_bytes(length) as usize, u64::from_le_bytes(number));
    let plausible = length_value <= MOST_BODY;
    let holds = plausible && head.get(12..20)? == &sum(&[salt, &length, &number])[..8];
    holds.then_some((length_value, number_value))
}

/// Whether a bad frame, `offset` bytes into its file, is one that was never flushed.
fn tail(rest: &[u8], offset: usize, salt: &Salt, number: u64) -> Tail {
    for place in 1..rest.len().saturating_sub(FRAME_BYTES) {
        let Some(found) = rest.get(place..place + FRAME_BYTES) else { break };
        // Few bytes look like a number that can follow: the sum is asked for of those alone.
        let number_there = u64::from_le_bytes(found[4..12].try_into().unwrap_or_default());
        let near = number_there > number && number_there - number <= rest.len() as u64;
        if near && read_head(found, salt).is_some() {
            return Tail::Damaged("a later frame is there, so this one was whole once");
        }
    }
    let extent = match read_head(rest, salt) {
        Some((_, found)) if found != number => return Tail::Damaged("a frame has another's number"),
        Some((length, _)) => FRAME_BYTES + length,
        None => FRAME_BYTES,
    };
    match rest.get(..extent) {
        Some(frame) if !lacks_sector(frame, offset) => {
            Tail::Damaged("a frame is all there, and its sum does not hold")
        }
        _ => Tail::Torn,
    }
}

/// Whether some sector of a frame was never written: it reads as zeros.
fn lacks_sector(frame: &[u8], offset: usize) -> bool {
    let to_boundary = (SECTOR - offset % SECTOR).min(frame.len());
    let (first, rest) = frame.split_at(to_boundary);
    std::iter::once(first).chain(rest.chunks(SECTOR)).any(|sector| sector.iter().all(|byte| *byte == 0))
}

/// The entries of a body; `None` if it is no list of them.
fn entries(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk::<4>() {
        let (entry, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        entries.push(entry);
        body = rest;
    }
    body.is_empty().then_some(entries)
}

fn sum(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests;
