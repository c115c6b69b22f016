//! YAML bodies: what becomes of them is JSON that the pipeline takes, and YAML shown of it is read back as the same.

use hypermesh_api::decode_json;
use hypermesh_wire::{MAX_BODY, yaml};

/// What is shown of a larger value may have more nodes than are read.
const SMALL: usize = 64 << 10;

/// Reads a body, shows what was read, and reads that.
pub fn target(data: &[u8]) {
    let Ok(json) = yaml::to_json(data) else { return };
    assert!(json.len() <= MAX_BODY + 256, "{} bytes of JSON", json.len());
    let (value, duplicates) = decode_json(&json).expect("YAML becomes JSON that is taken");
    if !duplicates.is_empty() || json.len() > SMALL {
        return;
    }
    let shown = yaml::from_json(&json);
    let again = yaml::to_json(&shown).unwrap_or_else(|status| {
        panic!("what is shown is not read: {}\n{}", status.message, String::from_utf8_lossy(&shown))
    });
    let (again, _) = decode_json(&again).expect("YAML becomes JSON that is taken");
    assert_eq!(again, value, "shown as\n{}", String::from_utf8_lossy(&shown));
}
