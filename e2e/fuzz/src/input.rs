//! How an input is cut into what a target needs.
//!
//! Texts are separated by zero bytes, so that a corpus can be read and written by hand. What is signed, sealed or
//! hashed is made by the target itself, and the input says how it is damaged: a fuzzer that had to forge a signature
//! would find nothing.

use hypermesh_api::decode_json;
use serde_json::Value;

/// The first `N` parts of an input; those that are not there are empty. The last one holds all that is left.
pub(crate) fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = data.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| rest.next().unwrap_or_default())
}

/// The texts of an input; `None` where one is no UTF-8.
pub(crate) fn texts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let parts = parts::<N>(data).map(|part| std::str::from_utf8(part).ok());
    parts.iter().all(Option::is_some).then(|| parts.map(Option::unwrap_or_default))
}

/// A value as the pipeline decodes it.
pub(crate) fn json(bytes: &[u8]) -> Option<Value> {
    decode_json(bytes).ok().map(|(value, _)| value)
}

/// `base`, damaged: every four bytes of `script` are a place (two bytes, little-endian, modulo the length), what is done
/// there, and a byte to do it with. An empty script leaves it whole.
pub(crate) fn damaged(base: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = base.to_vec();
    let (edits, _) = script.as_chunks::<4>();
    for [low, high, what, byte] in edits {
        let place = usize::from(u16::from_le_bytes([*low, *high]));
        if bytes.is_empty() {
            bytes.push(*byte);
            continue;
        }
        let at = place % bytes.len();
        match what % 5 {
            0 => bytes[at] = *byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => bytes.insert(at, *byte),
            3 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}
