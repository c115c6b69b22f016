//! JSONSchemaProps: the keywords of a schema, read from JSON and judged only by their JSON types.

use super::{DEEPEST, MOST_NODES, Problems};
use crate::place::Place;
use crate::rules::RuleSource;
use hypermesh_api::{FieldError, FieldErrorKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The keywords of one schema. Unknown ones are not kept, as upstream drops them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Props {
    pub kind: String,
    pub format: String,
    pub title: String,
    pub description: String,
    pub pattern: String,
    pub nullable: bool,
    pub unique_items: bool,
    pub default: Option<Value>,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<String>,
    pub allowed: Vec<Value>,
    pub properties: BTreeMap<String, Props>,
    pub additional: Option<Additional>,
    pub items: Option<Box<Props>>,
    /// `items` is a list of schemas.
    pub has_many_items: bool,
    pub all_of: Vec<Props>,
    pub any_of: Vec<Props>,
    pub one_of: Vec<Props>,
    pub not: Option<Box<Props>>,
    /// Keywords that are there and that structural schemas do not have.
    pub unsupported: Vec<&'static str>,
    pub preserve_unknown: Option<bool>,
    pub embedded_resource: bool,
    pub int_or_string: bool,
    pub list_type: Option<String>,
    pub list_map_keys: Vec<String>,
    pub map_type: Option<String>,
    pub rules: Vec<RuleSource>,
    pub patch_merge_key: Option<String>,
    pub patch_strategy: Option<String>,
}

/// `additionalProperties`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Additional {
    Any(bool),
    Schema(Box<Props>),
}

impl Props {
    /// A schema that says its type and nothing else.
    pub fn of_type(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }
}

/// Reads schemas, telling values of the wrong JSON type, and stops at the bounds.
pub(super) struct Reader<'p> {
    problems: &'p mut Problems,
    nodes: usize,
}

impl<'p> Reader<'p> {
    /// Nothing if it is no schema at all or beyond the bounds.
    pub fn read(raw: &Value, problems: &'p mut Problems) -> Option<Props> {
        let mut reader = Self { problems, nodes: 0 };
        let props = reader.schema(raw, &Place::ROOT);
        reader.problems.is_empty().then_some(props).flatten()
    }

    fn schema(&mut self, raw: &Value, at: &Place<'_>) -> Option<Props> {
        let Value::Object(raw) = raw else {
            self.wrong_type(at, "object", raw);
            return None;
        };
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            if self.nodes == MOST_NODES + 1 {
                self.problems
                    .forbidden(&Place::ROOT, &format!("must not have more than {MOST_NODES} schemas"));
            }
            return None;
        }
        // A keyword and perhaps a name for each schema within a schema.
        if at.depth > 2 * DEEPEST {
            self.problems.forbidden(at, &format!("must not be nested deeper than {DEEPEST} schemas"));
            return None;
        }
        let mut keywords = Keywords { raw, at, reader: self };
        let mut props = keywords.scalars();
        keywords.structure(&mut props);
        keywords.junctors(&mut props);
        keywords.extensions(&mut props);
        Some(props)
    }

    fn wrong_type(&mut self, at: &Place<'_>, wanted: &str, found: &Value) {
        let name = match found {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        self.problems.add(|| {
            let detail = format!("must be of type {wanted}: \"{name}\"");
            FieldError::new(FieldErrorKind::TypeInvalid, at.bracketed(), Some(Value::from(name)), detail)
        });
    }
}

/// The keywords of one schema while they are read. A null is as good as absent.
struct Keywords<'k, 'p> {
    raw: &'k Map<String, Value>,
    at: &'k Place<'k>,
    reader: &'k mut Reader<'p>,
}

impl<'k> Keywords<'k, '_> {
    fn scalars(&mut self) -> Props {
        Props {
            kind: self.text("type"),
            format: self.text("format"),
            title: self.text("title"),
            description: self.text("description"),
            pattern: self.text("pattern"),
            nullable: self.flag("nullable"),
            unique_items: self.flag("uniqueItems"),
            default: self.present("default").cloned(),
            maximum: self.number("maximum"),
            exclusive_maximum: self.flag("exclusiveMaximum"),
            minimum: self.number("minimum"),
            exclusive_minimum: self.flag("exclusiveMinimum"),
            multiple_of: self.number("multipleOf"),
            max_length: self.count("maxLength"),
            min_length: self.count("minLength"),
            max_items: self.count("maxItems"),
            min_items: self.count("minItems"),
            max_properties: self.count("maxProperties"),
            min_properties: self.count("minProperties"),
            required: self.names("required"),
            allowed: self.list("enum").to_vec(),
            ..Props::default()
        }
    }

    fn structure(&mut self, props: &mut Props) {
        for (name, raw) in self.fields("properties") {
            let above = self.at.field("properties");
            if let Some(property) = self.reader.schema(raw, &above.key(name)) {
                props.properties.insert(name.clone(), property);
            }
        }
        props.additional = match self.present("additionalProperties") {
            None => None,
            Some(Value::Bool(allowed)) => Some(Additional::Any(*allowed)),
            Some(raw) => self
                .reader
                .schema(raw, &self.at.field("additionalProperties"))
                .map(|schema| Additional::Schema(Box::new(schema))),
        };
        match self.present("items") {
            None => {}
            Some(Value::Array(_)) => props.has_many_items = true,
            Some(raw) => props.items = self.reader.schema(raw, &self.at.field("items")).map(Box::new),
        }
        for keyword in
            ["id", "$schema", "$ref", "additionalItems", "patternProperties", "definitions", "dependencies"]
        {
            let is_there = self.present(keyword).is_some_and(|value| match value {
                Value::String(text) => !text.is_empty(),
                Value::Object(fields) => keyword == "additionalItems" || !fields.is_empty(),
                _ => true,
            });
            if is_there {
                props.unsupported.push(keyword);
            }
        }
    }

    fn junctors(&mut self, props: &mut Props) {
        props.all_of = self.schemas("allOf");
        props.any_of = self.schemas("anyOf");
        props.one_of = self.schemas("oneOf");
        if let Some(raw) = self.present("not") {
            props.not = self.reader.schema(raw, &self.at.field("not")).map(Box::new);
        }
    }

    fn extensions(&mut self, props: &mut Props) {
        const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
        props.preserve_unknown = self.present(PRESERVE).is_some().then(|| self.flag(PRESERVE));
        props.embedded_resource = self.flag("x-kubernetes-embedded-resource");
        props.int_or_string = self.flag("x-kubernetes-int-or-string");
        props.list_type = self.optional_text("x-kubernetes-list-type");
        props.list_map_keys = self.names("x-kubernetes-list-map-keys");
        props.map_type = self.optional_text("x-kubernetes-map-type");
        props.patch_merge_key = self.optional_text("x-kubernetes-patch-merge-key");
        props.patch_strategy = self.optional_text("x-kubernetes-patch-strategy");
        let above = self.at.field("x-kubernetes-validations");
        for (index, raw) in self.list("x-kubernetes-validations").iter().enumerate() {
            let at = above.index(index);
            match raw {
                Value::Object(raw) => {
                    let mut keywords = Keywords { raw, at: &at, reader: self.reader };
                    props.rules.push(keywords.rule());
                }
                other => self.reader.wrong_type(&at, "object", other),
            }
        }
    }

    fn rule(&mut self) -> RuleSource {
        const OPTIONAL: &str = "optionalOldSelf";
        RuleSource {
            rule: self.text("rule"),
            message: self.text("message"),
            message_expression: self.text("messageExpression"),
            reason: self.optional_text("reason"),
            field_path: self.text("fieldPath"),
            optional_old_self: self.present(OPTIONAL).is_some().then(|| self.flag(OPTIONAL)),
        }
    }

    fn present(&self, keyword: &str) -> Option<&'k Value> {
        self.raw.get(keyword).filter(|value| !value.is_null())
    }

    /// The value in a form, or told to be none.
    fn typed<T>(&mut self, keyword: &str, wanted: &str, form: impl Fn(&'k Value) -> Option<T>) -> Option<T> {
        let value = self.present(keyword)?;
        let typed = form(value);
        if typed.is_none() {
            self.reader.wrong_type(&self.at.field(keyword), wanted, value);
        }
        typed
    }

    fn optional_text(&mut self, keyword: &str) -> Option<String> {
        self.typed(keyword, "string", Value::as_str).map(str::to_owned)
    }

    fn text(&mut self, keyword: &str) -> String {
        self.optional_text(keyword).unwrap_or_default()
    }

    fn flag(&mut self, keyword: &str) -> bool {
        self.typed(keyword, "boolean", Value::as_bool).unwrap_or_default()
    }

    fn number(&mut self, keyword: &str) -> Option<f64> {
        self.typed(keyword, "number", Value::as_f64)
    }

    fn count(&mut self, keyword: &str) -> Option<i64> {
        self.typed(keyword, "integer", Value::as_i64)
    }

    fn list(&mut self, keyword: &str) -> &'k [Value] {
        self.typed(keyword, "array", Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn names(&mut self, keyword: &str) -> Vec<String> {
        let mut names = Vec::new();
        let above = self.at.field(keyword);
        for (index, value) in self.list(keyword).iter().enumerate() {
            match value {
                Value::String(name) => names.push(name.clone()),
                other => self.reader.wrong_type(&above.index(index), "string", other),
            }
        }
        names
    }

    fn fields(&mut self, keyword: &str) -> impl Iterator<Item = (&'k String, &'k Value)> + use<'k> {
        self.typed(keyword, "object", Value::as_object).into_iter().flatten()
    }

    fn schemas(&mut self, keyword: &str) -> Vec<Props> {
        let mut schemas = Vec::new();
        let above = self.at.field(keyword);
        for (index, raw) in self.list(keyword).iter().enumerate() {
            schemas.extend(self.reader.schema(raw, &above.index(index)));
        }
        schemas
    }
}
