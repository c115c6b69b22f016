//! Writing structural schemas by hand, briefly.

use serde_json::{Map, Value, json};

/// A node of a structural schema under construction.
pub(super) struct Node(Map<String, Value>);

impl Node {
    /// A node of any type.
    pub(super) fn of(kind: &str, description: &str) -> Self {
        Self(Map::new()).with("type", kind).with("description", description)
    }

    /// A string.
    pub(super) fn string(description: &str) -> Self {
        Self::of("string", description)
    }

    /// A string in base64.
    pub(super) fn bytes(description: &str) -> Self {
        Self::string(description).with("format", "byte")
    }

    /// A moment, with seconds (`meta/v1` Time) or microseconds (`MicroTime`): both are RFC 3339.
    pub(super) fn time(description: &str) -> Self {
        Self::string(description).with("format", "date-time")
    }

    /// A 32-bit integer.
    pub(super) fn int32(description: &str) -> Self {
        Self::of("integer", description).with("format", "int32")
    }

    /// A boolean.
    pub(super) fn boolean(description: &str) -> Self {
        Self::of("boolean", description)
    }

    /// An object with these fields.
    pub(super) fn object<const N: usize>(description: &str, fields: [(&str, Self); N]) -> Self {
        let properties: Map<String, Value> =
            fields.into_iter().map(|(name, node)| (name.to_owned(), node.into_value())).collect();
        Self::of("object", description).with("properties", properties)
    }

    /// A map from any key to values of one form.
    pub(super) fn map(description: &str, values: Self) -> Self {
        Self::of("object", description).with("additionalProperties", values.into_value())
    }

    /// A list that is replaced as a whole.
    pub(super) fn atomic_list(description: &str, items: Self) -> Self {
        Self::of("array", description)
            .with("items", items.into_value())
            .with("x-kubernetes-list-type", "atomic")
    }

    /// A list whose members are told apart by one key, in server-side apply and in strategic merge patches.
    pub(super) fn map_list(description: &str, key: &str, items: Self) -> Self {
        Self::of("array", description)
            .with("items", items.into_value())
            .with("x-kubernetes-list-type", "map")
            .with("x-kubernetes-list-map-keys", json!([key]))
            .with("x-kubernetes-patch-strategy", "merge")
            .with("x-kubernetes-patch-merge-key", key)
    }

    /// Fields that must be there.
    pub(super) fn required<const N: usize>(self, fields: [&str; N]) -> Self {
        self.with("required", json!(fields.as_slice()))
    }

    /// An object that is replaced as a whole.
    pub(super) fn atomic(self) -> Self {
        self.with("x-kubernetes-map-type", "atomic")
    }

    /// Null is a value.
    pub(super) fn nullable(self) -> Self {
        self.with("nullable", true)
    }

    /// The value where none is given.
    pub(super) fn default(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// The values that it may have.
    pub(super) fn one_of<const N: usize>(self, values: [&str; N]) -> Self {
        self.with("enum", json!(values.as_slice()))
    }

    /// CEL rules.
    pub(super) fn rules(self, rules: Value) -> Self {
        self.with("x-kubernetes-validations", rules)
    }

    /// Any keyword.
    pub(super) fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0.insert(keyword.to_owned(), value.into());
        self
    }

    /// The finished document.
    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// A reference to any object (`core/v1` ObjectReference).
pub(super) fn object_reference(description: &str) -> Node {
    Node::object(
        description,
        [
            ("apiVersion", Node::string("API version of the object.")),
            ("fieldPath", Node::string("Part of the object that is meant, such as spec.containers{name}.")),
            ("kind", Node::string("Kind of the object.")),
            ("name", Node::string("Name of the object.")),
            ("namespace", Node::string("Namespace of the object.")),
            ("resourceVersion", Node::string("Version of the object that is meant.")),
            ("uid", Node::string("UID of the object.")),
        ],
    )
    .atomic()
}

/// A label selector (`meta/v1` LabelSelector).
pub(super) fn label_selector(description: &str) -> Node {
    let requirement = Node::object(
        "One requirement on a label.",
        [
            ("key", Node::string("The label.")),
            ("operator", Node::string("What must be true of it: In, NotIn, Exists or DoesNotExist.")),
            (
                "values",
                Node::atomic_list("The values that In and NotIn compare with.", Node::string("A value.")),
            ),
        ],
    )
    .required(["key", "operator"]);
    Node::object(
        description,
        [
            (
                "matchExpressions",
                Node::atomic_list("Requirements on labels, all of which must hold.", requirement),
            ),
            ("matchLabels", Node::map("Labels that must have these values.", Node::string("A value."))),
        ],
    )
    .atomic()
}
