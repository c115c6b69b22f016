//! What an apply did, told from the object before and after.

use crate::{
    client::{Call, Client, Error},
    commands::apply::METADATA,
    manifest::Placed,
};
use serde_json::{Value, json};
use std::fmt;

/// An object before it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// There is none.
    Absent,
    /// There is one.
    Present {
        /// `metadata.uid`
        uid: String,
        /// `metadata.resourceVersion`
        resource_version: String,
        /// What of it is not status: see [`wanted`].
        wanted: Option<Value>,
    },
    /// We may apply but not look.
    Unseen,
}

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object is new.
    Created,
    /// The object changed.
    Configured,
    /// The object was so already.
    Unchanged,
    /// The object is as applied; whether that changed it cannot be told.
    Applied,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Applied => "serverside-applied",
        })
    }
}

fn metadata(object: &Value, key: &str) -> String {
    let text = object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// What metadata tells of an object that its owners want, and not of what its controllers found: a status that is written
/// while somebody applies is no change of theirs. `None` where no generation is kept.
fn wanted(object: &Value) -> Option<Value> {
    let metadata = object.get("metadata")?;
    let generation = metadata.get("generation")?;
    let mut wanted = json!({"generation": generation});
    for key in ["labels", "annotations", "finalizers", "ownerReferences"] {
        wanted[key] = metadata.get(key).cloned().unwrap_or_default();
    }
    let entries = metadata.get("managedFields").and_then(Value::as_array);
    let whole =
        |entry: &&Value| entry.get("subresource").and_then(Value::as_str).unwrap_or_default().is_empty();
    wanted["managedFields"] = entries.into_iter().flatten().filter(whole).cloned().collect();
    Some(wanted)
}

impl Before {
    /// Looks at the object as it is now.
    pub async fn look(item: &Placed, client: &Client) -> Result<Self, Error> {
        match client.send(&Call::get(item.path()).accept(METADATA)).await {
            Ok(reply) => {
                let object = reply.json()?;
                Ok(Self::Present {
                    uid: metadata(&object, "uid"),
                    resource_version: metadata(&object, "resourceVersion"),
                    wanted: wanted(&object),
                })
            }
            Err(error) if error.is_not_found() => Ok(Self::Absent),
            Err(error) if error.status().is_some_and(|s| s.code == 403) => Ok(Self::Unseen),
            Err(error) => Err(error),
        }
    }

    /// What happened, given the object that the server answered with; `created` if it said 201.
    pub fn compare(&self, created: bool, after: &Value) -> Outcome {
        match self {
            _ if created => Outcome::Created,
            Self::Absent => Outcome::Created,
            Self::Unseen => Outcome::Applied,
            // Another uid: somebody deleted the object in between, and ours is new.
            Self::Present { uid, .. } if *uid != metadata(after, "uid") => Outcome::Created,
            Self::Present { resource_version, .. }
                if *resource_version == metadata(after, "resourceVersion") =>
            {
                Outcome::Unchanged
            }
            Self::Present { wanted: Some(wanted), .. } if self::wanted(after).as_ref() == Some(wanted) => {
                Outcome::Unchanged
            }
            Self::Present { .. } => Outcome::Configured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_written_meanwhile_is_no_change() {
        let object = |version: &str, generation: i64, image: &str| {
            json!({"metadata": {
                "uid": "u", "resourceVersion": version, "generation": generation, "labels": {"image": image},
                "managedFields": [{"manager": "nexusctl", "operation": "Apply"},
                    {"manager": "controllers", "subresource": "status", "time": version}]}})
        };
        let read = object("5", 2, "a");
        let before = Before::Present {
            uid: metadata(&read, "uid"),
            resource_version: metadata(&read, "resourceVersion"),
            wanted: wanted(&read),
        };
        assert_eq!(before.compare(false, &object("5", 2, "a")), Outcome::Unchanged);
        assert_eq!(before.compare(false, &object("6", 2, "a")), Outcome::Unchanged);
        assert_eq!(before.compare(false, &object("6", 3, "a")), Outcome::Configured);
        assert_eq!(before.compare(false, &object("6", 2, "b")), Outcome::Configured);
        // Without a generation, any other version is a change.
        let mut bare = object("6", 2, "a");
        bare["metadata"]["generation"].take();
        assert_eq!(before.compare(false, &bare), Outcome::Configured);
    }
}
