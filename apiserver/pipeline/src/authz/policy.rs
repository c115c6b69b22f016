//! The decoded roles and bindings of the state, and decisions over them.

use super::bindings::{Bindings, RoleRef};
use super::rule::{Attributes, PolicyRule};
use super::{UserInfo, aggregation, uncovered};
use crate::genesis::MASTERS;
use crate::state::{ReadError, StateReader};
use hypermesh_chain::{Change, Effect, KeyRange, ObjectKey, Record};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Bound;
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
    /// `null` where there are none.
    #[serde(default)]
    rules: Option<Vec<PolicyRule>>,
    #[serde(rename = "aggregationRule", default)]
    pub aggregation: Option<Aggregation>,
    #[serde(default)]
    pub metadata: Labelled,
}

impl Role {
    /// The rules that are stored in it.
    pub fn rules(&self) -> &[PolicyRule] {
        self.rules.as_deref().unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Labelled {
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Aggregation {
    #[serde(rename = "clusterRoleSelectors", default)]
    pub selectors: Vec<serde_json::Value>,
}

/// Roles and bindings. Cloning shares their contents.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    roles: BTreeMap<(String, String), Arc<Role>>,
    /// By namespace; cluster-wide ones under the empty one.
    bindings: BTreeMap<String, Arc<Bindings>>,
    /// What aggregated ClusterRoles hold, by name. It follows the roles that they are made from, and not what is stored
    /// in the aggregated ones, which is for people to read.
    aggregated: BTreeMap<String, Arc<Vec<PolicyRule>>>,
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
        policy.aggregated = aggregation::all(&policy.cluster_roles());
        Ok(policy)
    }

    /// Follows one committed (or pending) write.
    pub fn follow(&mut self, effect: &Effect) {
        if !concerns(effect.key.collection()) {
            return;
        }
        let place = place(&effect.key);
        let before = self.roles.get(&place).cloned();
        match &effect.change {
            Change::Created(record) | Change::Updated(record) => self.put(&effect.key, record),
            Change::Deleted(_) => {
                if is_role(effect.key.collection()) {
                    self.roles.remove(&place);
                } else {
                    self.unbind(&effect.key);
                }
            }
        }
        if effect.key.collection() == CLUSTER_ROLES {
            let roles = self.cluster_roles();
            if aggregation::concerns(&roles, before.as_deref(), self.roles.get(&place).map(|role| &**role)) {
                self.aggregated = aggregation::all(&roles);
            }
        }
    }

    fn cluster_roles(&self) -> BTreeMap<&str, &Role> {
        let all = self.roles.range((String::new(), String::new())..);
        let cluster = all.take_while(|((namespace, _), _)| namespace.is_empty());
        cluster.map(|((_, name), role)| (name.as_str(), &**role)).collect()
    }

    /// An aggregated ClusterRole in which other rules are stored than it holds, after `name`, and the rules it holds.
    pub(crate) fn stale(&self, after: Option<&str>) -> Option<(String, Arc<Vec<PolicyRule>>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let stored = |name: &str| self.roles.get(&(String::new(), name.to_owned()));
        self.aggregated
            .range::<str, _>((from, Bound::Unbounded))
            .find(|(name, held)| stored(name).is_some_and(|role| role.rules() != held.as_slice()))
            .map(|(name, held)| (name.clone(), Arc::clone(held)))
    }

    /// A role or binding that does not decode grants nothing; validation keeps such objects out.
    fn put(&mut self, key: &ObjectKey, record: &Record) {
        if is_role(key.collection()) {
            let role: Role = serde_json::from_slice(&record.body).unwrap_or_default();
            self.roles.insert(place(key), Arc::new(role));
        } else if let Ok(binding) = serde_json::from_slice(&record.body) {
            let of_namespace = self.bindings.entry(key.namespace().to_owned()).or_default();
            Arc::make_mut(of_namespace).put(key.namespace(), key.name(), binding);
        } else {
            self.unbind(key);
        }
    }

    fn unbind(&mut self, key: &ObjectKey) {
        let Some(of_namespace) = self.bindings.get_mut(key.namespace()) else { return };
        let bindings = Arc::make_mut(of_namespace);
        bindings.remove(key.namespace(), key.name());
        if bindings.is_empty() {
            self.bindings.remove(key.namespace());
        }
    }

    /// Whether `user` may do what is asked. Masters may do everything without a binding, as upstream's
    /// `authorizerfactory.NewPrivilegedGroups` has it: whoever takes the last binding away must not lock all out for good.
    pub fn allows(&self, user: &UserInfo, asked: &Attributes<'_>) -> bool {
        is_master(user) || self.any_rule(user, asked.namespace, |rule| rule.allows(asked))
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
        if is_master(user) {
            return Vec::new();
        }
        let held = self.rules_of(user, namespace);
        uncovered(&held.iter().collect::<Vec<_>>(), wanted)
    }

    /// The rules of the role that a binding in `namespace` refers to; `None` if there is no such role.
    pub(crate) fn rules_of_role(&self, namespace: &str, role: &RoleRef) -> Option<Vec<PolicyRule>> {
        self.role(namespace, role).map(<[PolicyRule]>::to_vec)
    }

    /// What a role holds; `None` if there is no such role.
    fn role(&self, namespace: &str, role: &RoleRef) -> Option<&[PolicyRule]> {
        if role.kind != "ClusterRole" {
            return self.roles.get(&(namespace.to_owned(), role.name.clone())).map(|role| role.rules());
        }
        match self.aggregated.get(&role.name) {
            Some(rules) => Some(rules),
            None => self.roles.get(&(String::new(), role.name.clone())).map(|role| role.rules()),
        }
    }

    fn any_rule(&self, user: &UserInfo, namespace: &str, mut test: impl FnMut(&PolicyRule) -> bool) -> bool {
        let mut of_namespace = |namespace: &str| {
            let Some(bindings) = self.bindings.get(namespace) else { return false };
            bindings.of(user).into_values().any(|binding| {
                self.role(namespace, &binding.role_ref).is_some_and(|rules| rules.iter().any(&mut test))
            })
        };
        of_namespace("") || (!namespace.is_empty() && of_namespace(namespace))
    }
}

fn is_master(user: &UserInfo) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}

fn is_role(collection: &str) -> bool {
    collection == ROLES || collection == CLUSTER_ROLES
}

fn place(key: &ObjectKey) -> (String, String) {
    (key.namespace().to_owned(), key.name().to_owned())
}
