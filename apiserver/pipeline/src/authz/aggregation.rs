//! Aggregated ClusterRoles: what they hold follows from the labels of others.
//!
//! Source: `k8s.io/kubernetes/pkg/controller/clusterroleaggregation`. There a controller writes the rules into the role some
//! time later, and needs the right to hand out everything; here they follow within the block, by no right at all.

use super::policy::Role;
use super::rule::PolicyRule;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of rules that one role holds of others. A role of which the rules come to more is left out, and those after it.
const MOST_BYTES: usize = 512 << 10;

/// What each aggregated role holds, by name.
pub(super) fn all(roles: &BTreeMap<&str, &Role>) -> BTreeMap<String, Arc<Vec<PolicyRule>>> {
    let aggregated = roles.iter().filter(|(_, role)| role.aggregation.is_some());
    aggregated.map(|(name, _)| ((*name).to_owned(), Arc::new(one(roles, name)))).collect()
}

/// The rules of all that a role selects, and of what those select, in the order of their names; each rule once.
fn one(roles: &BTreeMap<&str, &Role>, name: &str) -> Vec<PolicyRule> {
    let mut found: Vec<PolicyRule> = Vec::new();
    let mut seen = BTreeSet::from([name]);
    let mut bytes = 0;
    // The next to look at lies at the end.
    let mut open: Vec<&str> = Vec::new();
    let mut at = Some(name);
    while let Some(name) = at {
        if let Some(role) = roles.get(name) {
            match &role.aggregation {
                Some(_) => {
                    let chosen =
                        roles.iter().filter(|(_, other)| chooses(role, other)).map(|(name, _)| *name);
                    let fresh: Vec<&str> = chosen.filter(|name| seen.insert(name)).collect();
                    open.extend(fresh.into_iter().rev());
                }
                None => {
                    bytes += role.rules().iter().map(PolicyRule::weight).sum::<usize>();
                    if bytes > MOST_BYTES {
                        return found;
                    }
                    for rule in role.rules() {
                        if !found.contains(rule) {
                            found.push(rule.clone());
                        }
                    }
                }
            }
        }
        at = open.pop();
    }
    found
}

/// Whether what aggregated roles hold may follow from a change of one role.
pub(super) fn concerns(roles: &BTreeMap<&str, &Role>, before: Option<&Role>, after: Option<&Role>) -> bool {
    let sides = || before.into_iter().chain(after);
    if sides().any(|role| role.aggregation.is_some()) {
        return true;
    }
    roles.values().any(|role| sides().any(|side| chooses(role, side)))
}

/// Whether one of a role's selectors takes another.
fn chooses(role: &Role, other: &Role) -> bool {
    role.aggregation
        .as_ref()
        .is_some_and(|rule| rule.selectors.iter().any(|selector| selects(selector, &other.metadata.labels)))
}

fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.get("matchLabels").and_then(|m| m.as_object()).is_none_or(|wanted| {
        wanted
            .iter()
            .all(|(key, value)| value.as_str().is_some_and(|v| labels.get(key).is_some_and(|l| l == v)))
    });
    let expressions = selector.get("matchExpressions").and_then(|e| e.as_array()).is_none_or(|list| {
        list.iter().all(|requirement| {
            let key = requirement.get("key").and_then(|k| k.as_str()).unwrap_or_default();
            let values: Vec<&str> = requirement
                .get("values")
                .and_then(|v| v.as_array())
                .map(|v| v.iter().filter_map(|v| v.as_str()).collect())
                .unwrap_or_default();
            let label = labels.get(key).map(String::as_str);
            match requirement.get("operator").and_then(|o| o.as_str()) {
                Some("In") => label.is_some_and(|l| values.contains(&l)),
                Some("NotIn") => label.is_none_or(|l| !values.contains(&l)),
                Some("Exists") => label.is_some(),
                Some("DoesNotExist") => label.is_none(),
                _ => false,
            }
        })
    });
    equal && expressions
}
