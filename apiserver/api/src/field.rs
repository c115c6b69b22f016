//! Field errors, as `k8s.io/apimachinery/pkg/util/validation/field` words them.

use crate::printed;
use serde_json::Value;
use std::fmt;

/// What is wrong with a field. The names are those that a Status' `causes[].reason` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// A reference to something absent.
    NotFound,
    /// A mandatory field is missing.
    Required,
    /// A value that must be unique occurs twice.
    Duplicate,
    /// A malformed or out-of-range value.
    Invalid,
    /// A value outside an enumeration.
    NotSupported,
    /// A value that is well-formed but not allowed here.
    Forbidden,
    /// A string or list that is too long.
    TooLong,
    /// A list with too many items.
    TooMany,
    /// A value of the wrong JSON type.
    TypeInvalid,
    /// A fault of the server.
    Internal,
}

impl FieldErrorKind {
    /// The reason of a Status cause: `FieldValueInvalid` and so on.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::Internal => "InternalError",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One error about one field of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// Path from the object's root without a leading dot: `spec.containers[0].name`.
    pub field: String,
    /// The offending value, where the kind shows one.
    pub value: Option<Value>,
    /// Words for people.
    pub detail: String,
}

impl FieldError {
    /// An error of `kind` at `field`.
    pub fn new(
        kind: FieldErrorKind,
        field: impl Into<String>,
        value: Option<Value>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, field: field.into(), value, detail: detail.into() }
    }

    /// `Invalid value: 11: too many`.
    pub fn invalid(field: impl Into<String>, value: Value, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, Some(value), detail)
    }

    /// `Required value: …`.
    pub fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Required, field, None, detail)
    }

    /// `Forbidden: …`.
    pub fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, None, detail)
    }

    /// `Duplicate value: "x"`.
    pub fn duplicate(field: impl Into<String>, value: Value) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, Some(value), "")
    }

    /// `Unsupported value: "x": supported values: "a", "b"`.
    pub fn not_supported(field: impl Into<String>, value: Value, supported: &[&str]) -> Self {
        let list = supported.iter().map(|s| printed::quoted(s)).collect::<Vec<_>>().join(", ");
        Self::new(FieldErrorKind::NotSupported, field, Some(value), format!("supported values: {list}"))
    }

    /// The text without the field: what a Status cause carries as its message.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        let shows_value = !matches!(
            self.kind,
            FieldErrorKind::Required
                | FieldErrorKind::Forbidden
                | FieldErrorKind::TooLong
                | FieldErrorKind::Internal
        );
        if shows_value && let Some(value) = &self.value {
            text.push_str(": ");
            text.push_str(&shown(value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

fn shown(value: &Value) -> String {
    const LONGEST: usize = 1024;
    let mut text = printed::value(value);
    if text.len() > LONGEST {
        let mut end = LONGEST;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            // The root of an object is shown so by field.Path.
            return write!(f, "<nil>: {}", self.body());
        }
        write!(f, "{}: {}", self.field, self.body())
    }
}
