use super::*;
use proptest::prelude::*;

fn accepted(accept: &str, offer: Offer) -> Result<(Encoding, View), (u16, String)> {
    match Accepted::negotiate(accept, offer) {
        Ok(accepted) => Ok((accepted.encoding, accepted.view)),
        Err(status) => Err((status.code, status.message)),
    }
}

#[test]
fn clients_seen() {
    use Encoding::{Json, Yaml};
    let cases = [
        ("", Offer::Objects, Json, View::Whole),
        ("*/*", Offer::Objects, Json, View::Whole),
        ("application/json, */*", Offer::Objects, Json, View::Whole),
        ("application/vnd.kubernetes.protobuf,application/json", Offer::Objects, Json, View::Whole),
        ("application/yaml", Offer::Objects, Yaml, View::Whole),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Offer::Objects,
            Json,
            View::Table,
        ),
        (
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Offer::Objects,
            Json,
            View::Whole,
        ),
        (
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
            Offer::Objects,
            Json,
            View::Partial,
        ),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Offer::Watch, Json, View::Partial),
        ("application/json;stream=watch", Offer::Watch, Json, View::Whole),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
            Offer::Discovery,
            Json,
            View::AggregatedDiscovery,
        ),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            Offer::Objects,
            Json,
            View::Whole,
        ),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            Offer::Document,
            Json,
            View::Whole,
        ),
        ("application/json;q=0.1,application/yaml", Offer::Objects, Yaml, View::Whole),
        ("*/*, application/yaml", Offer::Objects, Yaml, View::Whole),
        ("application/yaml, application/json", Offer::Watch, Json, View::Whole),
    ];
    for (accept, offer, encoding, view) in cases {
        assert_eq!(accepted(accept, offer), Ok((encoding, view)), "{accept}");
    }
}

#[test]
fn golden_406() {
    let (code, message) = accepted("application/vnd.kubernetes.protobuf", Offer::Objects).unwrap_err();
    assert_eq!(code, 406);
    insta::assert_snapshot!(message, @"only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf");
    for refused in [
        "application/json;q=0",
        "text/plain",
        "application/json;as=Pod;g=;v=v1",
        "garbage",
        "application/cbor",
    ] {
        assert_eq!(accepted(refused, Offer::Objects).unwrap_err().0, 406, "{refused}");
    }
    assert_eq!(accepted("application/yaml", Offer::Watch).unwrap_err().0, 406);
}

#[test]
fn aggregated_discovery_is_echoed() {
    let accept = "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io";
    let accepted = Accepted::negotiate(accept, Offer::Discovery).unwrap();
    assert_eq!(
        accepted.content_type(),
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
}

#[test]
fn people_get_indented_json() {
    let accepted = Accepted::negotiate("", Offer::Objects).unwrap();
    let pretty = |query: &str, agent| accepted.is_pretty(&Query::parse(query).unwrap(), agent);
    assert!(pretty("", "curl/8.5.0"));
    assert!(!pretty("", "kubectl/v1.36"));
    assert!(pretty("pretty=true", "kubectl/v1.36"));
    assert!(!pretty("pretty=false", "curl/8.5.0"));
}

#[test]
fn golden_patch_types() {
    assert_eq!(PatchType::parse("application/apply-patch+yaml", false).unwrap(), PatchType::Apply);
    assert_eq!(
        PatchType::parse("application/merge-patch+json; charset=UTF-8", false).unwrap(),
        PatchType::Merge
    );
    assert_eq!(
        PatchType::parse("application/strategic-merge-patch+json", true).unwrap(),
        PatchType::StrategicMerge
    );
    let status = PatchType::parse("application/strategic-merge-patch+json", false).unwrap_err();
    assert_eq!(status.code, 415);
    insta::assert_snapshot!(status.message, @"the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
    assert_eq!(PatchType::Apply.body_format(b" {}"), BodyFormat::Json);
    assert_eq!(PatchType::Apply.body_format(b"a: 1"), BodyFormat::Yaml);
    assert_eq!(PatchType::Merge.body_format(b"a: 1"), BodyFormat::Json);
}

#[test]
fn body_formats() {
    let parse = |text| BodyFormat::parse(text, false);
    assert_eq!(parse("").unwrap(), BodyFormat::Json);
    assert_eq!(parse("Application/JSON; charset=\"utf-8\"").unwrap(), BodyFormat::Json);
    assert_eq!(parse("application/yaml").unwrap(), BodyFormat::Yaml);
    for refused in [
        "application/cbor",
        "application/vnd.kubernetes.protobuf",
        "application/json; charset=latin1",
        "application/json; =",
        "json",
    ] {
        let status = parse(refused).unwrap_err();
        assert_eq!(status.code, 415, "{refused}");
        assert!(status.message.ends_with("application/json, application/yaml"));
    }
    let protobuf = BodyFormat::parse("application/vnd.kubernetes.protobuf", true).unwrap();
    assert_eq!(protobuf, BodyFormat::Protobuf);
}

proptest! {
    #[test]
    fn headers_never_panic(text in r#"[a-z/*;=,"\\ 0-9.é]{0,60}"#) {
        let _ = Accepted::negotiate(&text, Offer::Objects);
        let _ = BodyFormat::parse(&text, true);
        let _ = PatchType::parse(&text, true);
    }
}
