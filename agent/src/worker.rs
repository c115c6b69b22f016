//! One instance: a task that plans, has plans carried out, and tells of it, until nothing of the instance is left.
//!
//! It talks through channels alone: the instance as it is wanted comes in, outcomes of what it began come in, and what
//! others may know of it ([`View`]) goes out.

mod act;
mod contents;
mod sandbox;
mod starting;
mod telling;

use crate::asking::Place;
use crate::connectivity::Attached;
use crate::failure::chain;
use crate::host::Host;
use crate::keeping;
use crate::metrics::Family;
use crate::objects::Subscription;
use crate::supervision::catching;
use contents::TokenCache;
use hypermesh_planner::{
    Action, Exit, ExitReason, Instance, Notice, Outcome, Record, Run, Surroundings, Unpublished, plan,
    status, wants,
};
use hypermesh_runtime::{ContainerId, Sandbox};
use hypermesh_schemas::instance::InstanceStatus;
use jiff::Timestamp;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long the time may be that is slept at once: clocks are set, and machines sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What others may know of an instance.
#[derive(Clone)]
pub struct View {
    /// As it is wanted.
    pub instance: Arc<Instance>,
    /// As it is.
    pub status: Arc<InstanceStatus>,
    /// What was observed.
    pub record: Arc<Record>,
    /// Its sandbox.
    pub sandbox: Option<Arc<dyn Sandbox>>,
    /// Where it is asked.
    pub place: Place,
}

impl View {
    /// A run of one of its containers; none: the newest.
    #[must_use]
    pub fn run(&self, container: &str) -> Option<Arc<dyn hypermesh_runtime::Container>> {
        let attempt = self.record.container(container)?.attempt;
        self.sandbox.as_ref()?.container(&run_id(container, attempt)?)
    }
}

/// What a worker is told.
#[derive(Clone, Debug)]
pub enum Order {
    /// The instance, as it is wanted now.
    Wanted(Arc<Instance>),
    /// The node needs what it has.
    Evict(String),
    /// The API server was told something else meanwhile.
    TellAgain,
    /// An image has come by another way.
    Images,
}

/// What a worker hears of what it began.
enum News {
    /// What came of it.
    Outcome(Outcome),
    /// A sandbox was made.
    Sandbox { sandbox: Arc<dyn Sandbox>, attached: Attached },
    /// The shim of the sandbox of this generation is gone.
    Lost(u32),
    /// It panicked: what will come of it is not known any more.
    Panicked(Box<dyn Any + Send>),
}

/// What the runtime calls a run.
pub(crate) fn run_id(container: &str, attempt: u32) -> Option<ContainerId> {
    ContainerId::new(format!("{container}-{attempt}")).ok()
}

/// One instance.
pub struct Worker {
    host: Host,
    instance: Arc<Instance>,
    record: Record,
    orders: mpsc::UnboundedReceiver<Order>,
    news: (mpsc::UnboundedSender<News>, mpsc::UnboundedReceiver<News>),
    objects: Subscription,
    pull_secrets: Subscription,
    sandbox: Option<Arc<dyn Sandbox>>,
    again: bool,
    confirmed: bool,
    /// Whether it is to go: what is being started is given up then.
    ending: watch::Sender<bool>,
    attached: Attached,
    tokens: TokenCache,
    status: Arc<InstanceStatus>,
    teller: telling::Teller,
    view: watch::Sender<Option<View>>,
}

/// What a worker begins with.
pub struct Begin {
    /// The instance.
    pub instance: Arc<Instance>,
    /// What was observed before.
    pub record: Record,
    /// Its sandbox, if it was adopted.
    pub sandbox: Option<Arc<dyn Sandbox>>,
    /// Orders.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// Where others look.
    pub view: watch::Sender<Option<View>>,
    /// What the API server was told last.
    pub told: Option<InstanceStatus>,
    /// Whether a worker before this one panicked: what it was about to make may be there half.
    pub again: bool,
    /// Whether the API server has said that it wants the instance since the agent began. What runs goes on without; nothing
    /// is begun: the instance may be long gone.
    pub confirmed: bool,
}

impl Worker {
    /// Begins to look after an instance.
    #[must_use]
    pub fn new(host: Host, begin: Begin) -> Self {
        let Begin { instance, record, sandbox, orders, view, told, again, confirmed } = begin;
        let (ending, _) = watch::channel(instance.ending.is_some() || record.eviction.is_some());
        let wants = wants(&instance);
        let objects = host.objects.subscribe(&instance.namespace, &wants.objects);
        let secrets =
            wants.pull_secrets.into_iter().map(|name| (hypermesh_planner::ObjectKind::Secret, name));
        let pull_secrets = host.objects.subscribe(&instance.namespace, &secrets.collect());
        let teller = telling::Teller::start(host.api.clone(), &instance, told.clone());
        Self {
            host,
            instance,
            record,
            orders,
            news: mpsc::unbounded_channel(),
            objects,
            pull_secrets,
            sandbox,
            again,
            confirmed,
            ending,
            attached: Attached::default(),
            tokens: TokenCache::default(),
            status: Arc::new(told.unwrap_or_default()),
            teller,
            view,
        }
    }

    /// Looks after it until nothing of it is left here.
    pub async fn run(mut self) {
        self.resume().await;
        loop {
            let next = plan(&self.instance, &self.record, Timestamp::now());
            let next = if self.confirmed { next } else { next.cautious() };
            if next.finished {
                break;
            }
            if !next.actions.is_empty() {
                self.carry_out(next.actions);
                continue;
            }
            self.tell();
            self.wait(next.wake_at).await;
        }
        self.end().await;
    }

    /// Waits until something happens, and takes it in.
    async fn wait(&mut self, wake_at: Option<Timestamp>) {
        let renew = self.tokens.renew_at().filter(|_| self.record.volumes.ready);
        let at = wake_at.into_iter().chain(renew).min();
        let sleep = at.map_or(LONGEST_SLEEP, |at| {
            hypermesh_planner::backoff::between(Timestamp::now(), at).min(LONGEST_SLEEP)
        });
        tokio::select! {
            // Without who orders, the agent ends, and this task is about to: what runs goes on.
            Some(order) = self.orders.recv() => self.take_order(order),
            Some(news) = self.news.1.recv() => {
                self.hear(news);
                // What has happened meanwhile needs no plan of its own.
                while let Ok(news) = self.news.1.try_recv() {
                    self.hear(news);
                }
                self.keep();
            }
            () = self.objects.changed() => {
                self.record.retry_now();
                self.refresh();
            }
            // What may open a registry has come, or has changed.
            () = self.pull_secrets.changed() => self.record.retry_images(),
            // Its ports may be reached otherwise than before, which is told.
            Ok(()) = self.host.serving.changed() => {}
            () = tokio::time::sleep(sleep.max(Duration::from_millis(1))) => {
                if renew.is_some_and(|at| at <= Timestamp::now()) {
                    self.refresh();
                }
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            // It is being removed, or was: that its shim goes is what was asked for.
            News::Lost(generation)
                if self.record.sandbox.stage.busy || generation != self.record.sandbox.generation => {}
            News::Lost(_) => self.take_in(Outcome::SandboxGone("its shim is gone".to_owned())),
            News::Outcome(outcome) => self.take_in(outcome),
            News::Sandbox { sandbox, attached } => {
                self.watch_sandbox(Arc::clone(&sandbox));
                self.sandbox = Some(sandbox);
                let addresses = attached.addresses();
                self.attached = attached;
                self.take_in(Outcome::SandboxReady(addresses));
            }
            // Who supervises this worker begins it again, from what is kept.
            News::Panicked(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Begins some work, beside this worker. What comes of it is sent as news, its panic too.
    fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let news = self.news.0.clone();
        tokio::spawn(async move {
            if let Err(panic) = catching(work).await {
                let _ = news.send(News::Panicked(panic));
            }
        });
    }

    fn take_order(&mut self, order: Order) {
        match order {
            Order::Wanted(instance) => {
                self.instance = instance;
                self.confirmed = true;
            }
            Order::Evict(message) if self.record.eviction.is_none() => {
                self.host.metrics.count(Family::Evicted, "");
                self.announce(vec![Notice {
                    gravity: hypermesh_planner::Gravity::Warning,
                    container: None,
                    reason: "Evicted",
                    message: message.clone(),
                }]);
                self.record.eviction = Some(hypermesh_planner::Eviction { at: Timestamp::now(), message });
                self.keep();
            }
            Order::Evict(_) => {}
            Order::Images => self.record.retry_images(),
            Order::TellAgain => {
                self.teller.forget();
                // What is the same as before would not be told.
                self.status = Arc::new(InstanceStatus { phase: None, ..InstanceStatus::clone(&self.status) });
            }
        }
        self.ending.send_replace(self.instance.ending.is_some() || self.record.eviction.is_some());
    }

    fn take_in(&mut self, outcome: Outcome) {
        if outcome == Outcome::SandboxRemoved {
            self.sandbox = None;
            self.attached = Attached::default();
        }
        tracing::debug!(instance = %self.instance.name, ?outcome, "it was learnt");
        self.host.metrics.learn(&self.record, &outcome);
        let notices = self.record.learn(&self.instance, outcome, Timestamp::now());
        self.announce(notices);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let now = Timestamp::now();
        for action in &actions {
            let notices = self.record.begin(&self.instance, action, now);
            self.announce(notices);
        }
        // It is on disk before it is done: who comes after a crash looks for it.
        self.keep();
        for action in actions {
            tracing::debug!(instance = %self.instance.name, ?action, "it is begun");
            self.act(action);
        }
    }

    fn announce(&self, notices: Vec<Notice>) {
        for notice in notices {
            self.host.announcer.instance(&self.instance, notice);
        }
    }

    fn keep(&self) {
        if let Err(error) = keeping::keep_record(&self.host.layout, &self.instance.uid, &self.record) {
            tracing::warn!(instance = %self.instance.name, error = chain(&error), "what was observed cannot be kept");
        }
    }

    /// Tells what has changed.
    fn tell(&mut self) {
        let unpublished = self.host.serving.borrow_and_update().problem(&self.instance);
        let surroundings = Surroundings {
            host_ip: *self.host.address.borrow(),
            unpublished: unpublished.as_ref().map(|(reason, message)| Unpublished { reason, message }),
            previous: Some(&self.status),
        };
        let status = status(&self.instance, &self.record, surroundings, Timestamp::now());
        if status != *self.status {
            self.status = Arc::new(status);
            self.teller.tell(Arc::clone(&self.status));
        }
        let view = View {
            instance: Arc::clone(&self.instance),
            status: Arc::clone(&self.status),
            record: Arc::new(self.record.clone()),
            sandbox: self.sandbox.clone(),
            place: self.place(),
        };
        self.view.send_replace(Some(view));
    }

    fn place(&self) -> Place {
        let own = || self.sandbox.as_ref().and_then(|sandbox| sandbox.network_namespace());
        let address = self.attached.ipv4.map(Into::into).or(self.attached.ipv6.map(Into::into));
        let namespace = self.attached.namespace.clone().or_else(own);
        Place { namespace, address, sandbox: self.sandbox.clone() }
    }

    /// Takes up what runs since before the agent started.
    async fn resume(&mut self) {
        self.record.resume();
        if !self.record.sandbox.stage.begun {
            return;
        }
        // At the agent's start this was done for all.
        if self.again
            && self.sandbox.is_none()
            && let Err(why) = sandbox::sweep(&self.host, &self.instance).await
        {
            tracing::warn!(instance = %self.instance.name, why, "what was half made stays for now");
        }
        let attachment = self.attachment();
        match (&self.sandbox, self.host.connectivity.attach(&attachment).await) {
            (Some(sandbox), Ok(attached)) => {
                self.attached = attached;
                self.record.sandbox.stage.ready = true;
                self.watch_sandbox(Arc::clone(sandbox));
                self.resume_runs(&Arc::clone(sandbox));
                self.confirmed |= self.any_alive();
            }
            (None, _) if self.record.sandbox.stage.ready || self.any_alive() => {
                let lost = Outcome::SandboxGone("it was not there when the agent started".to_owned());
                self.take_in(lost);
            }
            (None, _) => {}
            (Some(_), Err(error)) => {
                self.take_in(Outcome::SandboxGone(format!("its network is gone: {}", chain(&error))));
            }
        }
        self.keep();
    }

    fn any_alive(&self) -> bool {
        self.record.containers.values().any(|container| container.run.is_alive())
    }

    fn resume_runs(&mut self, sandbox: &Arc<dyn Sandbox>) {
        let runs: BTreeMap<String, (u32, Run)> = self
            .record
            .containers
            .iter()
            .map(|(name, container)| (name.clone(), (container.attempt, container.run.clone())))
            .collect();
        for (name, (attempt, run)) in runs {
            let found = run_id(&name, attempt).and_then(|id| sandbox.container(&id));
            match (run, found) {
                (Run::Exited(_), _) | (Run::None, None) => {}
                (Run::None, Some(found)) => {
                    // It was begun, and nobody was there to be told.
                    if found.state().started_at.is_some() {
                        if let Some(container) = self.record.containers.get_mut(&name) {
                            container.run = Run::Starting;
                        }
                        self.take_in(act::started(&name, attempt, &found, &self.instance));
                        self.watch_run(&name, attempt, found);
                    }
                }
                (Run::Running { .. } | Run::Starting, Some(found)) => self.watch_run(&name, attempt, found),
                (Run::Running { id, since }, None) => {
                    let message = Some("it was not there when the agent started".to_owned());
                    let exit = Exit {
                        id,
                        code: 137,
                        signal: None,
                        reason: ExitReason::Lost,
                        message,
                        started: since,
                        finished: Timestamp::now(),
                    };
                    self.take_in(Outcome::Exited { container: name, attempt, exit });
                }
                (Run::Starting, None) => {}
            }
        }
    }

    /// Nothing of it is left here but its files.
    async fn end(mut self) {
        self.tell();
        let layout = &self.host.layout;
        let logs = layout.logs_of(&self.instance.namespace, &self.instance.name, &self.instance.uid);
        let mut pause = Duration::from_millis(200);
        self.teller.finish().await;
        loop {
            match self.host.api.release(&self.instance).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(instance = %self.instance.name, error = chain(&error), "it is tried again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
            }
        }
        let _ = std::fs::remove_dir_all(logs);
        if let Err(error) = keeping::forget(layout, &self.instance.uid) {
            tracing::warn!(instance = %self.instance.name, error = chain(&error), "its folder cannot be removed");
        }
        self.view.send_replace(None);
    }
}
