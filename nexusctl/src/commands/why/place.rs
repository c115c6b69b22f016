//! Where an instance is, or why nowhere, as the scheduler's own judgement has it over what the asker may list.

use super::{instances, meta, nodes, workloads};
use crate::{client, commands::get::list_all, discovery::Resource, error::Error, session::Session};
use hypermesh_controllers::runtime::Key;
use hypermesh_controllers::scheduler::look;
use hypermesh_controllers::scheduler::plan::{Decision, Snapshot};
use serde_json::Value;

/// Where an instance is.
#[derive(Clone, Debug)]
pub enum Place {
    /// On a node, which is here if it could be read.
    On(Option<Value>),
    /// On a node that does not exist.
    NodeGone,
    /// Nowhere yet, and what would be decided now, if the asker may see enough to say.
    Waits(Option<Decision>),
}

/// The scheduler's judgement over lists.
#[derive(Debug, Default)]
pub struct Judge(Option<Snapshot>);

impl Judge {
    /// Reads the lists. Without the right to read one of them there is no judgement.
    pub async fn read(session: &mut Session) -> Result<Self, Error> {
        let mut lists = Vec::new();
        for kind in [nodes(), instances(), workloads()] {
            match list(&kind, session).await? {
                Some(list) => lists.push(list),
                None => return Ok(Self(None)),
            }
        }
        let [nodes, instances, workloads] = lists.as_slice() else { return Ok(Self(None)) };
        Ok(Self(Some(look::snapshot(nodes, instances, workloads))))
    }

    /// What would be decided now for an instance.
    pub fn of(&mut self, instance: &Value) -> Option<Decision> {
        let key = Key::namespaced(meta(instance, "namespace"), meta(instance, "name"));
        look::decide(self.0.as_mut()?, &key)
    }
}

/// What would be decided now for an instance.
pub async fn judge(instance: &Value, session: &mut Session) -> Result<Option<Decision>, Error> {
    Ok(Judge::read(session).await?.of(instance))
}

async fn list(kind: &Resource, session: &mut Session) -> Result<Option<Vec<Value>>, Error> {
    match list_all(&kind.collection_path(None), &[], 500, kind, session).await {
        Ok(list) => Ok(Some(list)),
        Err(Error::Client(client::Error::Refused { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
