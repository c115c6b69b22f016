//! `explain`: what the fields of a kind mean, from the server's own OpenAPI documents.

mod example;
mod render;

use crate::{
    discovery::Resource,
    error::{Error, Exit},
    schema::Schema,
    session::Session,
    suggest::nearest,
};
use clap::Args;
use example::Examples;
use serde_json::Value;

/// Arguments of `explain`.
#[derive(Args, Debug, Default)]
#[command(after_help = "\
Examples:
  nexusctl explain workload
  nexusctl explain workload.spec.template.spec.containers
  nexusctl explain networks.spec --recursive")]
pub struct Arguments {
    /// TYPE or TYPE.FIELD.FIELD
    #[arg(required = true, value_name = "TYPE[.FIELD…]")]
    pub path: String,
    /// All fields below, without their descriptions
    #[arg(long)]
    pub recursive: bool,
    /// Of this version: hypermesh.online/v1
    #[arg(long, value_name = "GROUP/VERSION")]
    pub api_version: Option<String>,
}

/// A field of a schema, found by its path.
pub(crate) struct Found<'s> {
    /// The schema, and those that it refers to.
    pub(crate) merged: Vec<&'s Value>,
    /// The name of the last field; empty for the kind itself.
    pub(crate) name: String,
    /// Whether its parent requires it.
    pub(crate) required: bool,
    /// The fields on the way.
    pub(crate) steps: Vec<String>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let (resource, fields) = target(&arguments, session).await?;
    let client = session.client()?;
    let schema = session.wait_for("fetching the schema", Schema::find(&client, &resource)).await;
    let Some(schema) = schema else {
        return Err(Error::Message(format!("the server has no schema of {}", resource.qualified_plural())));
    };
    let found = find(&schema, &resource, &fields)?;
    let text = render::explanation(
        &schema,
        &resource,
        &found,
        arguments.recursive,
        &session.paint(),
        session.streams.out_width,
    );
    session.print(&text)?;
    Ok(Exit::Success)
}

/// The kind, and the fields below it that are asked about.
async fn target(arguments: &Arguments, session: &mut Session) -> Result<(Resource, Vec<String>), Error> {
    let words: Vec<String> = arguments.path.split('.').map(str::to_owned).collect();
    let (first, mut fields) = match words.split_first() {
        Some((first, fields)) if !first.is_empty() => (first.clone(), fields.to_vec()),
        _ => return Err(Error::Message(format!("{:?} names no type of object", arguments.path))),
    };
    let discovery = session.discovery().await?;
    let mut resource = discovery.find(&first)?.clone();
    // `workloads.hypermesh.online` is the kind, and no field.
    let group: Vec<String> = resource.group.split('.').map(str::to_owned).collect();
    if !resource.group.is_empty() && fields.starts_with(&group) {
        fields.drain(..group.len());
    }
    if let Some(version) = &arguments.api_version {
        let found =
            discovery.resources.iter().find(|r| r.kind == resource.kind && r.api_version() == *version);
        let words = || Error::Message(format!("--api-version: {version} has no {}", resource.kind));
        resource = found.cloned().ok_or_else(words)?;
    }
    if fields.last().is_some_and(String::is_empty) {
        fields.pop();
    }
    // `containers[0]` and `containers[*]` are what every item is.
    let bare = |field: &String| field.split('[').next().unwrap_or_default().to_owned();
    Ok((resource, fields.iter().map(bare).collect()))
}

/// Levels of fields that are looked through.
const DEEPEST: usize = 24;

/// Every field of a kind, and the manifest that it is explained by, if by any; first the kind itself.
pub fn examples(schema: &Schema, resource: &Resource) -> Vec<(Vec<String>, Option<Value>)> {
    let mut fields = vec![Vec::new()];
    fields_below(schema, &schema.resolve(schema.root()), &[], &mut fields);
    let own = example::own(schema.plain(schema.root()));
    let examples = Examples::of(&own, resource);
    let manifest = |fields: &Vec<String>| examples.as_ref()?.manifest(fields);
    fields.into_iter().map(|fields| (fields.clone(), manifest(&fields))).collect()
}

fn fields_below(schema: &Schema, merged: &[&Value], path: &[String], found: &mut Vec<Vec<String>>) {
    let members = schema.members(merged);
    for name in schema.names(&members) {
        let path = [path, std::slice::from_ref(&name)].concat();
        found.push(path.clone());
        if let Some(member) = schema.member(&members, &name).filter(|_| path.len() < DEEPEST) {
            fields_below(schema, &schema.resolve(member), &path, found);
        }
    }
}

/// Walks down to a field.
pub(crate) fn find<'s>(
    schema: &'s Schema,
    resource: &Resource,
    fields: &[String],
) -> Result<Found<'s>, Error> {
    let mut merged = schema.resolve(schema.root());
    let mut found = Found { merged: merged.clone(), name: String::new(), required: false, steps: Vec::new() };
    for field in fields {
        merged = schema.members(&merged);
        let Some(next) = schema.member(&merged, field) else {
            return Err(unknown(schema, &merged, resource, &found.steps, field));
        };
        let required = merged
            .iter()
            .filter_map(|s| s.get("required")?.as_array())
            .flatten()
            .any(|name| name.as_str() == Some(field));
        merged = schema.resolve(next);
        found.steps.push(field.clone());
        let (merged, name) = (merged.clone(), field.clone());
        found = Found { merged, name, required, steps: found.steps };
    }
    Ok(found)
}

fn unknown(schema: &Schema, merged: &[&Value], resource: &Resource, steps: &[String], field: &str) -> Error {
    let mut place = resource.singular.clone();
    for step in steps {
        place.push('.');
        place.push_str(step);
    }
    let names = schema.names(merged);
    let near = nearest(field, names.iter().map(String::as_str));
    let help = match near {
        Some(near) => format!("did you mean {near:?}?"),
        None if names.is_empty() => "it has no fields".to_owned(),
        None => format!("it has {}", names.join(", ")),
    };
    Error::Message(format!("{place} has no field {field:?}: {help}"))
}
