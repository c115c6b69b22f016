//! `cluster status`: the replicas as the one that is asked sees them.

use crate::{
    client::Call,
    error::{Error, Exit},
    output::{self, Format, aligned},
    session::Session,
};
use clap::Args;
use serde_json::Value;

/// Arguments of `cluster status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl cluster status
  nexusctl cluster status -o json")]
pub struct Arguments {
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Runs the verb.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, Error> {
    session.client()?;
    let status: Value = session.send(&Call::get("/replication")).await?.json()?;
    match arguments.output {
        None => {}
        Some(Format::Json) => return session.print(&output::json(&status)).map(|()| Exit::Success),
        Some(Format::Yaml) => {
            return session.print(&output::yaml::to_string(&status)).map(|()| Exit::Success);
        }
        Some(_) => return Err(Error::Message("the replicas can be shown as json or yaml".into())),
    }
    let text = |value: &Value, field: &str| match value.get(field) {
        Some(Value::String(text)) => output::escape_line(text),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    session.say(&format!(
        "cluster {}, block {}, revision {}",
        text(&status, "cluster").get(..16).unwrap_or_default(),
        text(&status, "height"),
        text(&status, "revision")
    ))?;
    let mut rows =
        vec![["REPLICA", "PROPOSES", "ADDRESS", "ROUND TRIP", "STATE"].map(str::to_owned).to_vec()];
    for replica in status.get("replicas").and_then(Value::as_array).into_iter().flatten() {
        let flag = |field| replica.get(field).and_then(Value::as_bool).unwrap_or_default();
        let state = match (flag("self"), flag("connected")) {
            (true, _) => "answers".to_owned(),
            (_, true) => "reached".to_owned(),
            _ => format!("not reached: {}", text(replica, "lastError")),
        };
        let micros = replica.get("roundTripMicroseconds").and_then(Value::as_f64);
        let trip = micros.map_or_else(|| "-".to_owned(), |micros| format!("{:.1} ms", micros / 1000.0));
        let proposes = if flag("proposes") { "yes" } else { "" }.to_owned();
        let key = text(replica, "key").get(..16).unwrap_or_default().to_owned();
        rows.push(vec![key, proposes, text(replica, "address"), trip, state]);
    }
    let width = session.streams.out_width;
    session.print(&aligned::table(&rows, true, width))?;
    Ok(Exit::Success)
}
