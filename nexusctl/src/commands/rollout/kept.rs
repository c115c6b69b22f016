//! The revisions that are kept of a Workload.

use crate::{client::Call, commands::targets::Target, error::Error, session::Session};
use hypermesh_controllers::workload::{WORKLOAD, revision::Record};
use serde_json::Value;

/// The revisions of a Workload, newest first.
pub(in crate::commands) async fn revisions(
    target: &Target,
    workload: &Value,
    session: &mut Session,
) -> Result<Vec<Record>, Error> {
    let path = format!(
        "/apis/apps/v1/namespaces/{}/controllerrevisions",
        crate::client::path_segment(&target.namespace)
    );
    let call = Call::get(path).query(&[("labelSelector", &format!("{WORKLOAD}={}", target.name))]);
    let list: Value = session.send(&call).await?.json()?;
    let uid = workload.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut records: Vec<Record> = items
        .into_iter()
        .filter(|item| {
            let owners = item.pointer("/metadata/ownerReferences").and_then(Value::as_array);
            owners.into_iter().flatten().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(uid))
        })
        .filter_map(Record::read)
        .collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.number));
    Ok(records)
}

/// The revision of that number.
pub(super) fn numbered<'r>(records: &'r [Record], number: i64, target: &Target) -> Result<&'r Record, Error> {
    records.iter().find(|record| record.number == number).ok_or_else(|| {
        let known: Vec<String> = records.iter().rev().map(|record| record.number.to_string()).collect();
        let known = if known.is_empty() {
            "none is kept".to_owned()
        } else {
            format!("kept are {}", known.join(", "))
        };
        Error::Message(format!("{} has no revision {number}: {known}", target.shown()))
    })
}
