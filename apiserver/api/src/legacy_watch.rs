//! The paths by which collections and objects were watched before `?watch=1`: `/api/v1/watch/…`, `/apis/g/v/watch/…`.
//!
//! kube-apiserver still serves them, and so they are here, as the requests that took their place: authorization, options
//! and the stream know one form alone. Source: `k8s.io/apiserver/pkg/endpoints` (installer.go, handlers/get.go).

use crate::query::{Plus, Query, percent_decode};
use crate::selector::FieldSelector;
use crate::status::{Details, Status};

/// The path and query of today for a legacy watch; `None` for any other path.
///
/// # Errors
/// 405 for what is no GET, 404 for what names neither a collection nor an object, 400 where the name in the path and
/// the field selector do not agree.
pub fn modern(method: &str, path: &str, query: &Query) -> Result<Option<(String, Query)>, Box<Status>> {
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let (root, watched) = match parts.as_slice() {
        ["", "api", _, "watch", rest @ ..] if !rest.is_empty() => (parts.get(..3), rest),
        ["", "apis", _, _, "watch", rest @ ..] if !rest.is_empty() => (parts.get(..4), rest),
        _ => return Ok(None),
    };
    if !matches!(method, "GET" | "HEAD") {
        let words = "the server does not allow this method on the requested resource";
        let mut status = Status::failure(405, "MethodNotAllowed", words);
        status.details = Some(Details::default());
        return Err(Box::new(status));
    }
    let (collection, name) = match watched {
        [_] | ["namespaces", _, _] => (watched, None),
        [resource @ .., name] if matches!(watched, [_, _] | ["namespaces", _, _, _]) => {
            (resource, Some(*name))
        }
        _ => return Err(Box::new(Status::unknown_path())),
    };
    let path = [root.unwrap_or_default(), collection].concat().join("/");
    let query = query.clone().with("watch", "true");
    let Some(name) = name else { return Ok(Some((path, query))) };
    let name = percent_decode(name, Plus::IsPlus)
        .map_err(|why| Box::new(Status::bad_request(format!("malformed path {path:?}: {why}"))))?;
    let given = query.first("fieldSelector").unwrap_or_default().to_owned();
    let selector =
        FieldSelector::parse(&given).map_err(|why| Box::new(Status::bad_request(why.to_string())))?;
    if selector.is_empty() {
        return Ok(Some((path, query.with("fieldSelector", &FieldSelector::of_name(&name).to_string()))));
    }
    if selector.requires_exact_match("metadata.name") != Some(name.as_str()) {
        let words = "fieldSelector metadata.name doesn't match requested name";
        return Err(Box::new(Status::bad_request(words)));
    }
    Ok(Some((path, query)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(method: &str, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        match modern(method, path, &Query::parse(query).unwrap()) {
            Ok(Some((path, query))) => {
                let selector = query.first("fieldSelector").unwrap_or_default();
                assert!(query.flag("watch"));
                format!("{path} [{selector}]")
            }
            Ok(None) => "none".to_owned(),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    #[test]
    fn a_legacy_watch_is_a_watch_of_today() {
        let cases = [
            ("/api/v1/watch/secrets", "/api/v1/secrets []"),
            ("/api/v1/watch/secrets/?watch=0", "/api/v1/secrets []"),
            ("/api/v1/watch/namespaces", "/api/v1/namespaces []"),
            ("/api/v1/watch/namespaces/a", "/api/v1/namespaces [metadata.name=a]"),
            ("/api/v1/watch/namespaces/a/secrets", "/api/v1/namespaces/a/secrets []"),
            ("/api/v1/watch/namespaces/a/secrets/s", "/api/v1/namespaces/a/secrets [metadata.name=s]"),
            ("/apis/g.io/v1/watch/things/a%3Db", "/apis/g.io/v1/things [metadata.name=a\\=b]"),
            (
                "/api/v1/watch/secrets/s?fieldSelector=type%3Dx,metadata.name%3Ds",
                "/api/v1/secrets [type=x,metadata.name=s]",
            ),
            (
                "/api/v1/watch/secrets/s?fieldSelector=metadata.name%3Dt",
                "400 fieldSelector metadata.name doesn't match requested name",
            ),
            (
                "/api/v1/watch/secrets/s?fieldSelector=type%3Dx",
                "400 fieldSelector metadata.name doesn't match requested name",
            ),
            (
                "/api/v1/watch/namespaces/a/secrets/s/status",
                "404 the server could not find the requested resource",
            ),
            ("/api/v1/watch", "none"),
            ("/apis/g.io/v1/watch", "none"),
            ("/api/v1/secrets/watch", "none"),
            ("/watch/api/v1/secrets", "none"),
        ];
        for (uri, expected) in cases {
            assert_eq!(shown("GET", uri), expected, "{uri}");
        }
        assert!(shown("DELETE", "/api/v1/watch/secrets").starts_with("405 "));
    }
}
