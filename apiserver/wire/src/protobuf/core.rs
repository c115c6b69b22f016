//! Messages of `core/v1`, `events.k8s.io/v1` and `coordination.k8s.io/v1`.

use super::ToJson;
use super::json::Object;
use super::meta::object_meta;
use k8s_pb::api::{coordination::v1 as coordination, core::v1 as corev1, events::v1 as events};
use k8s_pb::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl ToJson for corev1::Namespace {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .nested("spec", &self.spec, |spec| Object::new().texts("finalizers", &spec.finalizers))
            .nested("status", &self.status, |status| {
                Object::new().text("phase", &status.phase).list(
                    "conditions",
                    &status.conditions,
                    |condition| {
                        Object::new()
                            .text("type", &condition.r#type)
                            .text("status", &condition.status)
                            .time("lastTransitionTime", &condition.last_transition_time)
                            .text("reason", &condition.reason)
                            .text("message", &condition.message)
                    },
                )
            }))
    }
}

impl ToJson for corev1::Secret {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .pointer("immutable", &self.immutable)
            .bytes_map("data", &self.data)
            .text_map("stringData", &self.string_data)
            .text("type", &self.r#type))
    }
}

impl ToJson for corev1::ConfigMap {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .pointer("immutable", &self.immutable)
            .text_map("data", &self.data)
            .bytes_map("binaryData", &self.binary_data))
    }
}

impl ToJson for corev1::ServiceAccount {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .list("secrets", &self.secrets, object_reference)
            .list("imagePullSecrets", &self.image_pull_secrets, |local| {
                Object::new().text("name", &local.name)
            })
            .pointer("automountServiceAccountToken", &self.automount_service_account_token))
    }
}

impl ToJson for corev1::ResourceQuota {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .nested("spec", &self.spec, |spec| {
                quantities(Object::new(), "hard", &spec.hard).texts("scopes", &spec.scopes).optional(
                    "scopeSelector",
                    &spec.scope_selector,
                    |selector| {
                        Object::new().list("matchExpressions", &selector.match_expressions, |requirement| {
                            Object::new()
                                .text("scopeName", &requirement.scope_name)
                                .text("operator", &requirement.operator)
                                .texts("values", &requirement.values)
                        })
                    },
                )
            })
            .nested("status", &self.status, |status| {
                quantities(quantities(Object::new(), "hard", &status.hard), "used", &status.used)
            }))
    }
}

/// Quantities travel as their text.
fn quantities(mut object: Object, key: &str, values: &BTreeMap<String, Quantity>) -> Object {
    if !values.is_empty() {
        let map: Map<String, Value> = values
            .iter()
            .map(|(name, quantity)| (name.clone(), quantity.string.as_deref().unwrap_or("0").into()))
            .collect();
        object.set(key, map);
    }
    object
}

fn object_reference(reference: &corev1::ObjectReference) -> Object {
    Object::new()
        .text("kind", &reference.kind)
        .text("namespace", &reference.namespace)
        .text("name", &reference.name)
        .text("uid", &reference.uid)
        .text("apiVersion", &reference.api_version)
        .text("resourceVersion", &reference.resource_version)
        .text("fieldPath", &reference.field_path)
}

fn event_source(source: &corev1::EventSource) -> Object {
    Object::new().text("component", &source.component).text("host", &source.host)
}

impl ToJson for corev1::Event {
    fn to_json(&self) -> Result<Object, String> {
        let mut object = object_meta(Object::new(), &self.metadata)?
            .text("reason", &self.reason)
            .text("message", &self.message)
            .nested("source", &self.source, event_source)
            .time("firstTimestamp", &self.first_timestamp)
            .time("lastTimestamp", &self.last_timestamp)
            .number("count", self.count)
            .text("type", &self.r#type)
            .micro_time("eventTime", &self.event_time)
            .optional("series", &self.series, |series| {
                Object::new()
                    .number("count", series.count)
                    .micro_time("lastObservedTime", &series.last_observed_time)
            })
            .text("action", &self.action)
            .optional("related", &self.related, object_reference)
            .text("reportingComponent", &self.reporting_component)
            .text("reportingInstance", &self.reporting_instance);
        // Required by the kind, so there even where nothing is known of it.
        object.set("involvedObject", self.involved_object.as_ref().map(object_reference).unwrap_or_default());
        Ok(object)
    }
}

impl ToJson for events::Event {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .micro_time("eventTime", &self.event_time)
            .optional("series", &self.series, |series| {
                Object::new()
                    .number("count", series.count)
                    .micro_time("lastObservedTime", &series.last_observed_time)
            })
            .text("reportingController", &self.reporting_controller)
            .text("reportingInstance", &self.reporting_instance)
            .text("action", &self.action)
            .text("reason", &self.reason)
            .nested("regarding", &self.regarding, object_reference)
            .optional("related", &self.related, object_reference)
            .text("note", &self.note)
            .text("type", &self.r#type)
            .nested("deprecatedSource", &self.deprecated_source, event_source)
            .time("deprecatedFirstTimestamp", &self.deprecated_first_timestamp)
            .time("deprecatedLastTimestamp", &self.deprecated_last_timestamp)
            .number("deprecatedCount", self.deprecated_count))
    }
}

impl ToJson for coordination::Lease {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.optional("spec", &self.spec, |spec| {
            Object::new()
                .pointer("holderIdentity", &spec.holder_identity)
                .pointer("leaseDurationSeconds", &spec.lease_duration_seconds)
                .micro_time("acquireTime", &spec.acquire_time)
                .micro_time("renewTime", &spec.renew_time)
                .pointer("leaseTransitions", &spec.lease_transitions)
                .pointer("strategy", &spec.strategy)
                .pointer("preferredHolder", &spec.preferred_holder)
        }))
    }
}
