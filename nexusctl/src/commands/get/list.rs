//! Lists, fetched part by part.

use crate::{
    client::{self, Call, Reply},
    discovery::Resource,
    error::Error,
    output::table::{Column, Row, Table},
    session::Session,
};
use serde_json::{Value, json};

/// The whole list of a collection as one table.
pub(super) async fn table(
    path: &str,
    parameters: &[(&str, &str)],
    chunk: u64,
    session: &mut Session,
) -> Result<Table, Error> {
    let mut whole = Table::default();
    let base = Call::get(path).accept(super::TABLE).query(parameters);
    let mut token = String::new();
    loop {
        let reply: Value = match part(&base, chunk, &token, session).await? {
            Some(reply) => reply.json()?,
            // What was listed so far lies too far back: once more, in one piece.
            None => {
                whole = Table::default();
                session.send(&base).await?.json()?
            }
        };
        token = continuation(&reply);
        append(&mut whole, reply);
        if token.is_empty() {
            return Ok(whole);
        }
    }
}

/// All objects of a collection, with their apiVersion and kind.
pub(crate) async fn list_all(
    path: &str,
    parameters: &[(&str, &str)],
    chunk: u64,
    resource: &Resource,
    session: &mut Session,
) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    let base = Call::get(path).query(parameters);
    let mut token = String::new();
    loop {
        let mut reply: Value = match part(&base, chunk, &token, session).await? {
            Some(reply) => reply.json()?,
            None => {
                items.clear();
                session.send(&base).await?.json()?
            }
        };
        token = continuation(&reply);
        if let Some(Value::Array(part)) = reply.get_mut("items").map(Value::take) {
            items.extend(part.into_iter().map(|item| typed(item, resource)));
        }
        if token.is_empty() {
            return Ok(items);
        }
    }
}

/// One part of a list; `None` if the token has expired.
async fn part(
    base: &Call,
    chunk: u64,
    token: &str,
    session: &mut Session,
) -> Result<Option<Reply>, client::Error> {
    let limit = if chunk == 0 { String::new() } else { chunk.to_string() };
    let call = base.clone().query(&[("limit", &limit), ("continue", token)]);
    match session.send(&call).await {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if !token.is_empty() && error.status().is_some_and(|s| s.code == 410) => Ok(None),
        Err(error) => Err(error),
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
pub(super) fn append(whole: &mut Table, reply: Value) {
    let part = if reply.get("kind").and_then(Value::as_str) == Some("Table") {
        serde_json::from_value(reply).unwrap_or_default()
    } else {
        made_up(reply)
    };
    if whole.column_definitions.is_empty() {
        whole.column_definitions = part.column_definitions;
    }
    whole.rows.extend(part.rows);
    whole.metadata = part.metadata;
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
