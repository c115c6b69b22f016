//! CustomResourceDefinitions: to a kind, to what is served of the kind, and back. A definition and an object.

use crate::input::{json, parts};
use hypermesh_pipeline::Kind;
use hypermesh_schemas::KindDefinition;
use hypermesh_wire::gnostic::Form;
use hypermesh_wire::{Catalog, IncludeObject, Root, TableFormat, aggregated, api_resource_list, openapi};
use serde_json::Value;

/// Defines a kind, and shows an object of it.
pub fn target(data: &[u8]) {
    let [manifest, object] = parts(data);
    let Some(manifest) = json(manifest) else { return };
    let Ok(definition) = KindDefinition::from_crd(&manifest) else { return };
    let again = KindDefinition::from_crd(&definition.to_crd()).expect("what is written is read");
    assert_eq!(again.names, definition.names);
    assert_eq!(
        (&again.group, &again.version, again.scope),
        (&definition.group, &definition.version, definition.scope)
    );
    assert_eq!(again.subresources, definition.subresources);
    assert_eq!(again.selectable_fields, definition.selectable_fields);
    // Kept in the state as JSON.
    let kept = serde_json::to_vec(&definition).expect("a definition is written");
    assert_eq!(serde_json::from_slice::<KindDefinition>(&kept).ok().as_ref(), Some(&definition));
    let Ok(kind) = Kind::compile(definition) else { return };
    documents(&kind.described());
    let Some(object) = json(object) else { return };
    let bytes = serde_json::to_vec(&object).expect("a value is written");
    for include in [IncludeObject::None, IncludeObject::Metadata, IncludeObject::Object] {
        let table = TableFormat::new(&kind.definition, include).single(&bytes, 1_767_225_600, true);
        let shown: Value = serde_json::from_slice(&table).expect("a table is JSON");
        let columns = shown["columnDefinitions"].as_array().map(Vec::len);
        let cells = shown.pointer("/rows/0/cells").and_then(Value::as_array).map(Vec::len);
        assert_eq!(columns, cells, "a cell for each column");
    }
}

/// Every document that names the kind is JSON.
fn documents(definition: &KindDefinition) {
    let catalog = Catalog::new([definition], []);
    let (group, version) = (&definition.group, &definition.version);
    let shown = [
        Some(aggregated(&catalog, Root::Apis)),
        api_resource_list(&catalog, group, version),
        openapi::document(&catalog, group, version, Form::Json),
        Some(openapi::index(&catalog)),
    ];
    for document in shown.into_iter().flatten() {
        assert!(serde_json::from_slice::<Value>(&document).is_ok());
    }
    // The other form is of the same kinds.
    let packed = openapi::document(&catalog, group, version, Form::Protobuf);
    assert!(packed.is_some_and(|packed| packed.starts_with(b"\x0a\x053.0.0")));
}
