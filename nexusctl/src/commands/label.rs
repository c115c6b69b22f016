//! `label`: labels of objects, set, changed, taken away or listed.

use crate::{
    commands::marks::{self, Marks, Verb},
    error::{Error, Exit},
    session::Session,
};
use clap::Args;

const EXAMPLES: &str = "Examples:
  nexusctl label workload web tier=front
  nexusctl label workload web tier=back --overwrite
  nexusctl label workload web --list
  nexusctl label workload web tier-
  # All networks that have no owner yet
  nexusctl label networks -l '!owner' owner=me";

/// Arguments of `label`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What to do to which objects
    #[command(flatten)]
    pub marks: Marks,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let verb = Verb {
        field: "labels",
        one: "label",
        done: "labeled",
        undone: "unlabeled",
        manager: "nexusctl-label",
    };
    marks::run(arguments.marks, verb, session).await
}
