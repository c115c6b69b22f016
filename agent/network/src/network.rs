//! The node's network as the agent uses it: attach and detach instances, publish ports, and what is missing.

mod ports;

pub use ports::{Problem, Published};

use crate::attachments::{Attachment, Folder, is_id};
use crate::error::{Missing, NetworkError};
use crate::firewall::Firewall;
use crate::guard;
use crate::host::Host;
use crate::links::{Ends, Links, furnish};
use crate::netns;
use crate::pool::{Ipv4Pool, Leases};
use crate::proxy::{Proxy, Targets};
use crate::service::Protocol;
use crate::sysctl;
use hypermesh_chain::ClusterPrefix;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How the node's network is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of its state and namespaces, which a boot empties: below `/run`.
    pub state: PathBuf,
    /// The name of the bridge, 15 bytes at most. Two agents on one node need two names and two folders.
    pub bridge: String,
    /// The cluster's addresses.
    pub prefix: ClusterPrefix,
    /// The node's own address among them.
    pub node: Ipv6Addr,
    /// The range of the instances' IPv4 addresses. [`Ipv4Pool::DEFAULT`] stands for itself or, where somebody uses that,
    /// the next of its size that nobody uses; it is then kept for as long as the bridge is there.
    pub pool: Ipv4Pool,
    /// Ports that are the node's own: no instance has them, whether anybody listens on them or not.
    pub reserved: Vec<RangeInclusive<u16>>,
    /// Whether instances reach what tells a machine of a cloud who it is, and gives it keys (169.254.169.254).
    pub metadata: bool,
    /// The namespace that is the node's network; none: the process' own.
    pub host: Option<PathBuf>,
}

/// The node's network.
pub struct Network {
    config: Config,
    host: Host,
    links: Links,
    firewall: Option<Firewall>,
    folder: Folder,
    bridge: u32,
    mtu: u32,
    state: Mutex<State>,
    published: tokio::sync::Mutex<ports::Ports>,
    forwards: Mutex<Vec<Proxy>>,
    /// None: the kernel does not filter bridges.
    guarded: Option<Guarded>,
    moves: watch::Receiver<()>,
    following: AbortHandle,
}

struct State {
    leases: Leases,
    attached: BTreeMap<String, Attachment>,
}

/// Whose packets are let in. Rules are replaced as a whole, which takes longer than to want others: what many want at once
/// is done at once.
#[derive(Default)]
struct Guarded {
    /// How often it has changed who is let in; and who is, those included that are being attached.
    wanted: Mutex<(u64, BTreeMap<String, Attachment>)>,
    /// Up to which change the rules have it.
    enforced: tokio::sync::Mutex<u64>,
}

/// What went through an instance's link, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What it received.
    pub received: u64,
    /// What it sent.
    pub sent: u64,
}

impl Network {
    /// Opens the node's network: what a process before this one attached is taken over, what it left half done is
    /// removed. Beside it: what the node lacks, none of which keeps instances from being attached.
    ///
    /// # Errors
    /// When no instance could be attached here: the kernel refuses links or namespaces, the state cannot be kept, or
    /// the range of addresses is used by somebody else.
    pub async fn open(config: Config) -> Result<(Self, Vec<Missing>), NetworkError> {
        let host = Host::new(config.host.clone());
        let folder = Folder::open(&config.state)?;
        let links = Links::open(&host)?;
        let mut missing = Vec::new();
        let firewall = Firewall::open(&host).map_err(|lack| {
            missing.push(Missing {
                reason: "NoFirewall",
                message: format!(
                    "instances have no way out of the node, may send under others' addresses and to what is the node's alone, \
                     and published ports are led by the agent itself: {lack}"
                ),
            });
        });
        let parts = Parts { host, folder, links, firewall: firewall.ok() };
        let (bridge, attached) = (config.bridge.clone(), !parts.folder.read()?.is_empty());
        let undo = (parts.links.clone(), parts.firewall.clone(), Folder::open(&config.state)?);
        match Self::begin(config, parts, missing).await {
            Ok(opened) => Ok(opened),
            // Nothing is left behind that nobody would remove; what an instance has, it needs.
            Err(error) if !attached => {
                let (links, firewall, folder) = undo;
                if let Err(left) = take_away(&links, firewall.as_ref(), &folder, &bridge).await {
                    tracing::warn!(
                        bridge,
                        error = chain(&left),
                        "what is left of a network that was not opened"
                    );
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn begin(
        mut config: Config,
        parts: Parts,
        mut missing: Vec<Missing>,
    ) -> Result<(Self, Vec<Missing>), NetworkError> {
        let Parts { host, folder, links, firewall } = parts;
        let all = links.all().await?;
        if !all.contains_key(&config.bridge) {
            config.pool = unused(&links.routes().await?, config.pool)?;
            folder.keep_pool(config.pool)?;
        } else if let Some(pool) = folder.pool()? {
            config.pool = pool;
        }
        let mtu = all
            .values()
            .filter(|link| link.up && !link.loopback && link.name != config.bridge)
            .map(|link| link.mtu)
            .filter(|mtu| *mtu >= 1280)
            .min()
            .unwrap_or(1500);
        let bridge =
            links.bridge(&host, &config.bridge, mtu, config.node, config.prefix, config.pool).await?;
        if let Err(error) = sysctl::forward(&host) {
            missing.push(Missing {
                reason: "NoForwarding",
                message: format!("instances reach nothing but this node: {}", chain(&error)),
            });
        }
        let (moves, following) = Links::moves(&host)?;
        let mut network = Self {
            state: Mutex::new(State { leases: Leases::new(config.pool), attached: BTreeMap::new() }),
            config,
            host,
            links,
            guarded: firewall.is_some().then(Guarded::default),
            firewall,
            folder,
            bridge,
            mtu,
            published: tokio::sync::Mutex::default(),
            forwards: Mutex::default(),
            moves,
            following,
        };
        network.adopt().await?;
        if network.firewall.is_some()
            && let Err(error) = network.guard(|guarded| guarded.extend(network.by_id())).await
        {
            network.guarded = None;
            missing.push(Missing {
                reason: "NoSourceChecks",
                message: format!(
                    "instances may send under each other's addresses: {} (the kernel's nf_tables for bridges)",
                    chain(&error)
                ),
            });
        }
        network.take_over().await?;
        Ok((network, missing))
    }

    /// Waits until the node has other addresses than when this was called last: ports that are open to the world are
    /// then to be published anew.
    pub async fn moved(&self, since: &mut watch::Receiver<()>) {
        if since.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// For [`Self::moved`].
    pub fn moves(&self) -> watch::Receiver<()> {
        self.moves.clone()
    }

    /// Attaches an instance: its namespace is there, has its addresses and a way out. One that is attached stays as it
    /// is, and is told again.
    ///
    /// # Errors
    /// When no address is left, or the kernel refuses; nothing is left behind then.
    pub async fn attach(&self, id: &str) -> Result<Attachment, NetworkError> {
        if !is_id(id) {
            return Err(NetworkError::Unknown(id.to_owned()));
        }
        let attachment = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(attachment) = state.attached.get(id) {
                return Ok(attachment.clone());
            }
            let ipv4 = state.leases.take(id).ok_or_else(|| NetworkError::Exhausted {
                pool: self.config.pool.to_string(),
                taken: state.leases.taken(),
            })?;
            Attachment {
                id: id.to_owned(),
                ipv6: self.config.prefix.instance(id),
                ipv4,
                namespace: self.folder.namespace(id),
                link: link_name(&self.config.bridge, id),
            }
        };
        // Side by side: nothing is in it yet that would send.
        let (admitted, joined) = tokio::join!(self.admit(&attachment), self.join(&attachment));
        if let Err(error) = admitted.and(joined) {
            if let Err(left) = self.part(&attachment).await {
                tracing::warn!(id, error = %chain(&left), "what is left of a failed attachment is removed later");
            }
            self.state.lock().unwrap_or_else(PoisonError::into_inner).leases.free(attachment.ipv4);
            return Err(error);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.attached.insert(id.to_owned(), attachment.clone());
        Ok(attachment)
    }

    /// Detaches an instance: nothing of it is left. One that is not attached is no error.
    ///
    /// # Errors
    /// When the kernel refuses; it may be tried again.
    pub async fn detach(&self, id: &str) -> Result<(), NetworkError> {
        let known = self.state.lock().unwrap_or_else(PoisonError::into_inner).attached.get(id).cloned();
        let Some(attachment) = known else { return Ok(()) };
        self.part(&attachment).await?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.attached.remove(id);
        state.leases.free(attachment.ipv4);
        Ok(())
    }

    /// All that are attached.
    pub fn attached(&self) -> Vec<Attachment> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).attached.values().cloned().collect()
    }

    /// Has this node answer to one address of the cluster on a TCP port, and leads what comes to the first of `to` that
    /// answers: instances reach so what they have no route to, such as an API server on the node's loopback address.
    ///
    /// # Errors
    /// When the address or the port cannot be had.
    pub async fn forward(&self, address: Ipv6Addr, port: u16, to: &[SocketAddr]) -> Result<(), NetworkError> {
        self.links.answer(self.bridge, address).await?;
        let proxy =
            Proxy::listen(&self.host, &[address.into()], port, Protocol::Tcp, Targets::Fixed(to.into()))
                .map_err(|source| NetworkError::Link {
                    what: format!("listening on [{address}]:{port}"),
                    source,
                })?;
        self.forwards.lock().unwrap_or_else(PoisonError::into_inner).push(proxy);
        Ok(())
    }

    /// What went through the links of the instances that are attached.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn traffic(&self) -> Result<BTreeMap<String, Traffic>, NetworkError> {
        let links = self.links.all().await?;
        let traffic = |attachment: Attachment| {
            // What the node's end sent is what the instance received.
            let stats = links.get(&attachment.link)?.stats?;
            Some((attachment.id, Traffic { received: stats.tx_bytes, sent: stats.rx_bytes }))
        };
        Ok(self.attached().into_iter().filter_map(traffic).collect())
    }

    /// Connects to a port that an instance listens on, on its loopback addresses or its own.
    ///
    /// # Errors
    /// When it is not attached, or nobody answers in time.
    pub async fn dial(
        &self,
        id: &str,
        port: u16,
        patience: Duration,
    ) -> Result<tokio::net::TcpStream, NetworkError> {
        let known = self.state.lock().unwrap_or_else(PoisonError::into_inner).attached.get(id).cloned();
        let attachment = known.ok_or_else(|| NetworkError::Unknown(id.to_owned()))?;
        let failed = |source| NetworkError::Dial { target: format!("port {port} of the instance"), source };
        let addresses: [IpAddr; 3] =
            [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), attachment.ipv6.into()];
        let addresses = addresses.map(|address| SocketAddr::new(address, port));
        let dialled =
            tokio::task::spawn_blocking(move || netns::dial(&attachment.namespace, &addresses, patience));
        let stream = dialled.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        tokio::net::TcpStream::from_std(stream).map_err(failed)
    }

    /// Takes everything away: instances, rules, the bridge. What was attached must have ended.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn remove(&self) -> Result<(), NetworkError> {
        for attachment in self.attached() {
            self.detach(&attachment.id).await?;
        }
        // Another agent of the node may have the same address: from now on it answers alone.
        let forwards = std::mem::take(&mut *self.forwards.lock().unwrap_or_else(PoisonError::into_inner));
        for forward in forwards {
            forward.close().await;
        }
        take_away(&self.links, self.firewall.as_ref(), &self.folder, &self.config.bridge).await
    }

    /// Has what comes from an instance let in, from its own addresses.
    async fn admit(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        self.guard(|guarded| drop(guarded.insert(attachment.id.clone(), attachment.clone()))).await
    }

    /// Changes whose packets are let in. Done when the rules have it.
    async fn guard(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Attachment>),
    ) -> Result<(), NetworkError> {
        let (Some(firewall), Some(guarded)) = (self.firewall.clone(), &self.guarded) else { return Ok(()) };
        let number = {
            let mut wanted = guarded.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.0 += 1;
            change(&mut wanted.1);
            wanted.0
        };
        let mut enforced = guarded.enforced.lock().await;
        if *enforced >= number {
            return Ok(());
        }
        let (newest, text) = {
            let wanted = guarded.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            let head = link_head(&self.config.bridge);
            (wanted.0, guard::text(&self.config.bridge, &head, wanted.1.values()))
        };
        blocking_set(firewall, text).await?;
        *enforced = newest;
        Ok(())
    }

    fn by_id(&self) -> BTreeMap<String, Attachment> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).attached.clone()
    }

    /// Takes over what is whole, and removes the rest.
    async fn adopt(&self) -> Result<(), NetworkError> {
        let links = self.links.all().await?;
        let mut known = self.folder.read()?;
        known.retain(|id, attachment| {
            let whole = links.contains_key(&attachment.link)
                && netns::is_namespace(&attachment.namespace)
                && attachment.ipv6 == self.config.prefix.instance(id);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = whole && state.leases.keep(attachment.ipv4, id);
            if kept {
                state.attached.insert(id.clone(), attachment.clone());
            }
            !kept
        });
        for attachment in known.values() {
            self.part(attachment).await?;
        }
        let attached = self.attached();
        for id in self.folder.namespaces()? {
            if attached.iter().all(|attachment| attachment.id != id) {
                let path = self.folder.namespace(&id);
                netns::remove(&path).map_err(|source| NetworkError::Namespace { path, source })?;
            }
        }
        let ours = link_head(&self.config.bridge);
        for name in links.keys().filter(|name| name.starts_with(&ours)) {
            if attached.iter().all(|attachment| attachment.link != *name) {
                self.links.remove(name).await?;
            }
        }
        for attachment in attached {
            self.links.lead(self.bridge, &attachment.link, &self.ends(&attachment)).await?;
        }
        Ok(())
    }

    async fn join(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let path = attachment.namespace.clone();
        let failed = |source| NetworkError::Namespace { path: attachment.namespace.clone(), source };
        blocking(move || netns::create(&path)).await.map_err(failed)?;
        self.links.pair(&attachment.link, self.bridge, self.mtu, &attachment.namespace).await?;
        let (path, ends) = (attachment.namespace.clone(), self.ends(attachment));
        let bridge = self.config.bridge.clone();
        let furnished = tokio::task::spawn_blocking(move || furnish(&path, &ends, &bridge));
        furnished.await.map_err(|error| failed(io::Error::other(error)))??;
        self.links.lead(self.bridge, &attachment.link, &ends).await?;
        self.folder.keep(attachment)
    }

    /// The reverse of [`Self::join`], from any point of it.
    async fn part(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let ends = self.ends(attachment);
        let taken = async {
            self.links.unlead(self.bridge, &ends).await?;
            self.links.remove(&attachment.link).await?;
            let path = attachment.namespace.clone();
            let failed = |source| NetworkError::Namespace { path: attachment.namespace.clone(), source };
            blocking(move || netns::remove(&path)).await.map_err(failed)
        };
        let (taken, shut) = tokio::join!(taken, self.guard(|guarded| drop(guarded.remove(&attachment.id))));
        taken.and(shut)?;
        self.folder.forget(&attachment.id)
    }

    fn ends(&self, attachment: &Attachment) -> Ends {
        Ends { ipv6: attachment.ipv6, ipv4: attachment.ipv4, gateway: self.config.pool.gateway() }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// What a network is made of.
struct Parts {
    host: Host,
    folder: Folder,
    links: Links,
    firewall: Option<Firewall>,
}

/// Takes away all that is left of a network that nobody has open any more: namespaces, links, rules, the bridge and the
/// folder. What was attached must have ended.
///
/// # Errors
/// When the kernel refuses; it may be tried again.
pub async fn clear(state: &Path, bridge: &str) -> Result<(), NetworkError> {
    let host = Host::new(None);
    let folder = Folder::open(state)?;
    let links = Links::open(&host)?;
    let firewall = Firewall::open(&host).ok();
    for id in folder.namespaces()? {
        let path = folder.namespace(&id);
        netns::remove(&path).map_err(|source| NetworkError::Namespace { path, source })?;
        folder.forget(&id)?;
    }
    for id in folder.read()?.keys() {
        folder.forget(id)?;
    }
    let head = link_head(bridge);
    for name in links.all().await?.keys().filter(|name| name.starts_with(&head)) {
        links.remove(name).await?;
    }
    take_away(&links, firewall.as_ref(), &folder, bridge).await
}

/// Rules, bridge and folder of a network whose instances are gone.
async fn take_away(
    links: &Links,
    firewall: Option<&Firewall>,
    folder: &Folder,
    bridge: &str,
) -> Result<(), NetworkError> {
    if let Some(firewall) = firewall {
        // A kernel that filters no bridges has no such table to remove.
        firewall.clear(bridge, true).or_else(|_| firewall.clear(bridge, false))?;
    }
    if links.all().await?.contains_key(bridge) {
        links.remove(bridge).await?;
    }
    folder.remove();
    Ok(())
}

async fn blocking_set(firewall: Firewall, text: String) -> Result<(), NetworkError> {
    let set = tokio::task::spawn_blocking(move || firewall.set(&text));
    set.await.map_err(|error| NetworkError::Rules(error.to_string()))?
}

/// The range, or the next one that no route of the node overlaps with.
fn unused(routes: &[(Ipv4Addr, u8)], pool: Ipv4Pool) -> Result<Ipv4Pool, NetworkError> {
    let taken = |pool: &Ipv4Pool| routes.iter().find(|(network, length)| pool.overlaps(*network, *length));
    let Some((network, length)) = taken(&pool) else { return Ok(pool) };
    let next = pool.following().filter(|_| pool == Ipv4Pool::DEFAULT).find(|next| taken(next).is_none());
    next.ok_or_else(|| NetworkError::Overlap { pool: pool.to_string(), route: format!("{network}/{length}") })
}

/// The name of the node's end of an instance's pair: of the bridge, so that two agents tell theirs apart, and of the
/// instance. A link's name has 15 bytes.
fn link_name(bridge: &str, id: &str) -> String {
    format!("{}{}", link_head(bridge), short(id, 9))
}

/// What all links of a bridge's instances are called first.
fn link_head(bridge: &str) -> String {
    format!("hm{}-", short(bridge, 3))
}

/// So many hexadecimal digits of a hash.
fn short(text: &str, length: usize) -> String {
    let hash: [u8; 32] = Sha256::digest(text).into();
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chars().take(length).collect()
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn chain(error: &NetworkError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
