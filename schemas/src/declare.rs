//! Declaring one of our kinds: what all of them share is said here once, what one of them is in its own file.

use crate::condition::{not_controlled_yet, not_ready_yet};
use crate::definition::{
    Hook, KindDefinition, NameFormat, Names, PrinterColumn, Scale, Scope, Strategy, Subresources, UniqueField,
};
use crate::structural::{schema_of, walk};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// The API group of our kinds.
pub const GROUP: &str = "hypermesh.online";
/// The version in which they are served.
pub const VERSION: &str = "v1";

/// A kind being declared.
pub(crate) struct Declaration(KindDefinition);

impl Declaration {
    /// A kind with `spec` and `status`. The description is the first thing that `kubectl explain` shows.
    pub(crate) fn of<Spec: JsonSchema, Status: JsonSchema>(
        scope: Scope,
        kind: &str,
        plural: &str,
        description: &str,
    ) -> Self {
        let schema = json!({
            "type": "object",
            "description": description,
            "required": ["spec"],
            "properties": {"spec": schema_of::<Spec>(), "status": schema_of::<Status>()},
        });
        Self(KindDefinition {
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            names: Names {
                plural: plural.to_owned(),
                singular: kind.to_lowercase(),
                kind: kind.to_owned(),
                list_kind: format!("{kind}List"),
                short_names: Vec::new(),
                categories: vec!["hypermesh".to_owned(), "all".to_owned()],
            },
            scope,
            unique_fields: unique_fields(&schema),
            schema,
            subresources: Subresources { status: true, scale: None },
            printer_columns: Vec::new(),
            selectable_fields: Vec::new(),
            strategy: Strategy {
                generation: true,
                initial_status: Some(not_controlled_yet(kind)),
                ..Strategy::default()
            },
        })
    }

    /// A kind that takes effect as it is stored: it has no status, and nobody has to act on it.
    pub(crate) fn settled<Spec: JsonSchema>(
        scope: Scope,
        kind: &str,
        plural: &str,
        description: &str,
    ) -> Self {
        let Self(mut kind) = Self::of::<Spec, ()>(scope, kind, plural, description);
        if let Some(fields) = kind.schema.get_mut("properties").and_then(Value::as_object_mut) {
            fields.remove("status");
        }
        kind.subresources.status = false;
        kind.strategy.initial_status = None;
        // Who asks for all means what was asked to run, and not who may ask.
        kind.names.categories.clear();
        Self(kind)
    }

    /// What its objects say of themselves until somebody says whether they are ready, where that is another than the
    /// controller of the kind.
    pub(crate) fn begins(mut self, reason: &str, message: &str) -> Self {
        self.0.strategy.initial_status = Some(not_ready_yet(reason, message));
        self
    }

    /// A field of the status that its objects begin with.
    pub(crate) fn begins_with(mut self, field: &str, value: &str) -> Self {
        if let Some(Value::Object(status)) = &mut self.0.strategy.initial_status {
            status.insert(field.to_owned(), value.into());
        }
        self
    }

    /// Behaviour of the pipeline that the kind turns on.
    pub(crate) fn hook(mut self, hook: Hook) -> Self {
        self.0.strategy.hooks.push(hook);
        self
    }

    /// A short name: `wl`.
    pub(crate) fn short_name(mut self, name: &str) -> Self {
        self.0.names.short_names.push(name.to_owned());
        self
    }

    /// What its names may look like, where that is not a DNS subdomain.
    pub(crate) fn names(mut self, format: NameFormat) -> Self {
        self.0.strategy.name = format;
        self
    }

    /// A column: heading, type, path, what it shows.
    pub(crate) fn column(self, name: &str, kind: &str, path: &str, description: &str) -> Self {
        self.push_column(name, kind, path, description, 0)
    }

    /// A column of the wide table.
    pub(crate) fn wide(self, name: &str, kind: &str, path: &str, description: &str) -> Self {
        self.push_column(name, kind, path, description, 1)
    }

    /// A field that selectors may name.
    pub(crate) fn selectable(mut self, path: &str) -> Self {
        self.0.selectable_fields.push(path.to_owned());
        self
    }

    /// `/scale`, at the paths that `kubectl scale` and autoscalers know from a Deployment.
    pub(crate) fn scale(mut self) -> Self {
        self.0.subresources.scale = Some(Scale {
            spec_replicas_path: ".spec.replicas".to_owned(),
            status_replicas_path: ".status.replicas".to_owned(),
            label_selector_path: Some(".status.selector".to_owned()),
        });
        self
    }

    /// The definition, with the columns that every kind with a status ends on.
    pub(crate) fn finish(self) -> KindDefinition {
        let reason = r#".status.conditions[?(@.type=="Ready")].reason"#;
        self.finish_with_reason(reason)
    }

    /// The definition likewise, where something else than the Ready condition's reason says why.
    pub(crate) fn finish_with_reason(self, reason: &str) -> KindDefinition {
        if !self.0.subresources.status {
            return self.0;
        }
        let ready = r#".status.conditions[?(@.type=="Ready")]"#;
        self.column("Ready", "string", &format!("{ready}.status"), "Whether the object is as its spec asks.")
            .column("Reason", "string", reason, "Why it is ready, or why not.")
            .wide("Message", "string", &format!("{ready}.message"), "The reason in words.")
            .0
    }

    fn push_column(mut self, name: &str, kind: &str, path: &str, description: &str, priority: i32) -> Self {
        self.0.printer_columns.push(PrinterColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: description.to_owned(),
            priority,
            json_path: path.to_owned(),
        });
        self
    }
}

/// The fields that the schema marks with `x-hypermesh-unique`.
fn unique_fields(schema: &Value) -> Vec<UniqueField> {
    let mut fields = Vec::new();
    walk(schema, &mut |path, node| {
        let scope = match node.get("x-hypermesh-unique").and_then(Value::as_str) {
            Some("Cluster") => Scope::Cluster,
            Some("Namespaced") => Scope::Namespaced,
            _ => return,
        };
        fields.push(UniqueField { json_path: path.to_owned(), scope });
    });
    fields
}

/// The kind that `docs/guides/adding-a-kind.md` adds.
#[cfg(test)]
mod example;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structural::schema_of;

    const GUIDE: &str = include_str!("../../docs/guides/adding-a-kind.md");

    #[test]
    fn the_kind_of_the_guide_is_one() {
        assert!(
            GUIDE.contains(include_str!("declare/example.rs")),
            "the guide and declare/example.rs differ"
        );
        let kind = example::definition();
        assert_eq!(kind.crd_name(), "backups.hypermesh.online");
        assert_eq!(kind.schema["properties"]["spec"], schema_of::<example::BackupSpec>());
        assert_eq!(kind.schema["properties"]["spec"]["properties"]["keep"]["default"], "168h");
        let headings: Vec<&str> = kind.printer_columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(headings, ["Workload", "Ready", "Reason", "Message"]);
    }

    #[test]
    fn unique_fields_come_from_the_schema() {
        let schema = json!({"properties": {"spec": {"properties": {
            "name": {"x-hypermesh-unique": "Cluster"},
            "slot": {"x-hypermesh-unique": "Namespaced"},
        }}}});
        let found: Vec<(String, Scope)> =
            unique_fields(&schema).into_iter().map(|field| (field.json_path, field.scope)).collect();
        assert_eq!(
            found,
            [(".spec.name".to_owned(), Scope::Cluster), (".spec.slot".to_owned(), Scope::Namespaced)]
        );
    }
}
