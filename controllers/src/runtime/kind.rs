//! Our kinds as the API machinery of clients names them.

use hypermesh_schemas::{GROUP, KindDefinition, VERSION};
use kube::core::ApiResource;

/// How objects of a kind are reached.
pub fn resource(kind: &KindDefinition) -> ApiResource {
    let api_version =
        if kind.group.is_empty() { kind.version.clone() } else { format!("{}/{}", kind.group, kind.version) };
    ApiResource {
        group: kind.group.clone(),
        version: kind.version.clone(),
        api_version,
        kind: kind.names.kind.clone(),
        plural: kind.names.plural.clone(),
    }
}

/// How Workloads are reached. Of the kinds that controllers ask for all the time the names alone are needed: a definition makes
/// the whole schema, a megabyte of it.
pub fn workloads() -> ApiResource {
    ours("Workload", "workloads")
}

/// How Instances are reached.
pub fn instances() -> ApiResource {
    ours("Instance", "instances")
}

/// How our Nodes are reached.
pub fn nodes() -> ApiResource {
    ours("Node", "nodes")
}

/// How Identities are reached.
pub fn identities() -> ApiResource {
    ours("Identity", "identities")
}

fn ours(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::Resource as _;
    use kube::core::DynamicObject;

    #[test]
    fn names_are_those_of_the_definitions() {
        use hypermesh_schemas::{identity, instance, node, workload};
        for (named, definition) in [
            (workloads(), workload::definition()),
            (instances(), instance::definition()),
            (nodes(), node::definition()),
            (identities(), identity::definition()),
        ] {
            assert_eq!(named, resource(&definition));
        }
    }

    #[test]
    fn every_kind_is_reached_where_it_is_served() {
        let paths: Vec<String> = hypermesh_schemas::definitions()
            .iter()
            .map(|kind| DynamicObject::url_path(&resource(kind), Some("n")))
            .collect();
        assert!(paths.contains(&"/apis/hypermesh.online/v1/namespaces/n/workloads".to_owned()), "{paths:?}");
        assert!(paths.contains(&"/api/v1/namespaces/n/configmaps".to_owned()), "{paths:?}");
    }
}
