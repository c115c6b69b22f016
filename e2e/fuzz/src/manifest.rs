//! Manifests as nexusctl reads them: places stay within the text, faults can be shown, and the server reads the same.

use crate::input::json;
use crate::json::same;
use hypermesh_api::decode_json;
use nexusctl::manifest::diagnostic::Source;
use nexusctl::manifest::document::documents;
use nexusctl::manifest::node::{Content, Node};
use nexusctl::{manifest::yaml, output};
use std::sync::Arc;

/// Reads a manifest.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let nodes = match yaml::parse(text) {
        Ok(nodes) => nodes,
        Err(error) => {
            assert!(!error.message.is_empty());
            show(text);
            return;
        }
    };
    for node in &nodes {
        places(node, text);
        let value = node.to_value();
        let written = output::yaml::to_string(&value);
        let again = yaml::parse(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        let again: Vec<_> = again.iter().map(Node::to_value).collect();
        // An empty document is no document.
        assert!(
            again == [value.clone()] || (value.is_null() && again.is_empty()),
            "{value} shown as\n{written}"
        );
    }
    show(text);
    // Of one document, what this reader and the server's make of it is the same.
    let ([node], Ok(bytes)) = (nodes.as_slice(), hypermesh_wire::yaml::to_json(data)) else { return };
    let (value, duplicates) = decode_json(&bytes).expect("YAML becomes JSON that is taken");
    if duplicates.is_empty() {
        assert!(same(&node.to_value(), &value), "two readers of one text: {} and {value}", node.to_value());
    }
    if let Some(value) = json(data) {
        assert!(same(&node.to_value(), &value), "JSON is YAML: {} and {value}", node.to_value());
    }
}

/// Objects, or faults that can be shown.
fn show(text: &str) {
    let source = Arc::new(Source::new("input.yaml", text));
    match documents(&[source]) {
        Ok(found) => {
            for document in found {
                assert!(!document.name.is_empty() && !document.kind.is_empty());
                assert!(!document.name.contains('/') && !document.reference().is_empty());
                assert!(document.object().is_object());
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(fault.render(false).contains("error"), "{fault:?}");
            }
        }
    }
}

fn places(node: &Node, text: &str) {
    assert!(node.span.start <= node.span.end && node.span.end <= text.len(), "{:?}", node.span);
    match &node.content {
        Content::List(items) => items.iter().for_each(|item| places(item, text)),
        Content::Map(entries) => {
            for entry in entries {
                assert!(entry.key_span.end <= text.len());
                places(&entry.value, text);
            }
        }
        _ => {}
    }
}
