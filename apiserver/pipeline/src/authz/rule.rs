//! One rule and what it allows.

use serde::{Deserialize, Serialize};

/// `rbac.authorization.k8s.io/v1` PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// Verbs, or `*`.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// Groups, `""` for core, or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// `plural`, `plural/subresource`, `*`, `*/subresource`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Only these names, or all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths, whole or ending in `*`.
    #[serde(rename = "nonResourceURLs", default, skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `get`, `create`, … or, of a path, the lower-case HTTP method.
    pub verb: &'a str,
    /// Group.
    pub group: &'a str,
    /// Plural.
    pub resource: &'a str,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace, or empty.
    pub namespace: &'a str,
    /// Name, or empty.
    pub name: &'a str,
    /// The path, when no resource is asked for.
    pub path: Option<&'a str>,
}

impl PolicyRule {
    /// The bytes of its words.
    pub(super) fn weight(&self) -> usize {
        let lists =
            [&self.verbs, &self.api_groups, &self.resources, &self.resource_names, &self.non_resource_urls];
        lists.iter().flat_map(|list| list.iter()).map(|word| word.len() + 3).sum::<usize>() + 64
    }

    /// Whether the rule allows it, wherever the rule applies.
    pub fn allows(&self, asked: &Attributes<'_>) -> bool {
        if !one_of(&self.verbs, asked.verb) {
            return false;
        }
        match asked.path {
            Some(path) => self.non_resource_urls.iter().any(|pattern| path_matches(pattern, path)),
            None => {
                one_of(&self.api_groups, asked.group)
                    && self.resources.iter().any(|r| resource_matches(r, asked.resource, asked.subresource))
                    && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == asked.name))
            }
        }
    }
}

fn one_of(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

/// `*` matches every resource and subresource, `*/sub` that subresource of every resource.
pub(super) fn resource_matches(pattern: &str, resource: &str, subresource: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == "*" || of == resource),
        None => subresource.is_empty() && pattern == resource,
    }
}

/// A pattern may end in one `*`.
pub(super) fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}
