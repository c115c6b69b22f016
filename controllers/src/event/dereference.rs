//! The oldest Events of a namespace, at bounded memory.

use super::BATCH;
use crate::runtime::{Context, Failure, Subject};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use std::collections::BinaryHeap;

/// Events read at once.
const PAGE: u32 = 500;

/// One Event, by how long it has been as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aged {
    /// When it was last written, by the cluster's time.
    pub written: Timestamp,
    /// Its name.
    pub name: String,
    /// The very object.
    pub uid: String,
    /// Its revision.
    pub resource_version: String,
}

impl Aged {
    /// When an object was last written: a series goes on living for as long as it is counted.
    pub fn of(meta: ObjectMeta) -> Option<Self> {
        let created = meta.creation_timestamp.map(|time| time.0);
        let managed =
            meta.managed_fields.into_iter().flatten().filter_map(|entry| entry.time).map(|time| time.0);
        Some(Self {
            written: managed.chain(created).max()?,
            name: meta.name?,
            uid: meta.uid?,
            resource_version: meta.resource_version?,
        })
    }
}

/// The Events of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The time.
    pub now: Timestamp,
    /// The oldest of them, oldest first: one more than are deleted at once, if there are as many.
    pub oldest: Vec<Aged>,
}

/// Keeps the oldest.
#[derive(Debug, Default)]
pub(super) struct Oldest(BinaryHeap<Aged>);

impl Oldest {
    pub(super) fn add(&mut self, aged: Aged) {
        if self.0.len() <= BATCH {
            self.0.push(aged);
        } else if let Some(mut youngest) = self.0.peek_mut().filter(|youngest| aged < **youngest) {
            *youngest = aged;
        }
    }

    pub(super) fn sorted(self) -> Vec<Aged> {
        self.0.into_sorted_vec()
    }
}

pub(super) async fn dereference(
    context: &Context,
    subject: &Subject<Namespace>,
) -> Result<Observed, Failure> {
    let now = context.now();
    let mut oldest = Oldest::default();
    if subject.deleting() {
        return Ok(Observed { now, oldest: Vec::new() });
    }
    let name = &*subject.key.name;
    let api: Api<PartialObjectMeta<Event>> = Api::namespaced(context.client.clone(), name);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(Failure::of(format!("list events of {name}")))?;
        page.items.into_iter().filter_map(|event| Aged::of(event.metadata)).for_each(|aged| oldest.add(aged));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    Ok(Observed { now, oldest: oldest.sorted() })
}
