//! `get -w`: a list, then its changes.
//!
//! A watch that the server ends, or whose connection breaks, goes on from the last revision seen; nothing is shown
//! twice and nothing is left out.

use super::{Arguments, Placed, TABLE, list, name_of, table_options};
use crate::{
    client::{self, Call},
    error::{Error, Exit},
    output::{self, Format, TablePrinter, table::Table},
    session::Session,
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// How often a broken watch is taken up again without an event in between.
const MOST_TRIES: u32 = 5;

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    /// ADDED, MODIFIED, DELETED, BOOKMARK, ERROR
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The object, a Table, or a Status.
    pub(crate) object: Value,
}

pub(super) async fn run(
    arguments: &Arguments,
    selections: &[Placed],
    session: &mut Session,
) -> Result<Exit, Error> {
    let [placed] = selections else {
        return Err(Error::Message("one type of object can be watched at a time".into()));
    };
    if placed.selection.names.len() > 1 {
        return Err(Error::Message("one object, or all of a type, can be watched at a time".into()));
    }
    let mut shown = Shown::new(arguments, placed);
    let mut from = shown.list(session).await?;
    let mut tries = 0;
    loop {
        match shown.watch(&mut from, session).await {
            Ok(events) => tries = if events { 0 } else { tries + 1 },
            Err(Error::Client(error)) if error.is_unreachable() && tries < MOST_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
        if tries > MOST_TRIES {
            return Err(Error::Message("the server ends every watch at once".into()));
        }
        tokio::time::sleep(Duration::from_millis(100) * tries.pow(2)).await;
    }
}

struct Shown<'a> {
    arguments: &'a Arguments,
    placed: &'a Placed,
    printer: TablePrinter,
    tables: bool,
}

impl<'a> Shown<'a> {
    fn new(arguments: &'a Arguments, placed: &'a Placed) -> Self {
        let format = arguments.output.unwrap_or_default();
        let printer = TablePrinter::new(table_options(arguments, placed, false));
        Self { arguments, placed, printer, tables: matches!(format, Format::Table | Format::Wide) }
    }

    fn call(&self, session: &mut Session) -> Result<Call, Error> {
        let resource = &self.placed.selection.resource;
        let path = match self.placed.selection.names.first() {
            Some(_) => resource.collection_path(Some(&self.placed.namespace)),
            None => self.arguments.filter.collection(resource, session)?,
        };
        let call = Call::get(path).accept(if self.tables { TABLE } else { "application/json" });
        Ok(match self.placed.selection.names.first() {
            Some(name) => call.query(&[("fieldSelector", &format!("metadata.name={name}"))]),
            None => call.query(&self.arguments.filter.parameters()),
        })
    }

    /// Shows what there is, and gives the revision to watch from.
    async fn list(&mut self, session: &mut Session) -> Result<String, Error> {
        if let (Some(name), false) = (self.placed.selection.names.first(), self.arguments.ignore_not_found) {
            // Waiting for an object that is not there is mostly a mistyped name.
            let path = self.placed.selection.resource.object_path(&self.placed.namespace, name);
            session.send(&Call::get(path)).await?;
        }
        let call = self.call(session)?;
        let reply: Value = session.send(&call).await?.json()?;
        let metadata = reply.get("metadata").and_then(|m| m.get("resourceVersion"));
        let from = metadata.and_then(Value::as_str).unwrap_or_default().to_owned();
        if !self.arguments.watch_only {
            if self.tables {
                let mut table = Table::default();
                list::append(&mut table, reply);
                let text = self.printer.print(&table, None);
                session.print(&text)?;
            } else if let Some(items) = reply.get("items").and_then(Value::as_array) {
                for item in items {
                    self.object(item.clone(), session)?;
                }
            }
            session.flush()?;
        }
        Ok(from)
    }

    /// Shows changes until the stream ends; whether there were any.
    async fn watch(&mut self, from: &mut String, session: &mut Session) -> Result<bool, Error> {
        let call = self.call(session)?.query(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", from),
        ]);
        let mut lines = session.client()?.stream(&call).await?;
        let mut events = false;
        while let Some(event) = lines.next::<Event>().await? {
            events = true;
            if event.kind == "ERROR" {
                return Err(ended(event.object).into());
            }
            if let Some(revision) = revision(&event.object) {
                *from = revision;
            }
            if event.kind != "BOOKMARK" {
                self.event(event, session)?;
                session.flush()?;
            }
        }
        Ok(events)
    }

    fn event(&mut self, event: Event, session: &mut Session) -> Result<(), Error> {
        if !self.tables {
            return self.object(event.object, session);
        }
        let mut table = Table::default();
        list::append(&mut table, event.object);
        let text = self.printer.print(&table, Some(&event.kind));
        session.print(&text)
    }

    fn object(&self, mut object: Value, session: &mut Session) -> Result<(), Error> {
        if !self.arguments.show_managed_fields {
            output::hide_managed_fields(&mut object);
        }
        let text = match self.arguments.output {
            Some(Format::Json) => output::json(&object),
            Some(Format::Name) => {
                format!("{}/{}\n", self.placed.selection.resource.qualified_singular(), name_of(&object))
            }
            _ => format!("---\n{}", output::yaml::to_string(&object)),
        };
        session.print(&text)
    }
}

/// The revision of a watch event, be it an object, a bookmark or a Table.
pub(crate) fn revision(object: &Value) -> Option<String> {
    let of = |value: &Value| {
        let text = value.get("metadata")?.get("resourceVersion")?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let rows = object.get("rows").and_then(Value::as_array);
    rows.and_then(|rows| rows.iter().rev().find_map(|row| of(row.get("object")?))).or_else(|| of(object))
}

/// The Status of an ERROR event as an error.
pub(crate) fn ended(object: Value) -> client::Error {
    let status = serde_json::from_value(object)
        .unwrap_or_else(|_| hypermesh_api::Status::internal("the watch ended without a reason"));
    client::Error::Refused { status: Box::new(status), retry_after: None }
}
