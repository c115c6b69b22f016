//! RBAC rules: whether rules that cover others allow all that the others allow, which is what the check against
//! escalation rests on. Two lists of PolicyRule, held and wanted.

use crate::input::parts;
use hypermesh_pipeline::authz::{Attributes, PolicyRule, uncovered};

/// Words of a kind that are tried.
const WORDS: usize = 6;

/// Compares two lists of rules.
pub fn target(data: &[u8]) {
    let [held, wanted] = parts(data);
    let read = |bytes| serde_json::from_slice::<Vec<PolicyRule>>(bytes).ok();
    let (Some(held), Some(wanted)) = (read(held), read(wanted)) else { return };
    if held.len() > 8 || wanted.len() > 8 {
        return;
    }
    for rule in held.iter().chain(&wanted) {
        let written = serde_json::to_vec(rule).expect("a rule is written");
        assert_eq!(serde_json::from_slice::<PolicyRule>(&written).ok().as_ref(), Some(rule));
    }
    let owner: Vec<&PolicyRule> = held.iter().collect();
    let missing = uncovered(&owner, &wanted);
    let itself: Vec<&PolicyRule> = wanted.iter().collect();
    assert_eq!(uncovered(&itself, &wanted), [], "rules cover themselves");
    if !missing.is_empty() {
        return;
    }
    let all: Vec<&PolicyRule> = wanted.iter().collect();
    each(&all, |asked| {
        let allowed = wanted.iter().any(|rule| rule.allows(asked));
        let owned = held.iter().any(|rule| rule.allows(asked));
        assert!(!allowed || owned, "{wanted:?} allows {asked:?}, {held:?} is said to cover it and does not");
    });
}

/// Asks for all that the words of `rules` name, and for what they do not.
fn each(rules: &[&PolicyRule], mut ask: impl FnMut(&Attributes<'_>)) {
    let words = |of: fn(&PolicyRule) -> &Vec<String>| -> Vec<&str> {
        let all = rules.iter().flat_map(|rule| of(rule)).map(String::as_str);
        all.take(WORDS).chain(["unnamed"]).collect()
    };
    for verb in words(|rule| &rule.verbs) {
        for group in words(|rule| &rule.api_groups) {
            for resource in words(|rule| &rule.resources) {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                for name in words(|rule| &rule.resource_names) {
                    ask(&Attributes { verb, group, resource, subresource, namespace: "", name, path: None });
                }
            }
        }
        for path in words(|rule| &rule.non_resource_urls) {
            for path in [path, path.trim_end_matches('*')] {
                let (group, resource, subresource, namespace, name) = ("", "", "", "", "");
                ask(&Attributes { verb, group, resource, subresource, namespace, name, path: Some(path) });
            }
        }
    }
}
