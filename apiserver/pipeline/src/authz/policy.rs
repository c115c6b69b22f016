//! The decoded roles and bindings of the state, and decisions over them.

use super::rule::{Attributes, PolicyRule};
use super::{UserInfo, uncovered};
use crate::state::{ReadError, StateReader};
use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
pub(crate) const ROLES: &str = "rbac.authorization.k8s.io/roles";
pub(crate) const CLUSTER_ROLES: &str = "rbac.authorization.k8s.io/clusterroles";
pub(crate) const ROLE_BINDINGS: &str = "rbac.authorization.k8s.io/rolebindings";
pub(crate) const CLUSTER_ROLE_BINDINGS: &str = "rbac.authorization.k8s.io/clusterrolebindings";

const COLLECTIONS: [&str; 4] = [ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS];

/// Whether an effect on `collection` changes a policy.
pub(crate) fn concerns(collection: &str) -> bool {
    COLLECTIONS.contains(&collection)
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Role {
    #[serde(default)]
    pub rules: Vec<PolicyRule>,
    #[serde(rename = "aggregationRule", default)]
    aggregation: Option<Aggregation>,
    #[serde(default)]
    metadata: Labelled,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Labelled {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Aggregation {
    #[serde(rename = "clusterRoleSelectors", default)]
    selectors: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Binding {
    #[serde(default)]
    subjects: Vec<Subject>,
    #[serde(rename = "roleRef")]
    pub role_ref: RoleRef,
}

#[derive(Clone, Debug, Deserialize)]
struct Subject {
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RoleRef {
    pub kind: String,
    pub name: String,
}

/// Roles and bindings. Cloning shares their contents.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    roles: BTreeMap<(String, String), Arc<Role>>,
    bindings: BTreeMap<(String, String), Arc<Binding>>,
}

impl Policy {
    /// Reads all roles and bindings of a state.
    pub fn load(state: &(impl StateReader + ?Sized)) -> Result<Self, ReadError> {
        const PAGE: usize = 500;
        let mut policy = Self::default();
        for collection in COLLECTIONS {
            let range = KeyRange { collection: collection.to_owned(), namespace: None };
            let mut after: Option<ObjectKey> = None;
            loop {
                let page = state.scan(&range, after.as_ref(), PAGE)?;
                for (key, record) in &page {
                    policy.put(key, record);
                }
                match page.into_iter().last() {
                    Some((key, _)) => after = Some(key),
                    None => break,
                }
            }
        }
        Ok(policy)
    }

    /// Follows one committed (or pending) write.
    pub fn follow(&mut self, effect: &Effect) {
        if !concerns(effect.key.collection()) {
            return;
        }
        match &effect.change {
            Change::Created(record) | Change::Updated(record) => self.put(&effect.key, record),
            Change::Deleted(_) => {
                let place = place(&effect.key);
                if is_role(effect.key.collection()) {
                    self.roles.remove(&place);
                } else {
                    self.bindings.remove(&place);
                }
            }
        }
    }

    /// A role or binding that does not decode grants nothing; validation keeps such objects out.
    fn put(&mut self, key: &ObjectKey, record: &Record) {
        let place = place(key);
        if is_role(key.collection()) {
            let role: Role = serde_json::from_slice(&record.body).unwrap_or_default();
            self.roles.insert(place, Arc::new(role));
        } else if let Ok(binding) = serde_json::from_slice(&record.body) {
            self.bindings.insert(place, Arc::new(binding));
        } else {
            self.bindings.remove(&place);
        }
    }

    /// Whether `user` may do what is asked.
    pub fn allows(&self, user: &UserInfo, asked: &Attributes<'_>) -> bool {
        self.any_rule(user, asked.namespace, |rule| rule.allows(asked))
    }

    /// The rules that apply to `user` in `namespace` (cluster-wide ones included); empty namespace: cluster-wide only.
    pub fn rules_of(&self, user: &UserInfo, namespace: &str) -> Vec<PolicyRule> {
        let mut rules = Vec::new();
        self.any_rule(user, namespace, |rule| {
            rules.push(rule.clone());
            false
        });
        rules
    }

    /// The parts of `wanted` that `user` does not hold in `namespace`.
    pub fn missing(&self, user: &UserInfo, namespace: &str, wanted: &[PolicyRule]) -> Vec<PolicyRule> {
        let held = self.rules_of(user, namespace);
        uncovered(&held.iter().collect::<Vec<_>>(), wanted)
    }

    /// The rules of the role that a binding in `namespace` refers to; `None` if there is no such role.
    pub(crate) fn rules_of_role(&self, namespace: &str, role: &RoleRef) -> Option<Vec<PolicyRule>> {
        let found = self.role(namespace, role)?;
        let mut rules = found.rules.clone();
        for other in self.aggregated(found) {
            rules.extend(other.rules.iter().cloned());
        }
        Some(rules)
    }

    fn role(&self, namespace: &str, role: &RoleRef) -> Option<&Arc<Role>> {
        let place = if role.kind == "ClusterRole" {
            (String::new(), role.name.clone())
        } else {
            (namespace.to_owned(), role.name.clone())
        };
        self.roles.get(&place)
    }

    /// An aggregated role holds what the roles that its selectors name hold, at the moment of the decision; these may
    /// be aggregated themselves.
    fn aggregated<'s>(&'s self, role: &'s Role) -> Vec<&'s Role> {
        let mut found: BTreeMap<&str, &Role> = BTreeMap::new();
        let mut open = vec![role];
        while let Some(role) = open.pop() {
            let selectors = role.aggregation.as_ref().map(|a| a.selectors.as_slice()).unwrap_or_default();
            if selectors.is_empty() {
                continue;
            }
            let cluster = self.roles.range((String::new(), String::new())..);
            for ((_, name), other) in cluster.take_while(|((namespace, _), _)| namespace.is_empty()) {
                let chosen = selectors.iter().any(|selector| selects(selector, &other.metadata.labels));
                if chosen && found.insert(name, other).is_none() {
                    open.push(other);
                }
            }
        }
        found.into_values().collect()
    }

    fn any_rule(&self, user: &UserInfo, namespace: &str, mut test: impl FnMut(&PolicyRule) -> bool) -> bool {
        let mut of_namespace = |namespace: &str| {
            self.bindings
                .range((namespace.to_owned(), String::new())..)
                .take_while(|((ns, _), _)| ns == namespace)
                .filter(|(_, binding)| binding.subjects.iter().any(|s| s.is(user, namespace)))
                .any(|(_, binding)| {
                    self.role(namespace, &binding.role_ref).is_some_and(|role| {
                        role.rules.iter().any(&mut test)
                            || self.aggregated(role).iter().any(|other| other.rules.iter().any(&mut test))
                    })
                })
        };
        of_namespace("") || (!namespace.is_empty() && of_namespace(namespace))
    }
}

fn selects(selector: &serde_json::Value, labels: &BTreeMap<String, String>) -> bool {
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

impl Subject {
    fn is(&self, user: &UserInfo, binding_namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == user.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { binding_namespace } else { &self.namespace };
                user.name
                    .strip_prefix(UserInfo::SERVICE_ACCOUNT)
                    .and_then(|rest| rest.split_once(':'))
                    .is_some_and(|(ns, name)| !ns.is_empty() && ns == namespace && name == self.name)
            }
            _ => false,
        }
    }
}

fn is_role(collection: &str) -> bool {
    collection == ROLES || collection == CLUSTER_ROLES
}

fn place(key: &ObjectKey) -> (String, String) {
    (key.namespace().to_owned(), key.name().to_owned())
}
