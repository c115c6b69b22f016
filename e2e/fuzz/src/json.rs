//! JSON bodies: the decoder, the check without a value, the cutter and the indenter agree with each other and with
//! `serde_json`.

use hypermesh_api::{check_json, decode_json, json::MAX_DEPTH};
use hypermesh_wire::{indent, raw};
use serde_json::Value;

/// Reads a body in every way there is.
pub fn target(data: &[u8]) {
    let decoded = decode_json(data);
    assert_eq!(check_json(data).err(), decoded.as_ref().err().cloned(), "the check says what decoding says");
    let plain = serde_json::from_slice::<Value>(data);
    let Ok((value, duplicates)) = decoded else {
        let deep = plain.is_ok_and(|value| depth(&value) > MAX_DEPTH);
        assert!(deep || serde_json::from_slice::<Value>(data).is_err(), "refused, and well-formed");
        // On what is no JSON the cutter finds something or nothing, and ends.
        raw::member(data, "metadata");
        raw::plain_string(data, "kind");
        indent(data);
        return;
    };
    assert!(depth(&value) <= MAX_DEPTH);
    assert!(duplicates.len() <= 100);
    assert!(plain.is_ok_and(|plain| same(&plain, &value)), "the last of equal keys counts");
    let written = serde_json::to_vec(&value).expect("a value is written");
    assert_eq!(decode_json(&written), Ok((value.clone(), Vec::new())), "written and read");
    let indented = indent(data);
    assert_eq!(decode_json(&indented), Ok((value.clone(), duplicates.clone())), "indented and read");
    if let (Value::Object(map), true) = (&value, duplicates.is_empty()) {
        for (key, member) in map {
            let cut = raw::member(&written, key);
            // Keys are compared as they are written: one that needs an escape is not found.
            let plain = !key.contains(|c| matches!(c, '"' | '\\' | '\0'..='\x1f'));
            assert_eq!(cut.is_some(), plain, "{key:?}");
            if let Some(cut) = cut {
                assert_eq!(decode_json(cut).ok().map(|(value, _)| value).as_ref(), Some(member), "{key:?}");
            }
        }
    }
}

/// Equal, but that a number without fraction is an integer here.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(one, other)| same(one, other))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, one), (l, other))| k == l && same(one, other))
        }
        (a, b) => a == b,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
