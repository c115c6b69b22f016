//! Our kinds as the API machinery of clients names them.

use hypermesh_schemas::KindDefinition;
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

#[cfg(test)]
mod tests {
    use super::*;
    use kube::Resource as _;
    use kube::core::DynamicObject;

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
