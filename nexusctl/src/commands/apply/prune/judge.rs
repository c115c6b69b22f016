//! Whether a member of a set that no manifest names any more may be deleted. Pure.

use crate::commands::apply::set::{PART_OF, label};
use serde_json::Value;

/// What is to become of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is ours alone.
    Delete,
    /// It is on its way out already.
    Going,
    /// This manager applies it too: it keeps it, and we let go.
    Release(String),
    /// It is not ours, for this reason.
    Leave(String),
}

/// Judges an object's metadata. `manager` is the one that this apply owns fields under.
pub(super) fn judge(object: &Value, id: &str, manager: &str) -> Verdict {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    if label(object, PART_OF) != Some(id) {
        return Verdict::Leave("it is not of this set any more".to_owned());
    }
    if metadata.get("deletionTimestamp").is_some() {
        return Verdict::Going;
    }
    let mut owners = metadata.get("ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    if let Some(owner) = owners.find(controls) {
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        return Verdict::Leave(format!("it belongs to {} {:?}", text("kind"), text("name")));
    }
    let entries: Vec<&Value> =
        metadata.get("managedFields").and_then(Value::as_array).into_iter().flatten().collect();
    let text =
        |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let applies =
        |entry: &Value| text(entry, "operation") == "Apply" && text(entry, "subresource").is_empty();
    let ours = entries.iter().any(|entry| {
        let pointer = format!("/fieldsV1/f:metadata/f:labels/f:{}", PART_OF.replace('/', "~1"));
        applies(entry) && text(entry, "manager") == manager && entry.pointer(&pointer).is_some()
    });
    if !ours {
        return Verdict::Leave(format!("its label {PART_OF} was not applied by {manager:?}"));
    }
    match entries.iter().find(|entry| applies(entry) && text(entry, "manager") != manager) {
        Some(other) => Verdict::Release(text(other, "manager")),
        None => Verdict::Delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn member() -> Value {
        json!({"metadata": {
            "name": "a", "labels": {PART_OF: "applyset-x-v1"},
            "managedFields": [
                {"manager": "nexusctl", "operation": "Apply",
                 "fieldsV1": {"f:metadata": {"f:labels": {"f:applyset.kubernetes.io/part-of": {}}}, "f:data": {}}},
                {"manager": "controller", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            ],
        }})
    }

    fn of(change: impl FnOnce(&mut Value)) -> Verdict {
        let mut object = member();
        change(&mut object);
        judge(&object, "applyset-x-v1", "nexusctl")
    }

    #[test]
    fn only_what_is_ours_alone_is_deleted() {
        assert_eq!(of(|_| {}), Verdict::Delete);
        assert_eq!(
            of(|o| o["metadata"]["deletionTimestamp"] = "2026-11-21T00:00:00Z".into()),
            Verdict::Going
        );
        assert!(matches!(of(|o| o["metadata"]["labels"] = json!({})), Verdict::Leave(_)));
        assert!(matches!(of(|o| o["metadata"]["labels"][PART_OF] = "other".into()), Verdict::Leave(_)));
        // A label that was copied, by a controller that copies labels or by hand, makes no member.
        assert!(matches!(
            of(|o| o["metadata"]["managedFields"][0]["operation"] = "Update".into()),
            Verdict::Leave(_)
        ));
        assert!(matches!(
            of(|o| o["metadata"]["managedFields"][0]["manager"] = "m1".into()),
            Verdict::Leave(_)
        ));
        assert!(matches!(of(|o| o["metadata"]["managedFields"] = json!([])), Verdict::Leave(_)));
        let owner = json!([{"kind": "Workload", "name": "web", "controller": true}]);
        assert!(matches!(of(|o| o["metadata"]["ownerReferences"] = owner), Verdict::Leave(_)));
        let another = json!({"manager": "flux", "operation": "Apply", "fieldsV1": {"f:data": {}}});
        assert_eq!(
            of(|o| o["metadata"]["managedFields"].as_array_mut().unwrap().push(another)),
            Verdict::Release("flux".into())
        );
    }
}
