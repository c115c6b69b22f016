//! `annotate`: annotations of objects, set, changed, taken away or listed.

use crate::{
    commands::marks::{self, Marks, Verb},
    error::{Error, Exit},
    session::Session,
};
use clap::Args;

const EXAMPLES: &str = "Examples:
  nexusctl annotate workload web description='the front page'
  nexusctl annotate workload web description='the home page' --overwrite
  nexusctl annotate workload web --list
  nexusctl annotate workload web description-";

/// Arguments of `annotate`.
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
        field: "annotations",
        one: "annotation",
        done: "annotated",
        undone: "annotated",
        manager: "nexusctl-annotate",
    };
    marks::run(arguments.marks, verb, session).await
}
