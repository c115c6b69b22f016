//! Where a JSON patch (RFC 6902) says what a server minds: by the number of an operation, or by the field that it writes.

use crate::manifest::node::{Content, Entry, Node, Span};

/// Lists and pointers that are longer are not followed.
const LONGEST: usize = 1000;

/// Where the operation stands that a refusal names, and what it says of it: `operation 1: remove "/data/c": …`.
pub(super) fn named<'m>(patch: &Node, message: &'m str) -> Option<(Span, &'m str)> {
    let (_, rest) = message.split_once("operation ")?;
    let (number, words) = rest.split_once(": ")?;
    let Content::List(operations) = &patch.content else { return None };
    let operation = operations.get(number.parse::<usize>().ok()?)?;
    // What is wrong is mostly where it wants to go, unless it is said to be another member.
    let said = words.strip_prefix("unknown ").unwrap_or(words).strip_prefix('"');
    let member = said.and_then(|said| said.split('"').next()).and_then(|name| operation.get(name));
    let span = member.or_else(|| operation.get("path")).map_or(operation.span, |member| member.span);
    Some((span, words))
}

/// What the operations write, in the shape of the object that they write to: each value where it stands in the patch, each
/// field where the pointer stands that leads to it.
pub(super) fn shape(patch: &Node) -> Node {
    let mut object = Node { span: patch.span, content: Content::Map(Vec::new()) };
    let Content::List(operations) = &patch.content else { return object };
    for operation in operations {
        let written =
            operation.get("op").and_then(Node::as_str).is_some_and(|op| op != "remove" && op != "test");
        let Some(path) = operation.get("path").filter(|_| written) else { continue };
        let tokens = match path.as_str().map(|text| (text, text.strip_prefix('/'))) {
            Some(("", _)) => Vec::new(),
            Some((_, Some(tokens))) => tokens.split('/').take(LONGEST).collect(),
            _ => continue,
        };
        let value = operation.get("value").cloned();
        let value = value.unwrap_or(Node { span: path.span, content: Content::Null });
        object = with(Some(object), path.span, &tokens, value);
    }
    object
}

/// A node with `value` where the tokens of a pointer, which stands at `at`, lead to.
fn with(node: Option<Node>, at: Span, tokens: &[&str], value: Node) -> Node {
    let Some((token, rest)) = tokens.split_first() else { return value };
    let (span, content) = node.map_or((at, Content::Null), |node| (node.span, node.content));
    let name = token.replace("~1", "/").replace("~0", "~");
    let content = match (name.parse::<usize>(), content) {
        (Ok(index), content) if index < LONGEST => {
            let mut items = if let Content::List(items) = content { items } else { Vec::new() };
            let before = (index < items.len()).then(|| items.remove(index));
            items.resize(items.len().max(index), Node { span: at, content: Content::Null });
            items.insert(index, with(before, at, rest, value));
            Content::List(items)
        }
        (_, content) => {
            let mut entries = if let Content::Map(entries) = content { entries } else { Vec::new() };
            let before = entries.iter().position(|entry| entry.key == name);
            let before = before.map(|place| entries.remove(place).value);
            entries.push(Entry { key: name, key_span: at, value: with(before, at, rest, value) });
            Content::Map(entries)
        }
    };
    Node { span, content }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{FieldPath, yaml};
    use serde_json::json;

    fn patch(text: &str) -> Node {
        yaml::parse(text).unwrap().remove(0)
    }

    #[test]
    fn an_operation_is_found_by_its_number() {
        let patch = patch("- {op: remove, path: /a}\n- {op: add, path: /b/c, value: 1}\n- 5\n");
        let (span, words) = named(&patch, "the patch does not apply: operation 1: add \"/b/c\": no").unwrap();
        assert_eq!((span.line, span.column, words), (2, 19, "add \"/b/c\": no"));
        assert_eq!(named(&patch, "operation 2: must be an object").unwrap().0.line, 3);
        assert_eq!(named(&patch, "operation 0: unknown \"op\" \"remove\"").unwrap().0.column, 8);
        for other in ["operation 3: x", "operation x: y", "operation 1", "no"] {
            assert_eq!(named(&patch, other), None, "{other}");
        }
    }

    #[test]
    fn what_is_written_is_where_it_stands() {
        let text = r#"
- {op: add, path: /spec, value: {a: 1, l: [{x: 0}]}}
- {op: replace, path: /spec/l/2/y, value: {z: 2}}
- {op: add, path: /metadata/labels/a~1b, value: c}
- {op: add, path: /spec/e/-, value: 1}
- {op: copy, from: /spec/a, path: /spec/f}
- {op: remove, path: /spec/a}
- {op: test, path: /spec/t, value: 1}
- {op: add, path: no, value: 1}
- 7
"#;
        let object = shape(&patch(text));
        assert_eq!(
            object.to_value(),
            json!({
                "spec": {"a": 1, "l": [{"x": 0}, null, {"y": {"z": 2}}], "e": {"-": 1}, "f": null},
                "metadata": {"labels": {"a/b": "c"}},
            })
        );
        let at = |path: &str| {
            let found = object.locate(&FieldPath::parse(path));
            let span = found.key_span.unwrap_or(found.node.span);
            (span.line, span.column, found.matched)
        };
        assert_eq!(at("spec.a"), (2, 34, 2), "in the value");
        assert_eq!(at("spec.l[2].y"), (3, 23, 4), "at the pointer");
        assert_eq!(at("spec.l[2].y.z"), (3, 44, 5), "beneath the pointer");
        assert_eq!(at("metadata.labels[a/b]"), (4, 19, 3));
        assert_eq!(shape(&patch("[{op: replace, path: '', value: {a: 1}}]")).to_value(), json!({"a": 1}));
        let deep = format!("[{{op: add, path: '{}', value: 1}}]", "/a".repeat(100_000));
        shape(&patch(&deep));
    }
}
