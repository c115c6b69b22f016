//! A Status as the client can read it: JSON, YAML, or protobuf for one that takes nothing else.
//!
//! The negotiation is that of `k8s.io/apiserver`'s `ErrorNegotiated`: an error goes out in what `Accept` asks for, and
//! in JSON where that is nothing a Status has, since a refusal must not be hidden behind another.

use crate::list::write_json;
use crate::media::{Accepted, Encoding, MediaType, Offer, accept_clauses};
use crate::yaml;
use hypermesh_api::Status;
use k8s_pb::apimachinery::pkg::{apis::meta::v1 as metav1, runtime};
use prost::Message;

/// What a Status of protobuf is announced as.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A Status, encoded, and its Content-Type. The bytes of JSON are not indented.
pub fn refusal(status: &Status, accept: &str) -> (Vec<u8>, &'static str) {
    let mut json = Vec::new();
    write_json(status, &mut json);
    match Accepted::negotiate(accept, Offer::Document) {
        Ok(accepted) if accepted.encoding == Encoding::Yaml => {
            (yaml::from_json(&json), accepted.content_type())
        }
        Ok(accepted) => (json, accepted.content_type()),
        Err(_) if accept_clauses(accept).iter().any(is_protobuf) => (protobuf(status), PROTOBUF),
        Err(_) => (json, "application/json"),
    }
}

fn is_protobuf(clause: &MediaType) -> bool {
    clause.kind == "application" && clause.subtype == "vnd.kubernetes.protobuf"
}

/// `k8s\0` and a `runtime.Unknown` around the message, as Go's marshaller writes them: strings stand there even where
/// they are empty.
fn protobuf(status: &Status) -> Vec<u8> {
    let text = |text: &str| Some(text.to_owned());
    let details = status.details.as_ref().map(|details| metav1::StatusDetails {
        name: text(&details.name),
        group: text(&details.group),
        kind: text(&details.kind),
        uid: text(&details.uid),
        retry_after_seconds: Some(i32::try_from(details.retry_after_seconds).unwrap_or(i32::MAX)),
        causes: details
            .causes
            .iter()
            .map(|cause| metav1::StatusCause {
                reason: text(&cause.reason),
                message: text(&cause.message),
                field: text(&cause.field),
            })
            .collect(),
    });
    let message = metav1::Status {
        metadata: Some(metav1::ListMeta {
            self_link: text(""),
            resource_version: text(&status.metadata.resource_version),
            r#continue: text(&status.metadata.continue_),
            remaining_item_count: None,
        }),
        status: text(&status.status),
        message: text(&status.message),
        reason: text(&status.reason),
        details,
        code: Some(i32::from(status.code)),
    };
    let envelope = runtime::Unknown {
        type_meta: Some(runtime::TypeMeta { api_version: text("v1"), kind: text("Status") }),
        raw: Some(message.encode_to_vec()),
        content_encoding: text(""),
        content_type: text(""),
    };
    [b"k8s\0".to_vec(), envelope.encode_to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_acceptable() -> Status {
        Accepted::negotiate(PROTOBUF, Offer::Objects).map(|_| ()).unwrap_err().as_ref().clone()
    }

    /// The reply of a kube-apiserver 1.36 to `Accept: application/vnd.kubernetes.protobuf` on a custom resource.
    #[test]
    fn golden_protobuf() {
        let golden = b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status\x12\x99\x01\x0a\x06\x0a\x00\x12\x00\x1a\x00\x12\x07Failure\
            \x1atonly the following media types are accepted: application/json, application/yaml, \
            application/vnd.kubernetes.protobuf\"\x0dNotAcceptable0\x96\x03\x1a\x00\"\x00";
        let (bytes, content_type) = refusal(&not_acceptable(), PROTOBUF);
        assert_eq!(content_type, PROTOBUF);
        assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(golden));
    }

    #[test]
    fn a_refusal_is_in_what_the_client_takes() {
        let of = |accept: &str| {
            let (bytes, content_type) = refusal(&not_acceptable(), accept);
            (String::from_utf8_lossy(&bytes).chars().take(8).collect::<String>(), content_type)
        };
        let json = ("{\"kind\":".to_owned(), "application/json");
        assert_eq!(of(""), json);
        assert_eq!(of("*/*"), json);
        assert_eq!(of("text/plain"), json);
        assert_eq!(of("application/vnd.kubernetes.protobuf, application/json;q=0.5"), json);
        assert_eq!(of("application/json;as=Table;v=v1;g=meta.k8s.io"), json);
        assert_eq!(of("application/yaml").1, "application/yaml");
        assert_eq!(of("application/vnd.kubernetes.protobuf;stream=watch").1, PROTOBUF);
    }

    #[test]
    fn details_survive() {
        let mut status = Status::unavailable("busy", 7);
        status.details.as_mut().unwrap().causes.push(hypermesh_api::Cause {
            reason: "r".into(),
            message: "m".into(),
            field: "f".into(),
        });
        let (bytes, _) = refusal(&status, PROTOBUF);
        let json: serde_json::Value =
            serde_json::from_slice(&crate::protobuf::to_json(&bytes).unwrap()).unwrap();
        assert_eq!(json["details"]["retryAfterSeconds"], 7);
        assert_eq!(json["details"]["causes"][0]["field"], "f");
    }
}
