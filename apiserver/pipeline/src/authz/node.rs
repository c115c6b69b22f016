//! What a node may do: what concerns it, and nothing else.
//!
//! A node is whoever is `system:node:NAME` and in `system:nodes`. It may read what its instances need, report on them and on
//! itself, and hold its Lease. Rights of RBAC come on top, as in the reference; what a node may write into an object that
//! it may write at all, [`crate::hook`] says, whatever gave it the right.
//!
//! Source: `k8s.io/kubernetes/plugin/pkg/auth/authorizer/node`.

use super::{Attributes, UserInfo};
use crate::nodes::{self, CONFIG_MAPS, Nodes, SECRETS, SERVICE_ACCOUNTS, WORKLOADS};
use crate::state::ReadError;
use hypermesh_api::selector::FieldSelector;
use hypermesh_chain::{ObjectKey, Record};
use std::sync::Arc;

/// The group of nodes.
pub const NODES: &str = "system:nodes";
/// What the names of their users begin with.
pub const NODE_PREFIX: &str = "system:node:";
/// Where nodes hold their Leases.
pub const NODE_LEASES: &str = "kube-node-lease";

const OURS: &str = "hypermesh.online";

/// The node that a user is.
pub fn node_of(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix(NODE_PREFIX).filter(|name| !name.is_empty())?;
    user.groups.iter().any(|group| group == NODES).then_some(name)
}

/// What a decision looks at.
pub(crate) struct Question<'q, G> {
    pub node: &'q str,
    pub asked: &'q Attributes<'q>,
    /// What the request selects by fields; `None` where it cannot select.
    pub fields: Option<&'q FieldSelector>,
    pub nodes: &'q Nodes,
    pub get: G,
}

impl<G: Fn(&ObjectKey) -> Result<Option<Arc<Record>>, ReadError>> Question<'_, G> {
    /// Why the node may not do what is asked; `None` where it may.
    pub fn refusal(&self) -> Result<Option<String>, ReadError> {
        let Attributes { group, resource, .. } = *self.asked;
        let core = group.is_empty();
        match resource {
            "instances" if group == OURS => self.instances(),
            "nodes" if group == OURS => Ok(self.own_node()),
            "workloads" if group == OURS => Ok(self.referenced(WORKLOADS)),
            "assets" if group == OURS => self.assets(),
            "leases" if group == "coordination.k8s.io" => Ok(self.lease()),
            "events" if core || group == "events.k8s.io" => Ok(self
                .unless(self.plain() && self.verb(&["create", "patch", "update"]), "a node writes Events")),
            "secrets" if core => Ok(self.referenced(SECRETS)),
            "configmaps" if core => Ok(self.referenced(CONFIG_MAPS)),
            "serviceaccounts" if core && self.asked.subresource == "token" => Ok(self.token()),
            "serviceaccounts" if core => Ok(self.referenced(SERVICE_ACCOUNTS)),
            "certificatesigningrequests" if group == "certificates.k8s.io" => self.own_request(),
            _ => Ok(Some(format!("this does not concern node {:?}", self.node))),
        }
    }

    fn verb(&self, verbs: &[&str]) -> bool {
        verbs.contains(&self.asked.verb)
    }

    fn plain(&self) -> bool {
        self.asked.subresource.is_empty()
    }

    fn unless(&self, allowed: bool, why: &str) -> Option<String> {
        (!allowed).then(|| why.to_owned())
    }

    /// The name that is asked for, in the path or as the only one that the selector takes.
    fn name(&self) -> &str {
        if !self.asked.name.is_empty() {
            return self.asked.name;
        }
        self.selected("metadata.name").unwrap_or_default()
    }

    fn selected(&self, field: &str) -> Option<&str> {
        self.fields
            .filter(|_| self.verb(&["list", "watch"]))
            .and_then(|fields| fields.requires_exact_match(field))
    }

    fn unrelated(&self) -> Option<String> {
        Some(format!("no relationship found between node {:?} and this object", self.node))
    }

    fn key(&self, collection: &str, name: &str) -> Option<ObjectKey> {
        ObjectKey::new(collection, self.asked.namespace, name)
    }

    fn instances(&self) -> Result<Option<String>, ReadError> {
        let bound = || self.nodes.is_bound(self.node, self.asked.namespace, self.name());
        let what = match (self.asked.verb, self.asked.subresource) {
            ("get", "" | "status") => bound(),
            ("list" | "watch", "") => self.selected(nodes::NODE_NAME) == Some(self.node) || bound(),
            ("update" | "patch", "" | "status") => bound(),
            ("delete", "") if bound() => {
                let record = match self.key(nodes::INSTANCES, self.asked.name) {
                    Some(key) => (self.get)(&key)?,
                    None => None,
                };
                let deleting = record.is_some_and(|record| record.facts.deleting);
                return Ok(
                    self.unless(deleting, "a node deletes no instance that is not being deleted already")
                );
            }
            ("delete", "") => false,
            _ => {
                let why =
                    "a node reads its instances, writes their status, and ends those that are being deleted";
                return Ok(Some(why.to_owned()));
            }
        };
        if what {
            return Ok(None);
        }
        if self.verb(&["list", "watch"]) {
            let node = self.node;
            return Ok(Some(format!(
                "a node lists and watches its own instances: fieldSelector=spec.nodeName={node}"
            )));
        }
        Ok(self.unrelated())
    }

    fn own_node(&self) -> Option<String> {
        let own = self.name() == self.node;
        let allowed = match (self.asked.verb, self.asked.subresource) {
            // The name stands in the body.
            ("create", "") => own || self.asked.name.is_empty(),
            ("create" | "get", "liveness") => own,
            ("get" | "list" | "watch" | "update" | "patch", "") | ("get" | "update" | "patch", "status") => {
                own
            }
            _ => false,
        };
        self.unless(allowed, "a node makes, reads and reports its own Node alone")
    }

    fn assets(&self) -> Result<Option<String>, ReadError> {
        const WHY: &str = "a node makes, reads and reports its own assets alone";
        let own = || -> Result<bool, ReadError> {
            let Some(key) = self.key("hypermesh.online/assets", self.name()) else { return Ok(false) };
            Ok((self.get)(&key)?.is_some_and(|record| nodes::node_of(&record) == Some(self.node)))
        };
        let allowed = match (self.asked.verb, self.asked.subresource) {
            ("create", "") => true,
            ("list" | "watch", "") => self.selected(nodes::NODE_NAME) == Some(self.node) || own()?,
            // To apply one that is not there is to make it.
            ("patch", "") => match self.key("hypermesh.online/assets", self.asked.name) {
                Some(key) => {
                    (self.get)(&key)?.is_none_or(|record| nodes::node_of(&record) == Some(self.node))
                }
                None => false,
            },
            ("get" | "update" | "delete", "") | ("get" | "update" | "patch", "status") => own()?,
            _ => false,
        };
        Ok(self.unless(allowed, WHY))
    }

    fn lease(&self) -> Option<String> {
        if self.asked.namespace != NODE_LEASES || !self.plain() {
            return Some(format!("the Lease of a node lies in the namespace {NODE_LEASES}"));
        }
        let own = self.name() == self.node;
        let allowed = match self.asked.verb {
            "create" => own || self.asked.name.is_empty(),
            "get" | "list" | "watch" | "update" | "patch" | "delete" => own,
            _ => false,
        };
        self.unless(allowed, "a node holds the Lease of its own name alone")
    }

    /// Objects by their names: neither all of a namespace, nor those of a label.
    fn referenced(&self, collection: &'static str) -> Option<String> {
        if !self.plain() || !self.verb(&["get", "list", "watch"]) {
            return Some("a node reads what its instances refer to, and writes nothing of it".to_owned());
        }
        if self.name().is_empty() {
            return Some("a node reads what its instances refer to by its name".to_owned());
        }
        if self.nodes.refers(self.node, collection, self.asked.namespace, self.name()) {
            None
        } else {
            self.unrelated()
        }
    }

    fn token(&self) -> Option<String> {
        let Attributes { verb, namespace, name, .. } = *self.asked;
        if verb == "create" && self.nodes.refers(self.node, SERVICE_ACCOUNTS, namespace, name) {
            None
        } else {
            self.unrelated()
        }
    }

    fn own_request(&self) -> Result<Option<String>, ReadError> {
        match (self.asked.verb, self.asked.subresource) {
            ("create", "") => return Ok(None),
            ("get" | "list" | "watch", "") => {}
            _ => return Ok(Some("a node makes and reads its own certificate requests alone".to_owned())),
        }
        let Some(key) = ObjectKey::new("certificates.k8s.io/certificatesigningrequests", "", self.name())
        else {
            return Ok(self.unrelated());
        };
        let object = (self.get)(&key)?
            .and_then(|record| serde_json::from_slice::<serde_json::Value>(&record.body).ok())
            .unwrap_or_default();
        let by = object.pointer("/spec/username").and_then(serde_json::Value::as_str);
        let own = by.and_then(|by| by.strip_prefix(NODE_PREFIX)) == Some(self.node);
        Ok(if own { None } else { self.unrelated() })
    }
}
