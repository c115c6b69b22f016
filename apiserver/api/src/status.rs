//! `v1` Status: the form of every refusal.
//!
//! Reasons, codes and messages are those of `k8s.io/apimachinery/pkg/api/errors`.

use crate::field::{FieldError, FieldErrorKind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Errors that one refusal lists: without a bound, a small object of bad keys would be answered with a hundred times
/// its size.
pub const MOST_ERRORS: usize = 128;

/// A `v1` Status object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// Empty in a refusal; carries `continue` where a list has expired.
    pub metadata: ListMeta,
    /// `Success` or `Failure`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// One word for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// HTTP status code; 0 is left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u16,
}

fn is_zero<T: Default + PartialEq>(n: &T) -> bool {
    *n == T::default()
}

/// `metadata` of a list or a Status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListMeta {
    /// The store's revision at which the list was read.
    #[serde(rename = "resourceVersion", default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// Token that continues the list.
    #[serde(rename = "continue", default, skip_serializing_if = "String::is_empty")]
    pub continue_: String,
    /// How many objects follow.
    #[serde(rename = "remainingItemCount", default, skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<u64>,
}

/// `details` of a Status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its kind, or its plural where the reference writes that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its uid.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// All the reasons at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When a retry makes sense, in seconds.
    #[serde(rename = "retryAfterSeconds", default, skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One cause of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// One word for programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Path of the field.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What a Status is about: group and plural (or kind) and name.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// API group, empty for core.
    pub group: &'a str,
    /// Plural (`assets`) or kind (`Asset`), as the message shows it.
    pub resource: &'a str,
    /// Name of the object.
    pub name: &'a str,
}

impl Subject<'_> {
    /// `assets.hm.example.com`, or `pods` in the core group.
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }

    fn details(&self) -> Details {
        Details {
            name: self.name.into(),
            group: self.group.into(),
            kind: self.resource.into(),
            ..Details::default()
        }
    }
}

impl Status {
    /// A failure with a code, reason and message.
    pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: ListMeta::default(),
            status: "Failure".into(),
            message: message.into(),
            reason: reason.into(),
            details: None,
            code,
        }
    }

    /// `{"status": "Success"}` about an object that is gone.
    pub fn success(details: Details) -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: ListMeta::default(),
            status: "Success".into(),
            message: String::new(),
            reason: String::new(),
            details: Some(details),
            code: 0,
        }
    }

    fn about(mut self, details: Details) -> Self {
        self.details = Some(details);
        self
    }

    /// 400 BadRequest.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 401 Unauthorized.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403 Forbidden about `subject`; `why` completes `… is forbidden: `.
    pub fn forbidden(subject: Subject<'_>, why: impl fmt::Display) -> Self {
        let qualified = subject.qualified();
        let message = match (subject.resource.is_empty(), subject.name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{qualified} is forbidden: {why}"),
            (false, false) => format!("{qualified} {:?} is forbidden: {why}", subject.name),
        };
        Self::failure(403, "Forbidden", message).about(subject.details())
    }

    /// 404 NotFound about `subject` (plural).
    pub fn not_found(subject: Subject<'_>) -> Self {
        Self::failure(404, "NotFound", format!("{} {:?} not found", subject.qualified(), subject.name))
            .about(subject.details())
    }

    /// 404 for a path that no kind serves, in Status form.
    pub fn unknown_path() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource")
            .about(Details::default())
    }

    /// 405 MethodNotAllowed.
    pub fn method_not_allowed(subject: Subject<'_>, verb: &str) -> Self {
        Self::failure(
            405,
            "MethodNotAllowed",
            format!("{verb} is not supported on resources of kind {:?}", subject.qualified()),
        )
        .about(subject.details())
    }

    /// 409 AlreadyExists about `subject` (plural).
    pub fn already_exists(subject: Subject<'_>) -> Self {
        Self::failure(
            409,
            "AlreadyExists",
            format!("{} {:?} already exists", subject.qualified(), subject.name),
        )
        .about(subject.details())
    }

    /// 409 AlreadyExists about an object that is on its way out.
    pub fn being_deleted(subject: Subject<'_>) -> Self {
        let mut status = Self::already_exists(subject);
        status.message = format!("object is being deleted: {}", status.message);
        status
    }

    /// 409 Conflict about `subject`; `why` completes `Operation cannot be fulfilled on …: `.
    pub fn conflict(subject: Subject<'_>, why: impl fmt::Display) -> Self {
        Self::failure(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {} {:?}: {why}", subject.qualified(), subject.name),
        )
        .about(subject.details())
    }

    /// 422 Invalid about `subject` (kind), with all causes up to the first 128.
    pub fn invalid(subject: Subject<'_>, errors: &[FieldError]) -> Self {
        if let Some(listed) = errors.get(..MOST_ERRORS).filter(|_| errors.len() > MOST_ERRORS) {
            let detail = format!("too many errors: only the first {MOST_ERRORS} are listed");
            let last = FieldError::new(FieldErrorKind::Invalid, "", None, detail);
            return Self::invalid_of(subject, &[listed, &[last]].concat());
        }
        Self::invalid_of(subject, errors)
    }

    fn invalid_of(subject: Subject<'_>, errors: &[FieldError]) -> Self {
        let list = match errors {
            [] => "<nil>".to_owned(),
            [one] => one.to_string(),
            many => format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        };
        let causes = errors
            .iter()
            .map(|e| Cause {
                reason: e.kind.reason().into(),
                message: e.body(),
                field: if e.field.is_empty() { "<nil>".into() } else { e.field.clone() },
            })
            .collect();
        Self::failure(
            422,
            "Invalid",
            format!("{} {:?} is invalid: {list}", subject.qualified(), subject.name),
        )
        .about(Details { causes, ..subject.details() })
    }

    /// 409 Conflict of a server-side apply: `(manager text, field path)` of each conflict, in order.
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let (noun, n) = (if conflicts.len() == 1 { "conflict" } else { "conflicts" }, conflicts.len());
        let mut message = format!("Apply failed with {n} {noun}:");
        if let [(manager, field)] = conflicts {
            message.push_str(&format!(" conflict with {manager}: {field}"));
        } else {
            let mut last: Option<&str> = None;
            for (manager, field) in conflicts {
                if last != Some(manager.as_str()) {
                    message.push_str(&format!(" conflicts with {manager}:"));
                    last = Some(manager);
                }
                message.push_str(&format!("\n- {field}"));
            }
        }
        let causes = conflicts
            .iter()
            .map(|(manager, field)| Cause {
                reason: "FieldManagerConflict".into(),
                message: format!("conflict with {manager}"),
                field: field.clone(),
            })
            .collect();
        Self::failure(409, "Conflict", message).about(Details { causes, ..Details::default() })
    }

    /// 410 Expired.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 413 RequestEntityTooLarge; `limit` in bytes.
    pub fn too_large(limit: usize) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {limit}"))
    }

    /// 415 UnsupportedMediaType; `accepted` are media types.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::failure(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 406 NotAcceptable; `offered` are media types.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        Self::failure(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: {}", offered.join(", ")),
        )
    }

    /// 500 InternalError.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::failure(500, "InternalError", format!("Internal error occurred: {message}")).about(Details {
            causes: vec![Cause { message: message.to_string(), ..Cause::default() }],
            ..Details::default()
        })
    }

    /// 503 ServiceUnavailable, to be tried again.
    pub fn unavailable(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
            .about(Details { retry_after_seconds, ..Details::default() })
    }

    /// 504 Timeout: the revision asked for lies ahead of the store's.
    pub fn revision_too_large(asked: u64, current: u64) -> Self {
        Self::failure(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        )
        .about(Details {
            causes: vec![Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                field: String::new(),
            }],
            retry_after_seconds: 1,
            ..Details::default()
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
