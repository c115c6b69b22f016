//! `create configmap`

use super::data::Data;
use crate::{commands::results::Manner, error::Error, session::Session};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Map, Value, json};

const EXAMPLES: &str = "Examples:
  nexusctl create configmap greeting --from-literal=text=hello --from-literal=language=en
  nexusctl create configmap manifests --from-file=examples/quickstart --dry-run=client -o yaml
  nexusctl create configmap notes --from-file=README.md --dry-run";

/// Arguments of `create configmap`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Its name
    pub name: String,
    /// What it holds
    #[command(flatten)]
    pub data: Data,
    /// Never let it be changed
    #[arg(long)]
    pub immutable: bool,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

pub(super) fn build(arguments: &Arguments, session: &mut Session) -> Result<Value, Error> {
    let (mut text, mut binary) = (Map::new(), Map::new());
    for (key, value) in arguments.data.read(session)? {
        match String::from_utf8(value) {
            Ok(value) => text.insert(key, value.into()),
            Err(error) => binary.insert(key, STANDARD.encode(error.as_bytes()).into()),
        };
    }
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": arguments.name}});
    for (field, values) in [("data", text), ("binaryData", binary)] {
        if !values.is_empty() {
            object[field] = values.into();
        }
    }
    if arguments.immutable {
        object["immutable"] = true.into();
    }
    Ok(object)
}
