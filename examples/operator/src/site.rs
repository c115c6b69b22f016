//! From a ConfigMap to the Workload that serves it. Pure: nothing here asks anybody.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

/// Which ConfigMaps are sites: those that have this label, whatever its value.
pub const LABEL: &str = "sites.example/site";
/// The port of the node that a site is published at.
pub const PORT: &str = "sites.example/port";
/// What became of it.
pub const STATE: &str = "sites.example/state";

/// Why a ConfigMap is no site. Trying again does not help; changing it does.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is nothing to be served.
    #[error("data has no index.html")]
    NoPage,
    /// The port is none.
    #[error("the annotation {PORT} holds {0:?}, which is no port from 1 to 65535")]
    NoPort(String),
}

/// A site, whole.
#[derive(Debug)]
pub struct Site<'a> {
    map: &'a ConfigMap,
    port: Option<u16>,
}

impl<'a> Site<'a> {
    /// Takes a ConfigMap for a site.
    pub fn of(map: &'a ConfigMap) -> Result<Self, Invalid> {
        if !map.data.as_ref().is_some_and(|data| data.contains_key("index.html")) {
            return Err(Invalid::NoPage);
        }
        let port = map.annotations().get(PORT).map(|text| match text.parse() {
            Ok(0) | Err(_) => Err(Invalid::NoPort(text.clone())),
            Ok(port) => Ok(port),
        });
        Ok(Self { map, port: port.transpose()? })
    }

    /// The Workload that serves it, and goes when it goes. Files follow the ConfigMap by themselves, so that a page that
    /// changes is no new revision.
    pub fn workload(&self, image: &str) -> Value {
        let name = self.map.name_any();
        let mut spec = json!({
            "replicas": 1,
            "template": {"spec": {
                // It does not listen when it is asked to end.
                "terminationGracePeriodSeconds": 1,
                "volumes": [{"name": "pages", "configMap": {"name": name}}],
                "containers": [{
                    "name": "httpd",
                    "image": image,
                    "command": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/pages"],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "volumeMounts": [{"name": "pages", "mountPath": "/pages", "readOnly": true}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
                    "resources": {"limits": {"memory": "32Mi"}},
                }],
            }},
        });
        if let (Some(port), Some(fields)) = (self.port, spec.as_object_mut()) {
            fields.insert("publish".to_owned(), json!([{"port": port, "targetPort": "http"}]));
        }
        json!({
            "apiVersion": "hypermesh.online/v1",
            "kind": "Workload",
            "metadata": {"name": name, "ownerReferences": [self.map.controller_owner_ref(&())]},
            "spec": spec,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> ConfigMap {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_page_is_served() {
        let map = map(json!({
            "metadata": {"name": "home", "uid": "u", "annotations": {PORT: "8081"}},
            "data": {"index.html": "hello"},
        }));
        let workload = Site::of(&map).unwrap().workload("busybox:1");
        assert_eq!(workload["spec"]["publish"], json!([{"port": 8081, "targetPort": "http"}]));
        assert_eq!(workload["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"], "home");
        let owner = &workload["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["uid"], &owner["controller"]),
            (&json!("ConfigMap"), &json!("u"), &json!(true))
        );
    }

    #[test]
    fn what_is_no_site_is_told() {
        let of = |value: Value| Site::of(&map(value)).map(drop).unwrap_err().to_string();
        assert_eq!(of(json!({"metadata": {"name": "a"}})), "data has no index.html");
        let port = |port: &str| {
            of(json!({"metadata": {"name": "a", "annotations": {PORT: port}}, "data": {"index.html": ""}}))
        };
        assert_eq!(
            port("0"),
            "the annotation sites.example/port holds \"0\", which is no port from 1 to 65535"
        );
        assert!(port("http").contains("\"http\"") && port("65536").contains("65536"));
    }
}
