//! The first users of the runtime, over a server that counts what they write.

use crate::fake::Fake;
use hypermesh_controllers::event::{ANNOTATION, CONDITION, EventRetention};
use hypermesh_controllers::namespace::NamespaceContents;
use hypermesh_controllers::root_bundle::RootBundle;
use hypermesh_controllers::runtime::decision::Decisions;
use hypermesh_controllers::runtime::metrics::{Ended, Metrics};
use hypermesh_controllers::runtime::{Context, Reconciler, Stopper, drive, stop};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const NAMESPACE: &str = "/api/v1/namespaces/n";
const ACCOUNT: &str = "/api/v1/namespaces/n/serviceaccounts/default";
const BUNDLE: &str = "/api/v1/namespaces/n/configmaps/kube-root-ca.crt";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

fn run<R: Reconciler>(fake: &Fake, reconciler: R) -> (Context, Stopper) {
    let (decisions, metrics) = (Arc::new(Decisions::default()), Arc::new(Metrics::default()));
    let mut context = Context::new(fake.client(), "test".into(), decisions, metrics);
    // The clock of the test is tokio's, so that what waits for a day can be waited for.
    let begin = tokio::time::Instant::now();
    let base: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    context.clock =
        Arc::new(move || base.checked_add(jiff::SignedDuration::try_from(begin.elapsed()).unwrap()).unwrap());
    let (stopper, stop) = stop();
    tokio::spawn(drive(Arc::new(reconciler), context.clone(), stop));
    (context, stopper)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(200_000), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} never came to be");
}

fn namespace(annotations: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"annotations": annotations}})
}

fn contents() -> NamespaceContents {
    NamespaceContents { bundle: RootBundle::parse(PEM).unwrap() }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_has_what_every_namespace_has_whatever_is_done_to_it() {
    let fake = Fake::default();
    fake.put(NAMESPACE, namespace(json!({})));
    let _running = run(&fake, contents());
    until("the account", || fake.get(ACCOUNT).is_some()).await;
    until("the bundle", || fake.get(BUNDLE).is_some_and(|map| map["data"]["ca.crt"] == PEM)).await;
    fake.remove(ACCOUNT);
    until("the account again", || fake.get(ACCOUNT).is_some()).await;
    fake.remove(BUNDLE);
    until("the bundle again", || fake.get(BUNDLE).is_some()).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(fake.writes().len(), 4, "{:?}", fake.writes());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_is_left_alone() {
    let fake = Fake::default();
    let mut going = namespace(json!({}));
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    fake.put(NAMESPACE, going);
    let (context, _stopper) = run(&fake, contents());
    until("a verdict", || context.metrics.of(NamespaceContents::NAME).count(Ended::AsWanted) == 1).await;
    assert!(fake.writes().is_empty(), "{:?}", fake.writes());
}

#[tokio::test(start_paused = true)]
async fn events_go_when_their_time_has_come() {
    let fake = Fake::default();
    fake.put(NAMESPACE, namespace(json!({})));
    let event = |at: &str| {
        json!({"apiVersion": "v1", "kind": "Event", "involvedObject": {},
        "metadata": {"creationTimestamp": at}})
    };
    let place = |name: &str| format!("{NAMESPACE}/events/{name}");
    for n in 0..700 {
        fake.put(&place(&format!("old{n}")), event("2025-12-30T00:00:00Z"));
    }
    fake.put(&place("young"), event("2025-12-31T12:00:00Z"));
    let (context, _stopper) = run(&fake, EventRetention { retention: Duration::from_secs(24 * 3_600) });
    until("the end of the old", || fake.get(&place("old699")).is_none()).await;
    until("rest", || context.metrics.of(EventRetention::NAME).count(Ended::Changed) == 2).await;
    assert_eq!(fake.writes().len(), 700);
    assert!(fake.get(&place("young")).is_some());
    tokio::time::sleep(Duration::from_secs(11 * 3_600)).await;
    assert!(fake.get(&place("young")).is_some(), "it has an hour to live");
    until("its end", || fake.get(&place("young")).is_none()).await;
    let decisions = context.decisions.find(&Default::default(), 100);
    assert!(
        decisions.iter().any(|d| d.why == "delete 1 events that have been as they are for 86400 s"),
        "{decisions:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_cannot_be_met_is_told_once_and_forgotten_when_mended() {
    let fake = Fake::default();
    fake.put(NAMESPACE, namespace(json!({ANNOTATION: "soon"})));
    let (context, _stopper) = run(&fake, EventRetention { retention: Duration::from_secs(60) });
    let condition = |fake: &Fake| fake.get(NAMESPACE).unwrap()["status"]["conditions"][0].clone();
    until("the condition", || condition(&fake)["reason"] == "InvalidEventRetention").await;
    let first = condition(&fake);
    assert_eq!((&first["type"], &first["status"]), (&json!(CONDITION), &json!("False")));
    assert!(first["message"].as_str().unwrap().contains("\"soon\" is no duration"), "{first}");
    tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    assert_eq!(fake.writes().len(), 2, "the condition and one event: {:?}", fake.writes());
    // A new process finds it told.
    let (again, _also) = run(&fake, EventRetention { retention: Duration::from_secs(60) });
    until("its verdict", || again.metrics.of(EventRetention::NAME).count(Ended::Invalid) == 1).await;
    assert_eq!(fake.writes().len(), 2, "{:?}", fake.writes());
    drop((context, again));
    let mut mended = fake.get(NAMESPACE).unwrap();
    mended["metadata"]["annotations"] = json!({ANNOTATION: "90m"});
    fake.put(NAMESPACE, mended);
    until("the end of the condition", || condition(&fake).is_null()).await;
}
