//! Instances on a bridge of the node: what one node needs until a network joins nodes to each other.
//!
//! A translation between the seam's words and those of `hypermesh-network`, which does the work; beside it, the ports
//! of the node that lead straight to one instance, which are published ports with one backend.

use super::{
    Adopted, Attached, Attachment, Backend, Connectivity, ConnectivityError, HostPort, Missing,
    PublishedPort, Refused, Report, Traffic,
};
use futures_util::future::BoxFuture;
use hypermesh_network::{Claim, Config, Network, NetworkError, Protocol as Wire, Reach, Service, files};
use hypermesh_planner::InstanceUid;
use hypermesh_schemas::network::Protocol;
use hypermesh_schemas::privacy::Privacy;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// The port under which instances reach the API server.
const API_PORT: u16 = 443;
/// Where the node's resolvers stand, and where those stand that a resolver on its loopback address asks.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The node's bridge.
pub struct Bridge {
    network: Network,
    prefix: hypermesh_chain::ClusterPrefix,
    api_server: SocketAddr,
    missing: Vec<Missing>,
    wanted: tokio::sync::Mutex<Wanted>,
    refused: Mutex<Vec<Refused>>,
    moves: tokio::sync::Mutex<tokio::sync::watch::Receiver<()>>,
}

#[derive(Default)]
struct Wanted {
    published: Vec<Service>,
    direct: BTreeMap<InstanceUid, Vec<Service>>,
    /// Published ports of protocols that are not led here.
    strange: Vec<Refused>,
}

impl Wanted {
    /// What an agent before this one published: it stays until this one knows what is to be.
    fn of(services: Vec<Service>) -> Self {
        let mut wanted = Self::default();
        for service in services {
            match (service.address, InstanceUid::parse(&service.claim.uid)) {
                (Some(_), _) => wanted.published.push(service),
                (None, Ok(uid)) => wanted.direct.entry(uid).or_default().push(service),
                (None, Err(_)) => {}
            }
        }
        wanted
    }
}

impl Bridge {
    /// Opens the node's network, and leads instances to the first of `api_servers` that answers.
    ///
    /// # Errors
    /// When instances cannot be connected here at all: without root, or when the range of addresses is somebody else's.
    pub async fn open(config: Config, api_servers: &[SocketAddr]) -> Result<Self, ConnectivityError> {
        let failed = || ConnectivityError::of::<NetworkError>("open the node's network");
        let prefix = config.prefix;
        let (network, missing) = Network::open(config).await.map_err(failed())?;
        if let Err(error) = network.forward(prefix.api_server(), API_PORT, api_servers).await {
            let bridge = Self::around(network, prefix, Vec::new());
            bridge.close().await;
            return Err(failed()(error));
        }
        let kept = Wanted::of(network.services().await);
        let missing = missing.into_iter().map(|lack| Missing { reason: lack.reason, message: lack.message });
        let bridge = Self::around(network, prefix, missing.collect());
        *bridge.wanted.lock().await = kept;
        Ok(bridge)
    }

    fn around(network: Network, prefix: hypermesh_chain::ClusterPrefix, missing: Vec<Missing>) -> Self {
        Self {
            moves: tokio::sync::Mutex::new(network.moves()),
            network,
            prefix,
            api_server: (prefix.api_server(), API_PORT).into(),
            missing,
            wanted: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// The network itself, for what is no other network's business: traffic, dialling inside an instance.
    pub fn network(&self) -> &Network {
        &self.network
    }

    async fn enforce(&self, wanted: &Wanted) -> Result<(), ConnectivityError> {
        let services = wanted.published.iter().chain(wanted.direct.values().flatten()).cloned().collect();
        let outcomes =
            self.network.publish(services).await.map_err(ConnectivityError::of("publish ports"))?;
        let refused = outcomes.into_iter().filter_map(|outcome| {
            let hypermesh_network::Problem { reason, message, holder } = outcome.problem?;
            Some(Refused { of: outcome.name, port: outcome.port, reason, message, holder })
        });
        let refused = refused.chain(wanted.strange.iter().cloned()).collect();
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        Ok(())
    }
}

impl Connectivity for Bridge {
    fn attach<'a>(&'a self, instance: &'a Attachment) -> BoxFuture<'a, Result<Attached, ConnectivityError>> {
        Box::pin(async move {
            let failed = ConnectivityError::of(format!("connect the instance {}", instance.name));
            let given = self.network.attach(instance.uid.as_str()).await.map_err(failed)?;
            let mut wanted = self.wanted.lock().await;
            let direct: Vec<_> =
                instance.host_ports.iter().filter_map(|port| direct(instance, &given, port)).collect();
            if wanted.direct.get(&instance.uid) != Some(&direct)
                && !(direct.is_empty() && wanted.direct.is_empty())
            {
                wanted.direct.insert(instance.uid.clone(), direct);
                self.enforce(&wanted).await?;
            }
            let [node, upstream] = RESOLVERS.map(|path| std::fs::read_to_string(path).ok());
            Ok(Attached {
                namespace: Some(given.namespace.clone()),
                ipv6: Some(given.ipv6),
                ipv4: Some(given.ipv4),
                api_server: Some(self.api_server),
                resolv_conf: files::resolv_conf(node.as_deref().unwrap_or_default(), upstream.as_deref()),
                hosts: files::hosts(&instance.name, &given.addresses()),
            })
        })
    }

    fn detach<'a>(&'a self, instance: &'a InstanceUid) -> BoxFuture<'a, Result<(), ConnectivityError>> {
        Box::pin(async move {
            let mut wanted = self.wanted.lock().await;
            if wanted.direct.remove(instance).is_some_and(|ports| !ports.is_empty()) {
                self.enforce(&wanted).await?;
            }
            drop(wanted);
            let failed = ConnectivityError::of(format!("disconnect the instance {instance}"));
            self.network.detach(instance.as_str()).await.map_err(failed)
        })
    }

    fn adopt<'a>(
        &'a self,
        wanted: &'a BTreeSet<InstanceUid>,
    ) -> BoxFuture<'a, Result<Adopted, ConnectivityError>> {
        Box::pin(async move {
            let mut adopted = Adopted::default();
            for attachment in self.network.attached() {
                match InstanceUid::parse(&attachment.id) {
                    Ok(uid) if wanted.contains(&uid) => drop(adopted.kept.insert(uid)),
                    _ => {
                        let failed = ConnectivityError::of("remove a leftover");
                        self.network.detach(&attachment.id).await.map_err(failed)?;
                        adopted.removed.push(format!("the network of the instance {}", attachment.id));
                    }
                }
            }
            let mut ports = self.wanted.lock().await;
            let before = ports.direct.len();
            ports.direct.retain(|uid, _| wanted.contains(uid));
            if ports.direct.len() < before {
                self.enforce(&ports).await?;
            }
            Ok(adopted)
        })
    }

    fn traffic(&self) -> BoxFuture<'_, BTreeMap<InstanceUid, Traffic>> {
        Box::pin(async {
            let counted = self.network.traffic().await.unwrap_or_default().into_iter();
            let counted = counted.filter_map(|(id, passed)| {
                let traffic = Traffic { received: passed.received, sent: passed.sent };
                Some((InstanceUid::parse(&id).ok()?, traffic))
            });
            counted.collect()
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.network.attached().is_empty()
                && let Err(error) = self.network.remove().await
            {
                tracing::warn!(error = crate::failure::chain(&error), "the bridge stays");
            }
        })
    }

    fn publish<'a>(&'a self, ports: &'a [PublishedPort]) -> BoxFuture<'a, Result<(), ConnectivityError>> {
        Box::pin(async move {
            let mut wanted = self.wanted.lock().await;
            wanted.published = ports.iter().filter_map(|port| published(port, &self.prefix)).collect();
            let strange = ports.iter().filter(|port| wire(port.protocol).is_none()).map(|port| Refused {
                of: format!("{}/{}", port.namespace, port.workload),
                port: port.port,
                reason: "PortRefused",
                holder: None,
                message: format!(
                    "port {}: SCTP is not led to instances here, only TCP and UDP are",
                    port.port
                ),
            });
            wanted.strange = strange.collect();
            self.enforce(&wanted).await
        })
    }

    fn refused(&self) -> Vec<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn moved(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let mut moves = self.moves.lock().await;
            self.network.moved(&mut moves).await;
        })
    }

    fn report(&self) -> Report {
        Report { kind: "bridge", missing: self.missing.clone() }
    }
}

/// None: it is of a protocol that is not led here.
fn published(port: &PublishedPort, prefix: &hypermesh_chain::ClusterPrefix) -> Option<Service> {
    let protocol = wire(port.protocol)?;
    Some(Service {
        name: format!("{}/{}", port.namespace, port.workload),
        claim: Claim { since: port.claim.since, uid: port.claim.uid.clone() },
        address: Some(prefix.workload(&port.namespace, &port.workload)),
        port: port.port,
        protocol,
        reach: match port.privacy {
            Privacy::Private => Reach::Node,
            Privacy::PrivateNetwork | Privacy::P2P | Privacy::PublicNetwork => Reach::Mesh,
            Privacy::FullPublic => Reach::World,
        },
        backends: port.backends.iter().filter_map(backend).collect(),
    })
}

/// None: it is on another node, whose instances this network does not reach.
fn backend(backend: &Backend) -> Option<hypermesh_network::Backend> {
    let ipv6 = backend.addresses.iter().find_map(|address| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    })?;
    let ipv4 = backend.addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    })?;
    Some(hypermesh_network::Backend { ipv6, ipv4, port: backend.port, weight: backend.weight })
}

/// None: it is of a protocol that is not led here.
fn direct(instance: &Attachment, given: &hypermesh_network::Attachment, port: &HostPort) -> Option<Service> {
    let protocol = wire(port.protocol)?;
    Some(Service {
        name: format!("{}/{}", instance.namespace, instance.name),
        claim: Claim { since: instance.since, uid: instance.uid.to_string() },
        address: None,
        port: port.host_port,
        protocol,
        reach: port.address.filter(|address| !address.is_unspecified()).map_or(Reach::World, Reach::At),
        backends: vec![hypermesh_network::Backend {
            ipv6: given.ipv6,
            ipv4: given.ipv4,
            port: port.container_port,
            weight: 1,
        }],
    })
}

fn wire(protocol: Protocol) -> Option<Wire> {
    match protocol {
        Protocol::Tcp => Some(Wire::Tcp),
        Protocol::Udp => Some(Wire::Udp),
        Protocol::Sctp => None,
    }
}
