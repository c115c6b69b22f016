//! Tells the API server how an instance does: the newest status, one write at a time, and only what has changed.

use crate::api::NodeApi;
use crate::failure::chain;
use hypermesh_planner::Instance;
use hypermesh_schemas::instance::InstanceStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the last status of an instance may take to be told.
const LAST: Duration = Duration::from_secs(5);

/// Tells of one instance.
pub(super) struct Teller {
    newest: watch::Sender<Option<Arc<InstanceStatus>>>,
    again: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Teller {
    pub fn start(api: NodeApi, instance: &Arc<Instance>, told: Option<InstanceStatus>) -> Self {
        let (newest, changes) = watch::channel(None);
        let again = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(tell_all(api, Arc::clone(instance), told, changes, Arc::clone(&again)));
        Self { newest, again, task }
    }

    /// What was told last counts no more.
    pub fn forget(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    pub fn tell(&self, status: Arc<InstanceStatus>) {
        self.newest.send_replace(Some(status));
    }

    /// Waits until the newest is told, within bounds.
    pub async fn finish(&mut self) {
        let (closed, _) = watch::channel(None);
        // The task ends with its sender, once it has told the newest.
        drop(std::mem::replace(&mut self.newest, closed));
        if tokio::time::timeout(LAST, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tell_all(
    api: NodeApi,
    instance: Arc<Instance>,
    told: Option<InstanceStatus>,
    mut changes: watch::Receiver<Option<Arc<InstanceStatus>>>,
    again: Arc<AtomicBool>,
) {
    let mut told = told.map(Arc::new);
    while changes.changed().await.is_ok() {
        let mut pause = Duration::from_millis(100);
        loop {
            let Some(newest) = changes.borrow_and_update().clone() else { break };
            if again.swap(false, Ordering::Relaxed) {
                told = None;
            }
            if told.as_ref() == Some(&newest) {
                break;
            }
            match api.tell_status(&instance, told.as_deref(), &newest).await {
                Ok(()) => told = Some(newest),
                // It is gone, or another has its name: there is nobody to tell of.
                Err(error) if matches!(error.code(), Some(403 | 404 | 409)) => break,
                Err(error) => {
                    tracing::warn!(instance = %instance.name, error = chain(&error), "its status is not told yet");
                    // Something newer may come meanwhile, and the end may too.
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(20));
                }
            }
        }
    }
}
