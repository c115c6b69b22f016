//! `rollout undo`: back to an earlier template, and to what it referred to.

use super::{MANAGER, kept, no_service, restore, target};
use crate::{
    client::Call,
    commands::{
        apply::DryRun,
        results::{Manner, Results},
        targets::Target,
    },
    difference::{self, Look},
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use http::Method;
use hypermesh_controllers::workload::{
    member::digest,
    reference::{Kind, Reference},
    revision::Record,
};
use restore::{Present, Restored};
use serde_json::{Value, json};

/// Arguments of `rollout undo`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  # What it would come to
  nexusctl rollout undo workload/web --dry-run
  nexusctl rollout undo workload/web --to-revision=1")]
pub struct Undo {
    /// workload/NAME, or workload NAME
    #[arg(required = true, value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// The revision to go back to (`nexusctl rollout history` lists them) [default: the one before the newest]
    #[arg(long = "to-revision", value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub number: i64,
    /// Restore the template alone: it refers to ConfigMaps, Secrets and tags as they are today
    #[arg(long)]
    pub template_only: bool,
    /// Pin every image by the digest that ran, and not only those whose tag has moved
    #[arg(long, conflicts_with = "template_only")]
    pub pin: bool,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

pub(super) async fn run(arguments: Undo, session: &mut Session) -> Result<Exit, Error> {
    let target = target(&arguments.words, session).await?;
    let now: Value = session.send(&Call::get(target.path())).await?.json()?;
    let refuse = |why: &str| Error::Message(format!("{}: {why}", target.shown()));
    if let Some(why) = no_service(&now) {
        return Err(refuse(why));
    }
    if now.pointer("/spec/rollout/paused") == Some(&Value::Bool(true)) {
        return Err(refuse("it is paused: `nexusctl rollout resume` lets it go on first"));
    }
    let records = kept::revisions(&target, &now, session).await?;
    let record = match arguments.number {
        0 => records.get(1).ok_or_else(|| refuse("no earlier revision of it is kept"))?,
        number => kept::numbered(&records, number, &target)?,
    };
    let restored = if arguments.template_only {
        Restored { template: record.template.clone(), changes: Vec::new() }
    } else {
        let present = present(record, &records, &target, &now, session).await?;
        restore::restore(record, &present, arguments.pin).map_err(|missing| {
            let lines: String = missing.iter().map(|line| format!("\n  {line}")).collect();
            let words = format!("revision {} cannot be restored as it was:{lines}\n--template-only restores the template alone", record.number);
            refuse(&words)
        })?
    };
    let mut then = now.clone();
    then["spec"]["template"].clone_from(&restored.template);
    let look = Look { color: session.streams.out_color, managed_fields: false };
    let text = difference::unified(&target.shown(), Some(now.clone()), Some(then.clone()), look);
    if text.is_empty() {
        session.note(&format!("{} has the template of revision {} already", target.shown(), record.number));
        return Ok(Exit::Success);
    }
    if arguments.manner.output.is_none() {
        session.print(&text)?;
        for change in &restored.changes {
            session.say(&crate::output::escape(change))?;
        }
    }
    let object = match arguments.manner.dry_run {
        DryRun::Client => then,
        _ => write(&arguments, &target, &now, &restored.template, session).await?,
    };
    let mut results = Results::new(&arguments.manner);
    results.tell(&target.shown(), &format!("rolled back to revision {}", record.number), object, session)?;
    results.show(session)?;
    Ok(Exit::Success)
}

/// What a record referred to, as it is today.
async fn present(
    record: &Record,
    records: &[Record],
    target: &Target,
    workload: &Value,
    session: &mut Session,
) -> Result<Present, Error> {
    let uid = workload.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    let mut present = Present { uid: uid.to_owned(), ..Present::default() };
    for kept in &record.snapshots {
        let of = Reference { kind: kept.kind, name: kept.name.clone() };
        let found = read(&of, target, session).await?;
        present.objects.insert(of, found);
        let copy = Reference { kind: kept.kind, name: kept.copy.clone() };
        if read(&copy, target, session).await?.is_some() {
            present.copies.insert(copy);
        }
    }
    for later in records.iter().filter(|later| later.number > record.number) {
        present.later.extend(later.images.iter().map(|image| (image.image.clone(), image.digest.clone())));
    }
    let path = format!(
        "/apis/{}/v1/namespaces/{}/instances",
        hypermesh_schemas::GROUP,
        crate::client::path_segment(&target.namespace)
    );
    let call = Call::get(path).query(&[("fieldSelector", &format!("spec.workload={}", target.name))]);
    let instances: Value = session.send(&call).await?.json()?;
    for instance in instances.get("items").and_then(Value::as_array).into_iter().flatten() {
        present.later.extend(ran(instance));
    }
    Ok(present)
}

/// The images that an instance runs, as its template calls them, and their digests.
fn ran(instance: &Value) -> Vec<(String, String)> {
    let all = |pointers: [&str; 2]| {
        let lists = pointers.into_iter().filter_map(|pointer| instance.pointer(pointer)?.as_array());
        lists.flatten().cloned().collect::<Vec<Value>>()
    };
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let containers = all(["/spec/pod/containers", "/spec/pod/initContainers"]);
    let told = all(["/status/containerStatuses", "/status/initContainerStatuses"]);
    let image = |told: &Value| {
        let name = text(told, "name")?;
        let container =
            containers.iter().find(|container| text(container, "name").as_deref() == Some(&name))?;
        Some((text(container, "image")?, digest(&text(told, "imageID")?)?))
    };
    told.iter().filter_map(image).collect()
}

/// A ConfigMap or Secret; `None` for one that is gone, or that the user may not read.
async fn read(of: &Reference, target: &Target, session: &mut Session) -> Result<Option<Value>, Error> {
    let plural = match of.kind {
        Kind::ConfigMap => "configmaps",
        Kind::Secret => "secrets",
    };
    let (namespace, name) =
        (crate::client::path_segment(&target.namespace), crate::client::path_segment(&of.name));
    match session.send(&Call::get(format!("/api/v1/namespaces/{namespace}/{plural}/{name}"))).await {
        Ok(reply) => Ok(Some(reply.json()?)),
        Err(error) if error.status().is_some_and(|status| matches!(status.code, 403 | 404)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn write(
    arguments: &Undo,
    target: &Target,
    now: &Value,
    template: &Value,
    session: &mut Session,
) -> Result<Value, Error> {
    let version = now.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
    let patch = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]);
    let call = Call::with_body(Method::PATCH, target.path(), patch.to_string())
        .content_type("application/json-patch+json")
        .query(&[
            ("fieldManager", arguments.manner.manager(MANAGER)),
            ("dryRun", arguments.manner.dry_run.parameter()),
        ]);
    Ok(session.send(&call).await?.json()?)
}
