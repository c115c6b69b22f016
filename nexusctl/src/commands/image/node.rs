//! Which node's images are meant.

use super::OnNode;
use crate::{
    client::{Call, path_segment},
    error::Error,
    session::Session,
};
use serde_json::Value;

const NODES: &str = "/apis/hypermesh.online/v1/nodes";

impl OnNode {
    /// The path of the node's images. Where no node is named there must be one alone.
    pub async fn images(&self, session: &mut Session) -> Result<String, Error> {
        let name = match &self.node {
            Some(name) => name.clone(),
            None => only(session).await?,
        };
        Ok(format!("{NODES}/{}/images", path_segment(&name)))
    }
}

async fn only(session: &mut Session) -> Result<String, Error> {
    let list: Value = session.send(&Call::get(NODES).query(&[("limit", "20")])).await?.json()?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = items.iter().filter_map(|node| node.pointer("/metadata/name")?.as_str()).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        [] => Err(Error::Message(
            "the cluster has no node: `nexusctl up` without --no-agent runs one, `nexus-agent` joins one"
                .into(),
        )),
        names => Err(Error::Message(format!("say which node with --node: {}", names.join(", ")))),
    }
}
