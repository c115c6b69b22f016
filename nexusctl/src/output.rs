//! How objects and tables are shown. Pure: values in, text out.

pub mod age;
pub mod aligned;
pub mod columns;
pub mod form;
pub mod format;
pub mod paint;
pub mod progress;
pub mod sort;
pub mod table;
pub mod yaml;

pub use form::Form;
pub use format::Format;
pub use paint::Paint;
pub use table::TablePrinter;

use serde_json::Value;

/// Takes `metadata.managedFields` out of an object, or out of the items of a list.
pub fn hide_managed_fields(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        for item in items {
            if let Some(metadata) = item.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        }
    }
}

/// JSON as kubectl shows it: indented by four, keys in order.
pub fn json(value: &Value) -> String {
    use serde::Serialize as _;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // A Value has only string keys and finite numbers, so this cannot fail.
    let _ = value.serialize(&mut serializer);
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Control characters in a server's text must not reach a terminal.
pub fn escape(text: &str) -> String {
    without(text, |c| c.is_control() && c != '\n' && c != '\t')
}

/// In a line, such as a table's, a line break would begin one that nobody wrote, and a tab shift the columns.
pub fn escape_line(text: &str) -> String {
    without(text, char::is_control)
}

fn without(text: &str, dangerous: impl Fn(char) -> bool) -> String {
    if !text.contains(&dangerous) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if dangerous(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}
