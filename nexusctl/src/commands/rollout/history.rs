//! `rollout history`: the templates that a Workload has had.

use super::{kept, no_service, target};
use crate::{
    client::Call,
    error::{Error, Exit},
    output::{self, Format, age, aligned::Grid, escape},
    session::Session,
};
use clap::Args;
use hypermesh_controllers::workload::revision::Record;
use serde_json::{Value, json};

/// The annotation by which people say why they changed something.
const CAUSE: &str = "kubernetes.io/change-cause";

/// Arguments of `rollout history`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl rollout history workload/web
  # The template of a revision, and what it referred to
  nexusctl rollout history workload/web --revision=1")]
pub struct History {
    /// workload/NAME, or workload NAME
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Show this revision: its template, the copies of its ConfigMaps and Secrets, the digests of its images
    #[arg(long = "revision", value_name = "N")]
    pub number: Option<i64>,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

pub(super) async fn run(arguments: History, session: &mut Session) -> Result<Exit, Error> {
    let target = target(&arguments.words, session).await?;
    let workload: Value = session.send(&Call::get(target.path())).await?.json()?;
    if let Some(why) = no_service(&workload) {
        return Err(Error::Message(format!("{}: {why}", target.shown())));
    }
    let records = kept::revisions(&target, &workload, session).await?;
    let shown: Vec<&Record> = match arguments.number {
        Some(number) => vec![kept::numbered(&records, number, &target)?],
        None => records.iter().collect(),
    };
    match arguments.output {
        Some(Format::Json) => session.print(&output::json(&list(&shown, &arguments)))?,
        Some(Format::Yaml) => session.print(&output::yaml::to_string(&list(&shown, &arguments)))?,
        Some(_) => return Err(Error::Message("revisions can be shown as json or yaml".into())),
        None if arguments.number.is_some() => {
            let text = shown.iter().map(|record| detail(record)).collect::<String>();
            session.print(&text)?;
        }
        None if shown.is_empty() => {
            session.note(&format!("no revision of {} is kept yet", target.shown()));
        }
        None => {
            let text = table(&shown, &workload, session);
            session.print(&text)?;
        }
    }
    Ok(Exit::Success)
}

fn list(records: &[&Record], arguments: &History) -> Value {
    let item = |record: &&Record| {
        json!({
            "revision": record.number,
            "name": record.revision,
            "since": record.since.map(|since| since.to_string()),
            "snapshots": record.snapshots,
            "images": record.images,
            "template": record.template,
        })
    };
    let mut items: Vec<Value> = records.iter().map(item).collect();
    match (arguments.number, items.len()) {
        (Some(_), 1) => items.remove(0),
        _ => items.into(),
    }
}

fn table(records: &[&Record], workload: &Value, session: &Session) -> String {
    let now = jiff::Timestamp::now();
    let is = |pointer: &str, record: &Record| {
        workload.pointer(pointer).and_then(Value::as_str) == Some(&record.revision)
    };
    let mut grid = Grid::new(2, Vec::new());
    grid.heading(
        ["REVISION", "NAME", "AGE", "STATE", "IMAGES", "SNAPSHOTS", "CHANGE-CAUSE"]
            .map(str::to_owned)
            .to_vec(),
    );
    for record in records {
        let state = match (is("/status/updateRevision", record), is("/status/currentRevision", record)) {
            (true, true) => "current",
            (true, false) => "rolling out",
            (false, true) => "before",
            (false, false) => "kept",
        };
        let age =
            record.since.or(record.created).map(|since| age::human(now.as_second() - since.as_second()));
        grid.row(vec![
            record.number.to_string(),
            escape(&record.revision),
            age.unwrap_or_else(|| "<unknown>".to_owned()),
            state.to_owned(),
            escape(&images(&record.template).join(",")),
            record.snapshots.len().to_string(),
            escape(&cause(&record.template)),
        ]);
    }
    grid.print(session.streams.out_width, &session.paint())
}

fn cause(template: &Value) -> String {
    let notes = template.pointer("/metadata/annotations");
    let cause = notes.and_then(|notes| notes.get(CAUSE)).and_then(Value::as_str);
    cause.unwrap_or("<none>").to_owned()
}

fn images(template: &Value) -> Vec<String> {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    let image = |container: &Value| container.get("image").and_then(Value::as_str).map(str::to_owned);
    containers.into_iter().flatten().filter_map(image).collect()
}

/// A revision in full.
fn detail(record: &Record) -> String {
    let mut text = format!("revision {} ({})\n", record.number, escape(&record.revision));
    let mut section = |title: &str, lines: Vec<String>| {
        text.push_str(&format!("{title}:\n"));
        if lines.is_empty() {
            text.push_str("  <none>\n");
        }
        for line in lines {
            text.push_str(&format!("  {}\n", escape(&line)));
        }
    };
    let images =
        record.images.iter().map(|i| format!("{}: {} was {}", i.container, i.image, i.digest)).collect();
    section("images", images);
    let copies = record
        .snapshots
        .iter()
        .map(|s| format!("{} {}: kept as {}", s.kind.as_str(), s.name, s.copy))
        .collect();
    section("snapshots", copies);
    text.push_str("template:\n");
    for line in output::yaml::to_string(&record.template).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    text
}
