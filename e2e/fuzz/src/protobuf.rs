//! Kubernetes protobuf bodies: what becomes of them is one JSON object of the kind that the envelope names.
//!
//! An input that begins with `k8s\0` is a whole body. Of any other the first byte chooses a kind, and the rest is its
//! message.

use hypermesh_api::decode_json;
use hypermesh_wire::protobuf::to_json;
use serde_json::Value;

/// What has a message: `(apiVersion, kind)`.
const KINDS: [(&str, &str); 21] = [
    ("v1", "DeleteOptions"),
    ("v1", "Namespace"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("v1", "Event"),
    ("v1", "ServiceAccount"),
    ("v1", "ResourceQuota"),
    ("v1", "Status"),
    ("events.k8s.io/v1", "Event"),
    ("coordination.k8s.io/v1", "Lease"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("authorization.k8s.io/v1", "SubjectAccessReview"),
    ("authorization.k8s.io/v1", "LocalSubjectAccessReview"),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
    ("authentication.k8s.io/v1", "SelfSubjectReview"),
    ("authentication.k8s.io/v1", "TokenReview"),
    ("authentication.k8s.io/v1", "TokenRequest"),
];

/// Bytes of JSON that a byte of a message may become: an empty element of a list shows its required fields.
const GROWTH: usize = 256;

/// Reads a body.
pub fn target(data: &[u8]) {
    let (named, body) = match data.split_first() {
        Some(_) if data.starts_with(b"k8s\0") => (None, data.to_vec()),
        Some((kind, message)) => {
            let named = KINDS[usize::from(*kind) % KINDS.len()];
            (Some(named), envelope(named, message))
        }
        None => return,
    };
    let read = to_json(&body);
    assert_eq!(read, to_json(&body), "reading is a function of the body");
    let Ok(json) = read else { return };
    assert!(json.len() <= 4096 + GROWTH * body.len(), "{} bytes become {}", body.len(), json.len());
    let (value, duplicates) = decode_json(&json).expect("a message becomes JSON that is taken");
    assert!(duplicates.is_empty() && value.is_object());
    if let Some((api_version, kind)) = named {
        assert_eq!((text(&value, "apiVersion"), text(&value, "kind")), (Some(api_version), Some(kind)));
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

/// `k8s\0` and a `runtime.Unknown`: field 1 holds the type's two names, field 2 the message.
fn envelope((api_version, kind): (&str, &str), message: &[u8]) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, message)].concat()
}

/// A field of bytes: key, length, content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}
