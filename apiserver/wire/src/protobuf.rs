//! Kubernetes protobuf bodies of the built-in kinds, turned into JSON before they are ordered.
//!
//! A body is `k8s\0` and a `runtime.Unknown`, whose type tells the message within. The JSON is what Go's
//! marshaller would write of the same object: empty optional fields left out, bytes in base64, times in RFC 3339.
//! Nothing here knows a kind beyond its message; the messages are those of `k8s-pb`.

mod authn;
mod certificates;
mod core;
mod json;
mod meta;
mod rbac;
mod review;

use hypermesh_api::Status;
use k8s_pb::api::{
    authentication::v1 as authentication, authorization::v1 as authorization,
    certificates::v1 as certificatesv1, coordination::v1 as coordination, core::v1 as corev1,
    events::v1 as events, rbac::v1 as rbacv1,
};
use k8s_pb::apimachinery::pkg::{apis::meta::v1 as metav1, runtime};
use prost::Message;
use serde_json::Value;

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Fields that the outer two levels of a message may hold together. An empty element costs two bytes on the wire and
/// some two hundred in memory, and it is on these levels that messages repeat.
const MAX_FIELDS: usize = 100_000;

/// A message that can be shown as the JSON of its kind.
trait ToJson {
    fn to_json(&self) -> Result<json::Object, String>;
}

/// Turns a protobuf body into JSON bytes.
///
/// # Errors
///
/// 400 where the bytes are no such message; 415 where they are one of a kind that has no protobuf form here.
pub fn to_json(body: &[u8]) -> Result<Vec<u8>, Box<Status>> {
    let bad = |why: String| Box::new(Status::bad_request(format!("protobuf body cannot be decoded: {why}")));
    let envelope = body.strip_prefix(MAGIC).ok_or_else(|| {
        bad("provided data does not appear to be a protobuf message, expected prefix k8s\\0".into())
    })?;
    let unknown = runtime::Unknown::decode(envelope).map_err(|why| bad(format!("envelope: {why}")))?;
    let encoding = unknown.content_encoding.as_deref().unwrap_or_default();
    if !encoding.is_empty() {
        return Err(bad(format!("content encoding {encoding:?} is not supported")));
    }
    let type_meta = unknown.type_meta.unwrap_or_default();
    let api_version = type_meta.api_version.unwrap_or_default();
    let kind = type_meta.kind.unwrap_or_default();
    let raw = unknown.raw.unwrap_or_default();
    if field_count(&raw, 2) > MAX_FIELDS {
        return Err(bad(format!("more than {MAX_FIELDS} fields")));
    }
    let Some(object) = decode(&api_version, &kind, &raw) else {
        return Err(Box::new(Status::failure(
            415,
            "UnsupportedMediaType",
            format!(
                "objects of kind {kind:?} in version {api_version:?} are not taken as \
                 application/vnd.kubernetes.protobuf - accepted media types include: application/json, \
                 application/yaml"
            ),
        )));
    };
    let mut object = object.map_err(bad)?;
    object.set("apiVersion", api_version);
    object.set("kind", kind);
    serde_json::to_vec(&Value::from(object)).map_err(|why| bad(why.to_string()))
}

/// The object within, or `None` for a kind without a message here.
fn decode(api_version: &str, kind: &str, raw: &[u8]) -> Option<Result<json::Object, String>> {
    fn read<M: Message + Default + ToJson>(raw: &[u8]) -> Result<json::Object, String> {
        M::decode(raw).map_err(|why| why.to_string())?.to_json()
    }
    Some(match (api_version, kind) {
        // Every group has DeleteOptions of its own, all of them the same message.
        (_, "DeleteOptions") => read::<metav1::DeleteOptions>(raw),
        ("v1", "Namespace") => read::<corev1::Namespace>(raw),
        ("v1", "Secret") => read::<corev1::Secret>(raw),
        ("v1", "ConfigMap") => read::<corev1::ConfigMap>(raw),
        ("v1", "Event") => read::<corev1::Event>(raw),
        ("v1", "ServiceAccount") => read::<corev1::ServiceAccount>(raw),
        ("v1", "ResourceQuota") => read::<corev1::ResourceQuota>(raw),
        ("v1", "Status") => read::<metav1::Status>(raw),
        ("events.k8s.io/v1", "Event") => read::<events::Event>(raw),
        ("coordination.k8s.io/v1", "Lease") => read::<coordination::Lease>(raw),
        ("certificates.k8s.io/v1", "CertificateSigningRequest") => {
            read::<certificatesv1::CertificateSigningRequest>(raw)
        }
        ("rbac.authorization.k8s.io/v1", "Role") => read::<rbacv1::Role>(raw),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => read::<rbacv1::ClusterRole>(raw),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => read::<rbacv1::RoleBinding>(raw),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => read::<rbacv1::ClusterRoleBinding>(raw),
        ("authorization.k8s.io/v1", "SubjectAccessReview") => read::<authorization::SubjectAccessReview>(raw),
        ("authorization.k8s.io/v1", "LocalSubjectAccessReview") => {
            read::<authorization::LocalSubjectAccessReview>(raw)
        }
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => {
            read::<authorization::SelfSubjectAccessReview>(raw)
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => {
            read::<authorization::SelfSubjectRulesReview>(raw)
        }
        ("authentication.k8s.io/v1", "SelfSubjectReview") => read::<authentication::SelfSubjectReview>(raw),
        ("authentication.k8s.io/v1", "TokenReview") => read::<authentication::TokenReview>(raw),
        ("authentication.k8s.io/v1", "TokenRequest") => read::<authentication::TokenRequest>(raw),
        _ => return None,
    })
}

/// Counts the fields of a message and of the messages in it, `levels` deep. What is no message ends the count of its
/// level: the decoder proper will refuse it, or take it for a string.
fn field_count(mut bytes: &[u8], levels: usize) -> usize {
    let mut count = 0;
    while !bytes.is_empty() && count <= MAX_FIELDS {
        let Ok((_, wire_type)) = prost::encoding::decode_key(&mut bytes) else { return count };
        let length = match wire_type {
            prost::encoding::WireType::Varint => {
                if prost::encoding::decode_varint(&mut bytes).is_err() {
                    return count;
                }
                0
            }
            prost::encoding::WireType::ThirtyTwoBit => 4,
            prost::encoding::WireType::SixtyFourBit => 8,
            prost::encoding::WireType::LengthDelimited => {
                let length = prost::encoding::decode_varint(&mut bytes).ok();
                match length.and_then(|length| usize::try_from(length).ok()) {
                    Some(length) => length,
                    None => return count,
                }
            }
            _ => return count,
        };
        let Some((content, rest)) = bytes.split_at_checked(length) else { return count };
        count += 1;
        if levels > 1 && wire_type == prost::encoding::WireType::LengthDelimited {
            count += field_count(content, levels - 1);
        }
        bytes = rest;
    }
    count
}

#[cfg(test)]
mod tests;
