//! How verbs that write tell what they did: a line an object, or the objects themselves with `-o`.

use crate::{commands::apply::DryRun, error::Error, output, session::Session};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// `-o` of verbs that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// The objects as JSON.
    Json,
    /// The objects as YAML.
    Yaml,
    /// `type/name`, a line each.
    Name,
}

/// What verbs that write have in common.
#[derive(Args, Clone, Debug, Default)]
pub struct Manner {
    /// Change nothing: `server` lets the server judge, `client` asks for nothing to be judged
    #[arg(long, value_name = "WHO", default_value = "none", default_missing_value = "server", num_args = 0..=1, require_equals = true)]
    pub dry_run: DryRun,
    /// Show the results as json, yaml or name instead
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ResultFormat>,
    /// Name under which the changed fields are owned [default: nexusctl- and the verb]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub field_manager: String,
}

impl Manner {
    /// The name under which fields are owned: that of the flag, else the verb's own.
    pub fn manager<'a>(&'a self, own: &'a str) -> &'a str {
        if self.field_manager.is_empty() { own } else { &self.field_manager }
    }
}

/// What was done so far.
#[derive(Debug)]
pub struct Results {
    format: Option<ResultFormat>,
    dry_run: DryRun,
    objects: Vec<Value>,
}

impl Results {
    /// Nothing yet.
    pub fn new(manner: &Manner) -> Self {
        Self { format: manner.output, dry_run: manner.dry_run, objects: Vec::new() }
    }

    /// Tells of one object: `workload.hypermesh.online/web labeled`.
    pub fn tell(
        &mut self,
        name: &str,
        what: &str,
        object: Value,
        session: &mut Session,
    ) -> Result<(), Error> {
        match self.format {
            None => session.say(&format!("{name} {what}{}", self.dry_run.suffix())),
            Some(ResultFormat::Name) => session.say(name),
            Some(ResultFormat::Json | ResultFormat::Yaml) => {
                self.objects.push(object);
                Ok(())
            }
        }
    }

    /// Shows the objects, where they were asked for.
    pub fn show(mut self, session: &mut Session) -> Result<(), Error> {
        let Some(format) = self.format.filter(|_| !self.objects.is_empty()) else { return Ok(()) };
        let value = if self.objects.len() == 1 {
            self.objects.remove(0)
        } else {
            json!({"apiVersion": "v1", "kind": "List", "items": self.objects, "metadata": {}})
        };
        show(format, value, session)
    }
}

/// Shows an object or a list of them.
pub fn show(format: ResultFormat, mut value: Value, session: &mut Session) -> Result<(), Error> {
    output::hide_managed_fields(&mut value);
    let text = match format {
        ResultFormat::Json => output::json(&value),
        ResultFormat::Yaml | ResultFormat::Name => output::yaml::to_string(&value),
    };
    session.print(&text)
}
