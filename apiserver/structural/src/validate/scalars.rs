//! What a schema says of scalars: types, enumerations, strings, numbers.

use super::{Matches, Walk};
use crate::constraints::Constraints;
use crate::findings::excerpt;
use crate::formats::Format;
use crate::number::{Complaint, Numeric, complaints, is_equal, width_of};
use crate::place::Place;
use crate::schema::{JsonType, Schema};
use hypermesh_api::{FieldError, FieldErrorKind, printed};
use serde_json::{Number, Value};

impl Walk<'_> {
    /// The type, or that null is allowed.
    pub(super) fn type_of(&mut self, schema: &Schema, value: &Value, at: &Place<'_>) -> Matches {
        let is_of_type = match value {
            Value::Null => schema.nullable || schema.type_names().is_none(),
            _ => is_of_type(schema, value),
        };
        if is_of_type {
            // A schema without type and format is not asked by upstream, but for null.
            let asked = schema.type_names().is_some() || schema.constraints.format.is_some();
            return if value.is_null() { 1 } else { 2 * Matches::from(asked) };
        }
        let wanted = schema.type_names().unwrap_or_default();
        let (wanted, found) = match (schema.constraints.format, value) {
            // Of anything but strings and lists upstream tells the format that it is not of.
            (Some(format), Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                (format.name(), width_of(value))
            }
            _ => (wanted, type_of(value)),
        };
        self.wrong_type(at, wanted, found);
        Matches::from(!value.is_null())
    }

    fn wrong_type(&mut self, at: &Place<'_>, wanted: &str, found: &str) {
        self.findings.add(|| {
            let path = at.dotted();
            let detail = format!("{path} in body must be of type {wanted}: {}", excerpt(found));
            FieldError::new(FieldErrorKind::TypeInvalid, path, Some(Value::from(found)), detail)
        });
    }

    /// The enumeration. A null must be listed; upstream never finds it there.
    pub(super) fn allowed(&mut self, allowed: &[Value], value: &Value, at: &Place<'_>) {
        if allowed.is_empty() || allowed.iter().any(|allowed| is_allowed(allowed, value)) {
            return;
        }
        self.findings.add(|| {
            let names: Vec<String> = allowed
                .iter()
                .map(|allowed| allowed.as_str().map_or_else(|| printed::value(allowed), str::to_owned))
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            FieldError::not_supported(at.dotted(), value.clone(), &names)
        });
    }

    /// Length, pattern, of which upstream tells the first that is broken; and format.
    pub(super) fn text(&mut self, constraints: &Constraints, text: &str, at: &Place<'_>) -> Matches {
        let shape = &constraints.text;
        let value = || Value::from(text);
        if let Some(most) = shape.max_length.filter(|&most| is_longer(text, most)) {
            self.findings.add(|| too_long(at.dotted(), most));
        } else if let Some(least) = shape.min_length.filter(|&least| least > 0 && !is_longer(text, least - 1))
        {
            self.words(at, value(), || format!("should be at least {least} chars long"));
        } else if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            self.words(at, value(), || format!("should match '{}'", pattern.source()));
        }
        let Some(format) = constraints.format else { return 1 };
        if !format.matches(text) {
            // What was to be hidden is hidden in what is wrong with it too: a plain password where base64 belongs.
            let hidden = matches!(format, Format::Byte | Format::Password);
            self.wrong_type(at, format.name(), if hidden { "<redacted>" } else { text });
        }
        if is_of_text(format) { 2 } else { 1 }
    }

    pub(super) fn number(
        &mut self,
        schema: &Schema,
        value: &Value,
        number: &Number,
        at: &Place<'_>,
    ) -> Matches {
        complaints(schema, number, |complaint| match complaint {
            Complaint::Value(words) => self.words(at, value.clone(), || words),
            Complaint::Unfit(words) => self.unplaced(|| format!("{words} in {}", at.dotted())),
            Complaint::Factor(factor) => self.findings.add(|| {
                let path = at.dotted();
                let detail = format!("factor MultipleOf declared for {path} must be positive: {factor}");
                FieldError::invalid(path, value.clone(), detail)
            }),
        });
        2
    }
}

fn is_of_text(format: Format) -> bool {
    !matches!(format, Format::Int32 | Format::Int64 | Format::Float | Format::Double)
}

fn is_of_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return match value {
            Value::String(_) => true,
            Value::Number(number) => Numeric::of(number).is_integral(),
            _ => false,
        };
    }
    match (schema.kind, value) {
        (None, _)
        | (Some(JsonType::Object), Value::Object(_))
        | (Some(JsonType::Array), Value::Array(_))
        | (Some(JsonType::String), Value::String(_))
        | (Some(JsonType::Number), Value::Number(_))
        | (Some(JsonType::Boolean), Value::Bool(_)) => true,
        (Some(JsonType::Integer), Value::Number(number)) => Numeric::of(number).is_integral(),
        _ => false,
    }
}

/// The type as upstream names it in a message.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) => match Numeric::of(number) {
            Numeric::Integer(_) => "integer",
            Numeric::Float(_) => "number",
        },
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_allowed(allowed: &Value, value: &Value) -> bool {
    match (allowed, value) {
        (Value::Number(allowed), Value::Number(value)) => is_equal(allowed, value),
        _ => allowed == value,
    }
}

/// Whether a text has more characters than this.
fn is_longer(text: &str, most: i64) -> bool {
    match usize::try_from(most) {
        // There are no more characters than bytes.
        Ok(most) => text.len() > most && text.chars().nth(most).is_some(),
        Err(_) => most < 0,
    }
}

fn too_long(field: String, most: i64) -> FieldError {
    let detail = match most {
        ..=-1 => "value is too long".to_owned(),
        1 => "may not be more than 1 byte".to_owned(),
        _ => format!("may not be more than {most} bytes"),
    };
    FieldError::new(FieldErrorKind::TooLong, field, None, detail)
}
