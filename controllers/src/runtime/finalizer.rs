//! Finalizers: an object with one stays until its controller has cleaned up after it.

use super::context::Context;
use super::failure::Failure;
use super::key::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Patch;
use kube::core::ApiResource;
use serde_json::json;

/// What a finalizer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is to be put on, before anything that needs cleaning up is made.
    Add,
    /// The object lives: reconcile it.
    Live,
    /// The object goes: clean up, then take the finalizer off.
    Cleanup,
    /// The object goes and nothing of ours is left.
    Released,
}

/// What `finalizer` asks for. Pure.
pub fn stage(meta: &ObjectMeta, finalizer: &str) -> Stage {
    let held = meta.finalizers.iter().flatten().any(|held| held == finalizer);
    match (meta.deletion_timestamp.is_some(), held) {
        (false, false) => Stage::Add,
        (false, true) => Stage::Live,
        (true, true) => Stage::Cleanup,
        (true, false) => Stage::Released,
    }
}

/// Puts the finalizer on, or takes it off, if the object is still the revision that was read.
pub async fn write(
    context: &Context,
    resource: &ApiResource,
    key: &Key,
    meta: &ObjectMeta,
    finalizer: &str,
    held: bool,
) -> Result<(), Failure> {
    let others = meta.finalizers.iter().flatten().filter(|other| *other != finalizer).cloned();
    let mut finalizers: Vec<String> = others.collect();
    if held {
        finalizers.push(finalizer.to_owned());
    }
    let patch = json!({"metadata": {
        "finalizers": finalizers,
        "resourceVersion": meta.resource_version,
        "uid": meta.uid,
    }});
    context.patch(resource, key, None, &Patch::Merge(patch)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    #[test]
    fn the_finalizer_comes_first_and_goes_last() {
        let mut meta = ObjectMeta::default();
        assert_eq!(stage(&meta, "f"), Stage::Add);
        meta.finalizers = Some(vec!["other".to_owned(), "f".to_owned()]);
        assert_eq!(stage(&meta, "f"), Stage::Live);
        meta.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(stage(&meta, "f"), Stage::Cleanup);
        meta.finalizers = Some(vec!["other".to_owned()]);
        assert_eq!(stage(&meta, "f"), Stage::Released);
    }
}
