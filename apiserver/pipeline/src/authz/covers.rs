//! Whether one set of rules covers another: the check against escalation.
//!
//! Semantics: `k8s.io/component-helpers/auth/rbac/validation` Covers. A rule is broken down into its smallest parts
//! (one verb, one group, one resource, one name), and each part must be covered by one rule of the owner.

use super::rule::{PolicyRule, path_matches};

/// Comparisons of words are bounded, so that a hostile role cannot make the check expensive.
const MOST_COMPARISONS: usize = 20_000_000;

/// The parts of `wanted` that `held` does not cover, described for people. Empty means that all is covered.
pub fn uncovered(held: &[&PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let mut missing = Vec::new();
    let held_words: usize = held.iter().map(|rule| words(rule)).sum();
    let mut left = MOST_COMPARISONS;
    for rule in wanted {
        // What cannot be compared within the bound counts as not held.
        let Some(rest) = left.checked_sub(held_words.saturating_mul(words(rule))) else {
            missing.push(rule.clone());
            return missing;
        };
        left = rest;
        if held.iter().any(|owner| whole_covers(owner, rule)) {
            continue;
        }
        for part in breakdown(rule) {
            let Some(rest) = left.checked_sub(held_words.max(1)) else {
                missing.push(rule.clone());
                return missing;
            };
            left = rest;
            if !held.iter().any(|owner| whole_covers(owner, &part)) {
                missing.push(part);
            }
        }
    }
    missing
}

/// How many words a rule holds.
fn words(rule: &PolicyRule) -> usize {
    let lists =
        [&rule.verbs, &rule.api_groups, &rule.resources, &rule.resource_names, &rule.non_resource_urls];
    lists.iter().map(|list| list.len()).sum()
}

fn whole_covers(owner: &PolicyRule, part: &PolicyRule) -> bool {
    let verbs = has_all(&owner.verbs, &part.verbs);
    let groups = has_all(&owner.api_groups, &part.api_groups);
    let resources = part.resources.iter().all(|wanted| resource_covered(&owner.resources, wanted));
    let urls = part
        .non_resource_urls
        .iter()
        .all(|wanted| owner.non_resource_urls.iter().any(|o| url_covers(o, wanted)));
    let names = owner.resource_names.is_empty()
        || (!part.resource_names.is_empty()
            && part.resource_names.iter().all(|n| owner.resource_names.contains(n)));
    verbs && groups && resources && urls && names
}

fn has_all(owner: &[String], wanted: &[String]) -> bool {
    owner.iter().any(|o| o == "*") || wanted.iter().all(|w| owner.contains(w))
}

fn resource_covered(owner: &[String], wanted: &str) -> bool {
    owner.iter().any(|o| {
        o == "*"
            || o == wanted
            || o.strip_prefix("*/").is_some_and(|sub| wanted.split_once('/').is_some_and(|(_, s)| s == sub))
    })
}

fn url_covers(owner: &str, wanted: &str) -> bool {
    owner == wanted || (owner.ends_with('*') && path_matches(owner, wanted.trim_end_matches('*')))
}

fn breakdown(rule: &PolicyRule) -> impl Iterator<Item = PolicyRule> + '_ {
    let of_resources = rule.api_groups.iter().flat_map(move |group| {
        rule.resources.iter().flat_map(move |resource| {
            rule.verbs.iter().flat_map(move |verb| {
                let part = |names: Vec<String>| PolicyRule {
                    verbs: vec![verb.clone()],
                    api_groups: vec![group.clone()],
                    resources: vec![resource.clone()],
                    resource_names: names,
                    non_resource_urls: Vec::new(),
                };
                if rule.resource_names.is_empty() {
                    vec![part(Vec::new())]
                } else {
                    rule.resource_names.iter().map(|n| part(vec![n.clone()])).collect()
                }
            })
        })
    });
    let of_paths = rule.non_resource_urls.iter().flat_map(move |url| {
        rule.verbs.iter().map(move |verb| PolicyRule {
            verbs: vec![verb.clone()],
            non_resource_urls: vec![url.clone()],
            ..PolicyRule::default()
        })
    });
    of_resources.chain(of_paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resources: &[&str]) -> PolicyRule {
        let list = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect();
        PolicyRule {
            verbs: list(verbs),
            api_groups: vec![String::new()],
            resources: list(resources),
            ..PolicyRule::default()
        }
    }

    #[test]
    fn several_rules_cover_together_what_none_covers_alone() {
        let (get, list) = (rule(&["get"], &["pods"]), rule(&["list"], &["pods"]));
        assert!(uncovered(&[&get, &list], &[rule(&["get", "list"], &["pods"])]).is_empty());
        let missing = uncovered(&[&get], &[rule(&["get", "list"], &["pods"])]);
        assert_eq!(missing, [rule(&["list"], &["pods"])]);
    }

    #[test]
    fn what_is_too_much_to_compare_is_not_held() {
        let many: Vec<String> = (0..10_000).map(|n| format!("v{n}")).collect();
        let huge = PolicyRule { verbs: many, ..rule(&[], &["pods"]) };
        assert_eq!(uncovered(&[&huge], std::slice::from_ref(&huge)).len(), 1);
    }
}
