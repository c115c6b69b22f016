//! Published ports: who has which port of the node, and what leads it.
//!
//! A port that is open to the world is listened on at each of the node's addresses before a rule leads it away: what a
//! process of the node listens on, on whatever address, is never taken from it, and none can be begun there unnoticed.

use super::{Network, blocking_set};
use crate::addresses::of_the_world;
use crate::error::NetworkError;
use crate::proxy::{Proxy, Targets};
use crate::rules::Rules;
use crate::service::{Protocol, Reach, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A port of the node.
type Port = (u16, Protocol);

/// What is published.
#[derive(Default)]
pub(super) struct Ports {
    proxies: BTreeMap<Port, (String, Proxy)>,
    rules: Option<String>,
    services: Vec<Service>,
}

/// What became of a published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Whose it is: [`Service::name`].
    pub name: String,
    /// The port.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Why it is not reached as it should be; none: it is.
    pub problem: Option<Problem>,
}

/// Why a published port is not reached as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In one CamelCase word: `PortTaken`, `PortInUse`, `PortReserved`, `PortRefused`.
    pub reason: &'static str,
    /// In words for whoever it is: nobody else is named.
    pub message: String,
    /// Who has it ([`Service::name`]), for those who may know.
    pub holder: Option<String>,
}

impl Network {
    /// Publishes exactly these ports, and tells of each what became of it. Where two want one port of the node, who has
    /// the older claim has it, whoever had it before; the other is reached by its own address alone.
    ///
    /// # Errors
    /// When the rules are refused as a whole: those before them stay in force.
    pub async fn publish(&self, mut services: Vec<Service>) -> Result<Vec<Published>, NetworkError> {
        services.sort_by(|a, b| order(a).cmp(&order(b)));
        let asked = services.clone();
        let world = of_the_world(&self.links.addresses().await?, self.config.prefix);
        let mut ports = self.published.lock().await;
        let holders = holders(&services);
        let gone = ports.proxies.extract_if(.., |port, (name, _)| holders.get(port) != Some(name));
        for (_, (_, proxy)) in gone.collect::<Vec<_>>() {
            proxy.close().await;
        }
        let mut outcomes = Vec::with_capacity(services.len());
        for service in &mut services {
            let problem = match holders.get(&(service.port, service.protocol)) {
                Some(holder) if *holder != service.name && !self.is_reserved(service.port) => {
                    Some(taken(service, holder))
                }
                _ => self.listen(&mut ports, service, &world).await.err(),
            };
            if problem.is_some() {
                service.reach = service.reach.min(Reach::Mesh);
            }
            let (name, port, protocol) = (service.name.clone(), service.port, service.protocol);
            outcomes.push(Published { name, port, protocol, problem });
        }
        self.enforce(&mut ports, &services, &world).await?;
        if ports.services != asked {
            // For who comes after: until it knows better, it leads them as they were.
            self.folder.keep_services(&asked)?;
            ports.services = asked;
        }
        Ok(outcomes)
    }

    /// What is published: at first, what a process before this one published, to the instances that are still attached.
    pub async fn services(&self) -> Vec<Service> {
        self.published.lock().await.services.clone()
    }

    /// Publishes what a process before this one did: it stays as it was until somebody says otherwise.
    pub(super) async fn take_over(&self) -> Result<(), NetworkError> {
        let mut services = self.folder.services();
        let there: BTreeSet<Ipv6Addr> = self.attached().iter().map(|attachment| attachment.ipv6).collect();
        for service in &mut services {
            service.backends.retain(|backend| there.contains(&backend.ipv6));
        }
        // What leads to nobody is nobody's to serve.
        services.retain(|service| !service.backends.is_empty());
        match self.publish(services).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(
                    error = super::chain(&error),
                    "what was published before is not led for the moment"
                );
                self.publish(Vec::new()).await.map(drop)
            }
        }
    }

    fn is_reserved(&self, port: u16) -> bool {
        self.config.reserved.iter().any(|range| range.contains(&port))
    }

    /// Leads what this process has to lead of a published port.
    async fn listen(&self, ports: &mut Ports, service: &Service, world: &[IpAddr]) -> Result<(), Problem> {
        let key = (service.port, service.protocol);
        if self.is_reserved(service.port) {
            return Err(problem(service, "PortReserved", "is kept for the node itself"));
        }
        let addresses = listening(service, world)?;
        match ports.proxies.get(&key) {
            Some((_, proxy)) if proxy.wanted() == addresses => {}
            _ => {
                if let Some((_, proxy)) = ports.proxies.remove(&key) {
                    proxy.close().await;
                }
                let proxy = Proxy::listen(
                    &self.host,
                    &addresses,
                    service.port,
                    service.protocol,
                    Targets::balanced(),
                )
                .map_err(|error| match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        problem(service, "PortInUse", "is in use by another process of it")
                    }
                    io::ErrorKind::PermissionDenied => {
                        problem(service, "PortRefused", "needs privileges that the agent does not have")
                    }
                    _ => problem(service, "PortRefused", &format!("cannot be listened on ({error})")),
                })?;
                ports.proxies.insert(key, (service.name.clone(), proxy));
            }
        }
        if let Some((_, proxy)) = ports.proxies.get(&key) {
            proxy.set(&service.backends);
        }
        Ok(())
    }

    async fn enforce(
        &self,
        ports: &mut Ports,
        services: &[Service],
        world: &[IpAddr],
    ) -> Result<(), NetworkError> {
        let Some(firewall) = self.firewall.clone() else { return Ok(()) };
        let instances: BTreeSet<_> = services
            .iter()
            .flat_map(|service| &service.backends)
            .map(|backend| (backend.ipv6, backend.ipv4))
            .collect();
        let instances: Vec<_> = instances.into_iter().collect();
        let (bridge, prefix, pool) = (self.config.bridge.as_str(), self.config.prefix, self.config.pool);
        let (node, metadata) = (self.config.node, self.config.metadata);
        let rules =
            Rules { bridge, prefix, pool, instances: &instances, node, world, metadata, services }.text();
        if ports.rules.as_ref() == Some(&rules) {
            return Ok(());
        }
        blocking_set(firewall, rules.clone()).await?;
        ports.rules = Some(rules);
        Ok(())
    }
}

fn order(service: &Service) -> impl Ord + '_ {
    (service.port, service.protocol, &service.claim, &service.name)
}

/// Who has each port: the oldest claim. Of services in their order.
fn holders(services: &[Service]) -> BTreeMap<Port, String> {
    let mut holders = BTreeMap::new();
    for service in services {
        holders.entry((service.port, service.protocol)).or_insert_with(|| service.name.clone());
    }
    holders
}

/// Where this process listens for a published port.
fn listening(service: &Service, world: &[IpAddr]) -> Result<Vec<IpAddr>, Problem> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    match service.reach {
        Reach::At(address) if address.is_loopback() || world.contains(&address) => Ok(vec![address]),
        Reach::At(address) => {
            let why =
                format!("cannot be had at {address}, which is no address of it that ports are published on");
            Err(problem(service, "PortRefused", &why))
        }
        Reach::Node | Reach::Mesh => Ok(loopback.to_vec()),
        Reach::World => Ok(loopback.into_iter().chain(world.iter().copied()).collect()),
    }
}

fn problem(service: &Service, reason: &'static str, why: &str) -> Problem {
    let Service { port, protocol, name, .. } = service;
    let instead = match service.address {
        Some(_) if service.reach >= Reach::Mesh => format!("{name} is reached by its own address alone"),
        _ => format!("{name} is not reached by it"),
    };
    Problem { reason, message: format!("port {port}/{protocol} of the node {why}; {instead}"), holder: None }
}

fn taken(service: &Service, holder: &str) -> Problem {
    let first = problem(service, "PortTaken", "was published by somebody else before");
    Problem { holder: Some(holder.to_owned()), ..first }
}
