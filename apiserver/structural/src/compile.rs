//! From a schema as a CustomResourceDefinition has it to one that runs.
//!
//! A schema is read once, judged in upstream's order (structure, defaults, keywords, rules), and built with its regular
//! expressions and rules compiled. All errors come at once. What may be read is bounded in depth and size before
//! anything recurses. Source: `apiextensions-apiserver/pkg/apis/apiextensions/validation`, `pkg/apiserver/schema`.

mod build;
mod completeness;
mod defaults;
mod implied;
mod keywords;
mod props;
mod structure;

pub use implied::whole as object_meta;

use crate::place::Place;
use crate::schema::Schema;
use hypermesh_api::{FieldError, FieldErrorKind};
use props::Reader;
use serde_json::Value;

/// Deepest nesting of schemas in schemas.
const DEEPEST: usize = 64;
/// Most schemas in one schema.
const MOST_NODES: usize = 50_000;
/// Most errors that are told of one schema.
const MOST_ERRORS: usize = 64;

/// What is wrong with a schema. Paths start at the schema: `properties[spec].pattern`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct SchemaError(FieldError);

impl SchemaError {
    /// The error of the object that holds the schema at a path: `spec.versions[0].schema.openAPIV3Schema`.
    pub fn under(self, path: &str) -> FieldError {
        let SchemaError(mut error) = self;
        error.field = match (path, error.field.as_str()) {
            (path, "") => path.to_owned(),
            ("", field) => field.to_owned(),
            (path, field) => format!("{path}.{field}"),
        };
        error
    }

    /// The error with its path from the schema.
    pub fn field_error(&self) -> &FieldError {
        &self.0
    }
}

impl Schema {
    /// Compiles the schema of a whole object. `apiVersion`, `kind` and `metadata` are implied at its root and in embedded
    /// resources.
    ///
    /// # Errors
    /// All that keeps it from being a structural schema of CustomResourceDefinitions, up to a bound.
    pub fn compile(raw: &Value) -> Result<Self, Vec<SchemaError>> {
        let mut problems = Problems::default();
        let Some(props) = Reader::read(raw, &mut problems) else { return problems.finish() };
        structure::check(&props, &mut problems);
        let is_structural = problems.is_empty();
        keywords::check(&props, &mut problems);
        if !problems.is_empty() {
            return problems.finish();
        }
        let mut schema = build::build(&props, true, None, &Place::ROOT, &mut problems);
        if is_structural && problems.is_empty() {
            defaults::check(&schema, &Place::ROOT, &mut problems);
        }
        if !problems.is_empty() {
            return problems.finish();
        }
        schema.constraints.below = build::below(&schema);
        Ok(schema)
    }
}

/// Errors of a schema, bounded.
#[derive(Default)]
struct Problems {
    errors: Vec<FieldError>,
    untold: usize,
}

impl Problems {
    fn add(&mut self, error: impl FnOnce() -> FieldError) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(error());
        } else {
            self.untold += 1;
        }
    }

    fn required(&mut self, at: &Place<'_>, detail: &str) {
        self.add(|| FieldError::required(at.bracketed(), detail));
    }

    fn forbidden(&mut self, at: &Place<'_>, detail: &str) {
        self.add(|| FieldError::forbidden(at.bracketed(), detail));
    }

    fn invalid(&mut self, at: &Place<'_>, value: impl Into<Value>, detail: &str) {
        self.add(|| FieldError::invalid(at.bracketed(), value.into(), detail));
    }

    fn unsupported(&mut self, at: &Place<'_>, value: &str, supported: &[&str]) {
        self.add(|| FieldError::not_supported(at.bracketed(), Value::from(value), supported));
    }

    fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    fn finish<T>(self) -> Result<T, Vec<SchemaError>> {
        let mut errors: Vec<_> = self.errors.into_iter().map(SchemaError).collect();
        if self.untold > 0 {
            let detail = format!("too many errors: only the first {MOST_ERRORS} are listed");
            errors.push(SchemaError(FieldError::new(FieldErrorKind::Invalid, "", None, detail)));
        }
        Err(errors)
    }
}

#[cfg(test)]
mod tests;
