//! A value that may be a number or a text, and ports, which Kubernetes lets be either.

use super::{InvalidValue, PortName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An integer or a string (`k8s.io/apimachinery/pkg/util/intstr`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// `8080`
    Int(i64),
    /// `http`
    String(String),
}

/// A port, by number or by the name that a container gives one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "IntOrString", into = "IntOrString")]
pub enum PortRef {
    /// `8080`
    Number(u16),
    /// `http`
    Name(PortName),
}

impl TryFrom<IntOrString> for PortRef {
    type Error = InvalidValue;

    fn try_from(value: IntOrString) -> Result<Self, InvalidValue> {
        match value {
            IntOrString::Int(number) => match u16::try_from(number) {
                Ok(port @ 1..) => Ok(Self::Number(port)),
                _ => Err(InvalidValue::new("a port from 1 to 65535", &number.to_string())),
            },
            IntOrString::String(name) => PortName::parse(&name).map(Self::Name),
        }
    }
}

impl From<PortRef> for IntOrString {
    fn from(port: PortRef) -> Self {
        match port {
            PortRef::Number(number) => Self::Int(number.into()),
            PortRef::Name(name) => Self::String(name.into()),
        }
    }
}

impl JsonSchema for PortRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PortRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": 65_535,
            "maxLength": PortName::MAX_LENGTH,
            "pattern": PortName::PATTERN,
        })
    }
}
