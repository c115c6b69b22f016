//! Fewer rules that say the same, for people to read.
//!
//! Source: `k8s.io/component-helpers/auth/rbac/validation` CompactRules.

use super::rule::PolicyRule;
use std::collections::BTreeMap;

/// Joins the verbs of rules that are about one resource of one group, under one name or under all; other rules stay as
/// they are, and come after those.
pub fn compact(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut simple: BTreeMap<(String, String, Option<String>), Vec<String>> = BTreeMap::new();
    let mut others = Vec::new();
    for rule in rules {
        match (&rule.api_groups[..], &rule.resources[..], &rule.resource_names[..]) {
            ([group], [resource], names) if names.len() <= 1 && rule.non_resource_urls.is_empty() => {
                let verbs =
                    simple.entry((group.clone(), resource.clone(), names.first().cloned())).or_default();
                verbs.extend(rule.verbs);
            }
            _ => others.push(rule),
        }
    }
    let joined = simple.into_iter().map(|((group, resource, name), mut verbs)| {
        let mut seen = std::collections::BTreeSet::new();
        verbs.retain(|verb| seen.insert(verb.clone()));
        PolicyRule {
            verbs,
            api_groups: vec![group],
            resources: vec![resource],
            resource_names: name.into_iter().collect(),
            non_resource_urls: Vec::new(),
        }
    });
    joined.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::uncovered;

    fn rule(resource: &str, name: Option<&str>, verbs: &[&str]) -> PolicyRule {
        PolicyRule {
            verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
            api_groups: vec![String::new()],
            resources: vec![resource.to_owned()],
            resource_names: name.into_iter().map(str::to_owned).collect(),
            non_resource_urls: Vec::new(),
        }
    }

    #[test]
    fn verbs_of_one_resource_are_joined_and_nothing_is_lost() {
        let url = PolicyRule {
            verbs: vec!["get".into()],
            non_resource_urls: vec!["/metrics".into()],
            ..PolicyRule::default()
        };
        let rules = vec![
            rule("pods", None, &["get"]),
            url.clone(),
            rule("pods", Some("a"), &["list"]),
            rule("pods", None, &["list", "get"]),
        ];
        let joined = compact(rules.clone());
        assert_eq!(joined, [rule("pods", None, &["get", "list"]), rule("pods", Some("a"), &["list"]), url]);
        assert!(uncovered(&joined.iter().collect::<Vec<_>>(), &rules).is_empty());
        assert!(uncovered(&rules.iter().collect::<Vec<_>>(), &joined).is_empty());
    }
}
