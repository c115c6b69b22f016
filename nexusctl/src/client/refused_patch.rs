//! What a server says of a patch that it refuses, without what nobody reads.
//!
//! The Kubernetes API's words for such a refusal hold the whole object that the patch made, escaped; of a JSON patch that
//! does not fit they hold nothing at all, and the server says in a warning what does not.
//!
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`.

use super::error::warning;
use http::{HeaderMap, header};
use hypermesh_api::Status;

/// What stands after a value that was cut short.
const CUT: &str = "…: ";
/// What a server's warning about a patch that does not fit begins with.
const UNFIT: &str = "the patch does not apply: ";

/// Has a refusal say why, and no more.
pub(crate) fn shorten(status: &mut Status, headers: &HeaderMap) {
    if status.code != 422 {
        return;
    }
    let warnings = headers.get_all(header::WARNING).iter().filter_map(warning);
    if let Some(words) = warnings.into_iter().find(|words| words.starts_with(UNFIT)) {
        status.message = words;
        return;
    }
    let Some(details) = &mut status.details else { return };
    let about_patch = details.kind.is_empty() && details.name.is_empty();
    let [cause] = details.causes.as_slice() else { return };
    if !about_patch || cause.field != "patch" {
        return;
    }
    let Some(why) = cause.message.strip_prefix("Invalid value: ").and_then(after_value) else { return };
    status.message = format!("the patch is invalid: {why}");
    details.causes.clear();
}

/// What follows a value that is printed as Go's `%q` prints it, whole or cut short.
fn after_value(text: &str) -> Option<&str> {
    let mut escaped = false;
    let inner = text.strip_prefix('"')?;
    let end = inner.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let end = end.map(|(at, _)| at);
    if let Some(why) = end.and_then(|at| inner.get(at + 1..)?.strip_prefix(": ")) {
        return Some(why);
    }
    // What was cut has no end of its own: the first quote is one of the reason's.
    let cut = inner.get(..end.unwrap_or(inner.len()))?.rfind(CUT)?;
    inner.get(cut + CUT.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_api::{FieldError, Subject};

    fn refused(why: &str, value: &str) -> Status {
        let error = FieldError::invalid("patch", value.into(), why);
        let mut status = Status::invalid(Subject { group: "", resource: "", name: "" }, &[error]);
        shorten(&mut status, &HeaderMap::new());
        status
    }

    #[test]
    fn the_object_that_a_patch_made_is_left_out() {
        let why = r#"strict decoding error: unknown field "dat""#;
        for value in ["{\"dat\":{\"x\":\"\\\"…: \"}}", "", &"{\"dat\":\"x\"}".repeat(5_000)] {
            assert_eq!(refused(why, value).message, format!("the patch is invalid: {why}"));
        }
        let typed = "json: cannot unmarshal number into Go struct field ConfigMap.metadata.labels of type map[string]string";
        assert_eq!(refused(typed, "{}").message, format!("the patch is invalid: {typed}"));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let words = "the server rejected our request due to an error in our request";
        let mut headers = HeaderMap::new();
        let mut status = Status::failure(422, "Invalid", words);
        shorten(&mut status, &headers);
        assert_eq!(status.message, words);
        let told = r#"299 - "the patch does not apply: operation 1: remove \"/data/c\": \"/data\" has no field \"c\"""#;
        headers.append(header::WARNING, told.parse().unwrap());
        shorten(&mut status, &headers);
        assert_eq!(
            status.message,
            r#"the patch does not apply: operation 1: remove "/data/c": "/data" has no field "c""#
        );
    }

    #[test]
    fn other_refusals_stay_as_they_are() {
        let error = FieldError::invalid("patch", "x".into(), "no");
        let subject = Subject { group: "g", resource: "Kind", name: "n" };
        let mut status = Status::invalid(subject, &[error]);
        let before = status.message.clone();
        shorten(&mut status, &HeaderMap::new());
        assert_eq!((status.message, status.details.unwrap().causes.len()), (before, 1));
    }
}
