//! Which objects go first, and that none is there twice. Pure.
//!
//! Manifests need not be in an order that works: what others live in or refer to when they are judged goes before
//! them. Within a wave objects do not depend on each other, and are sent together.

use crate::manifest::{Diagnostic, Placed};
use std::collections::{BTreeMap, btree_map::Entry};

/// Takes out objects that are given twice in the same words. Two different manifests of one object are an error: the
/// later one would undo the earlier, and the next apply would do it all again.
pub(super) fn unique(placed: Vec<Placed>) -> Result<Vec<Placed>, Vec<Diagnostic>> {
    let (mut kept, mut faults): (Vec<Placed>, _) = (Vec::with_capacity(placed.len()), Vec::new());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for item in placed {
        match seen.entry(item.path()) {
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push(item);
            }
            Entry::Occupied(taken) => {
                let first = &kept[*taken.get()];
                if first.object() != item.object() {
                    let document = &item.document;
                    let title = format!("{} is given twice, in different words", document.reference());
                    let fault = Diagnostic::at(&document.source, document.node.span, title)
                        .help(format!("the other one is at {}: keep one of them", first.document.place()));
                    faults.push(fault);
                }
            }
        }
    }
    if faults.is_empty() { Ok(kept) } else { Err(faults) }
}

/// The objects' indices, wave by wave.
pub(super) fn waves(placed: &[Placed]) -> Vec<Vec<usize>> {
    let mut waves: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (index, item) in placed.iter().enumerate() {
        waves.entry(rank(item)).or_default().push(index);
    }
    waves.into_values().collect()
}

fn rank(item: &Placed) -> u8 {
    match (item.resource.group.as_str(), item.resource.kind.as_str()) {
        ("", "Namespace") | ("apiextensions.k8s.io", _) => 0,
        // Whoever may bind a role must be able to see that there is one.
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") | ("", "ServiceAccount") => 1,
        ("rbac.authorization.k8s.io", _) | ("", "Secret" | "ConfigMap") => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{discovery::Resource, manifest};
    use std::sync::Arc;

    fn placed(text: &str) -> Vec<Placed> {
        let source = Arc::new(manifest::Source::new("x.yaml", text));
        let place = |document: manifest::Document| {
            let (group, version) = document.group_version();
            let resource = Resource {
                group: group.into(),
                version: version.into(),
                plural: document.kind.to_lowercase(),
                kind: document.kind.clone(),
                ..Resource::default()
            };
            Placed { resource, namespace: String::new(), document }
        };
        manifest::documents(&[source]).unwrap().into_iter().map(place).collect()
    }

    #[test]
    fn namespaces_come_before_what_lives_in_them() {
        let items = placed(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Namespace, \
             metadata: {name: b}}\n---\n{apiVersion: hypermesh.online/v1, kind: Workload, metadata: {name: c}}\n",
        );
        assert_eq!(waves(&items), [vec![1], vec![0], vec![2]]);
    }

    #[test]
    fn an_object_is_applied_once() {
        let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '1'}}";
        assert_eq!(unique(placed(&format!("{map}\n---\n{map}\n"))).unwrap().len(), 1);
        let faults = unique(placed(&format!("{map}\n---\n{}\n", map.replace("'1'", "'2'")))).unwrap_err();
        insta::assert_snapshot!(faults[0].render(false), @r#"
        error: ConfigMap "a" is given twice, in different words
         --> x.yaml:3:1
          |
        3 | {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '2'}}
          | ^
          |
          = help: the other one is at x.yaml:1:1: keep one of them
        "#);
    }
}
