//! What the scheduler writes: where an instance goes, or in its status why nowhere.

use super::cluster::Kind;
use super::plan::{Choice, Refusal};
use crate::runtime::announce::{Gravity, Note};
use crate::runtime::conditions::{self, Condition, Holds};
use crate::runtime::{Context, Failure, Key};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::Patch;
use serde_json::{Value, json};

/// The condition of an instance that says whether it has a place.
pub const CONDITION: &str = "PodScheduled";
/// The annotation of an instance that says why it is where it is. The node writes the condition too, in its own words.
pub const BECAUSE: &str = "hypermesh.online/placed-because";
/// The finalizer of an instance that is bound: its node takes it off once nothing of the instance is left there.
pub const FINALIZER: &str = "node.hypermesh.online/running";
/// The field manager of it: it shares an instance's status with others.
const MANAGER: &str = "nexus-scheduler";
/// The longest message of a condition, in bytes.
const LONGEST: usize = 2_048;

/// The very object that was judged.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Its uid.
    pub uid: String,
    /// Its revision.
    pub version: String,
    /// Its generation.
    pub generation: Option<i64>,
    /// The finalizers that it has.
    pub finalizers: Vec<String>,
    /// The conditions that it has.
    pub conditions: Vec<Value>,
}

impl Judged {
    fn reference(&self, key: &Key) -> ObjectReference {
        let resource = Kind::Instance.resource();
        ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            name: Some(key.name.to_string()),
            namespace: key.namespace.as_deref().map(str::to_owned),
            uid: Some(self.uid.clone()),
            resource_version: Some(self.version.clone()),
            field_path: None,
        }
    }
}

/// Binds an instance, if it is still the one that was judged. From then on it goes when its node has let it go.
pub async fn bind(context: &Context, key: &Key, judged: &Judged, choice: &Choice) -> Result<(), Failure> {
    let mut finalizers = judged.finalizers.clone();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    let patch = json!({
        "metadata": {
            "uid": judged.uid,
            "resourceVersion": judged.version,
            "annotations": {BECAUSE: choice.to_string()},
            "finalizers": finalizers,
        },
        "spec": {"nodeName": &*choice.node},
    });
    context.patch(&Kind::Instance.resource(), key, None, &Patch::Merge(patch)).await
}

/// Says why an instance is where it is. It is there whether or not this can be written.
pub async fn tell_bound(context: &Context, key: &Key, judged: &Judged, choice: &Choice) {
    let message = choice.to_string();
    let note = Note {
        gravity: Gravity::Normal,
        action: "Bind",
        reason: "Scheduled".to_owned(),
        message: format!("bound to {}: {message}", choice.node),
        counted: false,
    };
    let condition = Condition { kind: CONDITION, status: Holds::True, reason: "Scheduled".into(), message };
    // Binding it was a change of its spec.
    let generation = judged.generation.map(|generation| generation.saturating_add(1));
    let told = tell(context, key, judged, condition, generation);
    let about = judged.reference(key);
    let (told, ()) = tokio::join!(told, context.announcer.tell(&about, note, context.now()));
    if let Err(failure) = told {
        let error = crate::runtime::failure::chain(&failure);
        tracing::debug!(instance = %key, error, "why an instance is where it is was not written");
    }
}

/// Says why an instance waits, if it does not say so already. True if it was written.
pub async fn tell_waits(
    context: &Context,
    key: &Key,
    judged: &Judged,
    refusal: &Refusal,
) -> Result<bool, Failure> {
    let message = refusal.to_string();
    let note = Note {
        gravity: Gravity::Warning,
        action: "Bind",
        reason: "FailedScheduling".to_owned(),
        message: message.clone(),
        counted: false,
    };
    let condition =
        Condition { kind: CONDITION, status: Holds::False, reason: "Unschedulable".into(), message };
    let wrote = tell(context, key, judged, condition, judged.generation).await?;
    if wrote {
        context.announcer.tell(&judged.reference(key), note, context.now()).await;
    }
    Ok(wrote)
}

async fn tell(
    context: &Context,
    key: &Key,
    judged: &Judged,
    mut condition: Condition,
    generation: Option<i64>,
) -> Result<bool, Failure> {
    if condition.message.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| condition.message.is_char_boundary(*at)).unwrap_or_default();
        condition.message.truncate(end);
    }
    let settled = conditions::settle(&judged.conditions, &condition, generation, context.now());
    let Some(condition) = settled else { return Ok(false) };
    let resource = Kind::Instance.resource();
    let mut apply = conditions::apply(&resource.api_version, &resource.kind, &key.name, &[condition]);
    apply["metadata"]["uid"] = judged.uid.as_str().into();
    context.apply_status(&resource, key, MANAGER, &apply).await.map(|()| true)
}
