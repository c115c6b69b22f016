//! Tables: the kind's columns, and a row for each object.
//!
//! Descriptions and cells follow `k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor`. A table
//! comes in pieces like a list, so that rows stream.

mod source;

use crate::age::age;
use crate::list::{meta_suffix, write_json};
use crate::partial::write_partial;
use crate::project::Projection;
use crate::raw;
use hypermesh_api::{ListMeta, Query, Status, decode_json, printed};
use hypermesh_schemas::KindDefinition;
use serde_json::{Value, json};
use source::Source;

/// What a row's `object` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The metadata.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Reads `includeObject` of a query. 400 for a word that is none of the three.
    pub fn parse(query: &Query) -> Result<Self, Box<Status>> {
        match query.first("includeObject").unwrap_or_default() {
            "" | "Metadata" => Ok(Self::Metadata),
            "None" => Ok(Self::None),
            "Object" => Ok(Self::Object),
            other => {
                let why = format!("unrecognized includeObject value: {}", printed::quoted(other));
                Err(Box::new(Status::bad_request(why)))
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Column {
    kind: String,
    /// `None` where the path does not compile: its cells are null.
    source: Option<Source>,
}

/// How objects of one kind are shown as a table: its columns, compiled.
#[derive(Clone, Debug)]
pub struct TableFormat {
    columns: Vec<Column>,
    /// Computes the cells, where they are not read from paths.
    computed: Option<fn(&Value, i64) -> Vec<Value>>,
    /// `columnDefinitions` as JSON.
    definitions: Vec<u8>,
    include: IncludeObject,
}

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is \
    not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It \
    is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

const DESIRED: &str = "replicas is the desired number of instances for the scaled object.";
const AVAILABLE: &str = "replicas is the actual number of observed instances of the scaled object.";

/// The group of our own kinds.
const OWN_GROUP: &str = "hypermesh.online";

impl TableFormat {
    /// The table of a kind: `Name`, its printer columns, and `Age`. One of our kinds, or of Kubernetes', that has a
    /// column `Name` has said all of them; a user's kind that names columns gets no `Age`, as a
    /// CustomResourceDefinition gets none.
    pub fn new(definition: &KindDefinition, include: IncludeObject) -> Self {
        let ours = definition.strategy.built_in || definition.group == OWN_GROUP;
        let has = |name: &str| definition.printer_columns.iter().any(|column| column.name == name);
        let complete = ours && has("Name");
        let mut definitions = Vec::new();
        let mut columns = Vec::new();
        let mut push = |heading: Value, kind: &str, path: &str| {
            definitions.push(heading);
            columns.push(Column { kind: kind.to_owned(), source: Source::parse(path) });
        };
        if !complete {
            let heading = json!({"name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0});
            push(heading, "string", ".metadata.name");
        }
        for column in &definition.printer_columns {
            let description = if column.description.is_empty() {
                format!("Custom resource definition column (in JSONPath format): {}", column.json_path)
            } else {
                column.description.clone()
            };
            let heading = json!({
                "name": column.name, "type": column.kind, "format": column.format, "description": description,
                "priority": column.priority,
            });
            push(heading, &column.kind, &column.json_path);
        }
        if definition.printer_columns.is_empty() || (ours && !complete && !has("Age")) {
            let heading =
                json!({"name": "Age", "type": "date", "format": "", "description": AGE, "priority": 0});
            push(heading, "date", ".metadata.creationTimestamp");
        }
        Self::of(definitions, columns, include)
    }

    /// The table of a scale, whichever kind's it is.
    ///
    /// Source: `printScale` of `k8s.io/kubernetes/pkg/printers/internalversion`.
    pub fn scale(include: IncludeObject) -> Self {
        let all = [
            ("Name", "string", "name", NAME, ".metadata.name"),
            ("Desired", "integer", "", DESIRED, ".spec.replicas"),
            ("Available", "integer", "", AVAILABLE, ".status.replicas"),
            ("Age", "date", "", AGE, ".metadata.creationTimestamp"),
        ];
        let heading = |(name, kind, format, description, _)| json!({"name": name, "type": kind, "format": format, "description": description, "priority": 0});
        let column = |(_, kind, _, _, path): (_, &str, _, _, _)| Column {
            kind: kind.to_owned(),
            source: Source::parse(path),
        };
        Self::of(all.map(heading).to_vec(), all.map(column).to_vec(), include)
    }

    fn of(definitions: Vec<Value>, columns: Vec<Column>, include: IncludeObject) -> Self {
        let mut encoded = Vec::new();
        write_json(&definitions, &mut encoded);
        Self { columns, computed: None, definitions: encoded, include }
    }

    /// The table of what a projection shows: its columns, whose cells it computes.
    pub fn projected(definition: &KindDefinition, of: &Projection, include: IncludeObject) -> Self {
        Self { computed: Some(of.cells()), ..Self::new(definition, include) }
    }

    /// What precedes the rows. `headers`: with the column definitions; a watch sends them with its first event alone.
    pub fn prefix(&self, headers: bool) -> Vec<u8> {
        let mut out = br#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":"#.to_vec();
        out.extend_from_slice(if headers { &self.definitions } else { b"null" });
        out.extend_from_slice(br#","rows":["#);
        out
    }

    /// What follows the rows.
    pub fn suffix(&self, meta: &ListMeta) -> Vec<u8> {
        meta_suffix(meta)
    }

    /// Appends the row of an encoded object; commas go between rows. `now` is in seconds since 1970.
    pub fn write_row(&self, object: &[u8], now: i64, out: &mut Vec<u8>) {
        let value = decode_json(object).map_or(Value::Null, |(value, _)| value);
        let read = |column: &Column| {
            let found = column.source.as_ref().and_then(|source| source.value(&value));
            found.map_or(Value::Null, |found| cell(&column.kind, &found, now))
        };
        let cells: Vec<Value> = match self.computed {
            Some(computed) => computed(&value, now),
            None => self.columns.iter().map(read).collect(),
        };
        out.extend_from_slice(br#"{"cells":"#);
        write_json(&cells, out);
        out.extend_from_slice(br#","object":"#);
        match self.include {
            IncludeObject::None => out.extend_from_slice(b"null"),
            IncludeObject::Metadata => write_partial(object, out),
            IncludeObject::Object => out.extend_from_slice(object),
        }
        out.push(b'}');
    }

    /// The table of one object, at its own resource version.
    pub fn single(&self, object: &[u8], now: i64, headers: bool) -> Vec<u8> {
        let mut out = self.prefix(headers);
        self.write_row(object, now, &mut out);
        let version =
            raw::member(object, "metadata").and_then(|meta| raw::plain_string(meta, "resourceVersion"));
        let meta = ListMeta { resource_version: version.unwrap_or_default().into(), ..ListMeta::default() };
        out.extend_from_slice(&self.suffix(&meta));
        out
    }
}

/// A cell of a column of type `kind`: null where the value is of another type.
fn cell(kind: &str, value: &Value, now: i64) -> Value {
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::Number(number)) if number.is_f64() => {
            Value::from(number.as_f64().map(printed::float).unwrap_or_default())
        }
        ("string", Value::String(_)) => value.clone(),
        ("string", other) => Value::from(other.to_string()),
        ("integer", Value::Number(number)) => match number.as_f64() {
            _ if number.is_i64() || number.is_u64() => value.clone(),
            // The cast saturates; what lies beyond 64 bits is no integer that a column could show.
            Some(float) => Value::from(float as i64),
            None => Value::Null,
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date", Value::String(time)) => Value::from(age(time, now)),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{asset, definition, namespace};
    use proptest::prelude::*;

    const A1: &str = r#"{"apiVersion":"hm.example.com/v1","kind":"Asset","metadata":{"creationTimestamp":"2026-11-21T09:18:03Z","name":"a1","namespace":"default","resourceVersion":"5"},"spec":{"color":"red","replicas":1}}"#;
    const NOW: i64 = 1_795_252_683 + 300;

    fn columns(definition: &KindDefinition) -> Vec<String> {
        let prefix = TableFormat::new(definition, IncludeObject::Metadata).prefix(true);
        let table: Value = serde_json::from_slice(&[prefix, b"]}".to_vec()].concat()).unwrap();
        let definitions = table["columnDefinitions"].as_array().unwrap();
        definitions.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn golden_table() {
        let table = TableFormat::new(&asset(), IncludeObject::Metadata).single(A1.as_bytes(), NOW, true);
        insta::assert_snapshot!(String::from_utf8(table).unwrap(), @r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":[{"description":"Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names","format":"name","name":"Name","priority":0,"type":"string"},{"description":"Custom resource definition column (in JSONPath format): .spec.color","format":"","name":"Color","priority":0,"type":"string"}],"rows":[{"cells":["a1","red"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"creationTimestamp":"2026-11-21T09:18:03Z","name":"a1","namespace":"default","resourceVersion":"5"}}}],"metadata":{"resourceVersion":"5"}}"#);
    }

    #[test]
    fn age_stands_last_where_it_is_due() {
        assert_eq!(columns(&asset()), ["Name", "Color"]);
        assert_eq!(columns(&namespace()), ["Name", "Age"]);
        let mut ours = asset();
        ours.group = "hypermesh.online".into();
        assert_eq!(columns(&ours), ["Name", "Color", "Age"]);
        ours.printer_columns[0].name = "Age".into();
        assert_eq!(columns(&ours), ["Name", "Age"]);
        let mut complete = namespace();
        complete.printer_columns = ours.printer_columns.clone();
        complete.printer_columns[0].name = "Name".into();
        assert_eq!(columns(&complete), ["Name"]);
        let mut named = asset();
        named.printer_columns[0].name = "Name".into();
        assert_eq!(columns(&named), ["Name", "Name"]);
        let mut bare = asset();
        bare.printer_columns.clear();
        assert_eq!(columns(&bare), ["Name", "Age"]);
    }

    #[test]
    fn cells_of_every_type() {
        let mut kind = asset();
        let columns = [
            ("string", ".spec.color"),
            ("string", ".spec.replicas"),
            ("string", ".spec"),
            ("string", ".spec.half"),
            ("integer", ".spec.replicas"),
            ("integer", ".spec.half"),
            ("integer", ".spec.color"),
            ("number", ".spec.half"),
            ("boolean", ".spec.on"),
            ("date", ".metadata.creationTimestamp"),
            ("date", ".spec.color"),
            ("string", ".spec.absent"),
            ("string", "..broken"),
        ];
        kind.printer_columns = columns
            .iter()
            .map(|(kind, path)| {
                serde_json::from_value(json!({"name": path, "type": kind, "jsonPath": path})).unwrap()
            })
            .collect();
        let object = json!({
            "metadata": {"name": "x", "creationTimestamp": "2026-11-21T09:18:03Z"},
            "spec": {"color": "red", "replicas": 3, "half": 1.5, "on": true},
        });
        let mut row = Vec::new();
        let format = TableFormat::new(&kind, IncludeObject::None);
        format.write_row(object.to_string().as_bytes(), NOW, &mut row);
        insta::assert_snapshot!(String::from_utf8(row).unwrap(), @r#"{"cells":["x","red","3","{\"color\":\"red\",\"half\":1.5,\"on\":true,\"replicas\":3}","1.5",3,1,null,1.5,true,"5m","<invalid>",null,null],"object":null}"#);
    }

    #[test]
    fn include_object() {
        let parse = |text| IncludeObject::parse(&Query::parse(text).unwrap());
        assert_eq!(parse("").unwrap(), IncludeObject::Metadata);
        assert_eq!(parse("includeObject=None").unwrap(), IncludeObject::None);
        assert_eq!(
            parse("includeObject=All").unwrap_err().message,
            "unrecognized includeObject value: \"All\""
        );
        let format = TableFormat::new(&asset(), IncludeObject::Object);
        let mut row = Vec::new();
        format.write_row(A1.as_bytes(), NOW, &mut row);
        assert!(String::from_utf8(row).unwrap().ends_with(&format!("\"object\":{A1}}}")));
        assert!(format.prefix(false).ends_with(br#""columnDefinitions":null,"rows":["#));
    }

    #[test]
    fn a_definition_with_a_hostile_path_is_survived() {
        let kind = definition(json!({
            "group": "g", "version": "v1", "scope": "Cluster", "schema": {},
            "names": {"plural": "xs", "singular": "x", "kind": "X", "listKind": "XList"},
            "printerColumns": [{"name": "P", "type": "string", "jsonPath": ".a[?(@.b==\"".repeat(300)}],
        }));
        let mut row = Vec::new();
        TableFormat::new(&kind, IncludeObject::Metadata).write_row(A1.as_bytes(), NOW, &mut row);
        assert!(row.starts_with(br#"{"cells":["a1",null]"#));
    }

    #[test]
    fn every_column_of_every_kind_compiles() {
        for kind in hypermesh_schemas::definitions() {
            for column in &kind.printer_columns {
                assert!(
                    Source::parse(&column.json_path).is_some(),
                    "{} {}",
                    kind.names.kind,
                    column.json_path
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_of_any_object_is_json(object in r#"\{("[a-z]{1,9}":[0-9]{1,3},?){0,3}\}?"#) {
            let mut row = Vec::new();
            TableFormat::new(&asset(), IncludeObject::Metadata).write_row(object.as_bytes(), NOW, &mut row);
            prop_assert!(serde_json::from_slice::<Value>(&row).is_ok());
        }
    }

    #[test]
    fn a_scale_has_columns_of_its_own() {
        let scale = r#"{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"web","resourceVersion":"7"},"spec":{"replicas":3},"status":{"replicas":2}}"#;
        let table: Value = serde_json::from_slice(&TableFormat::scale(IncludeObject::None).single(
            scale.as_bytes(),
            NOW,
            true,
        ))
        .unwrap();
        let names: Vec<&Value> =
            table["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
        assert_eq!(names, ["Name", "Desired", "Available", "Age"]);
        assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..3], [json!("web"), json!(3), json!(2)]);
        assert_eq!(table["metadata"]["resourceVersion"], "7");
    }
}
