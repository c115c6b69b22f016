//! Operations of a path: parameters, bodies and replies.

use super::schemas::{component_name, gvk_value, meta_name, reference};
use crate::catalog::Gvk;
use serde_json::{Map, Value, json};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    List,
    Post,
    Put,
    Patch,
    Delete,
    DeleteCollection,
}

impl Action {
    /// The HTTP method, as OpenAPI keys it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    /// `x-kubernetes-action`.
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// How operation ids begin.
    fn word(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::List => "list",
            Self::Post => "create",
            Self::Put => "replace",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deleteCollection",
        }
    }
}

/// One operation about to be written.
pub(super) struct Operation<'a> {
    pub action: Action,
    /// The kind that is sent, or that the collection holds.
    pub gvk: Gvk<'a>,
    /// The component of the reply.
    pub reply: String,
    /// What tells the operation's id from others of the same action and kind.
    pub place: &'a str,
    /// Whether strategic merge patches are taken.
    pub strategic: bool,
}

impl Operation<'_> {
    pub fn to_value(&self) -> Value {
        let mut operation = json!({
            "tags": [tag(self.gvk)],
            "description": format!("{} {}", self.action.word(), self.gvk.kind),
            "operationId": format!("{}{}{}{}", self.action.word(), camel(&tag(self.gvk)), self.place, self.gvk.kind),
            "parameters": parameters(self.action),
            "responses": {"200": reply(&self.reply), "401": {"description": "Unauthorized"}},
            "x-kubernetes-action": self.action.name(),
            "x-kubernetes-group-version-kind": gvk_value(self.gvk),
        });
        match self.action {
            Action::Post => {
                for code in ["201", "202"] {
                    operation["responses"][code] = reply(&self.reply);
                }
            }
            Action::Put | Action::Patch => operation["responses"]["201"] = reply(&self.reply),
            Action::Delete => operation["responses"]["202"] = reply(&self.reply),
            Action::Get | Action::List | Action::DeleteCollection => {}
        }
        if let Some(body) = self.body() {
            operation["requestBody"] = body;
        }
        operation
    }

    fn body(&self) -> Option<Value> {
        let own = reference(&component_name(self.gvk));
        match self.action {
            Action::Post | Action::Put => {
                Some(json!({"required": true, "content": {"*/*": {"schema": own}}}))
            }
            Action::Patch => {
                let schema = json!({"schema": reference(&meta_name("Patch"))});
                let mut types = vec![
                    "application/apply-patch+yaml",
                    "application/json-patch+json",
                    "application/merge-patch+json",
                ];
                if self.strategic {
                    types.push("application/strategic-merge-patch+json");
                }
                let content: Map<String, Value> =
                    types.into_iter().map(|name| (name.to_owned(), schema.clone())).collect();
                Some(json!({"required": true, "content": content}))
            }
            Action::Delete | Action::DeleteCollection => {
                Some(json!({"content": {"*/*": {"schema": reference(&meta_name("DeleteOptions"))}}}))
            }
            Action::Get | Action::List => None,
        }
    }
}

/// `hypermeshOnline_v1`, `core_v1`.
fn tag(gvk: Gvk<'_>) -> String {
    if gvk.group.is_empty() {
        return format!("core_{}", gvk.version);
    }
    let mut group = camel(gvk.group);
    if let Some(first) = group.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    format!("{group}_{}", gvk.version)
}

/// Words parted by anything but letters and digits, each with a capital.
pub(super) fn camel(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .flat_map(|word| {
            let mut chars = word.chars();
            chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars.collect::<Vec<_>>())
        })
        .collect()
}

fn reply(component: &str) -> Value {
    let schema = json!({"schema": reference(component)});
    json!({"description": "OK", "content": {"application/json": schema, "application/yaml": schema}})
}

fn query(name: &str, kind: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "query", "description": description,
        "schema": {"type": kind, "uniqueItems": true},
    })
}

/// A parameter of the path itself.
pub(super) fn path_parameter(name: &str, description: &str) -> Value {
    json!({
        "name": name, "in": "path", "required": true, "description": description,
        "schema": {"type": "string", "uniqueItems": true},
    })
}

/// The parameter that every operation has.
pub(super) fn pretty() -> Value {
    query("pretty", "string", "If 'true', then the output is indented.")
}

fn parameters(action: Action) -> Vec<Value> {
    let dry_run = || query("dryRun", "string", "'All': everything is processed, and nothing is stored.");
    let manager = |more: &str| {
        let text = "Name of the actor that makes these changes: at most 128 printable characters.";
        query("fieldManager", "string", &format!("{text}{more}"))
    };
    let validation = || {
        let text = "What becomes of unknown and duplicate fields. Ignore: they are dropped. Warn (the default): they \
                    are dropped, with a warning each. Strict: the request is refused.";
        query("fieldValidation", "string", text)
    };
    match action {
        Action::Get => vec![version_parameter()],
        Action::List => list_parameters(),
        Action::Post | Action::Put => vec![dry_run(), manager(""), validation()],
        Action::Patch => vec![
            dry_run(),
            manager(" Required for apply patches."),
            validation(),
            query(
                "force",
                "boolean",
                "Apply takes over fields that others own. Apply patches alone may set it.",
            ),
        ],
        Action::Delete => vec![dry_run(), grace(), propagation()],
        Action::DeleteCollection => {
            let mut all = list_parameters();
            all.extend([dry_run(), grace(), propagation()]);
            all
        }
    }
}

fn grace() -> Value {
    query("gracePeriodSeconds", "integer", "Seconds before the object is deleted; 0 deletes it at once.")
}

fn propagation() -> Value {
    query("propagationPolicy", "string", "What becomes of dependents: Foreground, Background or Orphan.")
}

fn version_parameter() -> Value {
    let text =
        "Unset: a consistent read. 0: any version. Else a version that the answer may not be older than.";
    query("resourceVersion", "string", text)
}

fn list_parameters() -> Vec<Value> {
    vec![
        query("allowWatchBookmarks", "boolean", "The watch may send BOOKMARK events."),
        query("continue", "string", "The token of the page before; it goes on where that ended."),
        query("fieldSelector", "string", "Restricts the objects by their fields."),
        query("labelSelector", "string", "Restricts the objects by their labels."),
        query("limit", "integer", "At most so many objects in one reply."),
        version_parameter(),
        query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
        query(
            "sendInitialEvents",
            "boolean",
            "The watch begins with the state, as ADDED events and a BOOKMARK.",
        ),
        query("timeoutSeconds", "integer", "The watch ends after so many seconds."),
        query("watch", "boolean", "Follow the collection as a stream of events."),
    ]
}
