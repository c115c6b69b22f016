//! `create -f`: the objects of manifests, none of which may exist yet.

use super::{Arguments, post};
use crate::{
    client::Call,
    commands::{
        apply::{DryRun, tell},
        results::Results,
    },
    error::{Error, Exit},
    manifest::Placed,
    session::Session,
};
use serde_json::Value;

pub(super) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.files.filenames.is_empty() {
        return Err(Error::Message(
            "say what to create: -f FILE, or one of the kinds that `nexusctl create --help` lists".into(),
        ));
    }
    let placed = arguments.files.read_to_create(session).await?;
    if placed.len() > 1
        && arguments.manner.dry_run == DryRun::None
        && !judge(arguments, &placed, session).await?
    {
        return Ok(Exit::Failure);
    }
    let mut results = Results::new(&arguments.manner);
    let mut missing: Vec<&Placed> = Vec::new();
    let mut unreachable = false;
    for item in &placed {
        if unreachable {
            missing.push(item);
            continue;
        }
        if arguments.manner.dry_run == DryRun::Client {
            results.tell(&item.name(), "created", item.object(), session)?;
            continue;
        }
        match create(arguments, item, arguments.manner.dry_run, session).await {
            Ok(object) => {
                let name = crate::commands::get::name_of(&object).to_owned();
                let shown = format!("{}/{name}", item.resource.qualified_singular());
                results.tell(&shown, "created", object, session)?;
            }
            Err(error) => {
                unreachable = error.is_unreachable();
                missing.push(item);
                let asked = call(arguments, item, arguments.manner.dry_run);
                tell(item, &error, &asked, session).await;
            }
        }
    }
    results.show(session)?;
    if missing.is_empty() {
        return Ok(Exit::Success);
    }
    if placed.len() > 1 {
        let lines: Vec<String> = missing
            .iter()
            .map(|m| format!("\n  {}: {}", m.document.place(), m.document.reference()))
            .collect();
        session.note(&format!(
            "\nerror: of {} objects these were not created:{}",
            placed.len(),
            lines.concat()
        ));
    }
    Ok(Exit::Failure)
}

async fn create(
    arguments: &Arguments,
    item: &Placed,
    dry_run: DryRun,
    session: &mut Session,
) -> Result<Value, crate::client::Error> {
    session.send(&call(arguments, item, dry_run)).await?.json()
}

fn call(arguments: &Arguments, item: &Placed, dry_run: DryRun) -> Call {
    post(&item.resource, &item.namespace, &item.object(), &arguments.manner, arguments.validate, dry_run)
}

/// Has the server judge everything; false, once it has been told, if it would refuse any.
async fn judge(arguments: &Arguments, placed: &[Placed], session: &mut Session) -> Result<bool, Error> {
    let made: Vec<&str> =
        placed.iter().filter(|i| i.resource.kind == "Namespace").map(|i| i.document.name.as_str()).collect();
    let mut refused = 0;
    for item in placed {
        match create(arguments, item, DryRun::Server, session).await {
            Ok(_) => {}
            // What lives in a namespace that is yet to be made cannot be judged.
            Err(error) if error.is_not_found() && made.contains(&item.namespace.as_str()) => {}
            Err(error) if error.status().is_some() => {
                if refused > 0 {
                    session.note("");
                }
                refused += 1;
                tell(item, &error, &call(arguments, item, DryRun::Server), session).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if refused > 0 {
        session
            .note(&format!("\nerror: {refused} of {} objects refused, so nothing was created", placed.len()));
    }
    Ok(refused == 0)
}
