//! `convert`: manifests of Kubernetes' workloads and networks made into ours, and what could not be carried.
//!
//! Sends nothing. What comes out is printed, with what was lost as comments; what was lost also goes to standard error,
//! each at its line.

use crate::{
    commands::{files::Files, results::ResultFormat},
    convert::{Conversion, Converted, convert},
    error::{Error, Exit},
    manifest::document::{Naming, named},
    offline::Kinds,
    output,
    session::Session,
};
use clap::Args;
use serde_json::{Value, json};

const EXAMPLES: &str = "Examples:
  nexusctl convert -f examples/kubernetes/web.yaml
  nexusctl convert -R -f examples/kubernetes --quiet
Exits 1 with --strict if anything was lost, and always if something could not be converted at all.";

/// Arguments of `convert`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What to convert: Deployment, StatefulSet, DaemonSet, Job, CronJob, Service, Ingress, NetworkPolicy
    #[command(flatten)]
    pub files: Files,
    /// Fail if anything is lost
    #[arg(long)]
    pub strict: bool,
    /// Say what was lost in the output's comments only
    #[arg(short, long)]
    pub quiet: bool,
    /// yaml with comments, or json
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub output: ResultFormat,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.files.filenames.is_empty() {
        return Err(Error::Message(
            "say what to convert: -f FILE, -f FOLDER, or -f - for standard input".into(),
        ));
    }
    let faults = |error| match error {
        Error::Manifests(faults) => Error::Faults(faults),
        other => other,
    };
    let sources = arguments.files.sources(session).await.map_err(faults)?;
    let documents = named(&sources, Naming::Required).map_err(Error::Faults)?;
    let namespace = session.options.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let conversion = convert(&documents, &namespace, &mut Kinds::default());
    print(&arguments, &conversion, session)?;
    let color = session.streams.err_color;
    for fault in &conversion.failed {
        session.note(&(fault.render(color) + "\n"));
    }
    if !arguments.quiet {
        for note in &conversion.notes {
            session.note(&(note.diagnostic.render(color) + "\n"));
        }
    }
    let lost = conversion.notes.iter().filter(|note| note.lost).count();
    if lost > 0 && !arguments.quiet {
        let things = if lost == 1 { "thing is" } else { "things are" };
        session.note(&format!("{lost} {things} lost: look at the output before you apply it"));
    }
    let failed = !conversion.failed.is_empty() || (arguments.strict && lost > 0);
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

fn print(arguments: &Arguments, conversion: &Conversion, session: &mut Session) -> Result<(), Error> {
    match arguments.output {
        ResultFormat::Json => {
            let items: Vec<&Value> = conversion.objects.iter().map(|c| &c.object).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {}});
            session.print(&output::json(&list))
        }
        ResultFormat::Name => conversion.objects.iter().try_for_each(|converted| {
            let text =
                |pointer: &str| converted.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            session.say(&format!("{}/{}", text("/kind").to_lowercase(), text("/metadata/name")))
        }),
        ResultFormat::Yaml => {
            let texts: Vec<String> = conversion.objects.iter().map(yaml).collect();
            session.print(&texts.join("---\n"))
        }
    }
}

/// One document: where it comes from and what it lost, as comments, then the object.
fn yaml(converted: &Converted) -> String {
    let mut text = String::new();
    for source in &converted.made_of {
        text.push_str(&format!("# from {}\n", output::escape(source)));
    }
    for note in &converted.notes {
        text.push_str(&format!("# {}\n", output::escape(note).replace('\n', " ")));
    }
    text + &output::yaml::to_string(&converted.object)
}
