//! `create namespace`

use crate::commands::results::Manner;
use clap::Args;
use serde_json::{Value, json};

const EXAMPLES: &str = "Examples:
  nexusctl create namespace team-b";

/// Arguments of `create namespace`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Its name
    pub name: String,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

pub(super) fn build(arguments: &Arguments) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": arguments.name}})
}
