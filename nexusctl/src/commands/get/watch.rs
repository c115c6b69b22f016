//! `get -w`: a list, then its changes.
//!
//! A watch that the server ends, or whose connection breaks, goes on from the last revision seen; nothing is shown
//! twice and nothing is left out.

use super::{Placed, Request, TABLE, list};
use crate::{
    client::{self, Call},
    error::{Error, Exit},
    output::{self, Form, TablePrinter, table::Table},
    session::Session,
};
use serde::Deserialize;
use serde_json::{Value, json};
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
    request: &Request<'_>,
    selections: &[Placed],
    session: &mut Session,
) -> Result<Exit, Error> {
    if request.sort.is_some() {
        session.note(
            "Warning: what changes while it is watched is shown as it comes, not in the order of --sort-by",
        );
    }
    let [placed] = selections else {
        let kinds: Vec<&str> = selections.iter().map(|s| s.selection.resource.plural.as_str()).collect();
        return Err(Error::Message(format!(
            "one type of object can be watched at a time: {}",
            kinds.join(" or ")
        )));
    };
    if placed.selection.names.len() > 1 {
        return Err(Error::Message("one object, or all of a type, can be watched at a time".into()));
    }
    let mut shown = Shown::new(request, placed, session);
    let mut from = shown.list(session).await?;
    let mut tries = 0;
    loop {
        match shown.watch(&mut from, session).await {
            Ok(events) => tries = if events { 0 } else { tries + 1 },
            Err(Error::Client(error)) if error.is_unreachable() && tries < MOST_TRIES => {
                if tries == 0 {
                    session.note(&format!(
                        "Warning: the watch broke off, and is taken up where it was: {}",
                        crate::error::chain(&error)
                    ));
                }
                tries += 1;
            }
            Err(error) => return Err(error),
        }
        if tries > MOST_TRIES {
            return Err(Error::Message("the server ends every watch at once".into()));
        }
        tokio::time::sleep(Duration::from_millis(100) * tries.pow(2)).await;
    }
}

struct Shown<'a> {
    request: &'a Request<'a>,
    placed: &'a Placed,
    printer: TablePrinter,
    tables: bool,
    /// Whether headings of custom columns are still to come.
    heading_due: bool,
}

impl<'a> Shown<'a> {
    fn new(request: &'a Request<'a>, placed: &'a Placed, session: &Session) -> Self {
        let printer = TablePrinter::new(request.table_options(placed, false, session));
        let heading_due = !request.arguments.no_headers;
        Self { request, placed, printer, tables: request.form.is_table(), heading_due }
    }

    fn call(&self, session: &mut Session) -> Result<Call, Error> {
        let resource = &self.placed.selection.resource;
        let path = match self.placed.selection.names.first() {
            Some(_) => resource.collection_path(Some(&self.placed.namespace)),
            None => self.request.arguments.filter.collection(resource, session)?,
        };
        let call = Call::get(path).accept(if self.tables { TABLE } else { "application/json" });
        Ok(match self.placed.selection.names.first() {
            Some(name) => call.query(&[("fieldSelector", &format!("metadata.name={name}"))]),
            None => call.query(&self.request.arguments.filter.parameters()),
        })
    }

    /// Shows what there is, and gives the revision to watch from.
    async fn list(&mut self, session: &mut Session) -> Result<String, Error> {
        if let (Some(name), false) =
            (self.placed.selection.names.first(), self.request.arguments.ignore_not_found)
        {
            // Waiting for an object that is not there is mostly a mistyped name.
            let path = self.placed.selection.resource.object_path(&self.placed.namespace, name);
            session.send(&self.request.then(Call::get(path))).await?;
        }
        let call = self.request.then(self.call(session)?);
        let reply: Value = session.send(&call).await?.json()?;
        let metadata = reply.get("metadata").and_then(|m| m.get("resourceVersion"));
        let from = metadata.and_then(Value::as_str).unwrap_or_default().to_owned();
        if !self.request.arguments.watch_only {
            if self.tables {
                let mut table = Table::default();
                list::append(&mut table, reply)?;
                let text = self.printer.print(&table, None);
                session.print(&text)?;
            } else if let Some(items) = reply.get("items").and_then(Value::as_array) {
                for item in items {
                    self.object(item.clone(), "ADDED", session)?;
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
        while let Some(event) = session.while_read(lines.next::<Event>()).await?? {
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
            return self.object(event.object, &event.kind, session);
        }
        let mut table = Table::default();
        list::append(&mut table, event.object)?;
        let text = self.printer.print(&table, Some(&event.kind));
        session.print(&text)
    }

    fn object(&mut self, mut object: Value, event: &str, session: &mut Session) -> Result<(), Error> {
        if !self.request.arguments.show_managed_fields {
            output::hide_managed_fields(&mut object);
        }
        let form = &self.request.form;
        if self.request.arguments.output_watch_events && matches!(form, Form::Json | Form::Yaml) {
            object = json!({"type": event, "object": object});
        }
        let text = match form {
            Form::Yaml => format!("---\n{}", form.show(&object, "")?),
            Form::Columns(columns) => {
                let headless = !std::mem::take(&mut self.heading_due);
                columns.table(std::slice::from_ref(&object), headless, session.streams.out_width)?
            }
            Form::Template(_) => {
                let mut text = form.show(&object, "")?;
                // One object from the next.
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                text
            }
            _ => form.show(&object, &self.placed.selection.resource.qualified_singular())?,
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
