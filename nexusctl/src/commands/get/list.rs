//! Lists, fetched part by part.

use super::Request;
use crate::{
    client::{self, Call},
    discovery::Resource,
    error::Error,
    moment::Moment,
    output::table::{Column, Row, Table},
    session::Session,
};
use serde_json::{Value, json};

/// The whole list that a call begins, as one table.
pub(super) async fn table(request: &Request<'_>, call: &Call, session: &mut Session) -> Result<Table, Error> {
    let mut whole = Table::default();
    let mut pages = Pages::new(call, request.at, request.arguments.chunk_size);
    while let Some(page) = pages.next(session).await? {
        if page.afresh {
            whole = Table::default();
        }
        append(&mut whole, page.list)?;
        pages.told(whole.rows.len(), session);
    }
    Ok(whole)
}

/// All objects of a collection, with their apiVersion and kind.
pub(crate) async fn list_all(
    path: &str,
    parameters: &[(&str, &str)],
    chunk: u64,
    resource: &Resource,
    session: &mut Session,
) -> Result<Vec<Value>, Error> {
    list_then(&Call::get(path).query(parameters), None, chunk, resource, session).await
}

/// All objects that a call lists, at a moment, with their apiVersion and kind.
pub(super) async fn list_then(
    call: &Call,
    at: Option<Moment>,
    chunk: u64,
    resource: &Resource,
    session: &mut Session,
) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    let mut pages = Pages::new(call, at, chunk);
    while let Some(mut page) = pages.next(session).await? {
        if page.afresh {
            items.clear();
        }
        if let Some(Value::Array(part)) = page.list.get_mut("items").map(Value::take) {
            items.extend(part.into_iter().map(|item| typed(item, resource)));
        }
        pages.told(items.len(), session);
    }
    Ok(items)
}

/// A list in parts.
struct Pages<'c> {
    base: &'c Call,
    at: Option<Moment>,
    chunk: u64,
    /// What to go on with; `None` before the first part, empty after the last.
    token: Option<String>,
    remaining: Option<u64>,
}

struct Page {
    list: Value,
    /// Whether the parts before are to be forgotten.
    afresh: bool,
}

impl<'c> Pages<'c> {
    fn new(base: &'c Call, at: Option<Moment>, chunk: u64) -> Self {
        Self { base, at, chunk, token: None, remaining: None }
    }

    async fn next(&mut self, session: &mut Session) -> Result<Option<Page>, client::Error> {
        let limit = if self.chunk == 0 { String::new() } else { self.chunk.to_string() };
        let begin = || self.at.map_or_else(|| self.base.clone(), |at| at.ask(self.base.clone()));
        let (reply, afresh) = match self.token.as_deref() {
            Some("") => return Ok(None),
            None => (session.send(&begin().query(&[("limit", &limit)])).await?, true),
            Some(token) => {
                let call = self.base.clone().query(&[("limit", &limit), ("continue", token)]);
                match session.send(&call).await {
                    Ok(reply) => (reply, false),
                    // What was listed so far lies too far back: once more, in one piece.
                    Err(error) if error.status().is_some_and(|s| s.code == 410) => {
                        (session.send(&begin()).await?, true)
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let list: Value = reply.json()?;
        self.token = Some(continuation(&list));
        self.remaining =
            list.get("metadata").and_then(|m| m.get("remainingItemCount")).and_then(Value::as_u64);
        Ok(Some(Page { list, afresh }))
    }

    /// Says how far it has come, to whoever waits for long.
    fn told(&self, fetched: usize, session: &mut Session) {
        if self.token.as_deref() == Some("") {
            session.progress(None);
            return;
        }
        let total = self.remaining.map(|remaining| format!(" of {}", remaining + fetched as u64));
        session.progress(Some(format!("{fetched}{} fetched", total.unwrap_or_default())));
    }
}

fn continuation(list: &Value) -> String {
    let token = list.get("metadata").and_then(|m| m.get("continue")).and_then(Value::as_str);
    token.unwrap_or_default().to_owned()
}

/// Items of built-in kinds' lists carry neither.
fn typed(mut item: Value, resource: &Resource) -> Value {
    if let Some(object) = item.as_object_mut() {
        object.entry("apiVersion").or_insert_with(|| resource.api_version().into());
        object.entry("kind").or_insert_with(|| resource.kind.clone().into());
    }
    item
}

/// Adds a reply's rows to a table. A server without Tables answers with objects, which become rows of name and age.
pub(super) fn append(whole: &mut Table, reply: Value) -> Result<(), Error> {
    let part: Table = if reply.get("kind").and_then(Value::as_str) == Some("Table") {
        // A table that was dropped would hide its rows from who watches them.
        serde_json::from_value(reply)
            .map_err(|error| Error::Message(format!("the server's table cannot be read: {error}")))?
    } else {
        made_up(reply)
    };
    if whole.column_definitions.is_empty() {
        whole.column_definitions = part.column_definitions;
    }
    whole.rows.extend(part.rows);
    whole.metadata = part.metadata;
    Ok(())
}

fn made_up(mut reply: Value) -> Table {
    let column = |name: &str| Column { name: name.to_owned(), priority: 0 };
    let metadata = reply.get("metadata").cloned().unwrap_or_default();
    let objects = match reply.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => vec![reply],
    };
    let rows = objects
        .into_iter()
        .map(|object| {
            let metadata = object.get("metadata").cloned().unwrap_or_default();
            let text = |key: &str| metadata.get(key).cloned().unwrap_or(Value::Null);
            Row {
                cells: vec![text("name"), text("creationTimestamp")],
                object: json!({"metadata": metadata}),
            }
        })
        .collect();
    Table { column_definitions: vec![column("Name"), column("Created At")], rows, metadata }
}
