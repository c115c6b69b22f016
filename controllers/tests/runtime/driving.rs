//! What becomes of a key: tries, failures, panics, finalizers, an end.

use crate::fake::Fake;
use http::Method;
use hypermesh_controllers::runtime::decision::{Asked, Decisions, Verdict as Decided};
use hypermesh_controllers::runtime::failure::FailureClass;
use hypermesh_controllers::runtime::metrics::{Ended, Metrics};
use hypermesh_controllers::runtime::{
    Applied, Context, Failure, Invalid, Key, Reconciler, Stopper, Subject, Told, Verdict, drive, stop,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ApiResource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const MAPS: &str = "/api/v1/namespaces/n/configmaps";

/// Marks ConfigMaps: each that says `mark: "yes"` gets a twin.
#[derive(Default)]
struct Twins {
    finalizer: Option<&'static str>,
    panics: AtomicUsize,
    tries: Mutex<BTreeMap<String, usize>>,
    slow: Option<Duration>,
    finished: AtomicUsize,
}

impl Twins {
    fn tries(&self, name: &str) -> usize {
        self.tries.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

impl Reconciler for Twins {
    type Object = ConfigMap;
    type Observed = bool;
    type Valid = bool;
    type Plan = &'static str;

    const NAME: &'static str = "twins";

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<ConfigMap>(&())
    }

    fn trigger(&self) -> hypermesh_controllers::runtime::Trigger {
        hypermesh_controllers::runtime::Trigger::Written
    }

    fn finalizer(&self) -> Option<&'static str> {
        self.finalizer
    }

    async fn dereference(&self, context: &Context, subject: &Subject<ConfigMap>) -> Result<bool, Failure> {
        *self.tries.lock().unwrap().entry(subject.key.name.to_string()).or_default() += 1;
        let twin = Key::namespaced("n", &format!("{}-twin", subject.key.name));
        Ok(context.get::<Value>(&subject.resource, &twin).await?.is_some())
    }

    fn validate(&self, subject: &Subject<ConfigMap>, there: bool) -> Result<bool, Invalid> {
        let data = subject.object.data.as_ref();
        match data.and_then(|data| data.get("mark")).map(String::as_str) {
            Some("yes") => Ok(!there),
            Some("panic") if self.panics.fetch_add(1, SeqCst) == 0 => panic!("as the test asked"),
            Some("wrong") => {
                Err(Invalid { reason: "WrongMark", message: "data.mark: \"wrong\" is wrong".into() })
            }
            _ => Ok(false),
        }
    }

    fn build(&self, _: &Subject<ConfigMap>, missing: bool) -> &'static str {
        if missing { "make the twin" } else { "nothing to do" }
    }

    async fn apply(
        &self,
        context: &Context,
        subject: &Subject<ConfigMap>,
        plan: &&'static str,
    ) -> Result<Applied, Failure> {
        if let Some(slow) = self.slow {
            tokio::time::sleep(slow).await;
            self.finished.fetch_add(1, SeqCst);
        }
        if *plan != "make the twin" {
            return Ok(Applied::default());
        }
        let name = format!("{}-twin", subject.key.name);
        let twin = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        context.create(&subject.resource, &Key::namespaced("n", &name), &twin).await?;
        Ok(Applied { writes: 1, again: None })
    }

    async fn update_status(
        &self,
        _: &Context,
        _: &Subject<ConfigMap>,
        _: Verdict<'_>,
    ) -> Result<Told, Failure> {
        Ok(Told::AsBefore)
    }
}

struct Running {
    twins: Arc<Twins>,
    context: Context,
    stopper: Stopper,
    task: JoinHandle<()>,
}

fn run(fake: &Fake, twins: Twins) -> Running {
    let (decisions, metrics) = (Arc::new(Decisions::default()), Arc::new(Metrics::default()));
    let context = Context::new(fake.client(), "test".into(), decisions, metrics);
    let (stopper, stop) = stop();
    let twins = Arc::new(twins);
    let task = tokio::spawn(drive(Arc::clone(&twins), context.clone(), stop));
    Running { twins, context, stopper, task }
}

impl Running {
    fn count(&self, ended: Ended) -> u64 {
        self.context.metrics.of("twins").count(ended)
    }

    fn why(&self, name: &str) -> Vec<(Decided, String)> {
        let asked = Asked { name: name.to_owned(), ..Asked::default() };
        self.context.decisions.find(&asked, 100).into_iter().map(|d| (d.verdict, d.why)).collect()
    }
}

fn map(mark: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"mark": mark}})
}

/// Waits for something that has to come to be, in tokio's time.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(Duration::from_secs(1_000), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} never came to be");
}

#[tokio::test(start_paused = true)]
async fn what_exists_and_what_comes_is_reconciled_and_no_more() {
    let fake = Fake::default();
    fake.put(&format!("{MAPS}/a"), map("yes"));
    let running = run(&fake, Twins::default());
    until("a's twin", || fake.get(&format!("{MAPS}/a-twin")).is_some()).await;
    fake.put(&format!("{MAPS}/b"), map("yes"));
    until("b's twin", || fake.get(&format!("{MAPS}/b-twin")).is_some()).await;
    until("rest", || running.count(Ended::AsWanted) >= 2).await;
    let before = running.twins.tries("a");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(running.twins.tries("a"), before, "nothing changed, so nothing is looked at");
    assert_eq!(
        fake.writes(),
        ["POST /api/v1/namespaces/n/configmaps/a-twin", "POST /api/v1/namespaces/n/configmaps/b-twin"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_later_and_later() {
    let fake = Fake::default();
    fake.put(&format!("{MAPS}/a"), map("yes"));
    for _ in 0..5 {
        fake.refuse(Method::POST, "configmaps", 503);
    }
    fake.refuse(Method::POST, "configmaps", 409);
    let begin = tokio::time::Instant::now();
    let running = run(&fake, Twins::default());
    until("a's twin", || fake.get(&format!("{MAPS}/a-twin")).is_some()).await;
    // 0.2, 0.4, 0.8, 1.6, 3.2 and 6.4 s, each at least by half.
    assert!(begin.elapsed() >= Duration::from_secs_f64(6.3), "{:?}", begin.elapsed());
    assert_eq!(running.count(Ended::Failed(FailureClass::Refused)), 5);
    assert_eq!(running.count(Ended::Failed(FailureClass::Conflict)), 1);
    let why = running.why("a");
    assert_eq!(
        why[0],
        (Decided::Failed, "cannot create configmaps n/a-twin: as the test asked (503)".into())
    );
    until("an event", || fake.writes().iter().any(|write| write.contains("/events/a."))).await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_its_own_trouble_and_told_once() {
    let fake = Fake::default();
    fake.put(
        &format!("{MAPS}/broken"),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": "no map at all"}),
    );
    fake.put(&format!("{MAPS}/whole"), map("yes"));
    let running = run(&fake, Twins::default());
    until("the twin", || fake.get(&format!("{MAPS}/whole-twin")).is_some()).await;
    until("the verdict", || running.count(Ended::Invalid) == 1).await;
    assert_eq!(running.why("broken")[0].0, Decided::Invalid);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let events = |fake: &Fake| fake.writes().iter().filter(|write| write.contains("/events/")).count();
    assert_eq!((running.count(Ended::Invalid), events(&fake)), (1, 1));
    // Somebody touches it without mending it: looked at again, and not told again.
    fake.put(
        &format!("{MAPS}/broken"),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": "no map at all", "immutable": false}),
    );
    until("the second verdict", || running.count(Ended::Invalid) == 2).await;
    assert_eq!(events(&fake), 1);
    fake.put(&format!("{MAPS}/broken"), map("yes"));
    until("its twin", || fake.get(&format!("{MAPS}/broken-twin")).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_object_is_not_tried_again_before_it_changes() {
    let fake = Fake::default();
    fake.put(&format!("{MAPS}/a"), map("wrong"));
    let running = run(&fake, Twins::default());
    until("the verdict", || running.count(Ended::Invalid) == 1).await;
    tokio::time::sleep(Duration::from_secs(24 * 3_600)).await;
    assert_eq!(running.twins.tries("a"), 1);
    assert_eq!(running.why("a"), [(Decided::Invalid, "WrongMark: data.mark: \"wrong\" is wrong".to_owned())]);
    let event = fake.writes().into_iter().find(|write| write.contains("/events/")).unwrap();
    let event = fake.get(event.strip_prefix("POST ").unwrap()).unwrap();
    assert_eq!((event["reason"].as_str(), event["type"].as_str()), (Some("WrongMark"), Some("Warning")));
    assert_eq!(event["involvedObject"]["name"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_one_object() {
    let fake = Fake::default();
    fake.put(&format!("{MAPS}/a"), map("panic"));
    fake.put(&format!("{MAPS}/b"), map("yes"));
    let running = run(&fake, Twins::default());
    until("b's twin", || fake.get(&format!("{MAPS}/b-twin")).is_some()).await;
    until("a's recovery", || running.count(Ended::AsWanted) >= 2).await;
    assert_eq!(running.count(Ended::Failed(FailureClass::Panicked)), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_never_rests_is_held_back() {
    let fake = Fake::default();
    let running = run(&fake, Twins::default());
    for n in 0..600 {
        fake.put(
            &format!("{MAPS}/a"),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"n": n.to_string()}}),
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tries = running.twins.tries("a");
    assert!((20..=80).contains(&tries), "{tries} reconciles in a minute of ten writes a second");
    assert!(running.context.metrics.render().contains("reconciles_held_back_total{controller=\"twins\"}"));
}

#[tokio::test(start_paused = true)]
async fn the_finalizer_comes_first_and_goes_last() {
    let fake = Fake::default();
    fake.put(&format!("{MAPS}/a"), map("yes"));
    let running = run(&fake, Twins { finalizer: Some("hypermesh.online/twin"), ..Twins::default() });
    until("a's twin", || fake.get(&format!("{MAPS}/a-twin")).is_some()).await;
    assert!(fake.writes()[0].starts_with("PATCH"), "{:?}", fake.writes());
    let mut going = fake.get(&format!("{MAPS}/a")).unwrap();
    assert_eq!(going["metadata"]["finalizers"], json!(["hypermesh.online/twin"]));
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    fake.put(&format!("{MAPS}/a"), going);
    until("its end", || fake.get(&format!("{MAPS}/a")).is_none()).await;
    until("the record of it", || running.why("a").iter().any(|(_, why)| why.starts_with("cleaned up"))).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_comes_to_its_end_when_the_driver_stops() {
    let fake = Fake::default();
    for n in 0..20 {
        fake.put(&format!("{MAPS}/m{n}"), map("no"));
    }
    let running = run(&fake, Twins { slow: Some(Duration::from_secs(5)), ..Twins::default() });
    until("the first reconciles", || running.twins.tries.lock().unwrap().len() == 8).await;
    running.stopper.stop();
    timeout(Duration::from_secs(6), running.task).await.unwrap().unwrap();
    assert_eq!(running.twins.finished.load(SeqCst), 8, "those under way ended, and no other began");
}
