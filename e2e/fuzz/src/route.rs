//! Methods, paths and queries: what a request is about. `GET /api/v1/pods?watch=1`.

use hypermesh_api::request::MAX_PATH;
use hypermesh_api::{Query, Target, Verb};

/// Reads a request line.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (method, rest) = text.split_once(' ').unwrap_or(("GET", text));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Ok(query) = Query::parse(query) else { return };
    let read = Target::parse(method, path, &query);
    assert_eq!(Target::parse(method, path, &query), read);
    match read {
        Err(status) => assert!((400..500).contains(&status.code), "{}", status.code),
        Ok(Target::NonResource(asked)) => {
            assert!(asked.path.starts_with('/') && path.len() <= MAX_PATH);
            assert_eq!(asked.verb, method.to_ascii_lowercase());
        }
        Ok(Target::Resource(asked)) => {
            assert!(path.len() <= MAX_PATH && !asked.resource.is_empty() && !asked.version.is_empty());
            for part in [&asked.group, &asked.version, &asked.resource, &asked.namespace, &asked.name] {
                assert!(!part.contains('/'), "{part:?} is one segment");
                assert!(!matches!(part.as_str(), "." | ".."), "{part:?} leads elsewhere");
            }
            assert!(asked.subresource.is_empty() || !asked.name.is_empty());
            let changes = !matches!(method, "GET" | "HEAD");
            assert_eq!(asked.verb.is_write(), changes, "{method} is {:?}", asked.verb);
            assert!(asked.verb != Verb::DeleteCollection || asked.name.is_empty());
        }
    }
}
