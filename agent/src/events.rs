//! What people are told, as Events. An Event is an ordered write, so that what repeats is counted and written now and
//! then, and one instance is told of only so often (kubelet's figures: 25 at once, then one in 5 minutes).

use crate::api::MANAGER;
use crate::failure::chain;
use hypermesh_planner::{Gravity, Instance, Notice};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const BURST: f64 = 25.0;
const PER_SECOND: f64 = 1.0 / 300.0;
/// How long repetitions are only counted.
const COUNTS_EVERY: Duration = Duration::from_secs(60);
/// What is remembered at most.
const REMEMBERED: usize = 2048;
/// Events that wait to be written; those beyond are lost.
const QUEUE: usize = 512;
/// The longest message, in bytes (Event's limit).
const LONGEST: usize = 1024;

/// Tells people, without making anybody wait.
#[derive(Clone, Debug)]
pub struct Announcer(mpsc::Sender<Told>);

#[derive(Debug)]
struct Told {
    about: ObjectReference,
    gravity: Gravity,
    reason: String,
    message: String,
    at: Timestamp,
}

impl Announcer {
    /// Begins to tell, for as long as the announcer or a clone of it is there.
    #[must_use]
    pub fn start(client: kube::Client, node: &str) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(write_all(client, node.to_owned(), receiver));
        Self(sender)
    }

    /// Tells of an instance.
    pub fn instance(&self, instance: &Instance, notice: Notice) {
        let field = |container: &str| {
            let inits = instance.pod().init_containers.iter();
            let init = inits.clone().any(|init| init.name.as_str() == container);
            format!("spec.pod.{}{{{container}}}", if init { "initContainers" } else { "containers" })
        };
        let about = ObjectReference {
            api_version: Some("hypermesh.online/v1".to_owned()),
            kind: Some("Instance".to_owned()),
            namespace: Some(instance.namespace.clone()),
            name: Some(instance.name.clone()),
            uid: Some(instance.uid.to_string()),
            field_path: notice.container.as_deref().map(field),
            ..ObjectReference::default()
        };
        self.tell(about, notice.gravity, notice.reason, notice.message);
    }

    /// Tells of the node.
    pub fn node(&self, node: &str, gravity: Gravity, reason: &str, message: impl Into<String>) {
        let about = ObjectReference {
            api_version: Some("hypermesh.online/v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        self.tell(about, gravity, reason, message.into());
    }

    fn tell(&self, about: ObjectReference, gravity: Gravity, reason: &str, message: String) {
        tracing::debug!(object = about.name, reason, message, "event");
        let told = Told { about, gravity, reason: reason.to_owned(), message, at: Timestamp::now() };
        // Events drive nothing: one that finds no room is lost.
        let _ = self.0.try_send(told);
    }
}

/// What was told of one thing, and how often.
struct Known {
    name: String,
    count: i32,
    written: Instant,
}

/// How much may still be told of one object.
struct Budget {
    left: f64,
    at: Instant,
}

async fn write_all(client: kube::Client, node: String, mut queue: mpsc::Receiver<Told>) {
    let mut known: HashMap<u64, Known> = HashMap::new();
    let mut budgets: HashMap<String, Budget> = HashMap::new();
    while let Some(told) = queue.recv().await {
        let now = Instant::now();
        if known.len() >= REMEMBERED {
            known.retain(|_, known| now.duration_since(known.written) < 10 * COUNTS_EVERY);
        }
        if known.len() >= REMEMBERED || budgets.len() >= REMEMBERED {
            known.clear();
            budgets.clear();
        }
        let api: Api<Event> =
            Api::namespaced(client.clone(), told.about.namespace.as_deref().unwrap_or("default"));
        let result = take(&api, &told, &node, &mut known, &mut budgets, now).await;
        if let Err(error) = result {
            tracing::debug!(reason = told.reason, error = chain(&error), "an event was not written");
        }
    }
}

/// Writes what is new, counts what is not, and leaves out what is too much.
async fn take(
    api: &Api<Event>,
    told: &Told,
    node: &str,
    known: &mut HashMap<u64, Known>,
    budgets: &mut HashMap<String, Budget>,
    now: Instant,
) -> Result<(), kube::Error> {
    let hash = hash(told);
    match known.get_mut(&hash) {
        Some(known) => {
            known.count = known.count.saturating_add(1);
            if now.duration_since(known.written) < COUNTS_EVERY {
                return Ok(());
            }
            known.written = now;
            match count(api, known, told.at).await {
                // It was deleted, or its time was over: it is told as for the first time.
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    known.count = 1;
                    write(api, told, node, hash, known).await
                }
                other => other,
            }
        }
        None if !admit(budgets, told, now) => Ok(()),
        None => {
            let fresh = Known { name: String::new(), count: 1, written: now };
            write(api, told, node, hash, known.entry(hash).or_insert(fresh)).await
        }
    }
}

fn admit(budgets: &mut HashMap<String, Budget>, told: &Told, now: Instant) -> bool {
    let uid = told.about.uid.clone().unwrap_or_default();
    let budget = budgets.entry(uid).or_insert(Budget { left: BURST, at: now });
    let more = now.duration_since(budget.at).as_secs_f64() * PER_SECOND;
    budget.left = (budget.left + more).min(BURST);
    budget.at = now;
    let admitted = budget.left >= 1.0;
    if admitted {
        budget.left -= 1.0;
    }
    admitted
}

/// Writes an Event that was not told before, and remembers its name.
async fn write(
    api: &Api<Event>,
    told: &Told,
    node: &str,
    hash: u64,
    known: &mut Known,
) -> Result<(), kube::Error> {
    let event = event(told, node, hash);
    known.name = event.metadata.name.clone().unwrap_or_default();
    api.create(&PostParams::default(), &event).await.map(|_| ())
}

async fn count(api: &Api<Event>, known: &Known, at: Timestamp) -> Result<(), kube::Error> {
    let series = json!({"count": known.count, "lastObservedTime": MicroTime(at)});
    let patch = json!({"count": known.count, "lastTimestamp": Time(at), "series": series});
    api.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
}

fn event(told: &Told, node: &str, hash: u64) -> Event {
    let mut message = told.message.clone();
    if message.len() > LONGEST {
        let end = (0..=LONGEST - 3).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    let object = told.about.name.as_deref().unwrap_or_default();
    let object = object.get(..object.len().min(200)).unwrap_or_default().trim_end_matches(['.', '-']);
    // Told again after it was forgotten, it is another Event.
    let name =
        format!("{object}.{:016x}", hash ^ u64::try_from(told.at.as_microsecond()).unwrap_or_default());
    let kind = match told.gravity {
        Gravity::Normal => "Normal",
        Gravity::Warning => "Warning",
    };
    Event {
        action: Some(told.reason.clone()),
        count: Some(1),
        event_time: Some(MicroTime(told.at)),
        first_timestamp: Some(Time(told.at)),
        last_timestamp: Some(Time(told.at)),
        involved_object: told.about.clone(),
        message: Some(message),
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(told.about.namespace.clone().unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        reason: Some(told.reason.clone()),
        reporting_component: Some(MANAGER.to_owned()),
        reporting_instance: Some(node.to_owned()),
        source: Some(EventSource { component: Some(MANAGER.to_owned()), host: Some(node.to_owned()) }),
        type_: Some(kind.to_owned()),
        ..Event::default()
    }
}

/// FNV-1a of what is told of whom.
fn hash(told: &Told) -> u64 {
    let about = &told.about;
    let parts = [&about.uid, &about.field_path].map(|part| part.as_deref().unwrap_or_default());
    let parts = parts.into_iter().chain([told.reason.as_str(), told.message.as_str()]);
    parts.flat_map(|part| part.bytes().chain([0])).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(message: &str) -> Told {
        let about = ObjectReference { uid: Some("u".into()), name: Some("web".into()), ..Default::default() };
        let (reason, message) = ("Failed".to_owned(), message.to_owned());
        Told { about, gravity: Gravity::Warning, reason, message, at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn an_object_is_told_of_only_so_often() {
        let (mut budgets, now) = (HashMap::new(), Instant::now());
        let admitted = (0..100).filter(|_| admit(&mut budgets, &told("x"), now)).count();
        assert_eq!(admitted, 25);
        assert!(admit(&mut budgets, &told("x"), now + Duration::from_secs(301)));
    }

    #[test]
    fn long_messages_are_cut_between_letters() {
        let event = event(&told(&"ä".repeat(2000)), "n", 1);
        let message = event.message.unwrap();
        assert!(message.len() <= LONGEST && message.ends_with('…'), "{}", message.len());
    }

    /// An API server that says what it was asked, and has no Event any more that it is to count on.
    fn server() -> (kube::Client, mpsc::UnboundedReceiver<String>) {
        let (asked, told) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let gone = request.method() == http::Method::PATCH;
            let _ = asked.send(request.method().to_string());
            async move {
                let (code, body) = if gone {
                    (
                        404,
                        json!({"kind": "Status", "status": "Failure", "message": "", "reason": "NotFound", "code": 404}),
                    )
                } else {
                    (201, json!({"metadata": {"name": "x"}, "involvedObject": {}}))
                };
                let body = kube::client::Body::from(body.to_string().into_bytes());
                http::Response::builder().status(code).body(body)
            }
        });
        (kube::Client::new(service, "default"), told)
    }

    #[tokio::test]
    async fn what_was_deleted_is_told_anew() {
        let (client, mut asked) = server();
        let api: Api<Event> = Api::namespaced(client, "default");
        let mut known = HashMap::new();
        let mut budgets = HashMap::new();
        let begin = Instant::now();
        let mut tell = async |at: Duration| {
            let told = Told { at: Timestamp::UNIX_EPOCH + at, ..told("x") };
            take(&api, &told, "n", &mut known, &mut budgets, begin + at).await.unwrap();
            known.values().next().map(|known: &Known| (known.name.clone(), known.count)).unwrap()
        };
        let (first, _) = tell(Duration::ZERO).await;
        assert_eq!(tell(Duration::from_secs(1)).await, (first.clone(), 2));
        let (second, count) = tell(COUNTS_EVERY * 2).await;
        assert_eq!((second != first, count), (true, 1));
        let mut all = Vec::new();
        while let Ok(method) = asked.try_recv() {
            all.push(method);
        }
        assert_eq!(all, ["POST", "PATCH", "POST"]);
    }
}
