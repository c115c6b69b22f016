//! Options of requests, parsed once and typed.
//!
//! Conversion, validation and words follow `k8s.io/apimachinery/pkg/apis/meta/{v1,internalversion}/validation`: a
//! value that does not convert is a 400, one that is not allowed a 422 that names the options' kind, and a resource
//! version that is no number a 500 without a reason (which clients match on, so it stays).

mod delete;
mod list;
mod write;

pub use delete::{DeleteOptions, Preconditions, Propagation};
pub use list::{GetOptions, ListOptions, VersionMatch};
pub use write::{FieldValidation, WriteKind, WriteOptions};

use crate::field::{FieldError, FieldErrorKind};
use crate::printed::quoted;
use crate::query::Query;
use crate::status::{Status, Subject};
use serde_json::Value;

/// 422 about options of `kind`, where there are errors.
fn checked(kind: &str, errors: &[FieldError]) -> Result<(), Box<Status>> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Box::new(Status::invalid(Subject { group: "meta.k8s.io", resource: kind, name: "" }, errors)))
}

/// Parses a resource version as Go's `strconv.ParseUint` does; the empty string is none.
fn resource_version(text: &str) -> Result<Option<u64>, Box<Status>> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(version) if digits => Ok(Some(version)),
        _ => {
            let why = if digits { "value out of range" } else { "invalid syntax" };
            let error = FieldError::invalid(
                "resourceVersion",
                Value::from(text),
                format!("strconv.ParseUint: parsing {}: {why}", quoted(text)),
            );
            Err(Box::new(Status::failure(500, "", error.to_string())))
        }
    }
}

/// `dryRun`: `All` is the only value there is.
fn dry_run(values: &[&str], errors: &mut Vec<FieldError>) -> bool {
    if values.iter().any(|value| *value != "All") {
        errors.push(FieldError::not_supported("dryRun", Value::from(values), &["All"]));
    }
    !values.is_empty()
}

fn query_dry_run(query: &Query, errors: &mut Vec<FieldError>) -> bool {
    dry_run(&query.all("dryRun").collect::<Vec<_>>(), errors)
}

/// The longest field manager, in bytes.
const MAX_FIELD_MANAGER: usize = 128;

fn field_manager(value: &str, errors: &mut Vec<FieldError>) {
    if value.len() > MAX_FIELD_MANAGER {
        let detail = format!("may not be more than {MAX_FIELD_MANAGER} bytes");
        errors.push(FieldError::new(FieldErrorKind::TooLong, "fieldManager", None, detail));
    }
    for (at, c) in value.char_indices().filter(|(_, c)| !is_printable(*c)) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(FieldError::invalid("fieldManager", Value::from(value), detail));
    }
}

/// Neither a control nor an invisible character; the space is the only blank.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{10ffff}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || invisible)
}

#[cfg(test)]
mod tests;
