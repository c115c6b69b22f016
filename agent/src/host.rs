//! What workers share: the façades of one host, and what they know of it.

use crate::api::NodeApi;
use crate::connectivity::Connectivity;
use crate::events::Announcer;
use crate::images::Images;
use crate::metrics::Metrics;
use crate::objects::Objects;
use crate::publish::Serving;
use crate::settings::{Layout, Policy};
use crate::volumes::Volumes;
use hypermesh_planner::Ground;
use hypermesh_runtime::RuntimeClass;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// One host.
#[derive(Clone)]
pub struct Host {
    /// Where its files lie.
    pub layout: Layout,
    /// What instances may do here.
    pub policy: Policy,
    /// The API server.
    pub api: NodeApi,
    /// People.
    pub announcer: Announcer,
    /// ConfigMaps and Secrets.
    pub objects: Objects,
    /// Images.
    pub images: Images,
    /// Volumes.
    pub volumes: Volumes,
    /// Containers.
    pub runtime: Arc<dyn RuntimeClass>,
    /// Networks.
    pub connectivity: Arc<dyn Connectivity>,
    /// The authorities by which programs in instances know the API server, in PEM.
    pub authorities: Arc<str>,
    /// What published ports lead to.
    pub serving: watch::Receiver<Serving>,
    /// What decides on whom it takes on; none: its Node is not known yet.
    pub ground: watch::Receiver<Option<Arc<Ground>>>,
    /// What is counted.
    pub metrics: Metrics,
    /// Its address.
    pub address: watch::Receiver<Option<IpAddr>>,
    /// Its memory, in bytes.
    pub memory: u64,
    /// The lowest `oom_score_adj` that a container may be given here.
    pub least_oom_score: i32,
}
