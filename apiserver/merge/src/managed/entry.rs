//! One entry of `metadata.managedFields` (`meta/v1` ManagedFieldsEntry).

use crate::context::Context;
use crate::fieldset::FieldSet;
use hypermesh_api::printed::{push_json_string, quoted};
use serde_json::{Map, Value};

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

impl Operation {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What makes two entries the same: an applier has one entry whatever version it applies with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManagerId {
    pub(crate) manager: String,
    pub(crate) operation: Operation,
    /// Empty for appliers.
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl ManagerId {
    /// The entry of `cx`'s manager.
    pub(crate) fn of(cx: &Context<'_>, operation: Operation) -> Self {
        Self::named(if cx.manager.is_empty() { "unknown" } else { cx.manager }, cx, operation)
    }

    pub(crate) fn named(manager: &str, cx: &Context<'_>, operation: Operation) -> Self {
        Self {
            manager: manager.to_owned(),
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => cx.api_version.to_owned(),
            },
            subresource: cx.subresource.to_owned(),
        }
    }

    /// The text by which upstream orders managers.
    pub(crate) fn identifier(&self) -> String {
        let mut text = String::from("{");
        let mut field = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(if text.len() > 1 { ",\"" } else { "\"" });
                text.push_str(name);
                text.push_str("\":");
                push_json_string(&mut text, value);
            }
        };
        field("manager", &self.manager);
        field("operation", self.operation.text());
        field("apiVersion", &self.api_version);
        field("subresource", &self.subresource);
        text.push('}');
        text
    }

    /// How a conflict names the manager: `"m1" with subresource "status" using hm.example.com/v1`.
    ///
    /// Upstream would add the time of an update, but the identifier it prints from never holds one.
    pub(crate) fn shown(&self) -> String {
        let mut text = quoted(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(" with subresource ");
            text.push_str(&quoted(&self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(" using ");
            text.push_str(&self.api_version);
        }
        text
    }
}

/// What an entry says of its manager.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Owner {
    pub(crate) api_version: String,
    pub(crate) set: FieldSet,
    pub(crate) time: Option<Time>,
}

/// When an entry last changed, to the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    text: String,
    seconds: i64,
}

impl Time {
    /// Reads RFC 3339 of any offset and precision.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let seconds = text.parse::<jiff::Timestamp>().ok()?.as_second();
        // Kept in the one form in which times are written.
        let text = jiff::Timestamp::from_second(seconds).ok()?.to_string();
        Some(Self { text, seconds })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Upstream orders an entry without a time as one of the epoch.
    pub(crate) fn seconds(time: Option<&Self>) -> i64 {
        time.map_or(0, |t| t.seconds)
    }
}

/// Reads one entry; `None` if it is malformed.
pub(super) fn decode(entry: &Value) -> Option<(ManagerId, Owner)> {
    let map = entry.as_object()?;
    let text = |name: &str| match map.get(name) {
        None | Some(Value::Null) => Some(""),
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => None,
    };
    let operation = match text("operation")? {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let api_version = text("apiVersion")?;
    if api_version.is_empty() || text("fieldsType")? != "FieldsV1" {
        return None;
    }
    let set = match map.get("fieldsV1") {
        None | Some(Value::Null) => FieldSet::new(),
        Some(fields) => FieldSet::from_fields_v1(fields).ok()?,
    };
    let time = match text("time")? {
        "" => None,
        time => Some(Time::parse(time)?),
    };
    let id = ManagerId {
        manager: text("manager")?.to_owned(),
        operation,
        api_version: match operation {
            Operation::Apply => String::new(),
            Operation::Update => api_version.to_owned(),
        },
        subresource: text("subresource")?.to_owned(),
    };
    Some((id, Owner { api_version: api_version.to_owned(), set, time }))
}

/// Writes one entry.
pub(super) fn encode(id: &ManagerId, api_version: &str, fields: Value, time: Option<&str>) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            map.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    };
    put("apiVersion", api_version);
    put("fieldsType", "FieldsV1");
    put("manager", &id.manager);
    put("operation", id.operation.text());
    put("subresource", &id.subresource);
    put("time", time.unwrap_or_default());
    map.insert("fieldsV1".to_owned(), fields);
    Value::Object(map)
}
