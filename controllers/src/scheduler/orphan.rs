//! Ends instances whose node does not exist any more: nobody is left who would.

use super::cluster::Kind;
use super::known::Orphans;
use crate::node::end::{self, Why};
use crate::runtime::{Context, Failure, Key};
use kube::core::{DynamicObject, PartialObjectMeta};

/// Ends `instances` if `node` does not exist.
pub async fn end(context: &Context, node: &str, instances: Orphans) -> Result<(), Failure> {
    // The watch of nodes may be behind that of instances: the server is asked.
    let found: Option<PartialObjectMeta<DynamicObject>> =
        context.get(&Kind::Node.resource(), &Key::cluster(node)).await?;
    if found.is_some() {
        return Ok(());
    }
    for (key, uid) in instances {
        end::at_once(context, &key, &uid, &Why::NodeGone(node)).await?;
    }
    Ok(())
}
