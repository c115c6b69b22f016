//! The workers of a node, one an instance, and what others may know of their instances.

use crate::api::read_instance;
use crate::host::Host;
use crate::keeping::{self, Kept};
use crate::metrics::Family;
use crate::supervision::{Fall, supervise};
use crate::worker::{Begin, Order, View, Worker};
use hypermesh_planner::{Demand, Ending, Gravity, Instance, InstanceUid, Notice, Record, Rejection, admit};
use hypermesh_runtime::Sandbox;
use hypermesh_schemas::instance::{InstancePhase, InstanceStatus};
use jiff::Timestamp;
use kube::core::DynamicObject;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

/// The workers of a node.
#[derive(Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    host: Host,
    all: Mutex<BTreeMap<InstanceUid, Slot>>,
    changed: Notify,
}

struct Slot {
    instance: Arc<Instance>,
    /// What it takes of the node, for as long as it has not ended.
    demand: Demand,
    orders: mpsc::UnboundedSender<Order>,
    view: watch::Receiver<Option<View>>,
    task: AbortHandle,
    /// Whether the API server has said that it wants it, or that it does not, since the agent began.
    confirmed: bool,
}

impl Slot {
    /// Whether it has what it asked for: until it has ended, or, one that is to go, until nothing of it is left.
    fn holds(&self) -> bool {
        let view = self.view.borrow();
        let Some(view) = view.as_ref() else { return self.instance.ending.is_none() };
        let record = &view.record;
        let left = record.sandbox.stage.begun || record.volumes.begun;
        !matches!(view.status.phase, Some(InstancePhase::Succeeded | InstancePhase::Failed))
            && (left || self.instance.ending.is_none())
    }
}

impl Workers {
    /// None yet.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self(Arc::new(Inner { host, all: Mutex::default(), changed: Notify::new() }))
    }

    /// What is known of an instance, by its uid.
    #[must_use]
    pub fn view(&self, uid: &str) -> Option<View> {
        let uid = InstanceUid::parse(uid).ok()?;
        self.0.all.lock().get(&uid).and_then(|slot| slot.view.borrow().clone())
    }

    /// What is known of an instance, and every change of it.
    #[must_use]
    pub fn watch(&self, uid: &str) -> Option<watch::Receiver<Option<View>>> {
        let uid = InstanceUid::parse(uid).ok()?;
        self.0.all.lock().get(&uid).map(|slot| slot.view.clone())
    }

    /// What is known of all instances.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        self.0.all.lock().values().filter_map(|slot| slot.view.borrow().clone()).collect()
    }

    /// All that there are.
    #[must_use]
    pub fn uids(&self) -> BTreeSet<InstanceUid> {
        self.0.all.lock().keys().cloned().collect()
    }

    /// Waits until something of an instance changes, or an instance comes or goes.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// An instance, as the API server has it now.
    pub fn want(&self, object: &DynamicObject) {
        let instance = match read_instance(object) {
            Ok(instance) => instance,
            Err(why) => {
                tracing::error!(
                    name = object.metadata.name,
                    why,
                    "an instance is not understood, and left alone"
                );
                return;
            }
        };
        let told = status_of(object);
        let mut all = self.0.all.lock();
        if let Some(slot) = all.get_mut(&instance.uid) {
            let goes_sooner = slot.instance.ending != instance.ending;
            slot.instance = Arc::new(instance);
            slot.confirmed = true;
            if goes_sooner {
                self.keep(&slot.instance.uid, object);
            }
            let _ = slot.orders.send(Order::Wanted(Arc::clone(&slot.instance)));
            // Somebody said in this node's stead that nothing is known of it.
            if told.is_some_and(|told| told.phase == Some(InstancePhase::Unknown)) {
                let _ = slot.orders.send(Order::TellAgain);
            }
            return;
        }
        let phase = told.as_ref().and_then(|told| told.phase);
        let over = matches!(phase, Some(InstancePhase::Succeeded | InstancePhase::Failed));
        if over && instance.ending.is_none() {
            // It has ended, and nothing is kept of it: it is not begun again.
            return;
        }
        let record = Record { rejection: self.judge(&instance, &all), ..Record::default() };
        if let Some(rejection) = &record.rejection {
            self.reject(&instance, rejection, &record);
        }
        self.keep(&instance.uid, object);
        let slot = self.begin(Arc::new(instance), record, None, told, true);
        all.insert(slot.instance.uid.clone(), slot);
    }

    /// Why the node does not take an instance on beside those that it has; none: it does.
    fn judge(&self, instance: &Instance, all: &BTreeMap<InstanceUid, Slot>) -> Option<Rejection> {
        // Who is to go takes nothing; and without its Node nobody follows instances.
        if instance.ending.is_some() {
            return None;
        }
        let ground = self.0.host.ground.borrow().clone()?;
        let others = all.values().filter(|slot| slot.holds()).map(|slot| &slot.demand);
        admit(&Demand::read(instance.pod()), others, &ground, Timestamp::now()).err()
    }

    /// Keeps that an instance was not taken on, before the instance itself: who comes after must not begin it.
    fn reject(&self, instance: &Instance, rejection: &Rejection, record: &Record) {
        let layout = &self.0.host.layout;
        let folder = crate::private::folder(&layout.instance(&instance.uid));
        if let Err(error) = folder.and_then(|()| keeping::keep_record(layout, &instance.uid, record)) {
            tracing::warn!(instance = %instance.uid, %error, "that the instance was not taken on cannot be kept");
        }
        let (gravity, message) = (Gravity::Warning, rejection.message.clone());
        let notice = Notice { gravity, container: None, reason: rejection.word(), message };
        self.0.host.announcer.instance(instance, notice);
    }

    fn keep(&self, uid: &InstanceUid, object: &DynamicObject) {
        if let Err(error) = keeping::keep_object(&self.0.host.layout, uid, object) {
            tracing::warn!(instance = %uid, %error, "the instance cannot be kept");
        }
    }

    /// An instance that an agent before this one looked after. What of it runs goes on; nothing is begun until the API server
    /// says that it is still wanted ([`Self::want`]) or is not ([`Self::only`]).
    pub fn resume(&self, uid: InstanceUid, kept: &Kept, sandbox: Option<Arc<dyn Sandbox>>) {
        match read_instance(&kept.object) {
            Ok(instance) => {
                let slot = self.begin(Arc::new(instance), kept.record.clone(), sandbox, None, false);
                self.0.all.lock().insert(uid, slot);
            }
            Err(why) => tracing::error!(instance = %uid, why, "an instance that was kept is not understood"),
        }
    }

    /// An instance that the API server does not have any more.
    pub fn gone(&self, uid: &InstanceUid) {
        let mut all = self.0.all.lock();
        let Some(slot) = all.get_mut(uid) else { return };
        if slot.instance.ending.is_some() {
            return;
        }
        let grace = slot.instance.grace();
        let ending = Some(Ending { since: Timestamp::now(), grace });
        slot.instance = Arc::new(Instance { ending, ..Instance::clone(&slot.instance) });
        slot.confirmed = true;
        let _ = slot.orders.send(Order::Wanted(Arc::clone(&slot.instance)));
    }

    /// The API server has these instances, and no others.
    pub fn only(&self, uids: &BTreeSet<InstanceUid>) {
        for uid in self.uids().difference(uids) {
            self.gone(uid);
        }
    }

    /// Has an instance make room.
    pub fn evict(&self, uid: &InstanceUid, message: String) {
        if let Some(slot) = self.0.all.lock().get(uid) {
            let _ = slot.orders.send(Order::Evict(message));
        }
    }

    /// An image has come: whoever waits for one looks again.
    pub fn image_came(&self) {
        for slot in self.0.all.lock().values() {
            let _ = slot.orders.send(Order::Images);
        }
    }

    /// Ends all workers; what runs goes on.
    pub fn stop(&self) {
        for slot in std::mem::take(&mut *self.0.all.lock()).into_values() {
            slot.task.abort();
        }
    }

    fn begin(
        &self,
        instance: Arc<Instance>,
        record: Record,
        sandbox: Option<Arc<dyn Sandbox>>,
        told: Option<InstanceStatus>,
        confirmed: bool,
    ) -> Slot {
        let (orders, receiver) = mpsc::unbounded_channel();
        let (sender, view) = watch::channel(None);
        let begin = Begin {
            instance: Arc::clone(&instance),
            record,
            sandbox,
            orders: receiver,
            view: sender,
            told,
            again: false,
            confirmed,
        };
        let task = tokio::spawn(self.clone().look_after(begin, view.clone()));
        let demand = Demand::read(instance.pod());
        Slot { instance, demand, orders, view, task: task.abort_handle(), confirmed }
    }

    /// Looks after an instance until nothing of it is left here, whatever its worker stumbles over.
    async fn look_after(self, first: Begin, mut changes: watch::Receiver<Option<View>>) {
        let (instance, view) = (Arc::clone(&first.instance), first.view.clone());
        let uid = &instance.uid;
        let mut first = Some(first);
        let work = || {
            let (host, begin) = (self.0.host.clone(), first.take().or_else(|| self.again(uid, &view)));
            async move {
                if let Some(begin) = begin {
                    Worker::new(host, begin).run().await;
                }
            }
        };
        let told = |fall: &Fall| self.tell_fall(&instance, fall);
        {
            let mut work = std::pin::pin!(supervise(work, told));
            loop {
                tokio::select! {
                    () = &mut work => break,
                    Ok(()) = changes.changed() => {
                        changes.borrow_and_update();
                        self.0.changed.notify_waiters();
                    }
                }
            }
        }
        self.0.all.lock().remove(uid);
        self.0.changed.notify_waiters();
    }

    /// What a worker begins with after the one before it panicked: what that one kept, and the sandbox that runs.
    fn again(&self, uid: &InstanceUid, view: &watch::Sender<Option<View>>) -> Option<Begin> {
        let known = view.borrow().clone();
        let (orders, receiver) = mpsc::unbounded_channel();
        let (instance, confirmed) = {
            let mut all = self.0.all.lock();
            let slot = all.get_mut(uid)?;
            slot.orders = orders;
            (Arc::clone(&slot.instance), slot.confirmed)
        };
        let record = keeping::record(&self.0.host.layout, uid);
        let record = record.ok().or_else(|| Some(Record::clone(&known.as_ref()?.record)));
        Some(Begin {
            instance,
            record: record.unwrap_or_default(),
            sandbox: known.and_then(|known| known.sandbox),
            orders: receiver,
            view: view.clone(),
            told: None,
            again: true,
            confirmed,
        })
    }

    fn tell_fall(&self, instance: &Instance, fall: &Fall) {
        let (words, pause) = (&fall.words, fall.pause.as_secs());
        tracing::error!(instance = %instance.uid, name = instance.name, words, times = fall.times, pause, "the worker of an instance panicked");
        let message = format!(
            "The agent's worker of this instance panicked: {words}. Its containers go on; it is begun again in {pause} s"
        );
        self.0.host.metrics.count(Family::Panicked, "worker");
        let (gravity, reason) = (Gravity::Warning, "WorkerPanicked");
        self.0.host.announcer.instance(instance, Notice { gravity, container: None, reason, message });
    }
}

/// What the API server was told of an instance last.
fn status_of(object: &DynamicObject) -> Option<InstanceStatus> {
    let status = object.data.get("status")?;
    // Before a node has told anything, there is what the server makes of a new object.
    status.get("phase")?;
    serde_json::from_value(status.clone()).ok()
}
