//! The bindings of one namespace, found by whom they name.
//!
//! A request looks up its own user and groups, so what it costs follows how many bindings name those, not how many there
//! are: every request of a cluster with a thousand tenants is authorized here.

use super::UserInfo;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gives the rules of a role to its subjects: `rbac.authorization.k8s.io/v1`'s RoleBinding and ClusterRoleBinding.
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

type ByName = BTreeMap<String, Arc<Binding>>;

/// Bindings by their own name, and by each user and group that they name.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    all: ByName,
    users: BTreeMap<String, ByName>,
    groups: BTreeMap<String, ByName>,
}

impl Bindings {
    /// Takes `binding` in place of the one of that name. `namespace` is that of the bindings; cluster-wide ones have none.
    pub fn put(&mut self, namespace: &str, name: &str, binding: Binding) {
        self.remove(namespace, name);
        let binding = Arc::new(binding);
        for subject in &binding.subjects {
            let Some((of, key)) = self.place(subject, namespace) else { continue };
            of.entry(key).or_default().insert(name.to_owned(), Arc::clone(&binding));
        }
        self.all.insert(name.to_owned(), binding);
    }

    pub fn remove(&mut self, namespace: &str, name: &str) {
        let Some(before) = self.all.remove(name) else { return };
        for subject in &before.subjects {
            let Some((of, key)) = self.place(subject, namespace) else { continue };
            if let Some(named) = of.get_mut(&key) {
                named.remove(name);
                if named.is_empty() {
                    of.remove(&key);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that name `user` or one of its groups, each once, by name.
    pub fn of(&self, user: &UserInfo) -> BTreeMap<&str, &Binding> {
        let named =
            user.groups.iter().filter_map(|group| self.groups.get(group)).chain(self.users.get(&user.name));
        named.flatten().map(|(name, binding)| (name.as_str(), &**binding)).collect()
    }

    /// Where a subject is kept, and under which name. A subject of an unknown kind is nobody.
    fn place(
        &mut self,
        subject: &Subject,
        namespace: &str,
    ) -> Option<(&mut BTreeMap<String, ByName>, String)> {
        match subject.kind.as_str() {
            "User" => Some((&mut self.users, subject.name.clone())),
            "Group" => Some((&mut self.groups, subject.name.clone())),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
                let known = !namespace.is_empty() && !namespace.contains(':');
                known.then(|| {
                    (&mut self.users, format!("{}{namespace}:{}", UserInfo::SERVICE_ACCOUNT, subject.name))
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the index must agree with: every binding asked in turn.
    fn names(subject: &Subject, user: &UserInfo, namespace: &str) -> bool {
        match subject.kind.as_str() {
            "User" => subject.name == user.name,
            "Group" => user.groups.contains(&subject.name),
            "ServiceAccount" => {
                let of = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
                let rest =
                    user.name.strip_prefix(UserInfo::SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
                rest.is_some_and(|(ns, name)| !ns.is_empty() && ns == of && name == subject.name)
            }
            _ => false,
        }
    }

    fn subject() -> impl Strategy<Value = Subject> {
        let name = prop::sample::select(vec!["a", "b", "a:b", "system:serviceaccount:a:b", ""]);
        let kind = prop::sample::select(vec!["User", "Group", "ServiceAccount", "Robot"]);
        let namespace = prop::sample::select(vec!["", "a", "b", "a:b"]);
        (kind, namespace, name).prop_map(|(kind, namespace, name)| Subject {
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    fn user() -> impl Strategy<Value = UserInfo> {
        let names = [
            "a",
            "b",
            "a:b",
            "",
            "system:serviceaccount:a:b",
            "system:serviceaccount::b",
            "system:serviceaccount:a:a:b",
        ];
        (
            prop::sample::select(names.to_vec()),
            prop::collection::vec(prop::sample::select(vec!["a", "b", "a:b"]), 0..3),
        )
            .prop_map(|(name, groups)| UserInfo {
                name: name.to_owned(),
                groups: groups.into_iter().map(str::to_owned).collect(),
                ..UserInfo::default()
            })
    }

    proptest! {
        #[test]
        fn the_index_finds_what_asking_each_binding_finds(
            namespace in prop::sample::select(vec!["", "a"]),
            writes in prop::collection::vec((0..4_u8, prop::option::of(prop::collection::vec(subject(), 0..3))), 0..12),
            user in user(),
        ) {
            let (mut index, mut model) = (Bindings::default(), BTreeMap::new());
            for (name, subjects) in writes {
                let name = format!("binding-{name}");
                match subjects {
                    Some(subjects) => {
                        let role_ref = RoleRef { kind: "ClusterRole".to_owned(), name: "view".to_owned() };
                        index.put(namespace, &name, Binding { subjects: subjects.clone(), role_ref });
                        model.insert(name, subjects);
                    }
                    None => {
                        index.remove(namespace, &name);
                        model.remove(&name);
                    }
                }
            }
            let found: Vec<_> = index.of(&user).into_keys().map(str::to_owned).collect();
            let wanted: Vec<_> =
                model.iter().filter(|(_, s)| s.iter().any(|s| names(s, &user, namespace))).map(|(n, _)| n.clone()).collect();
            prop_assert_eq!(found, wanted);
            for name in model.keys() {
                index.remove(namespace, name);
            }
            prop_assert!(index.is_empty() && index.users.is_empty() && index.groups.is_empty());
        }
    }
}
