//! The life of instances: stories that people know from Kubernetes, and what holds in every story.

mod stories;
mod world;

use crate::{Instance, InstanceUid};
use hypermesh_schemas::instance::InstanceSpec;
use serde_json::{Value, json};

/// An instance of what is run.
pub fn instance(pod: Value) -> Instance {
    let spec: InstanceSpec = serde_json::from_value(json!({
        "workload": "web", "revision": "1", "nodeName": "node-1", "pod": pod,
    }))
    .unwrap();
    Instance {
        uid: InstanceUid::parse("0a").unwrap(),
        namespace: "default".into(),
        name: "web-1".into(),
        labels: [("app".to_owned(), "web".to_owned())].into(),
        annotations: Default::default(),
        generation: 1,
        spec,
        ending: None,
    }
}
