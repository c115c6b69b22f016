//! The rules of a `SelfSubjectRulesReview` as a table, as kubectl's users know it: a line for each type and set of
//! names, and for each path, with all verbs that any rule gives. Pure.

use crate::output::{Paint, aligned::Grid, escape_line};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a line is about: `resource.group`, paths, names.
type Subject = (String, String, String);

/// A review's status as text, at most `width` columns of the terminal wide.
pub(super) fn table(status: &Value, no_headers: bool, width: Option<usize>) -> String {
    let mut lines: BTreeMap<Subject, BTreeSet<String>> = BTreeMap::new();
    for rule in items(status.get("resourceRules")) {
        let names = words(rule.get("resourceNames")).join(" ");
        for group in words(rule.get("apiGroups")) {
            for resource in words(rule.get("resources")) {
                let subject = (qualified(&resource, &group), String::new(), names.clone());
                lines.entry(subject).or_default().extend(words(rule.get("verbs")));
            }
        }
    }
    for rule in items(status.get("nonResourceRules")) {
        for path in words(rule.get("nonResourceURLs")) {
            let subject = (String::new(), path, String::new());
            lines.entry(subject).or_default().extend(words(rule.get("verbs")));
        }
    }
    let mut grid = Grid::default();
    if !no_headers && !lines.is_empty() {
        grid.heading(
            ["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec(),
        );
    }
    // What is about objects first, the widest rights before all.
    let (paths, objects): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|((resource, ..), _)| resource.is_empty());
    for ((resource, path, names), verbs) in objects.into_iter().chain(paths) {
        let verbs = verbs.into_iter().collect::<Vec<_>>().join(" ");
        grid.row(vec![resource, format!("[{path}]"), format!("[{names}]"), format!("[{verbs}]")]);
    }
    grid.render(width, &Paint::default())
}

/// `resource.group`, and `*.*` for everything, as kubectl writes it.
fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn words(value: Option<&Value>) -> Vec<String> {
    items(value).filter_map(Value::as_str).map(escape_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verbs_of_one_type_stand_in_one_line() {
        let status = json!({
            "resourceRules": [
                {"verbs": ["get", "list"], "apiGroups": ["", "hypermesh.online"], "resources": ["secrets", "workloads"]},
                {"verbs": ["create", "get"], "apiGroups": [""], "resources": ["secrets"]},
                {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["b", "a"]},
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["get"], "apiGroups": ["a\u{1b}[2J"], "resources": ["x\ny"]},
            ],
            "nonResourceRules": [
                {"verbs": ["get"], "nonResourceURLs": ["/api/*", "/livez"]},
                {"verbs": ["head"], "nonResourceURLs": ["/livez"]},
            ],
        });
        insta::assert_snapshot!(table(&status, false, None), @r"
        Resources                    Non-Resource URLs   Resource Names   Verbs
        *.*                          []                  []               [*]
        secrets                      []                  []               [create get list]
        secrets                      []                  [b a]            [get]
        secrets.hypermesh.online     []                  []               [get list]
        workloads                    []                  []               [get list]
        workloads.hypermesh.online   []                  []               [get list]
        x\ny.a\u{1b}[2J              []                  []               [get]
                                     [/api/*]            []               [get]
                                     [/livez]            []               [get head]
        ");
        insta::assert_snapshot!(table(&status, false, Some(60)), @r"
        Resources                   Non-Resou…  Resource…  Verbs
        *.*                         []          []         [*]
        secrets                     []          []         [create …
        secrets                     []          [b a]      [get]
        secrets.hypermesh.online    []          []         [get lis…
        workloads                   []          []         [get lis…
        workloads.hypermesh.online  []          []         [get lis…
        x\ny.a\u{1b}[2J             []          []         [get]
                                    [/api/*]    []         [get]
                                    [/livez]    []         [get hea…
        ");
        assert_eq!(table(&json!({}), false, None), "");
        assert_eq!(table(&json!({"resourceRules": 7, "nonResourceRules": [null]}), false, None), "");
        assert_eq!(table(&status, true, None).lines().count(), 9);
    }
}
