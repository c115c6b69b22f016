//! Candidates over a server: hand-over, silence, being cut off.

use crate::fake::Fake;
use hypermesh_controllers::runtime::lease::{Campaign, Elector, Outcome, Timing};
use hypermesh_controllers::runtime::metrics::Metrics;
use hypermesh_controllers::runtime::{Stopper, stop};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l";
const DURATION: Duration = Duration::from_secs(30);

/// How many work, now and at most.
#[derive(Default)]
struct Working {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Guard(Arc<Working>);

impl Guard {
    fn begin(working: &Arc<Working>) -> Self {
        let now = working.now.fetch_add(1, SeqCst) + 1;
        working.most.fetch_max(now, SeqCst);
        Self(Arc::clone(working))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, SeqCst);
    }
}

struct Candidate {
    stopper: Stopper,
    task: JoinHandle<Outcome>,
}

/// Works for a term and ends: the name is sent when it begins.
fn candidate(
    client: kube::Client,
    name: &'static str,
    working: &Arc<Working>,
    begun: &mpsc::UnboundedSender<&'static str>,
) -> Candidate {
    let campaign = Campaign {
        namespace: "kube-system".into(),
        name: "l".into(),
        identity: name.into(),
        timing: Timing { duration: DURATION },
    };
    let (stopper, mut stop) = stop();
    let (working, begun) = (Arc::clone(working), begun.clone());
    let task = tokio::spawn(async move {
        let mut elector = Elector::new(client, campaign, Arc::new(Metrics::default()));
        if !elector.campaign(&mut stop).await {
            return Outcome::Stopped;
        }
        let work = |mut stop: hypermesh_controllers::runtime::Stop| async move {
            let _guard = Guard::begin(&working);
            let _ = begun.send(name);
            stop.stopped().await;
            // A reconcile that is under way.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        elector.hold(&mut stop, work).await
    });
    Candidate { stopper, task }
}

async fn next(begun: &mut mpsc::UnboundedReceiver<&'static str>, within: Duration) -> Option<&'static str> {
    timeout(within, begun.recv()).await.ok().flatten()
}

#[tokio::test(start_paused = true)]
async fn one_works_and_hands_over_at_once_when_it_stops() {
    let (fake, working, (sender, mut begun)) = (Fake::default(), Arc::default(), mpsc::unbounded_channel());
    let a = candidate(fake.client(), "a", &working, &sender);
    assert_eq!(next(&mut begun, Duration::from_secs(1)).await, Some("a"));
    let b = candidate(fake.client(), "b", &working, &sender);
    assert_eq!(next(&mut begun, Duration::from_secs(600)).await, None, "a renews, so b waits");
    let renewals = fake.writes().len();
    assert!(
        (45..=60).contains(&renewals),
        "{renewals} writes in ten minutes: one in twelve seconds, and none by b"
    );
    a.stopper.stop();
    let stopped = Instant::now();
    assert_eq!(next(&mut begun, DURATION).await, Some("b"));
    // The reconcile that was under way, and the spread of candidates.
    assert!(stopped.elapsed() < Duration::from_secs(2), "{:?}", stopped.elapsed());
    assert_eq!(a.task.await.unwrap(), Outcome::Stopped);
    b.stopper.stop();
    assert_eq!(b.task.await.unwrap(), Outcome::Stopped);
    let lease = fake.get(LEASE).unwrap();
    assert!(lease["spec"]["holderIdentity"].is_null() && lease["spec"]["leaseTransitions"] == 1, "{lease}");
    assert_eq!(working.most.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_waited_out() {
    let (fake, working, (sender, mut begun)) = (Fake::default(), Arc::default(), mpsc::unbounded_channel());
    let a = candidate(fake.client(), "a", &working, &sender);
    assert_eq!(next(&mut begun, Duration::from_secs(1)).await, Some("a"));
    let _b = candidate(fake.client(), "b", &working, &sender);
    tokio::time::sleep(Duration::from_secs(100)).await;
    a.task.abort();
    let died = Instant::now();
    assert_eq!(next(&mut begun, 2 * DURATION).await, Some("b"));
    assert!(
        died.elapsed() > DURATION / 2 && died.elapsed() < DURATION + Duration::from_secs(1),
        "{:?}",
        died.elapsed()
    );
    assert_eq!(working.most.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_begins() {
    let (fake, working, (sender, mut begun)) = (Fake::default(), Arc::default(), mpsc::unbounded_channel());
    let (client, cut) = fake.fragile_client();
    let a = candidate(client, "a", &working, &sender);
    assert_eq!(next(&mut begun, Duration::from_secs(1)).await, Some("a"));
    let _b = candidate(fake.client(), "b", &working, &sender);
    tokio::time::sleep(Duration::from_secs(100)).await;
    *cut.lock().unwrap() = true;
    let was_cut = Instant::now();
    assert_eq!(a.task.await.unwrap(), Outcome::Lost);
    assert!(was_cut.elapsed() <= DURATION * 2 / 3, "{:?}", was_cut.elapsed());
    assert_eq!(working.now.load(SeqCst), 0, "its work has ended");
    assert_eq!(next(&mut begun, 2 * DURATION).await, Some("b"));
    assert!(was_cut.elapsed() >= DURATION / 2);
    assert_eq!(working.most.load(SeqCst), 1, "never two");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_robbed_stops_at_once() {
    let (fake, working, (sender, mut begun)) = (Fake::default(), Arc::default(), mpsc::unbounded_channel());
    let a = candidate(fake.client(), "a", &working, &sender);
    assert_eq!(next(&mut begun, Duration::from_secs(1)).await, Some("a"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut lease = fake.get(LEASE).unwrap();
    lease["spec"]["holderIdentity"] = "thief".into();
    fake.put(LEASE, lease);
    let robbed = Instant::now();
    assert_eq!(a.task.await.unwrap(), Outcome::Lost);
    assert!(robbed.elapsed() < Duration::from_millis(100), "{:?}", robbed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_the_lease_is_not_ready_and_works_once_the_rights_are_there() {
    let (fake, metrics) = (Fake::default(), Arc::new(Metrics::default()));
    metrics.lease_unread.store(true, SeqCst);
    for _ in 0..3 {
        fake.refuse(http::Method::GET, "leases", 403);
    }
    let campaign = Campaign {
        namespace: "kube-system".into(),
        name: "l".into(),
        identity: "a".into(),
        timing: Timing { duration: DURATION },
    };
    let mut elector = Elector::new(fake.client(), campaign, Arc::clone(&metrics));
    let (_stopper, mut stop) = stop();
    assert!(timeout(Duration::from_millis(100), elector.campaign(&mut stop)).await.is_err());
    assert!(metrics.lease_unread.load(SeqCst), "it was refused");
    assert!(timeout(Duration::from_secs(600), elector.campaign(&mut stop)).await.unwrap());
    assert!(!metrics.lease_unread.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn refusals_while_it_leads_are_survived_for_a_while() {
    let (fake, working, (sender, mut begun)) = (Fake::default(), Arc::default(), mpsc::unbounded_channel());
    let a = candidate(fake.client(), "a", &working, &sender);
    assert_eq!(next(&mut begun, Duration::from_secs(1)).await, Some("a"));
    for _ in 0..2 {
        fake.refuse(http::Method::PUT, "leases", 503);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(working.now.load(SeqCst), 1, "it still leads");
    a.stopper.stop();
    assert_eq!(a.task.await.unwrap(), Outcome::Stopped);
}
