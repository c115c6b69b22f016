//! The pure steps, over every state that a namespace can be found in.

use super::build::build;
use super::validate::validate;
use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use proptest::prelude::*;

fn pem(seed: u8) -> String {
    let body = format!("MIIB{}", char::from(b'A' + seed % 26)).repeat(4);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

fn subject(deleting: bool) -> Subject<Namespace> {
    let metadata = ObjectMeta {
        name: Some("n".to_owned()),
        deletion_timestamp: deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
        ..ObjectMeta::default()
    };
    let resource = ApiResource::erase::<Namespace>(&());
    Subject { resource, key: Key::cluster("n"), object: Namespace { metadata, ..Namespace::default() } }
}

fn plan(deleting: bool, observed: Observed) -> Plan {
    let bundle = RootBundle::parse(&pem(0)).unwrap();
    build(&validate(&subject(deleting), observed, &bundle))
}

fn found(pem: Option<String>) -> Bundle {
    Bundle {
        uid: "u".into(),
        resource_version: "7".into(),
        pem,
        binary: false,
        immutable: false,
        deleting: false,
    }
}

#[test]
fn an_empty_namespace_gets_both() {
    let plan = plan(false, Observed::default());
    assert_eq!((&plan.account, &plan.bundle), (&Step::Create, &Step::Create));
    assert!(plan.to_string().contains("default, which is missing; create the ConfigMap"), "{plan}");
}

#[test]
fn a_bundle_that_was_changed_is_put_right_and_an_immutable_one_replaced() {
    let wrong = found(Some(pem(1)));
    let of = |bundle: Bundle| plan(false, Observed { account: true, bundle: Some(bundle) }).bundle;
    assert_eq!(of(wrong.clone()), Step::Update { binary: false });
    assert_eq!(of(Bundle { pem: None, binary: true, ..wrong.clone() }), Step::Update { binary: true });
    assert_eq!(of(Bundle { immutable: true, ..wrong.clone() }), Step::Replace("u".into(), "7".into()));
    assert_eq!(of(Bundle { deleting: true, ..wrong }), Step::Await);
    assert_eq!(of(Bundle { immutable: true, ..found(Some(pem(0))) }), Step::Keep);
}

proptest! {
    #[test]
    fn a_namespace_that_leaves_is_left_alone_and_one_that_has_all_is_kept(
        account: bool, deleting: bool, immutable: bool, going: bool, has in prop::option::of(prop::option::of(0_u8..3)),
    ) {
        let bundle = has.map(|has| Bundle { immutable, deleting: going, ..found(has.map(pem)) });
        let right = bundle.as_ref().is_some_and(|b| !b.deleting && b.pem.as_ref() == Some(&pem(0)));
        let plan = plan(deleting, Observed { account, bundle });
        if deleting {
            prop_assert_eq!(&plan, &Plan { leaving: true, account: Step::Keep, bundle: Step::Keep });
        } else {
            prop_assert_eq!(plan.account == Step::Keep, account);
            prop_assert_eq!(plan.bundle == Step::Keep, right);
        }
    }
}
