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
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // JSON itself escapes the first 32 characters alone; all others stand in strings, where each may be written as a number.
    if !text.contains(|c| c != '\n' && misleads(c)) {
        return text;
    }
    let mut units = [0; 2];
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c != '\n' && misleads(c) {
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
        out
    })
}

/// Whether a character does something to a terminal instead of being seen there: what moves the cursor or begins a sequence,
/// and what turns the direction of writing round, so that people read something else than what is there (CVE-2021-42574).
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// What misleads in a server's text must not reach a terminal.
pub fn escape(text: &str) -> String {
    without(text, |c| misleads(c) && c != '\n' && c != '\t')
}

/// In a line, such as a table's, a line break would begin one that nobody wrote, and a tab shift the columns.
pub fn escape_line(text: &str) -> String {
    without(text, misleads)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a hostile node may write into a status: a title, a cleared screen, a C1 sequence, a line turned round, tags.
    const HOSTILE: &str =
        "a\u{1b}]0;x\u{7}\u{1b}[2Jb\u{9b}31mc\u{202e}txt.exe\u{2069}\u{200f}\u{2028}d\r\u{e0041}e";

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown_as_it_is() {
        let shown = escape_line(HOSTILE);
        assert!(!shown.chars().any(misleads), "{shown:?}");
        assert!(shown.contains("\\u{1b}]0;x") && shown.contains("c\\u{202e}txt.exe"), "{shown}");
        assert_eq!(escape("a\n\tb\u{200d}é👩‍💻"), "a\n\tb\u{200d}é👩‍💻", "what people write stays");
        assert_eq!(escape_line("a\tb\nc"), "a\\tb\\nc");
    }

    #[test]
    fn a_description_shows_what_a_node_wrote_and_does_nothing_of_it() {
        let condition = json!({"type": "Ready", "status": "False", "reason": HOSTILE, "message": HOSTILE});
        let object = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Instance",
            "metadata": {"name": "a", "labels": {"l": HOSTILE}, "annotations": {"a": HOSTILE}},
            "status": {"message": HOSTILE, "conditions": [condition], "list": [HOSTILE, {HOSTILE: HOSTILE}]},
        });
        let event = json!({"type": "Warning", "reason": HOSTILE, "message": HOSTILE, "source": {"component": HOSTILE}});
        let about = crate::commands::describe::About { events: Some(vec![event]), ..Default::default() };
        for most in [None, Some(40)] {
            let shown = crate::commands::describe::describe(&object, &about, &Paint::default(), most);
            assert!(!shown.chars().any(|c| c != '\n' && misleads(c)), "{shown:?}");
            assert!(shown.contains("\\u{1b}"), "{shown}");
        }
    }

    #[test]
    fn documents_say_the_same_without_it() {
        let object = json!({"status": {"message": HOSTILE, HOSTILE: [HOSTILE]}});
        let text = json(&object);
        assert!(!text.chars().any(|c| c != '\n' && misleads(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), object);
        let text = yaml::to_string(&object);
        assert!(!text.chars().any(|c| c != '\n' && misleads(c)), "{text:?}");
    }
}
