//! Messages of `certificates.k8s.io/v1`.

use super::ToJson;
use super::json::Object;
use super::meta::object_meta;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_pb::api::certificates::v1 as certificates;
use serde_json::{Map, Value};

impl ToJson for certificates::CertificateSigningRequest {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .nested("spec", &self.spec, |spec| {
                let mut object = Object::new()
                    .text("signerName", &spec.signer_name)
                    .pointer("expirationSeconds", &spec.expiration_seconds)
                    .texts("usages", &spec.usages)
                    .text("username", &spec.username)
                    .text("uid", &spec.uid)
                    .texts("groups", &spec.groups);
                bytes(&mut object, "request", &spec.request);
                if !spec.extra.is_empty() {
                    let extra: Map<String, Value> = spec
                        .extra
                        .iter()
                        .map(|(key, value)| (key.clone(), value.items.as_slice().into()))
                        .collect();
                    object.set("extra", extra);
                }
                object
            })
            .nested("status", &self.status, |status| {
                let mut object = Object::new().list("conditions", &status.conditions, |condition| {
                    Object::new()
                        .text("type", &condition.r#type)
                        .text("status", &condition.status)
                        .text("reason", &condition.reason)
                        .text("message", &condition.message)
                        .time("lastUpdateTime", &condition.last_update_time)
                        .time("lastTransitionTime", &condition.last_transition_time)
                });
                bytes(&mut object, "certificate", &status.certificate);
                object
            }))
    }
}

fn bytes(object: &mut Object, key: &str, value: &Option<Vec<u8>>) {
    if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
        object.set(key, STANDARD.encode(value));
    }
}
