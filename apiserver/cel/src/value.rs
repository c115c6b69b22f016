//! The values rules compute with: ordered, cheap to clone, and borrowed from the document where they
//! can be.
//!
//! A document is never copied in: an object or array stays a reference to its JSON, and its fields
//! become values one by one as a rule touches them. What a rule builds is shared behind `Arc`.
//! Invariant: a map iterates in key order, so nothing here depends on insertion or hashing.

mod json;
pub(crate) mod list;
mod map;

use std::fmt;
use std::net::IpAddr;
use std::ops::{Deref, Range};
use std::sync::Arc;

pub use list::List;
pub use map::{Key, Map};

use crate::library::format::NamedFormat;
use crate::library::net::Cidr;
use crate::library::quantity::Quantity;
use crate::library::semver::Semver;
use crate::library::url::Url;
use crate::time::{Duration, Timestamp};

/// Bytes a string or bytes value built by a rule may have: a little over the largest request.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// Elements a list or map built by a rule may have.
pub const MAX_ITEMS: usize = 256 * 1024;

/// Levels a value may nest where it is walked (compared, printed, flattened).
pub const MAX_VALUE_DEPTH: usize = 160;

/// The first double past every `int`.
pub(crate) const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// A CEL value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`, 64 bits.
    Int(i64),
    /// `uint`, 64 bits.
    UInt(u64),
    /// `double`.
    Double(f64),
    /// `string`: a sequence of code points.
    String(Text<'a>),
    /// `bytes`.
    Bytes(Arc<[u8]>),
    /// `google.protobuf.Duration`.
    Duration(Duration),
    /// `google.protobuf.Timestamp`.
    Timestamp(Timestamp),
    /// `list`.
    List(List<'a>),
    /// `map`, and objects.
    Map(Map<'a>),
    /// A type as a value, as `type(x)` gives.
    Type(Type),
    /// `optional_type`.
    Optional(Option<Arc<Value<'a>>>),
    /// A value of one of the Kubernetes libraries.
    Extension(Extension),
}

/// Values of the Kubernetes libraries.
#[derive(Clone, Debug)]
pub enum Extension {
    /// An IP address.
    Ip(IpAddr),
    /// An IP network.
    Cidr(Cidr),
    /// A resource quantity.
    Quantity(Quantity),
    /// A URL.
    Url(Arc<Url>),
    /// A semantic version.
    Semver(Arc<Semver>),
    /// A named string format.
    Format(&'static NamedFormat),
}

/// The name of a type, as `type(x)` compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Type(pub &'static str);

/// Types a rule can name.
pub(crate) const TYPE_NAMES: [&str; 19] = [
    "bool",
    "bytes",
    "double",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "int",
    "kubernetes.NamedFormat",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.URL",
    "list",
    "map",
    "net.CIDR",
    "net.IP",
    "null_type",
    "optional_type",
    "string",
    "type",
    "uint",
];

impl<'a> Value<'a> {
    /// The type's name as CEL spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::UInt(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
            Self::Extension(extension) => match extension {
                Extension::Ip(_) => "net.IP",
                Extension::Cidr(_) => "net.CIDR",
                Extension::Quantity(_) => "kubernetes.Quantity",
                Extension::Url(_) => "kubernetes.URL",
                Extension::Semver(_) => "kubernetes.Semver",
                Extension::Format(_) => "kubernetes.NamedFormat",
            },
        }
    }

    pub(crate) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    pub(crate) fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(List::owned(items))
    }

    pub(crate) fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    pub(crate) fn none() -> Self {
        Self::Optional(None)
    }
}

/// A string, borrowed from the document or the program, or shared.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    /// Part of the document or of the program.
    Borrowed(&'a str),
    /// Built by a rule.
    Shared(Arc<str>),
}

impl<'a> Text<'a> {
    /// The part of the text in `range` of bytes; empty where that is no part of it. What is borrowed
    /// stays borrowed, what is shared is copied: charge for it.
    pub(crate) fn slice(&self, range: Range<usize>) -> Text<'a> {
        match self {
            Self::Borrowed(text) => Self::Borrowed(text.get(range).unwrap_or_default()),
            Self::Shared(text) => Self::Shared(Arc::from(text.get(range).unwrap_or_default())),
        }
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(value) => value.fmt(f),
            Self::Cidr(value) => value.fmt(f),
            Self::Quantity(value) => value.fmt(f),
            Self::Url(value) => value.fmt(f),
            Self::Semver(value) => value.fmt(f),
            Self::Format(value) => value.fmt(f),
        }
    }
}
