//! Messages of `meta/v1`.

use super::ToJson;
use super::json::Object;
use k8s_pb::apimachinery::pkg::apis::meta::v1 as metav1;
use serde_json::Value;

/// `metadata` of an object. Managed fields hold JSON of their own, which may be broken.
pub(super) fn object_meta(object: Object, meta: &Option<metav1::ObjectMeta>) -> Result<Object, String> {
    let Some(meta) = meta else { return Ok(object) };
    let fields = Object::new()
        .text("name", &meta.name)
        .text("generateName", &meta.generate_name)
        .text("namespace", &meta.namespace)
        .text("selfLink", &meta.self_link)
        .text("uid", &meta.uid)
        .text("resourceVersion", &meta.resource_version)
        .number("generation", meta.generation)
        .time("creationTimestamp", &meta.creation_timestamp)
        .time("deletionTimestamp", &meta.deletion_timestamp)
        .pointer("deletionGracePeriodSeconds", &meta.deletion_grace_period_seconds)
        .text_map("labels", &meta.labels)
        .text_map("annotations", &meta.annotations)
        .list("ownerReferences", &meta.owner_references, owner_reference)
        .texts("finalizers", &meta.finalizers)
        .try_list("managedFields", &meta.managed_fields, managed_fields)?;
    let mut object = object;
    object.set("metadata", fields);
    Ok(object)
}

fn owner_reference(owner: &metav1::OwnerReference) -> Object {
    Object::new()
        .text("apiVersion", &owner.api_version)
        .text("kind", &owner.kind)
        .text("name", &owner.name)
        .text("uid", &owner.uid)
        .pointer("controller", &owner.controller)
        .pointer("blockOwnerDeletion", &owner.block_owner_deletion)
}

fn managed_fields(entry: &metav1::ManagedFieldsEntry) -> Result<Object, String> {
    let mut object = Object::new()
        .text("manager", &entry.manager)
        .text("operation", &entry.operation)
        .text("apiVersion", &entry.api_version)
        .time("time", &entry.time)
        .text("fieldsType", &entry.fields_type)
        .text("subresource", &entry.subresource);
    if let Some(raw) = entry.fields_v1.as_ref().and_then(|fields| fields.raw.as_ref()) {
        let (fields, _) =
            hypermesh_api::decode_json(raw).map_err(|why| format!("metadata.managedFields: {why}"))?;
        object.set("fieldsV1", fields);
    }
    Ok(object)
}

pub(super) fn label_selector(selector: &metav1::LabelSelector) -> Object {
    Object::new().text_map("matchLabels", &selector.match_labels).list(
        "matchExpressions",
        &selector.match_expressions,
        label_requirement,
    )
}

pub(super) fn label_requirement(requirement: &metav1::LabelSelectorRequirement) -> Object {
    Object::new()
        .text("key", &requirement.key)
        .text("operator", &requirement.operator)
        .texts("values", &requirement.values)
}

impl ToJson for metav1::DeleteOptions {
    fn to_json(&self) -> Result<Object, String> {
        Ok(Object::new()
            .pointer("gracePeriodSeconds", &self.grace_period_seconds)
            .optional("preconditions", &self.preconditions, |preconditions| {
                Object::new()
                    .pointer("uid", &preconditions.uid)
                    .pointer("resourceVersion", &preconditions.resource_version)
            })
            .pointer("orphanDependents", &self.orphan_dependents)
            .pointer("propagationPolicy", &self.propagation_policy)
            .texts("dryRun", &self.dry_run)
            .pointer(
                "ignoreStoreReadErrorWithClusterBreakingPotential",
                &self.ignore_store_read_error_with_cluster_breaking_potential,
            ))
    }
}

impl ToJson for metav1::Status {
    fn to_json(&self) -> Result<Object, String> {
        let mut object = Object::new()
            .nested("metadata", &self.metadata, |meta| {
                Object::new()
                    .text("selfLink", &meta.self_link)
                    .text("resourceVersion", &meta.resource_version)
                    .text("continue", &meta.r#continue)
                    .pointer("remainingItemCount", &meta.remaining_item_count)
            })
            .text("status", &self.status)
            .text("message", &self.message)
            .text("reason", &self.reason)
            .number("code", self.code);
        if let Some(details) = &self.details {
            let details = Object::new()
                .text("name", &details.name)
                .text("group", &details.group)
                .text("kind", &details.kind)
                .text("uid", &details.uid)
                .list("causes", &details.causes, |cause| {
                    Object::new()
                        .text("reason", &cause.reason)
                        .text("message", &cause.message)
                        .text("field", &cause.field)
                })
                .number("retryAfterSeconds", details.retry_after_seconds);
            object.set("details", Value::from(details));
        }
        Ok(object)
    }
}
