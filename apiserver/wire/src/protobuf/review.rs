//! Messages of `authorization.k8s.io/v1`. A review's status is the server's answer, so that of a request is dropped.

use super::ToJson;
use super::json::Object;
use super::meta::{label_requirement, object_meta};
use k8s_pb::api::authorization::v1 as authorization;
use serde_json::{Map, Value};

fn resource_attributes(attributes: &authorization::ResourceAttributes) -> Object {
    Object::new()
        .text("namespace", &attributes.namespace)
        .text("verb", &attributes.verb)
        .text("group", &attributes.group)
        .text("version", &attributes.version)
        .text("resource", &attributes.resource)
        .text("subresource", &attributes.subresource)
        .text("name", &attributes.name)
        .optional("fieldSelector", &attributes.field_selector, |selector| {
            Object::new().text("rawSelector", &selector.raw_selector).list(
                "requirements",
                &selector.requirements,
                |requirement| {
                    Object::new()
                        .text("key", &requirement.key)
                        .text("operator", &requirement.operator)
                        .texts("values", &requirement.values)
                },
            )
        })
        .optional("labelSelector", &attributes.label_selector, |selector| {
            Object::new().text("rawSelector", &selector.raw_selector).list(
                "requirements",
                &selector.requirements,
                label_requirement,
            )
        })
}

fn non_resource_attributes(attributes: &authorization::NonResourceAttributes) -> Object {
    Object::new().text("path", &attributes.path).text("verb", &attributes.verb)
}

fn access_spec(spec: &authorization::SubjectAccessReviewSpec) -> Object {
    let mut object = Object::new()
        .optional("resourceAttributes", &spec.resource_attributes, resource_attributes)
        .optional("nonResourceAttributes", &spec.non_resource_attributes, non_resource_attributes)
        .text("user", &spec.user)
        .texts("groups", &spec.groups)
        .text("uid", &spec.uid);
    if !spec.extra.is_empty() {
        let extra: Map<String, Value> =
            spec.extra.iter().map(|(key, value)| (key.clone(), value.items.as_slice().into())).collect();
        object.set("extra", extra);
    }
    object
}

impl ToJson for authorization::SubjectAccessReview {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.optional("spec", &self.spec, access_spec))
    }
}

impl ToJson for authorization::LocalSubjectAccessReview {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.optional("spec", &self.spec, access_spec))
    }
}

impl ToJson for authorization::SelfSubjectAccessReview {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.optional("spec", &self.spec, |spec| {
            Object::new()
                .optional("resourceAttributes", &spec.resource_attributes, resource_attributes)
                .optional("nonResourceAttributes", &spec.non_resource_attributes, non_resource_attributes)
        }))
    }
}

impl ToJson for authorization::SelfSubjectRulesReview {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?
            .optional("spec", &self.spec, |spec| Object::new().text("namespace", &spec.namespace)))
    }
}
