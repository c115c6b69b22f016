//! Queries, and the options of every verb that are read from them. A query, and the body of a deletion.

use crate::input::parts;
use crate::selector::requirements;
use hypermesh_api::options::{DeleteOptions, GetOptions, ListOptions, WriteKind, WriteOptions};
use hypermesh_api::{FieldSelector, LabelSelector, Query};
use hypermesh_wire::IncludeObject;

/// Reads a query as the options of every verb.
pub fn target(data: &[u8]) {
    let [query, body] = parts(data);
    let Ok(query) = std::str::from_utf8(query) else { return };
    let Ok(query) = Query::parse(query) else { return };
    if let Ok(list) = ListOptions::parse(&query) {
        let again = LabelSelector::parse(&list.label_selector.to_string()).expect("what is written is read");
        assert_eq!(again.to_string(), list.label_selector.to_string());
        let again = FieldSelector::parse(&list.field_selector.to_string()).expect("what is written is read");
        assert_eq!(requirements(&again), requirements(&list.field_selector));
        if let Some(text) = query.first("resourceVersion").filter(|text| !text.is_empty()) {
            assert_eq!(list.resource_version, text.parse().ok(), "a version is a number of 64 bits");
        }
        assert_eq!(ListOptions::parse(&query), Ok(list));
    }
    for kind in [WriteKind::Create, WriteKind::Update, WriteKind::Patch, WriteKind::Apply] {
        if let Ok(options) = WriteOptions::parse(&query, kind) {
            // A rehearsal that is asked for is never a write.
            assert_eq!(options.dry_run, query.all("dryRun").any(|value| value == "All"));
            let manager = options.manager("agent/1.0 (linux)");
            assert!(manager.chars().count() <= 128 && !manager.chars().any(char::is_control));
        }
    }
    if let Ok(options) = DeleteOptions::parse(&query, body) {
        assert!(options.dry_run || query.all("dryRun").next().is_none() || !body.is_empty());
        assert_eq!(DeleteOptions::parse(&query, body).ok(), Some(options));
    }
    let _ = GetOptions::parse(&query);
    let _ = IncludeObject::parse(&query);
}
