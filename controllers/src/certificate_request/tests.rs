//! The pure steps: who is approved, who is not, and what goes when.

use super::build::build;
use super::validate::validate;
use super::*;
use crate::runtime::Key;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequestCondition, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};

const NODE: &str = "kubernetes.io/kube-apiserver-client-kubelet";

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn hex(key: &KeyPair) -> String {
    key.der_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn request(key: &KeyPair, name: &str, user: &str, groups: &[&str]) -> CertificateSigningRequest {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    let pem = params.serialize_request(key).unwrap().pem().unwrap();
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some("r".to_owned()),
            creation_timestamp: Some(Time(now())),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: NODE.to_owned(),
            usages: Some(vec!["client auth".to_owned(), "digital signature".to_owned()]),
            username: Some(user.to_owned()),
            groups: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

fn joins(key: &KeyPair) -> CertificateSigningRequest {
    request(
        key,
        "system:node:n1",
        "system:bootstrap:abcdef",
        &["system:bootstrappers", "system:authenticated"],
    )
}

fn observed(registered: &[String]) -> Observed {
    Observed { now: now(), registered: registered.iter().cloned().collect(), node: None, token: true }
}

fn plan_with(request: CertificateSigningRequest, observed: Observed) -> Plan {
    let resource = ApiResource::erase::<CertificateSigningRequest>(&());
    let subject = Subject { resource, key: Key::cluster("r"), object: request };
    build(validate(&subject, observed))
}

fn plan_at(request: CertificateSigningRequest, registered: &[String], at: Timestamp) -> Plan {
    plan_with(request, Observed { now: at, ..observed(registered) })
}

fn plan(request: CertificateSigningRequest, registered: &[String]) -> Plan {
    plan_at(request, registered, now())
}

fn denies(plan: &Plan, reason: &str) -> bool {
    matches!(&plan.deed, Deed::Deny(why, _) if *why == reason)
}

fn approves(plan: &Plan) -> bool {
    matches!(plan.deed, Deed::Approve(_))
}

#[test]
fn a_token_makes_a_node_of_a_name_that_nobody_holds() {
    let (mine, other) = (key(), key());
    assert!(approves(&plan(joins(&mine), &[])));
    assert!(approves(&plan(joins(&mine), &[hex(&mine)])), "it tried before");
    for holders in [vec![hex(&other)], vec![hex(&mine), hex(&other)]] {
        let plan = plan(joins(&mine), &holders);
        assert!(denies(&plan, "NameHeld") && plan.to_string().contains(&hex(&other)), "{plan}");
    }
    // A Node whose key is not registered holds its name too.
    let held = plan_with(joins(&mine), Observed { node: Some(hex(&other)), ..observed(&[]) });
    assert!(denies(&held, "NameHeld"), "{held}");
}

#[test]
fn a_node_that_was_revoked_does_not_let_itself_in_again() {
    let mine = key();
    let left = |node: Option<String>| Observed { node, ..observed(&[]) };
    // The token counts still, and the Node stands there with the key.
    let again = plan_with(joins(&mine), left(Some(hex(&mine))));
    assert!(matches!(again.deed, Deed::Ask(_)), "{again}");
    assert!(again.again <= Some(LOOK), "it is looked at again when the Node has gone");
    // What it asked for as a node, while it was one, is worth nothing.
    for node in [Some(hex(&mine)), None] {
        let renews = request(&mine, "system:node:n1", "system:node:n1", &["system:nodes"]);
        let plan = plan_with(renews, left(node));
        assert!(denies(&plan, "KeyRevoked"), "{plan}");
    }
    let whole = Observed { node: Some(hex(&mine)), ..observed(&[hex(&mine)]) };
    assert!(approves(&plan_with(joins(&mine), whole)));
}

#[test]
fn a_request_is_worth_nothing_without_its_token() {
    use k8s_openapi::api::core::v1::Secret;
    let mine = key();
    let gone = plan_with(joins(&mine), Observed { token: false, ..observed(&[]) });
    assert!(denies(&gone, "TokenGone"), "{gone}");
    let at = |seconds: i64| Some(Time(now() + SignedDuration::from_secs(seconds)));
    let field = |name: &str, value: &str| (name.to_owned(), ByteString(value.as_bytes().to_vec()));
    let token = |expiration: &str| Secret {
        metadata: ObjectMeta { creation_timestamp: at(-60), ..ObjectMeta::default() },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        data: Some([field("expiration", expiration), field("usage-bootstrap-authentication", "true")].into()),
        ..Secret::default()
    };
    let later = (now() + SignedDuration::from_hours(1)).to_string();
    let counts = |secret: &Secret| dereference::counts(secret, &joins(&mine), now());
    assert!(counts(&token(&later)));
    assert!(!counts(&token(&now().to_string())) && !counts(&token("soon")));
    let mut opaque = token(&later);
    opaque.type_ = Some("Opaque".to_owned());
    let mut unused = token(&later);
    unused.data.get_or_insert_default().remove("usage-bootstrap-authentication");
    let mut leaving = token(&later);
    leaving.metadata.deletion_timestamp = at(0);
    let mut another = token(&later);
    another.metadata.creation_timestamp = at(1);
    assert!([opaque, unused, leaving, another].iter().all(|secret| !counts(secret)));
}

#[test]
fn a_node_renews_and_nobody_else_does_for_it() {
    let mine = key();
    let by =
        |user: &str, groups: &[&str]| plan(request(&mine, "system:node:n1", user, groups), &[hex(&mine)]);
    assert!(approves(&by("system:node:n1", &["system:nodes", "system:authenticated"])));
    assert!(!approves(&by("system:node:n2", &["system:nodes", "system:authenticated"])));
    assert!(!approves(&by("system:node:n1", &["system:authenticated"])));
    assert!(!approves(&by("ann", &["developers"])));
    assert!(!approves(&by("admin", &["system:masters"])), "a person decides, by deciding");
}

#[test]
fn what_is_no_request_of_a_node_waits_for_a_person() {
    let mine = key();
    let mut people = joins(&mine);
    people.spec.signer_name = "kubernetes.io/kube-apiserver-client".to_owned();
    let mut server = joins(&mine);
    server.spec.usages = Some(vec!["client auth".to_owned(), "server auth".to_owned()]);
    let mut broken = joins(&mine);
    broken.spec.request = ByteString(b"hello".to_vec());
    let group = ["system:bootstrappers"];
    for request in [people, server, broken, request(&mine, "n1", "system:bootstrap:abcdef", &group)] {
        let plan = plan(request, &[]);
        assert!(matches!(plan.deed, Deed::Wait(_) | Deed::Ask(_)), "{plan}");
    }
}

fn with(
    mut request: CertificateSigningRequest,
    kinds: &[&str],
    certificate: bool,
) -> CertificateSigningRequest {
    let condition = |kind: &&str| CertificateSigningRequestCondition {
        type_: (*kind).to_owned(),
        status: "True".to_owned(),
        last_update_time: Some(Time(now())),
        ..CertificateSigningRequestCondition::default()
    };
    request.status = Some(CertificateSigningRequestStatus {
        certificate: certificate.then(|| ByteString(b"x".to_vec())),
        conditions: Some(kinds.iter().map(condition).collect()),
    });
    request
}

#[test]
fn what_is_over_goes_in_time_and_not_before() {
    let mine = key();
    let cases = [
        (joins(&mine), UNDECIDED),
        (with(joins(&mine), &["Approved"], false), UNDECIDED),
        (with(joins(&mine), &["Approved"], true), DECIDED),
        (with(joins(&mine), &["Approved", "Failed"], false), DECIDED),
        (with(joins(&mine), &["Denied"], false), DECIDED),
    ];
    for (request, kept) in cases {
        let at = |age: Duration| now() + SignedDuration::try_from(age).unwrap();
        let early = plan_at(request.clone(), &[], at(kept - Duration::from_secs(5)));
        assert_ne!(early.deed, Deed::Delete);
        assert_eq!(early.again, Some(Duration::from_secs(5)));
        assert_eq!(plan_at(request.clone(), &[], at(kept)).deed, Deed::Delete);
        // A clock that was set back deletes nothing.
        assert_ne!(plan_at(request, &[], now() - SignedDuration::from_hours(48)).deed, Deed::Delete);
    }
    let decided = with(joins(&mine), &["Approved"], false);
    assert!(!approves(&plan(decided, &[])), "once");
}
