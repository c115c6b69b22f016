//! Content negotiation: what a client accepts, and what it sends.
//!
//! The rules are those of `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`. Replies are JSON or YAML: a client
//! that takes protobuf beside them gets JSON, one that takes nothing else a 406.

mod header;

pub(crate) use header::{MediaType, accept_clauses};

use hypermesh_api::{Query, Status};

/// What a place can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// An object or a list, which may be shown as a Table or as metadata alone.
    Objects,
    /// A watch: JSON alone, since YAML has no frames.
    Watch,
    /// `/api` and `/apis`, which may be aggregated.
    Discovery,
    /// A document that has one form.
    Document,
}

/// The encoding of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As it is.
    Whole,
    /// A Table.
    Table,
    /// PartialObjectMetadata, or its list.
    Partial,
    /// Discovery v2 in one document.
    AggregatedDiscovery,
}

/// What was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The encoding.
    pub encoding: Encoding,
    /// The form.
    pub view: View,
    /// Indented, by `pretty=1` in the media type.
    pub pretty: bool,
}

/// What the reference offers; its text is matched by people and tools, so it is kept.
const OFFERED: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

impl Accepted {
    /// Reads an `Accept` header; the empty one takes JSON. 406 where nothing offered is acceptable.
    pub fn negotiate(accept: &str, offer: Offer) -> Result<Self, Box<Status>> {
        // What nearly every request says is not taken apart.
        if matches!(accept, "" | "application/json" | "*/*") || accept.trim().is_empty() {
            return Ok(Self { encoding: Encoding::Json, view: View::Whole, pretty: false });
        }
        let clauses = accept_clauses(accept);
        if let Some(accepted) = clauses.iter().find_map(|clause| Self::of_clause(clause, offer)) {
            return Ok(accepted);
        }
        Err(Box::new(match offer {
            Offer::Watch => Status::not_acceptable(&[
                "application/json;stream=watch",
                "application/vnd.kubernetes.protobuf;stream=watch",
            ]),
            _ => Status::not_acceptable(&OFFERED),
        }))
    }

    fn of_clause(clause: &MediaType, offer: Offer) -> Option<Self> {
        let encoding = match (clause.kind.as_str(), clause.subtype.as_str()) {
            ("*", "*") | ("application", "*" | "json") => Encoding::Json,
            ("application", "yaml") if offer != Offer::Watch => Encoding::Yaml,
            _ => return None,
        };
        match clause.parameter("stream") {
            None | Some("") => {}
            Some("watch") if offer == Offer::Watch => {}
            Some(_) => return None,
        }
        if clause.parameter("sv").is_some_and(|version| !version.is_empty()) {
            return None;
        }
        let convert = (clause.parameter("as"), clause.parameter("g"), clause.parameter("v"));
        let view = match (offer, convert) {
            (_, (None, None, None)) => View::Whole,
            (Offer::Objects | Offer::Watch, (Some("Table"), Some("meta.k8s.io"), Some("v1"))) => View::Table,
            (
                Offer::Objects | Offer::Watch,
                (
                    Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                    Some("meta.k8s.io"),
                    Some("v1"),
                ),
            ) => View::Partial,
            (Offer::Discovery, (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")))
                if encoding == Encoding::Json =>
            {
                View::AggregatedDiscovery
            }
            _ => return None,
        };
        Some(Self { encoding, view, pretty: clause.parameter("pretty") == Some("1") })
    }

    /// The `Content-Type` of the reply.
    pub fn content_type(&self) -> &'static str {
        match (self.encoding, self.view) {
            (_, View::AggregatedDiscovery) => {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            }
            (Encoding::Json, _) => "application/json",
            (Encoding::Yaml, _) => "application/yaml",
        }
    }

    /// Whether JSON goes out indented: by the media type, by `pretty` in the query, or because the client is one
    /// that a person looks through.
    pub fn is_pretty(&self, query: &Query, user_agent: &str) -> bool {
        match query.first("pretty") {
            _ if self.pretty => true,
            Some(value) if !value.is_empty() => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
            _ => ["curl", "Wget", "Mozilla/5.0"].iter().any(|agent| user_agent.starts_with(agent)),
        }
    }
}

/// The format of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

impl BodyFormat {
    /// Reads the `Content-Type` of a create, update or delete; the empty one is JSON. `protobuf`: whether the place
    /// takes it (built-in kinds, and the options of every delete). 415 for anything else.
    pub fn parse(content_type: &str, protobuf: bool) -> Result<Self, Box<Status>> {
        if matches!(content_type, "" | "application/json") || content_type.trim().is_empty() {
            return Ok(Self::Json);
        }
        match media_type(content_type).as_deref() {
            Some("application/json") => Ok(Self::Json),
            Some("application/yaml") => Ok(Self::Yaml),
            Some("application/vnd.kubernetes.protobuf") if protobuf => Ok(Self::Protobuf),
            _ => {
                let accepted = if protobuf { &OFFERED[..] } else { &OFFERED[..2] };
                Err(Box::new(Status::unsupported_media_type(accepted)))
            }
        }
    }
}

/// The type of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' strategic merge patch.
    StrategicMerge,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    /// Reads the `Content-Type` of a patch. `strategic`: whether the kind takes strategic merge patches (built-in
    /// kinds do). 415 for anything else.
    pub fn parse(content_type: &str, strategic: bool) -> Result<Self, Box<Status>> {
        match media_type(content_type).as_deref() {
            Some("application/json-patch+json") => Ok(Self::Json),
            Some("application/merge-patch+json") => Ok(Self::Merge),
            Some("application/strategic-merge-patch+json") if strategic => Ok(Self::StrategicMerge),
            Some("application/apply-patch+yaml") => Ok(Self::Apply),
            _ => {
                let mut accepted = vec!["application/json-patch+json", "application/merge-patch+json"];
                if strategic {
                    accepted.push("application/strategic-merge-patch+json");
                }
                accepted.push("application/apply-patch+yaml");
                Err(Box::new(Status::unsupported_media_type(&accepted)))
            }
        }
    }

    /// The format of the patch's body. JSON is YAML too, but is read as JSON, which is stricter and faster.
    pub fn body_format(self, body: &[u8]) -> BodyFormat {
        let looks_like_json = body.trim_ascii_start().first() == Some(&b'{');
        if self == Self::Apply && !looks_like_json { BodyFormat::Yaml } else { BodyFormat::Json }
    }
}

/// `type/subtype` in lower case, where the header is well-formed and its charset, if it names one, is UTF-8.
fn media_type(content_type: &str) -> Option<String> {
    let parsed = MediaType::parse(content_type)?;
    let charset = parsed.parameter("charset").unwrap_or("utf-8");
    if !charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("us-ascii") {
        return None;
    }
    Some(format!("{}/{}", parsed.kind, parsed.subtype))
}

#[cfg(test)]
mod tests;
