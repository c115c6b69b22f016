//! Messages built by hand, and hostile ones.

use super::*;
use metav1::{FieldsV1, ManagedFieldsEntry, MicroTime, ObjectMeta, OwnerReference, Time};
use proptest::prelude::*;

fn envelope(api_version: &str, kind: &str, raw: Vec<u8>) -> Vec<u8> {
    let unknown = runtime::Unknown {
        type_meta: Some(runtime::TypeMeta { api_version: Some(api_version.into()), kind: Some(kind.into()) }),
        raw: Some(raw),
        content_encoding: Some(String::new()),
        content_type: Some(String::new()),
    };
    [MAGIC, &unknown.encode_to_vec()].concat()
}

fn shown(api_version: &str, kind: &str, message: &impl Message) -> String {
    let json = to_json(&envelope(api_version, kind, message.encode_to_vec())).unwrap();
    String::from_utf8(json).unwrap()
}

/// What gogo writes of a metadata that holds a name alone: every scalar is there.
fn gogo_meta(name: &str) -> Option<ObjectMeta> {
    let empty = || Some(String::new());
    Some(ObjectMeta {
        name: Some(name.into()),
        generate_name: empty(),
        namespace: empty(),
        self_link: empty(),
        uid: empty(),
        resource_version: empty(),
        generation: Some(0),
        creation_timestamp: Some(Time::default()),
        ..ObjectMeta::default()
    })
}

#[test]
fn kubectl_create_namespace() {
    let namespace = corev1::Namespace {
        metadata: gogo_meta("team"),
        spec: Some(corev1::NamespaceSpec::default()),
        status: Some(corev1::NamespaceStatus { phase: Some(String::new()), ..Default::default() }),
    };
    insta::assert_snapshot!(shown("v1", "Namespace", &namespace), @r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}"#);
}

#[test]
fn what_kubectl_sends_is_read() {
    // The body of `kubectl create namespace team`, version 1.32.
    let body = b"k8s\x00\n\x0f\n\x02v1\x12\x09Namespace\x12\x1c\n\x14\n\x04team\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x00\x1a\x02\n\x00\x1a\x00\"\x00";
    insta::assert_snapshot!(String::from_utf8(to_json(body).unwrap()).unwrap(), @r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}}"#);
}

#[test]
fn secret_keeps_empty_values_and_false_pointers() {
    let secret = corev1::Secret {
        metadata: gogo_meta("s"),
        immutable: Some(false),
        data: [("empty".to_owned(), vec![]), ("k".to_owned(), vec![0, 255])].into(),
        string_data: Default::default(),
        r#type: Some("Opaque".into()),
    };
    insta::assert_snapshot!(shown("v1", "Secret", &secret), @r#"{"apiVersion":"v1","data":{"empty":"","k":"AP8="},"immutable":false,"kind":"Secret","metadata":{"name":"s"},"type":"Opaque"}"#);
}

#[test]
fn metadata_in_full() {
    let meta = ObjectMeta {
        name: Some("x".into()),
        generation: Some(3),
        creation_timestamp: Some(Time { seconds: Some(1_795_252_683), nanos: Some(1) }),
        deletion_grace_period_seconds: Some(0),
        labels: [("a".to_owned(), String::new())].into(),
        owner_references: vec![OwnerReference {
            api_version: Some("v1".into()),
            controller: Some(false),
            ..OwnerReference::default()
        }],
        finalizers: vec!["f".into()],
        managed_fields: vec![ManagedFieldsEntry {
            manager: Some("m".into()),
            fields_v1: Some(FieldsV1 { raw: Some(br#"{"f:data":{}}"#.to_vec()) }),
            ..ManagedFieldsEntry::default()
        }],
        ..ObjectMeta::default()
    };
    let map = corev1::ConfigMap { metadata: Some(meta), ..corev1::ConfigMap::default() };
    insta::assert_snapshot!(shown("v1", "ConfigMap", &map), @r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"creationTimestamp":"2026-11-21T09:18:03Z","deletionGracePeriodSeconds":0,"finalizers":["f"],"generation":3,"labels":{"a":""},"managedFields":[{"fieldsV1":{"f:data":{}},"manager":"m"}],"name":"x","ownerReferences":[{"apiVersion":"v1","controller":false}]}}"#);
}

#[test]
fn lease_and_event_times() {
    let at = || Some(MicroTime { seconds: Some(1), nanos: Some(2_000) });
    let lease = coordination::Lease {
        metadata: gogo_meta("l"),
        spec: Some(coordination::LeaseSpec {
            holder_identity: Some(String::new()),
            lease_transitions: Some(0),
            renew_time: at(),
            ..Default::default()
        }),
    };
    insta::assert_snapshot!(shown("coordination.k8s.io/v1", "Lease", &lease), @r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"","leaseTransitions":0,"renewTime":"1970-01-01T00:00:01.000002Z"}}"#);
    let event = corev1::Event {
        metadata: gogo_meta("e"),
        involved_object: Some(corev1::ObjectReference { kind: Some("Pod".into()), ..Default::default() }),
        source: Some(corev1::EventSource::default()),
        event_time: at(),
        ..Default::default()
    };
    insta::assert_snapshot!(shown("v1", "Event", &event), @r#"{"apiVersion":"v1","eventTime":"1970-01-01T00:00:01.000002Z","involvedObject":{"kind":"Pod"},"kind":"Event","metadata":{"name":"e"}}"#);
}

#[test]
fn reviews_keep_what_is_asked() {
    let review = authorization::SelfSubjectAccessReview {
        metadata: gogo_meta(""),
        spec: Some(authorization::SelfSubjectAccessReviewSpec {
            resource_attributes: Some(authorization::ResourceAttributes {
                verb: Some("get".into()),
                resource: Some("secrets".into()),
                ..Default::default()
            }),
            non_resource_attributes: None,
        }),
        status: Some(authorization::SubjectAccessReviewStatus { allowed: Some(true), ..Default::default() }),
    };
    insta::assert_snapshot!(shown("authorization.k8s.io/v1", "SelfSubjectAccessReview", &review), @r#"{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","metadata":{},"spec":{"resourceAttributes":{"resource":"secrets","verb":"get"}}}"#);
}

#[test]
fn delete_options_reach_the_parser_of_options() {
    let options = metav1::DeleteOptions {
        propagation_policy: Some("Foreground".into()),
        preconditions: Some(metav1::Preconditions { uid: Some("u".into()), resource_version: None }),
        dry_run: vec!["All".into()],
        ..Default::default()
    };
    let json = to_json(&envelope("hypermesh.online/v1", "DeleteOptions", options.encode_to_vec())).unwrap();
    let parsed = hypermesh_api::DeleteOptions::parse(&hypermesh_api::Query::default(), &json).unwrap();
    assert!(parsed.dry_run);
    assert_eq!(parsed.propagation, Some(hypermesh_api::Propagation::Foreground));
    assert_eq!(parsed.preconditions.uid.as_deref(), Some("u"));
}

#[test]
fn refusals() {
    let refused = |body: &[u8]| {
        let status = to_json(body).unwrap_err();
        format!("{} {}", status.code, status.message)
    };
    insta::assert_snapshot!(refused(b"x"), @r"400 protobuf body cannot be decoded: provided data does not appear to be a protobuf message, expected prefix k8s\0");
    assert!(refused(b"k8s\0\xff").starts_with("400 protobuf body cannot be decoded: envelope: "));
    assert!(
        refused(&envelope("v1", "Secret", vec![0x0a, 0x05]))
            .starts_with("400 protobuf body cannot be decoded: ")
    );
    assert!(
        refused(&envelope("apps/v1", "Deployment", vec![])).starts_with("415 objects of kind \"Deployment\"")
    );
    let broken_fields = corev1::ConfigMap {
        metadata: Some(ObjectMeta {
            managed_fields: vec![ManagedFieldsEntry {
                fields_v1: Some(FieldsV1 { raw: Some(b"{".to_vec()) }),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    assert!(
        refused(&envelope("v1", "ConfigMap", broken_fields.encode_to_vec()))
            .starts_with("400 protobuf body cannot be decoded: metadata.managedFields: ")
    );
}

#[test]
fn a_flood_of_empty_elements_is_refused_before_it_is_decoded() {
    // metadata { managedFields: {} × n }
    let elements = [0x8a, 0x01, 0x00].repeat(MAX_FIELDS + 1);
    let meta = [&[0x0a][..], &varint(elements.len()), &elements].concat();
    let status = to_json(&envelope("v1", "Secret", meta)).unwrap_err();
    assert!(status.message.contains("more than 100000 fields"), "{}", status.message);
}

fn varint(value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(value as u64, &mut out);
    out
}

proptest! {
    #[test]
    fn mutated_bodies_never_panic(at in 0usize..400, byte: u8, cut in 0usize..400) {
        let secret = corev1::Secret {
            metadata: gogo_meta("some-secret"),
            data: [("key".to_owned(), b"value".to_vec())].into(),
            ..Default::default()
        };
        let mut body = envelope("v1", "Secret", secret.encode_to_vec());
        let index = at % body.len();
        body[index] = byte;
        let _ = to_json(&body);
        body.truncate(cut % body.len());
        let _ = to_json(&body);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = to_json(&envelope("v1", "Event", bytes));
    }
}

#[test]
fn a_certificate_request_keeps_its_bytes() {
    let request = certificatesv1::CertificateSigningRequest {
        metadata: gogo_meta("ann"),
        spec: Some(certificatesv1::CertificateSigningRequestSpec {
            request: Some(vec![0, 255]),
            signer_name: Some("example.com/mine".into()),
            expiration_seconds: Some(600),
            usages: vec!["client auth".into()],
            username: Some(String::new()),
            uid: Some(String::new()),
            extra: [("k".to_owned(), certificatesv1::ExtraValue { items: vec!["v".into()] })].into(),
            ..Default::default()
        }),
        status: Some(certificatesv1::CertificateSigningRequestStatus {
            conditions: vec![certificatesv1::CertificateSigningRequestCondition {
                r#type: Some("Approved".into()),
                status: Some("True".into()),
                last_update_time: Some(Time::default()),
                ..Default::default()
            }],
            certificate: Some(vec![]),
        }),
    };
    insta::assert_snapshot!(shown("certificates.k8s.io/v1", "CertificateSigningRequest", &request), @r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"ann"},"spec":{"expirationSeconds":600,"extra":{"k":["v"]},"request":"AP8=","signerName":"example.com/mine","usages":["client auth"]},"status":{"conditions":[{"status":"True","type":"Approved"}]}}"#);
}
