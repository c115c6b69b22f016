//! Messages of `authentication.k8s.io/v1`. A review's status is the server's answer, so that of a request is dropped.

use super::ToJson;
use super::json::Object;
use super::meta::object_meta;
use k8s_pb::api::authentication::v1 as authentication;

impl ToJson for authentication::SelfSubjectReview {
    fn to_json(&self) -> Result<Object, String> {
        object_meta(Object::new(), &self.metadata)
    }
}

impl ToJson for authentication::TokenReview {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.optional("spec", &self.spec, |spec| {
            Object::new().text("token", &spec.token).texts("audiences", &spec.audiences)
        }))
    }
}

impl ToJson for authentication::TokenRequest {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.optional("spec", &self.spec, |spec| {
            Object::new()
                .texts("audiences", &spec.audiences)
                .pointer("expirationSeconds", &spec.expiration_seconds)
                .optional("boundObjectRef", &spec.bound_object_ref, |bound| {
                    Object::new()
                        .text("kind", &bound.kind)
                        .text("apiVersion", &bound.api_version)
                        .text("name", &bound.name)
                        .text("uid", &bound.u_id)
                })
        }))
    }
}
