//! Messages of `rbac.authorization.k8s.io/v1`.

use super::ToJson;
use super::json::Object;
use super::meta::{label_selector, object_meta};
use k8s_pb::api::rbac::v1 as rbacv1;

fn rule(rule: &rbacv1::PolicyRule) -> Object {
    Object::new()
        .texts("verbs", &rule.verbs)
        .texts("apiGroups", &rule.api_groups)
        .texts("resources", &rule.resources)
        .texts("resourceNames", &rule.resource_names)
        .texts("nonResourceURLs", &rule.non_resource_ur_ls)
}

fn subject(subject: &rbacv1::Subject) -> Object {
    Object::new()
        .text("kind", &subject.kind)
        .text("apiGroup", &subject.api_group)
        .text("name", &subject.name)
        .text("namespace", &subject.namespace)
}

fn role_ref(role: &rbacv1::RoleRef) -> Object {
    Object::new().text("apiGroup", &role.api_group).text("kind", &role.kind).text("name", &role.name)
}

impl ToJson for rbacv1::Role {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.list("rules", &self.rules, rule))
    }
}

impl ToJson for rbacv1::ClusterRole {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.list("rules", &self.rules, rule).optional(
            "aggregationRule",
            &self.aggregation_rule,
            |aggregation| {
                Object::new().list(
                    "clusterRoleSelectors",
                    &aggregation.cluster_role_selectors,
                    label_selector,
                )
            },
        ))
    }
}

impl ToJson for rbacv1::RoleBinding {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.list("subjects", &self.subjects, subject).nested(
            "roleRef",
            &self.role_ref,
            role_ref,
        ))
    }
}

impl ToJson for rbacv1::ClusterRoleBinding {
    fn to_json(&self) -> Result<Object, String> {
        Ok(object_meta(Object::new(), &self.metadata)?.list("subjects", &self.subjects, subject).nested(
            "roleRef",
            &self.role_ref,
            role_ref,
        ))
    }
}
