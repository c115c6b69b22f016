//! The entries as they are stored: JSON text, read into sets and written from them without a value in between.
//!
//! What is written is what [`super::Managed::write`] would set and `serde_json` print, byte for byte.

use super::entry::{ManagerId, Operation, Owner, Time};
use super::{Managed, sorted};
use crate::MAX_DEPTH;
use crate::created::{push_escaped, push_string};
use crate::fieldset::{Element, FieldSet, Node};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

impl Managed {
    /// [`Managed::decode`] of a list given as text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let entries = Entries.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        (!entries.is_empty()).then_some(Self(entries))
    }

    /// The list as text; `None` if there are no entries.
    pub(crate) fn into_text(self) -> Option<String> {
        let entries = sorted(self);
        if entries.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(512 * entries.len());
        for (i, (id, owner)) in entries.iter().enumerate() {
            out.push(if i == 0 { '[' } else { ',' });
            write_entry(id, owner, &mut out);
        }
        out.push(']');
        Some(out)
    }
}

fn write_entry(id: &ManagerId, owner: &Owner, out: &mut String) {
    out.push('{');
    if !owner.api_version.is_empty() {
        out.push_str("\"apiVersion\":");
        push_string(&owner.api_version, out);
        out.push(',');
    }
    out.push_str("\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
    write_fields(&owner.set, false, out);
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            push_string(value, out);
        }
    };
    field("manager", &id.manager);
    field("operation", id.operation.text());
    field("subresource", &id.subresource);
    field("time", owner.time.as_ref().map(Time::text).unwrap_or_default());
    out.push('}');
}

/// A set in the order of its names as text: `.`, fields, and then all else, which a set orders otherwise.
fn write_fields(set: &FieldSet, dot: bool, out: &mut String) {
    out.push('{');
    let mut first = !dot;
    if dot {
        out.push_str("\".\":{}");
    }
    let mut comma = |out: &mut String| {
        if !first {
            out.push(',');
        }
        first = false;
    };
    let below = |node: &Node, out: &mut String| {
        write_fields(&node.children, node.member && !node.children.is_empty(), out);
    };
    let nodes = set.nodes();
    let fields = nodes.iter().take_while(|node| matches!(node.element, Element::Field(_))).count();
    for node in &nodes[..fields] {
        let Element::Field(name) = &node.element else { continue };
        comma(out);
        out.push_str("\"f:");
        push_escaped(name, out);
        out.push_str("\":");
        below(node, out);
    }
    let named = nodes[fields..].iter().map(|node| {
        let mut name = String::new();
        node.element.write(&mut name);
        (name, node)
    });
    for (name, node) in named.collect::<BTreeMap<_, _>>() {
        comma(out);
        push_string(&name, out);
        out.push(':');
        below(node, out);
    }
    out.push('}');
}

/// The list.
struct Entries;

impl<'de> DeserializeSeed<'de> for Entries {
    type Value = BTreeMap<ManagerId, Owner>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries {
    type Value = BTreeMap<ManagerId, Owner>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((id, owner)) = access.next_element_seed(Entry)? {
            entries.insert(id, owner);
        }
        Ok(entries)
    }
}

/// One entry.
struct Entry;

impl<'de> DeserializeSeed<'de> for Entry {
    type Value = (ManagerId, Owner);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entry {
    type Value = (ManagerId, Owner);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let nothing = || Cow::Borrowed("");
        let (mut manager, mut operation, mut api_version) = (nothing(), nothing(), nothing());
        let (mut subresource, mut time, mut fields_type) = (nothing(), nothing(), nothing());
        let mut set = FieldSet::new();
        while let Some(name) = access.next_key_seed(Text)? {
            match &*name {
                "manager" => manager = access.next_value_seed(Text)?,
                "operation" => operation = access.next_value_seed(Text)?,
                "apiVersion" => api_version = access.next_value_seed(Text)?,
                "subresource" => subresource = access.next_value_seed(Text)?,
                "time" => time = access.next_value_seed(Text)?,
                "fieldsType" => fields_type = access.next_value_seed(Text)?,
                "fieldsV1" => set = access.next_value_seed(Below { depth: 0 })?.0,
                _ => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        let operation = match &*operation {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(A::Error::custom("no known operation")),
        };
        if api_version.is_empty() || fields_type != "FieldsV1" {
            return Err(A::Error::custom("no known form of fields"));
        }
        let time = match &*time {
            "" => None,
            text => Some(Time::parse(text).ok_or_else(|| A::Error::custom("no time"))?),
        };
        let id = ManagerId {
            manager: manager.into_owned(),
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => api_version.to_string(),
            },
            subresource: subresource.into_owned(),
        };
        Ok((id, Owner { api_version: api_version.into_owned(), set, time }))
    }
}

/// A string; null is an empty one.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }
}

/// The set below a path, and whether the path itself is a member.
struct Below {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Below {
    type Value = (FieldSet, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below {
    type Value = (FieldSet, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a set of fields")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((FieldSet::new(), true))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        if self.depth > MAX_DEPTH + 1 {
            return Err(A::Error::custom("too deep"));
        }
        let (mut nodes, mut member) = (Vec::new(), false);
        while let Some(name) = access.next_key_seed(Text)? {
            if name == "." {
                member = true;
                access.next_value::<IgnoredAny>()?;
            } else if let Some(element) = Element::parse(&name).map_err(A::Error::custom)? {
                let (children, member) = access.next_value_seed(Below { depth: self.depth + 1 })?;
                nodes.push(Node { element, member, children });
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        let children = FieldSet::from_nodes(nodes);
        let member = member || children.is_empty();
        Ok((children, member))
    }
}
