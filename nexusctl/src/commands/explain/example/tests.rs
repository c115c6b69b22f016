use super::*;
use serde_json::Value;

fn resource(group: &str, version: &str, kind: &str) -> Resource {
    Resource {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        namespaced: true,
        verbs: ["create", "patch"].map(str::to_owned).to_vec(),
        ..Resource::default()
    }
}

#[test]
fn every_kind_has_an_example_that_holds() {
    for definition in hypermesh_schemas::definitions() {
        let kind = &definition.names.kind;
        // What it holds cannot be guessed.
        if kind == "CertificateSigningRequest" {
            continue;
        }
        let resource = resource(&definition.group, &definition.version, kind);
        let own = own(definition.schema.clone());
        let judge = offline::kind(&resource.api_version(), kind).unwrap();
        for path in [&[][..], &["metadata".to_owned(), "labels".to_owned()]] {
            let object = Examples::of(&own, &resource).unwrap().manifest(path).unwrap_or_default();
            assert!(has(&object, path), "{kind}: {object}");
            assert_eq!(offline::faults(&judge, object), [""; 0], "{kind}");
        }
    }
}

#[test]
fn an_example_is_what_people_write_there() {
    let resource = resource("hypermesh.online", "v1", "Workload");
    let own = own(crate::schema::Schema::built_in(&resource).unwrap().root().clone());
    let examples = Examples::of(&own, &resource).unwrap();
    let at = |path: &str, pointer: &str| {
        let fields: Vec<String> = path.split('.').map(str::to_owned).collect();
        examples.manifest(&fields).and_then(|object| object.pointer(pointer).cloned())
    };
    assert_eq!(at("spec.schedule.cron", "/spec/schedule/cron").unwrap(), "30 3 * * 1-5");
    assert_eq!(at("spec.schedule.timeZone", "/spec/schedule/timeZone").unwrap(), "Etc/UTC");
    let image = "/spec/template/spec/containers/0/image";
    assert_eq!(at("spec.template.spec.containers.image", image).unwrap(), "registry.example/web:1.0");
    // What a field needs beside it stands there.
    assert_eq!(at("spec.replicas", image).unwrap(), "registry.example/web:1.0");
    assert_eq!(at("metadata.labels", "/metadata/labels/app").unwrap(), "example");
    assert_eq!(at("metadata.labels", "/metadata/name").unwrap(), "example");
    // What the server decides, nobody writes.
    for field in ["metadata.uid", "metadata.resourceVersion", "status", "status.replicas", "kind"] {
        assert_eq!(at(field, ""), None, "{field}");
    }
}

#[test]
fn what_would_be_refused_is_not_shown() {
    let of = |spec: Value, fields: &[&str]| {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec}});
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        let resource = resource("example.com", "v1", "Thing");
        let whole = Examples::of(&schema, &resource)?.manifest(&fields)?;
        whole.get("spec").cloned()
    };
    assert_eq!(of(json!({"type": "string", "pattern": "^never-guessed$"}), &["spec"]), None);
    assert_eq!(of(json!({"type": "integer", "minimum": 5}), &["spec"]), Some(json!(8080)));
    assert_eq!(of(json!({"type": "string", "maxLength": 3}), &["spec"]), Some(json!("1")));
    let b_is_needed = json!({"type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "has(self.b)", "message": "b"}]});
    assert_eq!(of(b_is_needed.clone(), &[]), Some(json!({"b": 1})));
    assert_eq!(of(b_is_needed, &["spec", "a"]), Some(json!({"a": "example", "b": 1})));
    let needs_what_is_not_known = json!({"type": "object", "required": ["a"],
        "properties": {"a": {"type": "string", "pattern": "^never$"}, "b": {"type": "integer"}}});
    assert_eq!(of(needs_what_is_not_known, &["spec", "b"]), None);
    let other_choice = json!({"type": "object", "required": ["how"],
        "properties": {"how": {"type": "string", "enum": ["A", "B"]}, "b": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "!has(self.b) || self.how == 'B'", "message": "b"}]});
    assert_eq!(of(other_choice, &["spec", "b"]), Some(json!({"how": "B", "b": 1})));
}
