//! What a Workload has: its instances, its revisions, the runs of its schedule, and what its template refers to where
//! that is to be copied.

use super::member::{Instance, Member};
use super::object::{self, Workload};
use super::reference::{self, Kind, Reference};
use super::revision::{self, Record};
use super::schedule::Run;
use super::{SNAPSHOT_OF, WORKLOAD, holders, instances, revisions, template, workloads};
use crate::runtime::{Context, Failure, Key, Subject};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, DeserializeGuard, ObjectList, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Objects that are listed at once.
const PAGE: u32 = 500;
/// Kinds of Secrets that somebody renews: what they held once is of no use later.
const RENEWED: [&str; 5] = [
    "kubernetes.io/tls",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
];

/// What a ConfigMap or Secret holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// Data, to be copied.
    Data(Value),
    /// Nothing to be copied: it is a copy itself, or somebody renews it.
    AsItIs,
    /// There is none.
    Missing,
}

/// What a Workload has.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When this was seen.
    pub now: Timestamp,
    /// The revision of its template.
    pub revision: String,
    /// Its instances.
    pub members: Vec<Member>,
    /// Its revisions.
    pub records: Vec<Record>,
    /// What its template refers to, where it has to be copied.
    pub held: BTreeMap<Reference, Held>,
    /// The runs of its schedule.
    pub runs: Vec<Run>,
}

pub(super) async fn dereference(
    context: &Context,
    subject: &Subject<Workload>,
    schema: &Value,
) -> Result<Observed, Failure> {
    let now = context.now();
    let made_of = &subject.object.spec.template;
    let mut observed = Observed { now, revision: template::revision(made_of, schema), ..Observed::default() };
    if subject.deleting() {
        return Ok(observed);
    }
    if subject.object.spec.schedule.is_some() {
        observed.runs = runs(context, subject, now).await?;
        return Ok(observed);
    }
    observed.members = members(context, subject, now).await?;
    if subject.object.spec.job.is_none() {
        observed.records = records(context, subject).await?;
        observed.held = held(context, subject, &observed).await?;
    }
    Ok(observed)
}

async fn members(
    context: &Context,
    subject: &Subject<Workload>,
    now: Timestamp,
) -> Result<Vec<Member>, Failure> {
    let params = ListParams::default().fields(&format!("spec.workload={}", subject.key.name));
    let found: Vec<DeserializeGuard<Instance>> = list(context, &instances(), subject, params).await?;
    let members = found.into_iter().filter_map(|instance| match instance.0 {
        Ok(instance) => belongs(&instance.metadata, subject).then(|| Member::of(&instance, now)),
        // It is there: it takes a place until somebody mends or deletes it.
        Err(malformed) => {
            belongs(&malformed.metadata, subject).then(|| Member::known(&malformed.metadata, now))
        }
    });
    Ok(members.collect())
}

async fn records(context: &Context, subject: &Subject<Workload>) -> Result<Vec<Record>, Failure> {
    let params = ListParams::default().labels(&format!("{WORKLOAD}={}", subject.key.name));
    let found: Vec<ControllerRevision> = list(context, &revisions(), subject, params).await?;
    Ok(found.into_iter().filter(|found| belongs(&found.metadata, subject)).filter_map(Record::of).collect())
}

async fn runs(context: &Context, subject: &Subject<Workload>, now: Timestamp) -> Result<Vec<Run>, Failure> {
    let params = ListParams::default().labels(&format!("{}={}", super::schedule::SCHEDULE, subject.key.name));
    let found: Vec<DeserializeGuard<Workload>> = list(context, &workloads(), subject, params).await?;
    let mine = found.into_iter().filter_map(|run| run.0.ok()).filter(|run| belongs(&run.metadata, subject));
    Ok(mine.filter_map(|run| Run::of(&run, now)).collect())
}

/// What the template refers to, if a copy of it may be missing: while its revision is new, comes back, or is on its way.
async fn held(
    context: &Context,
    subject: &Subject<Workload>,
    observed: &Observed,
) -> Result<BTreeMap<Reference, Held>, Failure> {
    let record = observed.records.iter().find(|record| record.revision == observed.revision);
    let newest = observed.records.iter().map(|record| record.number).max();
    let comes_back = record.is_none_or(|record| Some(record.number) != newest);
    let current = subject.object.status.as_ref().and_then(|status| status.current_revision.as_deref());
    if !comes_back && current == Some(observed.revision.as_str()) {
        return Ok(BTreeMap::new());
    }
    let known = |reference: &Reference| {
        let mut copies = record.into_iter().flat_map(|record| &record.snapshots);
        !comes_back && copies.any(|copy| copy.kind == reference.kind && copy.name == reference.name)
    };
    let mut held = BTreeMap::new();
    for reference in reference::references(&subject.object.spec.template) {
        if !known(&reference) {
            let found = read(context, subject, &reference).await?;
            held.insert(reference, found);
        }
    }
    Ok(held)
}

async fn read(
    context: &Context,
    subject: &Subject<Workload>,
    reference: &Reference,
) -> Result<Held, Failure> {
    let key = Key::namespaced(subject.key.namespace.as_deref().unwrap_or_default(), &reference.name);
    let Some(object) = context.get::<Value>(&holders(reference.kind), &key).await? else {
        return Ok(Held::Missing);
    };
    let is_copy = object.pointer("/metadata/labels").is_some_and(|labels| labels.get(SNAPSHOT_OF).is_some());
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let owned = owners
        .into_iter()
        .flatten()
        .any(|owner| owner.get("uid").and_then(Value::as_str) == Some(object::uid(subject)));
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    if (is_copy && owned) || (reference.kind == Kind::Secret && RENEWED.contains(&kind)) {
        return Ok(Held::AsItIs);
    }
    Ok(Held::Data(revision::contents(&object)))
}

/// Whether an object is this very Workload's.
fn belongs(meta: &ObjectMeta, subject: &Subject<Workload>) -> bool {
    let mut owners = meta.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == object::uid(subject))
}

/// All objects that a selector finds in the Workload's namespace.
async fn list<K: DeserializeOwned + Clone>(
    context: &Context,
    of: &ApiResource,
    subject: &Subject<Workload>,
    params: ListParams,
) -> Result<Vec<K>, Failure> {
    let action = || format!("list {} of {}", of.plural, subject.key);
    let place = Request::new(DynamicObject::url_path(of, subject.key.namespace.as_deref()));
    let mut params = params.limit(PAGE);
    let mut all = Vec::new();
    loop {
        let request =
            place.list(&params).map_err(|error| Failure::of(action())(kube::Error::BuildRequest(error)))?;
        let page: ObjectList<K> = context.client.request(request).await.map_err(Failure::of(action()))?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
