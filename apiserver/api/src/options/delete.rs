//! Options of delete and deletecollection: from the query, the body, or both.

use super::{checked, dry_run};
use crate::field::FieldError;
use crate::json::decode_json;
use crate::query::Query;
use crate::status::Status;
use serde_json::{Map, Value};

/// What becomes of an object's dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They go first.
    Foreground,
    /// They go afterwards.
    Background,
    /// They stay.
    Orphan,
}

impl Propagation {
    /// `Foreground`, `Background` or `Orphan`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreground => "Foreground",
            Self::Background => "Background",
            Self::Orphan => "Orphan",
        }
    }

    /// Reads what [`Self::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Foreground, Self::Background, Self::Orphan].into_iter().find(|policy| policy.as_str() == text)
    }
}

/// What must be true of the object for it to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// Its uid.
    pub uid: Option<String>,
    /// Its resource version.
    pub resource_version: Option<String>,
}

/// Options of delete and deletecollection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Seconds of grace.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of dependents; `None`: what the kind does by default. `orphanDependents`, its predecessor, is
    /// folded in.
    pub propagation: Option<Propagation>,
    /// What must be true of the object.
    pub preconditions: Preconditions,
}

impl DeleteOptions {
    /// Parses and validates the query and the body (JSON; empty for none). A field of the body goes before the same
    /// field of the query, except that a dry run asked for in either place is one: the reference reads the query
    /// only where there is no body, and would delete.
    pub fn parse(query: &Query, body: &[u8]) -> Result<Self, Box<Status>> {
        let body = if body.is_empty() { Map::new() } else { body_object(body)? };
        let fields = Fields { query, body: &body };
        let mut errors = Vec::new();

        let orphan = fields.flag("orphanDependents")?;
        let policy = fields.string("propagationPolicy")?;
        if let (Some(_), Some(policy)) = (orphan, &policy) {
            errors.push(FieldError::invalid(
                "propagationPolicy",
                Value::from(policy.as_str()),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        let propagation = match policy.as_deref() {
            None => orphan.map(|orphan| if orphan { Propagation::Orphan } else { Propagation::Background }),
            Some("Foreground") => Some(Propagation::Foreground),
            Some("Background") => Some(Propagation::Background),
            Some("Orphan") => Some(Propagation::Orphan),
            Some(other) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                errors.push(FieldError::not_supported("propagationPolicy", Value::from(other), &supported));
                None
            }
        };
        let dry_runs = fields.dry_run()?;
        let dry_run = dry_run(&dry_runs.iter().map(String::as_str).collect::<Vec<_>>(), &mut errors);
        checked("DeleteOptions", &errors)?;
        Ok(Self {
            dry_run,
            grace_period_seconds: fields.integer("gracePeriodSeconds")?,
            propagation,
            preconditions: fields.preconditions()?,
        })
    }
}

fn bad(why: impl Into<String>) -> Box<Status> {
    Box::new(Status::bad_request(why))
}

fn body_object(body: &[u8]) -> Result<Map<String, Value>, Box<Status>> {
    let (value, _) =
        decode_json(body).map_err(|why| bad(format!("DeleteOptions cannot be decoded: {why}")))?;
    let Value::Object(map) = value else {
        return Err(bad("DeleteOptions cannot be decoded: the body must be a JSON object"));
    };
    match map.get("kind") {
        None => Ok(map),
        Some(Value::String(kind)) if kind.is_empty() || kind == "DeleteOptions" => Ok(map),
        Some(_) => Err(bad("decoded object cannot be converted to DeleteOptions")),
    }
}

/// The fields of the body, before those of the query. A null of the body is an absent field.
struct Fields<'a> {
    query: &'a Query,
    body: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn of_body(&self, key: &str) -> Option<&Value> {
        self.body.get(key).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Box<Status>> {
        match self.of_body(key) {
            None => Ok(self.query.optional_flag(key)),
            Some(value) => value.as_bool().map(Some).ok_or_else(|| mistyped(key, "boolean")),
        }
    }

    fn string(&self, key: &str) -> Result<Option<String>, Box<Status>> {
        match self.of_body(key) {
            None => Ok(self.query.first(key).map(str::to_owned)),
            Some(value) => string(key, value).map(Some),
        }
    }

    fn integer(&self, key: &str) -> Result<Option<i64>, Box<Status>> {
        match self.of_body(key) {
            None => self.query.integer(key),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| mistyped(key, "64-bit integer")),
        }
    }

    fn dry_run(&self) -> Result<Vec<String>, Box<Status>> {
        let mut values: Vec<String> = self.query.all("dryRun").map(str::to_owned).collect();
        match self.of_body("dryRun") {
            None => {}
            Some(Value::Array(items)) => {
                for item in items {
                    values.push(string("dryRun", item)?);
                }
            }
            Some(_) => return Err(mistyped("dryRun", "list of strings")),
        }
        Ok(values)
    }

    fn preconditions(&self) -> Result<Preconditions, Box<Status>> {
        let map = match self.of_body("preconditions") {
            None => return Ok(Preconditions::default()),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(mistyped("preconditions", "object")),
        };
        let field = |key: &str| match map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => string(&format!("preconditions.{key}"), value).map(Some),
        };
        Ok(Preconditions { uid: field("uid")?, resource_version: field("resourceVersion")? })
    }
}

fn string(key: &str, value: &Value) -> Result<String, Box<Status>> {
    value.as_str().map(str::to_owned).ok_or_else(|| mistyped(key, "string"))
}

fn mistyped(key: &str, wanted: &str) -> Box<Status> {
    bad(format!("DeleteOptions cannot be decoded: {key} must be a {wanted}"))
}
