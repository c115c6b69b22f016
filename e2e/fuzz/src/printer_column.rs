//! Printer columns: paths that somebody else wrote, over objects that somebody else wrote. A path and an object.

use crate::input::{json, parts};
use hypermesh_schemas::definition::Cell;
use hypermesh_wire::JsonPath;
use serde_json::Value;

/// Selects.
pub fn target(data: &[u8]) {
    let [path, object] = parts(data);
    let Ok(text) = std::str::from_utf8(path) else { return };
    if let Ok(cell) = Cell::parse(text) {
        assert!(cell.paths().iter().all(|path| text.contains(path)));
    }
    let Ok(path) = JsonPath::parse(text) else { return };
    assert_eq!(JsonPath::parse(text).as_ref(), Ok(&path));
    let Some(object) = json(object) else { return };
    let found = path.select(&object);
    assert_eq!(path.first(&object), found.first().copied());
    assert!(found.len() <= nodes(&object), "no value is found twice");
}

fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(nodes).sum::<usize>(),
        _ => 1,
    }
}
