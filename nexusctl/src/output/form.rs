//! `-o` with everything that it may be: plain forms, templates, columns of one's own.

use crate::{
    error::Error,
    jsonpath::Template,
    output::{self, Format, columns::Columns},
};
use serde_json::Value;
use std::{fs, sync::Arc};

/// What `-o` asks for.
#[derive(Clone, Debug, Default)]
pub enum Form {
    /// A table with the columns that matter most.
    #[default]
    Table,
    /// A table with all columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `type/name`, a line each.
    Name,
    /// `jsonpath=…`
    Template(Arc<Template>),
    /// `custom-columns=…`
    Columns(Arc<Columns>),
}

/// What the help of `-o` shows.
pub const FORMS: &str =
    "json|yaml|wide|name|jsonpath=…|jsonpath-file=…|custom-columns=…|custom-columns-file=…";

impl Form {
    /// Reads the value of `-o`; none is a table.
    pub fn parse(text: Option<&str>) -> Result<Self, Error> {
        let Some(text) = text else { return Ok(Self::Table) };
        if let Ok(format) = text.parse() {
            return Ok(match format {
                Format::Table => Self::Table,
                Format::Wide => Self::Wide,
                Format::Json => Self::Json,
                Format::Yaml => Self::Yaml,
                Format::Name => Self::Name,
            });
        }
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let option = format!("-o {name}");
        let template = |text: &str| Ok(Self::Template(Arc::new(Template::parse(&option, text)?)));
        match name {
            "jsonpath" | "custom-columns" | "jsonpath-file" | "custom-columns-file" if value.is_empty() => {
                Err(Error::Message(missing(name)))
            }
            "jsonpath" => template(value),
            "jsonpath-file" => template(&read(value)?),
            "custom-columns" => Ok(Self::Columns(Arc::new(Columns::parse(value)?))),
            "custom-columns-file" => Ok(Self::Columns(Arc::new(Columns::of_file(value, &read(value)?)?))),
            "go-template" | "go-template-file" | "template" | "templatefile" => Err(Error::Message(format!(
                "Go's templates are not spoken here: say -o jsonpath='{{.metadata.name}}', \
                 -o custom-columns=NAME:.metadata.name, or pipe -o json to jq (was: {option})"
            ))),
            "jsonpath-as-json" => Err(Error::Message(
                "-o jsonpath-as-json is not spoken here: -o jsonpath writes lists and objects as JSON".into(),
            )),
            other => Err(Error::Message(format!("-o {other:?} is not one of {FORMS}"))),
        }
    }

    /// Whether it shows tables that the server makes.
    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// One object, or a list as one; `kind` is what stands before the slash of a name. Tables are made elsewhere: an
    /// object is then its name.
    pub fn show(&self, value: &Value, kind: &str) -> Result<String, Error> {
        let name = value.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str);
        Ok(match self {
            Self::Json => output::json(value),
            Self::Yaml => output::yaml::to_string(value),
            Self::Name | Self::Table | Self::Wide => format!("{kind}/{}\n", name.unwrap_or_default()),
            Self::Template(template) => template.render(value)?,
            Self::Columns(columns) => columns.table(std::slice::from_ref(value), false, None)?,
        })
    }
}

fn missing(name: &str) -> String {
    let example = match name {
        "jsonpath" => "jsonpath='{.metadata.name}'",
        "custom-columns" => "custom-columns=NAME:.metadata.name",
        "jsonpath-file" => "jsonpath-file=FILE",
        _ => "custom-columns-file=FILE",
    };
    format!("-o {name} says nothing without a value: -o {example}")
}

fn read(path: &str) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::Message(format!("cannot read {path}: {error}")))
}
