//! What is shown of one kind as another, and takes some writes for it: Pods of Instances, Nodes of `core/v1` of ours.
//!
//! How it looks is no matter of the state machine. Here stands which writes there are, so that rights on `pods` and `nodes`
//! decide over them, signed requests too, and a budget is checked where nothing else happens meanwhile.

use hypermesh_api::Status;
use hypermesh_api::request::RequestInfo;
use hypermesh_api::selector::FieldSelector;

/// A kind that is shown of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Deleted and evicted.
    Pods,
    /// Cordoned, tainted, labelled and annotated, by patches.
    Nodes,
}

impl View {
    /// The view that a request is about, where no kind is stored under that name.
    pub fn of(info: &RequestInfo) -> Option<Self> {
        match (info.group.as_str(), info.version.as_str(), info.resource.as_str()) {
            ("", "v1", "pods") => Some(Self::Pods),
            ("", "v1", "nodes") => Some(Self::Nodes),
            _ => None,
        }
    }

    /// Group, version and plural of what it is shown of.
    pub fn source(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Pods => ("hypermesh.online", "v1", "instances"),
            Self::Nodes => ("hypermesh.online", "v1", "nodes"),
        }
    }

    /// Its plural.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Nodes => "nodes",
        }
    }

    /// What a field that selectors name is where what it is shown of has none.
    pub fn absent(self, field: &str) -> &'static str {
        match (self, field) {
            (Self::Pods, "status.phase") => "Pending",
            _ => "",
        }
    }

    /// 400 for fields that selectors may not name.
    pub(crate) fn check_fields(self, fields: &FieldSelector) -> Result<(), Status> {
        let known: &[&str] = match self {
            Self::Pods => &["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"],
            Self::Nodes => &["metadata.name"],
        };
        match fields.requirements().iter().find(|one| !known.contains(&one.field.as_str())) {
            Some(unknown) => {
                Err(Status::bad_request(format!("field label not supported: {}", unknown.field)))
            }
            None => Ok(()),
        }
    }

    /// The view of a plural.
    pub(crate) fn named(plural: &str) -> Option<Self> {
        [Self::Pods, Self::Nodes].into_iter().find(|view| view.plural() == plural)
    }

    /// What a write that it does not take is told to do instead.
    pub fn instead(self) -> &'static str {
        match self {
            Self::Pods => {
                "a Pod shows an Instance, and is deleted or evicted but not written: write a Workload \
                 (workloads.hypermesh.online), whose template its Instances are made from"
            }
            Self::Nodes => {
                "a Node of core/v1 shows the Node of hypermesh.online; a patch may change spec.unschedulable, \
                 spec.taints, labels and annotations, and everything else is written there \
                 (nodes.hypermesh.online)"
            }
        }
    }
}
