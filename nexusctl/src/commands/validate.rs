//! `validate`: manifests judged without a server, by the same code and the same kinds.
//!
//! Every file is judged, whatever is wrong with others. What is of a kind that this program does not know is said so,
//! and is no error unless `--strict` makes it one.

use crate::{
    commands::{
        files::Files,
        results::{ResultFormat, show},
    },
    error::{Error, Exit},
    manifest::{
        Diagnostic, Document,
        document::{Naming, named},
    },
    offline::{Finding, Kinds},
    session::Session,
};
use clap::Args;
use serde_json::{Value, json};

const EXAMPLES: &str = "Examples:
  nexusctl validate -f examples/quickstart
  nexusctl validate -R -f examples -o json
Exits 0 if nothing is wrong, 1 if something is.";

/// Arguments of `validate`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What to judge
    #[command(flatten)]
    pub files: Files,
    /// What is of a kind that is not known here is wrong, too
    #[arg(long)]
    pub strict: bool,
    /// Show the findings as json or yaml instead, or the names of what is valid
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<ResultFormat>,
    /// Say nothing if nothing is wrong
    #[arg(short, long)]
    pub quiet: bool,
}

/// What was found so far.
#[derive(Default)]
struct Report {
    findings: Vec<Value>,
    names: Vec<String>,
    valid: usize,
    wrong: usize,
    unknown: usize,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.files.filenames.is_empty() {
        return Err(Error::Message(
            "say what to judge: -f FILE, -f FOLDER, or -f - for standard input".into(),
        ));
    }
    let sources = arguments.files.sources(session).await.map_err(|error| match error {
        Error::Manifests(faults) => Error::Faults(faults),
        other => other,
    })?;
    let mut kinds = Kinds::default();
    let mut report = Report::default();
    for source in &sources {
        match named(std::slice::from_ref(source), Naming::Generated) {
            Ok(documents) => {
                for document in &documents {
                    one(&arguments, document, kinds.judge(document), &mut report, session);
                }
            }
            Err(faults) => {
                report.wrong += 1;
                tell(&arguments, &faults, session);
                report.findings.extend(faults.iter().map(|fault| finding(None, "Invalid", fault)));
            }
        }
    }
    finish(&arguments, report, session)
}

fn one(
    arguments: &Arguments,
    document: &Document,
    found: Finding,
    report: &mut Report,
    session: &mut Session,
) {
    match found {
        Finding::Valid => {
            report.valid += 1;
            report.names.push(format!("{}/{}", document.kind.to_lowercase(), document.name));
            let place = Diagnostic::at(&document.source, document.node.span, "");
            report.findings.push(finding(Some(document), "Valid", &place));
        }
        Finding::Invalid(faults) => {
            report.wrong += 1;
            tell(arguments, &faults, session);
            report.findings.extend(faults.iter().map(|fault| finding(Some(document), "Invalid", fault)));
        }
        Finding::Unknown(fault) => {
            report.unknown += 1;
            let mut fault = fault;
            fault.title.push_str(": not judged");
            if !arguments.strict {
                fault = fault.warning();
            }
            tell(arguments, std::slice::from_ref(&fault), session);
            report.findings.push(finding(Some(document), "Unknown", &fault));
        }
    }
}

/// Tells people, unless a program asked.
fn tell(arguments: &Arguments, faults: &[Diagnostic], session: &mut Session) {
    if arguments.output.is_none() {
        for fault in faults {
            let text = fault.render(session.streams.err_color) + "\n";
            session.note(&text);
        }
    }
}

/// A finding for programs.
fn finding(document: Option<&Document>, status: &str, fault: &Diagnostic) -> Value {
    let mut value = json!({"status": status});
    if let Some((source, span)) = &fault.place {
        value["file"] = source.name.clone().into();
        value["line"] = span.line.into();
        value["column"] = span.column.into();
    }
    if let Some(document) = document {
        value["apiVersion"] = document.api_version.clone().into();
        value["kind"] = document.kind.clone().into();
        value["name"] = document.name.clone().into();
        if let Some(namespace) = &document.namespace {
            value["namespace"] = namespace.clone().into();
        }
    }
    if !fault.title.is_empty() {
        value["message"] = fault.title.clone().into();
    }
    let hints: Vec<&String> = fault.label.iter().chain(&fault.help).collect();
    if !hints.is_empty() {
        value["hints"] = json!(hints);
    }
    value
}

fn finish(arguments: &Arguments, report: Report, session: &mut Session) -> Result<Exit, Error> {
    let good = report.wrong == 0 && (report.unknown == 0 || !arguments.strict);
    match arguments.output {
        Some(ResultFormat::Name) => {
            for name in &report.names {
                session.say(name)?;
            }
        }
        Some(format) => {
            let counts = json!({"valid": report.valid, "invalid": report.wrong, "unknown": report.unknown});
            show(format, json!({"findings": report.findings, "counts": counts}), session)?;
        }
        None if arguments.quiet && good => {}
        None => {
            let mut words = vec![format!("{} valid", report.valid)];
            if report.wrong > 0 {
                words.push(format!("{} wrong", report.wrong));
            }
            if report.unknown > 0 {
                words.push(format!("{} of unknown kinds", report.unknown));
            }
            session.say(&words.join(", "))?;
        }
    }
    Ok(if good { Exit::Success } else { Exit::Failure })
}
