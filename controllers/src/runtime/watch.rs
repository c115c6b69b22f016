//! Watches: what has changed, as keys.
//!
//! Only metadata is watched, as a streaming list and then as events, and nothing of it is kept but two hashes an object
//! ([`Seen`]). A reconcile reads its object when its turn comes: it sees the newest state, and a process that watches
//! 50,000 objects holds none of them.

use super::context::Context;
use super::key::Key;
use super::metrics::ControllerMetrics;
use super::reconciler::Related;
use super::seen::{Seen, Trigger};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use kube::Api;
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::Notify;

type Meta = PartialObjectMeta<DynamicObject>;

fn metadata(
    context: &Context,
    resource: &ApiResource,
    fields: &str,
) -> impl Stream<Item = watcher::Result<Event<Meta>>> + Send + use<> {
    let api: Api<Meta> = Api::all_with(context.client.clone(), resource);
    let mut config = watcher::Config::default().streaming_lists();
    if !fields.is_empty() {
        config = config.fields(fields);
    }
    watcher(api, config).default_backoff()
}

/// Watches that have not shown all that exists yet. Reconciles wait for them: what changes after that is seen.
#[derive(Debug)]
pub struct Pending {
    watches: AtomicUsize,
    ready: Notify,
    metrics: Arc<ControllerMetrics>,
}

impl Pending {
    /// `watches` have to begin.
    pub fn new(watches: usize, metrics: Arc<ControllerMetrics>) -> Arc<Self> {
        Arc::new(Self { watches: AtomicUsize::new(watches), ready: Notify::new(), metrics })
    }

    /// Whether all have shown all that exists.
    pub fn is_over(&self) -> bool {
        self.watches.load(Relaxed) == 0
    }

    /// Waits until they have.
    pub async fn over(&self) {
        let ready = self.ready.notified();
        if !self.is_over() {
            ready.await;
        }
    }

    fn one_is_ready(&self) {
        if self.watches.fetch_sub(1, Relaxed) == 1 {
            self.metrics.synced.store(true, Relaxed);
            self.ready.notify_waiters();
        }
    }
}

/// Keys of the objects of `resource` that ask for a reconcile.
pub fn subjects(
    context: &Context,
    resource: &ApiResource,
    trigger: Trigger,
    pending: Arc<Pending>,
) -> BoxStream<'static, Key> {
    let (mut seen, mut first) = (Seen::new(trigger), true);
    let kind = resource.kind.clone();
    metadata(context, resource, "")
        .filter_map(move |event| {
            let key = match event {
                Ok(Event::Init) => {
                    seen.begins();
                    None
                }
                Ok(Event::InitApply(object) | Event::Apply(object)) => {
                    Key::of(&object.metadata).filter(|key| seen.changed(key, &object.metadata))
                }
                Ok(Event::InitDone) => {
                    seen.complete();
                    if std::mem::take(&mut first) {
                        pending.one_is_ready();
                    }
                    None
                }
                // It is looked at once more, so that what is remembered of it can be forgotten.
                Ok(Event::Delete(object)) => Key::of(&object.metadata).inspect(|key| seen.deleted(key)),
                Err(error) => {
                    failed(&error, &pending.metrics, &kind);
                    None
                }
            };
            pending.metrics.objects.store(i64::try_from(seen.len()).unwrap_or(i64::MAX), Relaxed);
            std::future::ready(key)
        })
        .boxed()
}

/// Keys of the objects of `resource` that changes of another kind ask a reconcile for.
pub fn related(
    context: &Context,
    resource: &ApiResource,
    related: Related,
    pending: Arc<Pending>,
) -> BoxStream<'static, Key> {
    let kind = related.resource.kind.clone();
    let mut begun = Begun::Not;
    let (of_all, all) = (context.clone(), resource.clone());
    metadata(context, &related.resource, &related.fields)
        .filter_map(move |event| {
            let asked = match event {
                Ok(Event::Init) => None,
                Ok(Event::InitDone) => match std::mem::replace(&mut begun, Begun::Is) {
                    Begun::Not => {
                        pending.one_is_ready();
                        None
                    }
                    // History did not reach back to where the watch was: what was deleted meanwhile is not known.
                    Begun::Is => Some(Asked::All),
                },
                // The subjects are reconciled when the process starts: what exists asks for nothing more.
                Ok(Event::InitApply(_)) => None,
                Ok(Event::Apply(object) | Event::Delete(object)) => {
                    (related.subject)(&object.metadata).map(Asked::One)
                }
                Err(error) => {
                    failed(&error, &pending.metrics, &kind);
                    None
                }
            };
            std::future::ready(asked)
        })
        .flat_map(move |asked| match asked {
            Asked::One(key) => futures_util::stream::iter([key]).boxed(),
            Asked::All => everything(&of_all, &all),
        })
        .boxed()
}

#[derive(Clone, Copy, Debug)]
enum Begun {
    Not,
    Is,
}

enum Asked {
    One(Key),
    All,
}

/// Keys of all objects of `resource`.
fn everything(context: &Context, resource: &ApiResource) -> BoxStream<'static, Key> {
    metadata(context, resource, "")
        .take_while(|event| std::future::ready(!matches!(event, Ok(Event::InitDone))))
        .filter_map(|event| {
            std::future::ready(match event {
                Ok(Event::InitApply(object)) => Key::of(&object.metadata),
                _ => None,
            })
        })
        .boxed()
}

fn failed(error: &watcher::Error, metrics: &ControllerMetrics, kind: &str) {
    metrics.watch_errors.fetch_add(1, Relaxed);
    tracing::warn!(kind, error = super::failure::chain(error), "a watch was interrupted and goes on");
}
