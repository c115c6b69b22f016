//! What a request is about: verb, group, version, resource, subresource, namespace and name.
//!
//! The rules are those of `k8s.io/apiserver/pkg/endpoints/request` (RequestInfoFactory), without its deprecated
//! `/watch/` prefix (see [`crate::legacy_watch`]), and stricter on the path: it is decoded segment by segment, so that an
//! encoded slash can never move a request to another object than the one that was authorized.

use crate::name;
use crate::query::{Plus, Query, percent_decode};
use crate::selector::FieldSelector;
use crate::status::{Details, Status};
use std::fmt;

/// The longest path taken, in bytes.
pub const MAX_PATH: usize = 4096;

/// What a request does, in RBAC's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Make an object, or post to a subresource.
    Create,
    /// Replace an object.
    Update,
    /// Change an object; server-side apply too.
    Patch,
    /// Delete one object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
}

impl Verb {
    /// The word that RBAC rules use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it may change the store.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request about an API resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// What it does.
    pub verb: Verb,
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural: `workloads`.
    pub resource: String,
    /// `status`, `scale`, …; empty for the object itself.
    pub subresource: String,
    /// Namespace; empty for cluster-scoped objects and for all namespaces. A request about the Namespace object `x`
    /// carries `x` here too, so that a Role within it can grant access to it.
    pub namespace: String,
    /// Name of the object; empty for collections. A list or watch whose field selector pins `metadata.name` carries
    /// that name.
    pub name: String,
}

/// A request about anything else: `/healthz`, `/apis`, `/openapi/v3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonResource {
    /// The method in lower case, which is what RBAC's `nonResourceURLs` rules name.
    pub verb: String,
    /// The decoded path.
    pub path: String,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An API resource.
    Resource(RequestInfo),
    /// Anything else.
    NonResource(NonResource),
}

impl Target {
    /// Reads method, path (still percent-encoded, without the query) and query. Refuses with 400 a malformed path,
    /// with 404 one that goes deeper than a subresource, with 405 a method that the place cannot take, and with 414
    /// one over [`MAX_PATH`].
    pub fn parse(method: &str, path: &str, query: &Query) -> Result<Self, Box<Status>> {
        let parts = segments(path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, rest) = match parts.as_slice() {
            ["api", rest @ ..] if rest.len() >= 2 => ("", rest),
            ["apis", group, rest @ ..] if rest.len() >= 2 => (*group, rest),
            _ => {
                let verb = method.to_ascii_lowercase();
                return Ok(Self::NonResource(NonResource { verb, path: format!("/{}", parts.join("/")) }));
            }
        };
        let [version, rest @ ..] = rest else { return Err(Box::new(Status::unknown_path())) };
        let (namespace, rest) = match rest {
            ["namespaces", name] | ["namespaces", name, "status" | "finalize", ..] => (*name, rest),
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (*resource, "", ""),
            [resource, name] => (*resource, *name, ""),
            [resource, name, subresource] => (*resource, *name, *subresource),
            _ => return Err(Box::new(Status::unknown_path())),
        };
        let verb = verb(method, !name.is_empty(), !subresource.is_empty(), query)?;
        let name = match verb {
            Verb::List | Verb::Watch => name_of_selector(query).unwrap_or_default(),
            _ => name.to_owned(),
        };
        Ok(Self::Resource(RequestInfo {
            verb,
            group: group.into(),
            version: (*version).into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name,
        }))
    }
}

/// The decoded segments of a path; one trailing slash is forgiven.
fn segments(path: &str) -> Result<Vec<String>, Box<Status>> {
    if path.len() > MAX_PATH {
        return Err(Box::new(Status::failure(
            414,
            "RequestURITooLong",
            format!("path is too long: {} bytes, limit is {MAX_PATH}", path.len()),
        )));
    }
    let bad = |why: &str| Box::new(Status::bad_request(format!("malformed path {path:?}: {why}")));
    let Some(rest) = path.strip_prefix('/') else { return Err(bad("must start with '/'")) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    rest.split('/')
        .map(|segment| {
            let segment = percent_decode(segment, Plus::IsPlus).map_err(bad)?;
            match segment.as_str() {
                "" => Err(bad("empty segment")),
                "." | ".." => Err(bad("relative segment")),
                s if s.contains('/') => Err(bad("encoded slash within a segment")),
                s if s.chars().any(char::is_control) => Err(bad("control character")),
                _ => Ok(segment),
            }
        })
        .collect()
}

fn verb(method: &str, named: bool, subresource: bool, query: &Query) -> Result<Verb, Box<Status>> {
    let verb = match (method, named) {
        ("GET" | "HEAD", true) => Verb::Get,
        ("GET" | "HEAD", false) if query.flag("watch") => Verb::Watch,
        ("GET" | "HEAD", false) => Verb::List,
        ("POST", false) => Verb::Create,
        ("POST", true) if subresource => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => {
            let mut status = Status::failure(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            );
            status.details = Some(Details::default());
            return Err(Box::new(status));
        }
    };
    Ok(verb)
}

/// The name that a field selector pins. A selector that does not parse pins none: its refusal comes with the
/// options, after authorization of the wider request.
fn name_of_selector(query: &Query) -> Option<String> {
    let selector = FieldSelector::parse(query.first("fieldSelector")?).ok()?;
    let name = selector.requires_exact_match("metadata.name")?;
    name::path_segment_name(name).is_empty().then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(method: &str, uri: &str) -> Result<Target, Box<Status>> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        Target::parse(method, path, &Query::parse(query)?)
    }

    fn shown(method: &str, uri: &str) -> String {
        match parse(method, uri) {
            Ok(Target::Resource(r)) => format!(
                "{} {}/{} {}/{} ns={} name={}",
                r.verb, r.group, r.version, r.resource, r.subresource, r.namespace, r.name
            ),
            Ok(Target::NonResource(n)) => format!("{} {}", n.verb, n.path),
            Err(status) => format!("{} {}", status.code, status.message),
        }
    }

    #[test]
    fn follows_the_rules_of_the_reference() {
        let cases = [
            ("GET", "/api/v1/namespaces", "list /v1 namespaces/ ns= name="),
            ("GET", "/api/v1/namespaces/other", "get /v1 namespaces/ ns=other name=other"),
            (
                "PUT",
                "/api/v1/namespaces/other/finalize",
                "update /v1 namespaces/finalize ns=other name=other",
            ),
            ("GET", "/api/v1/namespaces/other/status", "get /v1 namespaces/status ns=other name=other"),
            ("GET", "/api/v1/namespaces/other/pods", "list /v1 pods/ ns=other name="),
            ("POST", "/api/v1/namespaces/other/pods", "create /v1 pods/ ns=other name="),
            ("HEAD", "/api/v1/namespaces/other/pods/foo", "get /v1 pods/ ns=other name=foo"),
            ("GET", "/api/v1/namespaces/other/pods/foo/log", "get /v1 pods/log ns=other name=foo"),
            ("POST", "/api/v1/namespaces/other/pods/foo/exec", "create /v1 pods/exec ns=other name=foo"),
            ("DELETE", "/api/v1/namespaces/other/pods", "deletecollection /v1 pods/ ns=other name="),
            ("DELETE", "/apis/g.io/v2/widgets/w", "delete g.io/v2 widgets/ ns= name=w"),
            ("GET", "/apis/g.io/v2/widgets?watch", "watch g.io/v2 widgets/ ns= name="),
            ("GET", "/apis/g.io/v2/widgets?watch=FALSE", "list g.io/v2 widgets/ ns= name="),
            (
                "GET",
                "/apis/g.io/v2/widgets?fieldSelector=metadata.name%3Dw1&watch=1",
                "watch g.io/v2 widgets/ ns= name=w1",
            ),
            (
                "GET",
                "/apis/g.io/v2/widgets?fieldSelector=metadata.name%3D..",
                "list g.io/v2 widgets/ ns= name=",
            ),
            (
                "GET",
                "/apis/g.io/v2/clusterroles/system%3Aadmin",
                "get g.io/v2 clusterroles/ ns= name=system:admin",
            ),
            ("GET", "/apis/g.io/v2/widgets/w/", "get g.io/v2 widgets/ ns= name=w"),
            ("GET", "/", "get /"),
            ("GET", "/api/v1", "get /api/v1"),
            ("POST", "/apis/g.io/v1", "post /apis/g.io/v1"),
            ("GET", "/apis/", "get /apis"),
            ("GET", "/healthz", "get /healthz"),
        ];
        for (method, uri, expected) in cases {
            assert_eq!(shown(method, uri), expected, "{method} {uri}");
        }
    }

    #[test]
    fn refuses_what_could_mean_two_things() {
        let cases = [
            ("GET", "/api/v1/namespaces/../secrets", 400),
            ("GET", "/api/v1/namespaces/%2e%2e/secrets", 400),
            ("GET", "/api/v1//secrets", 400),
            ("GET", "//api/v1/secrets", 400),
            ("GET", "/api/v1/secrets/a%2Fb", 400),
            ("GET", "/api/v1/secrets/a%00b", 400),
            ("GET", "/api/v1/secrets/a%0ab", 400),
            ("GET", "/api/v1/secrets/%zz", 400),
            ("GET", "api/v1/secrets", 400),
            ("GET", "", 400),
            ("GET", "/api/v1/secrets/a/b/c", 404),
            ("POST", "/api/v1/secrets/a", 405),
            ("PUT", "/api/v1/secrets", 405),
            ("PATCH", "/api/v1/secrets", 405),
            ("BREW", "/api/v1/secrets", 405),
        ];
        for (method, uri, code) in cases {
            assert_eq!(parse(method, uri).unwrap_err().code, code, "{method} {uri}");
        }
        assert_eq!(parse("GET", &format!("/{}", "a".repeat(MAX_PATH))).unwrap_err().code, 414);
    }

    proptest! {
        #[test]
        fn no_accepted_part_can_escape_its_segment(method in "GET|POST|PUT|DELETE", path in "(/[a-z.%2fe/]{0,9}){0,7}") {
            if let Ok(Target::Resource(info)) = Target::parse(&method, &path, &Query::default()) {
                for part in [&info.group, &info.version, &info.resource, &info.subresource, &info.namespace, &info.name] {
                    prop_assert!(!part.contains('/') && part != ".." && part != ".");
                }
                prop_assert!(!info.resource.is_empty());
            }
        }
    }
}
