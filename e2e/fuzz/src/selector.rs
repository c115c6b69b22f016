//! Label and field selectors: what is written of one is read as the same one, and selects the same.

use crate::input::texts;
use hypermesh_api::{FieldSelector, LabelSelector};
use std::collections::BTreeSet;

/// Reads a label selector, a field selector and some labels (`a=b`, one a line).
pub fn target(data: &[u8]) {
    let Some([labels, fields, object]) = texts(data) else { return };
    let pairs: Vec<(String, String)> = object
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if let Ok(selector) = LabelSelector::parse(labels) {
        let written = selector.to_string();
        let again = LabelSelector::parse(&written).expect("what is written is read");
        assert_eq!(again.to_string(), written, "one form");
        assert_eq!(again.matches(&pairs), selector.matches(&pairs), "{written}");
        let all = selector.requirements().iter().all(|requirement| {
            let value = pairs.iter().find(|(key, _)| *key == requirement.key);
            requirement.matches_value(value.map(|(_, value)| value.as_str()))
        });
        assert_eq!(selector.matches(&pairs), all, "all requirements, or not");
        assert!(!selector.is_empty() || selector.matches(&pairs));
    }
    if let Ok(selector) = FieldSelector::parse(fields) {
        let written = selector.to_string();
        let again = FieldSelector::parse(&written).expect("what is written is read");
        // Terms are kept in the order of their text, of which `=` and `==` are two.
        assert_eq!(requirements(&again), requirements(&selector), "{written}");
        let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(again.matches(value), selector.matches(value));
    }
}

/// The conditions of a selector, whatever their order.
pub(crate) fn requirements(selector: &FieldSelector) -> BTreeSet<(&str, bool, &str)> {
    let parts = selector.requirements().iter();
    parts.map(|one| (one.field.as_str(), one.negated, one.value.as_str())).collect()
}
