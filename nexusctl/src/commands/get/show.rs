//! Fetching what was selected, and showing it once.

use super::{Placed, Request, TABLE, list, name_of};
use crate::{
    client,
    client::Call,
    error::Error,
    jsonpath::Template,
    output::{self, Form, TablePrinter, sort::sort_by, table::Table},
    session::Session,
};
use serde_json::{Value, json};

/// Prints a table a kind; whether there was anything to print.
pub(super) async fn tables(
    request: &Request<'_>,
    selections: &[Placed],
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<bool, Error> {
    let several = selections.len() > 1;
    let mut printed = false;
    for placed in selections {
        let mut table = match table(request, placed, faults, session).await {
            Ok(table) if table.rows.is_empty() => continue,
            Ok(table) => table,
            Err(Error::Client(error)) if error.status().is_some() => {
                faults.push(error);
                continue;
            }
            Err(other) => return Err(other),
        };
        if let Some(path) = &request.sort {
            sort(&mut table.rows, path, request, |row| &row.object)?;
        }
        if printed && several {
            session.print("\n")?;
        }
        let options = request.table_options(placed, several, session);
        let text = TablePrinter::new(options).print(&table, None);
        session.print(&text)?;
        printed = true;
    }
    Ok(printed)
}

/// Sorts by what a path leads to.
fn sort<T>(
    items: &mut Vec<T>,
    path: &Template,
    request: &Request<'_>,
    object: impl Fn(&T) -> &Value,
) -> Result<(), Error> {
    let mut fault = None;
    let first = |item: &T| match path.values(object(item)) {
        Ok(values) => Ok(values.first().map(|value| Value::clone(value))),
        Err(error) => Err(error),
    };
    let mut values = Vec::with_capacity(items.len());
    for item in items.iter() {
        match first(item) {
            Ok(value) => values.push(value),
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
    }
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    let mut keyed: Vec<(Option<Value>, T)> = values.into_iter().zip(items.drain(..)).collect();
    let sorted = sort_by(&mut keyed, |(value, _)| value.clone());
    items.extend(keyed.into_iter().map(|(_, item)| item));
    if sorted {
        return Ok(());
    }
    let path = request.arguments.sort_by.as_deref().unwrap_or_default();
    Err(Error::Message(format!(
        "--sort-by: no object has the field {path:?}; `nexusctl explain` shows the fields there are"
    )))
}

async fn table(
    request: &Request<'_>,
    placed: &Placed,
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<Table, Error> {
    let resource = &placed.selection.resource;
    let arguments = request.arguments;
    // A row holds metadata only, unless there is more to sort by.
    let include = if request.sort.is_some() { "Object" } else { "" };
    if placed.selection.names.is_empty() {
        let path = arguments.filter.collection(resource, session)?;
        let call = Call::get(path).accept(TABLE).query(&arguments.filter.parameters());
        let call = call.query(&[("includeObject", include)]);
        return list::table(request, &call, session).await;
    }
    let mut whole = Table::default();
    for name in &placed.selection.names {
        let call = Call::get(request.path(placed, name)).accept(TABLE).query(&[("includeObject", include)]);
        match session.send(&request.then(call)).await {
            Ok(reply) => list::append(&mut whole, reply.json()?)?,
            Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
            Err(error) if error.status().is_some() => faults.push(error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(whole)
}

/// Prints objects in any other form; whether there was anything to print.
pub(super) async fn objects(
    request: &Request<'_>,
    selections: &[Placed],
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<bool, Error> {
    let one = matches!(selections, [only] if only.selection.names.len() == 1);
    let mut found = fetch(request, selections, faults, session).await?;
    if let Some(path) = &request.sort {
        sort(&mut found, path, request, |(_, object)| object)?;
    }
    if let Form::Name = request.form {
        for (prefix, object) in &found {
            session.say(&format!("{prefix}/{}", name_of(object)))?;
        }
        return Ok(!found.is_empty());
    }
    if one && found.is_empty() {
        return Ok(false);
    }
    let mut objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
    if let Form::Columns(columns) = &request.form {
        if objects.is_empty() {
            return Ok(false);
        }
        let text = columns.table(&objects, request.arguments.no_headers, session.streams.out_width)?;
        session.print(&text)?;
        return Ok(true);
    }
    let mut value = if one && objects.len() == 1 {
        objects.remove(0)
    } else {
        json!({"apiVersion": "v1", "items": objects, "kind": "List", "metadata": {"resourceVersion": ""}})
    };
    if !request.arguments.show_managed_fields && matches!(request.form, Form::Json | Form::Yaml) {
        output::hide_managed_fields(&mut value);
    }
    let terminal = session.streams.out_width.is_some();
    let mut text = match &request.form {
        Form::Template(template) if terminal => template.render_escaped(&value)?,
        form => form.show(&value, "")?,
    };
    // A prompt must not stand behind the last word.
    if terminal && !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    session.print(&text)?;
    Ok(true)
}

/// Whole objects, each with what stands before the slash where it is named.
async fn fetch(
    request: &Request<'_>,
    selections: &[Placed],
    faults: &mut Vec<client::Error>,
    session: &mut Session,
) -> Result<Vec<(String, Value)>, Error> {
    let arguments = request.arguments;
    let mut found: Vec<(String, Value)> = Vec::new();
    for placed in selections {
        let resource = &placed.selection.resource;
        let prefix = resource.qualified_singular();
        if placed.selection.names.is_empty() {
            let path = arguments.filter.collection(resource, session)?;
            let call = Call::get(path).query(&arguments.filter.parameters());
            match list::list_then(&call, request.at, arguments.chunk_size, resource, session).await {
                Ok(items) => found.extend(items.into_iter().map(|item| (prefix.clone(), item))),
                Err(Error::Client(error)) if error.status().is_some() => faults.push(error),
                Err(error) => return Err(error),
            }
            continue;
        }
        for name in &placed.selection.names {
            match session.send(&request.then(Call::get(request.path(placed, name)))).await {
                Ok(reply) => found.push((prefix.clone(), reply.json()?)),
                Err(error) if error.is_not_found() && arguments.ignore_not_found => {}
                Err(error) if error.status().is_some() => faults.push(error),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(found)
}
