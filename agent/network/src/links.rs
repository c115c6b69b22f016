//! Links, addresses and routes, over the kernel's routing netlink (rtnetlink(7)).

use crate::addresses::Address;
use crate::error::NetworkError;
use crate::host::Host;
use crate::netns;
use crate::pool::Ipv4Pool;
use crate::sysctl;
use futures_util::{StreamExt as _, TryStreamExt as _};
use hypermesh_chain::ClusterPrefix;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage, Stats64,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{
    Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth, MulticastGroup,
    RouteMessageBuilder,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What an instance sends everything to (RFC 4291, section 2.5.6): the bridge, whatever node it is.
pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// What the kernel gives IPv6 routes that name no metric (`IP6_RT_PRIO_USER`).
const METRIC: u32 = 1024;

/// The node's end of the kernel's routing.
#[derive(Clone)]
pub struct Links {
    handle: Handle,
}

/// A link of the node.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The largest packet that it takes, in bytes.
    pub mtu: u32,
    /// Whether it is the loopback link.
    pub loopback: bool,
    /// Whether it is up.
    pub up: bool,
    /// What went through it.
    pub stats: Option<Stats64>,
}

/// What an instance's end of the pair gets.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Its stable address.
    pub ipv6: Ipv6Addr,
    /// Its IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Whom it sends IPv4 to.
    pub gateway: Ipv4Addr,
}

impl Links {
    /// Opens netlink in the node's namespace.
    pub fn open(host: &Host) -> Result<Self, NetworkError> {
        let (connection, handle, _) =
            host.enter(rtnetlink::new_connection).map_err(|source| link("opening netlink", source))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// All links of the node, by name.
    pub async fn all(&self) -> Result<BTreeMap<String, Link>, NetworkError> {
        let messages = self.handle.link().get().execute();
        let links: Vec<LinkMessage> =
            messages.try_collect().await.map_err(|error| failed("listing links", &error))?;
        Ok(links.into_iter().map(read).map(|link| (link.name.clone(), link)).collect())
    }

    /// All addresses of the node.
    pub async fn addresses(&self) -> Result<Vec<Address>, NetworkError> {
        let messages = self.handle.address().get().execute();
        let found: Vec<AddressMessage> =
            messages.try_collect().await.map_err(|error| failed("listing addresses", &error))?;
        Ok(found.iter().filter_map(address).collect())
    }

    /// Tells when the node has gained or lost an address, until the handle is aborted.
    pub fn moves(host: &Host) -> Result<(watch::Receiver<()>, AbortHandle), NetworkError> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, _, mut messages) = host
            .enter(|| rtnetlink::new_multicast_connection(&groups))
            .map_err(|source| link("following addresses", source))?;
        let (told, moves) = watch::channel(());
        let following = tokio::spawn(async move {
            let listen = async {
                while messages.next().await.is_some() {
                    told.send_replace(());
                }
            };
            tokio::join!(connection, listen);
        });
        Ok((moves, following.abort_handle()))
    }

    /// The ranges of IPv4 addresses that the node has routes for, the default one left out.
    pub async fn routes(&self) -> Result<Vec<(Ipv4Addr, u8)>, NetworkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let messages = self.handle.route().get(all).execute();
        let routes: Vec<RouteMessage> =
            messages.try_collect().await.map_err(|error| failed("listing routes", &error))?;
        Ok(routes.iter().filter(|route| route.header.scope != RouteScope::Host).filter_map(range).collect())
    }

    /// The bridge, made if it is not there, up, and with the node's addresses.
    pub async fn bridge(
        &self,
        host: &Host,
        name: &str,
        mtu: u32,
        node: Ipv6Addr,
        prefix: ClusterPrefix,
        pool: Ipv4Pool,
    ) -> Result<u32, NetworkError> {
        let what = |what: &str| format!("{what} the bridge {name}");
        if !self.all().await?.contains_key(name) {
            let bridge = LinkBridge::new(name).mtu(mtu).mcast_snooping(false).build();
            let made = self.handle.link().add(bridge).execute().await;
            made.map_err(|error| failed(&what("making"), &error))?;
        }
        // A bridge takes the smallest hardware address of its ports: as ports come and go, its own would change.
        let index = self.index(name).await?;
        let address = LinkUnspec::new_with_index(index).address(hardware(name).to_vec()).up().build();
        let set = self.handle.link().set(address).execute().await;
        set.map_err(|error| failed(&what("starting"), &error))?;
        for setting in ["ipv6/conf/%/accept_ra", "ipv4/conf/%/send_redirects", "ipv6/conf/%/accept_redirects"]
        {
            sysctl::set(host, &format!("net/{}", setting.replace('%', name)), "0")?;
        }
        for (address, length) in
            [(IpAddr::V6(GATEWAY), 64), (IpAddr::V6(node), 128), (IpAddr::V4(pool.gateway()), 32)]
        {
            self.address(index, address, length)
                .await
                .map_err(|error| failed(&what("addressing"), &error))?;
        }
        // Addresses that nobody has, those of workloads among them, end here rather than on the way out.
        // Each bridge of a node has such a route of its own, and none replaces another's.
        let cluster = RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(prefix.network(), ClusterPrefix::LENGTH)
            .priority(METRIC.saturating_add(index))
            .output_interface(index);
        let route = self.handle.route().add(cluster.build()).replace().execute().await;
        route.map_err(|error| failed(&what("routing over"), &error))?;
        Ok(index)
    }

    /// Gives the bridge one more address, which only this node answers to.
    pub async fn answer(&self, bridge: u32, address: Ipv6Addr) -> Result<(), NetworkError> {
        let added = self.address(bridge, address.into(), 128).await;
        added.map_err(|error| failed(&format!("giving the bridge {address}"), &error))
    }

    /// A pair of links: the node's end called `name` on the bridge, the instance's `eth0` in its namespace.
    pub async fn pair(
        &self,
        name: &str,
        bridge: u32,
        mtu: u32,
        namespace: &Path,
    ) -> Result<(), NetworkError> {
        let what = format!("making the pair {name}");
        let file = File::open(namespace).map_err(|source| link(&what, source))?;
        let inside = LinkMessageBuilder::<LinkUnspec>::new()
            .name("eth0")
            .mtu(mtu)
            .address(inside(name).to_vec())
            .setns_by_fd(file.as_raw_fd())
            .build();
        let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name)
            .mtu(mtu)
            .address(hardware(name).to_vec())
            .controller(bridge)
            .up()
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)));
        let made = self.handle.link().add(pair.build()).execute().await;
        made.map_err(|error| failed(&what, &error))?;
        // Where the node filters bridged packets too (br_netfilter, as Docker has it), what an instance sends to itself
        // over a published port never leaves the bridge, and goes back out of the port that it came in by.
        let index = self.index(name).await?;
        let port = self.handle.link().set_port(LinkBridgePort::new(index).hairpin(true).build());
        port.execute().await.map_err(|error| failed(&what, &error))
    }

    /// Leads an instance's addresses to the bridge, and there to its end of the pair `name`: nobody is asked who has them,
    /// so that nobody else can say they have.
    pub async fn lead(&self, bridge: u32, name: &str, ends: &Ends) -> Result<(), NetworkError> {
        for address in [IpAddr::V6(ends.ipv6), IpAddr::V4(ends.ipv4)] {
            let what = format!("leading {address} to the bridge");
            let route = to_host(address, bridge);
            let added = self.handle.route().add(route).replace().execute().await;
            added.map_err(|error| failed(&what, &error))?;
            self.know(bridge, address, inside(name)).await.map_err(|error| failed(&what, &error))?;
        }
        Ok(())
    }

    /// Makes an address a neighbour that is not asked for.
    async fn know(&self, link: u32, address: IpAddr, hardware: [u8; 6]) -> Result<(), rtnetlink::Error> {
        let neighbour = self.handle.neighbours().add(link, address);
        neighbour.link_layer_address(&hardware).replace().execute().await
    }

    /// Takes an instance's routes away. Those that are not there are no error.
    pub async fn unlead(&self, bridge: u32, ends: &Ends) -> Result<(), NetworkError> {
        for address in [IpAddr::V6(ends.ipv6), IpAddr::V4(ends.ipv4)] {
            match self.handle.route().del(to_host(address, bridge)).execute().await {
                Err(error) if code(&error) != Some(nix::libc::ESRCH) => {
                    return Err(failed(&format!("taking away the route of {address}"), &error));
                }
                _ => {}
            }
            let mut gone = self.handle.neighbours().add(bridge, address);
            let gone = gone.message_mut().clone();
            match self.handle.neighbours().del(gone).execute().await {
                Err(error) if code(&error) != Some(nix::libc::ENOENT) => {
                    return Err(failed(&format!("forgetting who has {address}"), &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a link, and with it the other end of its pair. One that is not there is no error.
    pub async fn remove(&self, name: &str) -> Result<(), NetworkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().name(name).build();
        match self.handle.link().del_with_message(message).execute().await {
            Err(error) if code(&error) != Some(nix::libc::ENODEV) => {
                Err(failed(&format!("removing the link {name}"), &error))
            }
            _ => Ok(()),
        }
    }

    async fn index(&self, name: &str) -> Result<u32, NetworkError> {
        let what = format!("finding the link {name}");
        let mut found = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        let link = found.try_next().await.map_err(|error| failed(&what, &error))?;
        link.map(|link| link.header.index).ok_or_else(|| self::link(&what, io::ErrorKind::NotFound.into()))
    }

    async fn address(&self, index: u32, address: IpAddr, length: u8) -> Result<(), rtnetlink::Error> {
        let mut request = self.handle.address().add(index, address, length).replace();
        if address.is_ipv6() {
            // Nobody else can have it: it need not be asked for and waited with (RFC 4862, section 5.4).
            let message = request.message_mut();
            message.header.flags |= AddressHeaderFlags::Nodad;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        request.execute().await
    }
}

/// Sets up the inside of an instance's namespace, whose way out is the bridge of this name. The caller's thread waits.
pub fn furnish(namespace: &Path, ends: &Ends, bridge: &str) -> Result<(), NetworkError> {
    let (ends, bridge) = (*ends, hardware(bridge));
    let done = netns::within(namespace, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        // What a process without privileges may do in a network of its own.
        for (name, value) in [
            ("net/ipv6/conf/all/accept_ra", "0"),
            ("net/ipv6/conf/default/accept_ra", "0"),
            ("net/ipv6/conf/all/accept_redirects", "0"),
            ("net/ipv6/conf/eth0/accept_redirects", "0"),
            ("net/ipv4/ip_unprivileged_port_start", "0"),
            ("net/ipv4/ping_group_range", "0\t2147483647"),
        ] {
            sysctl::write(name, value)?;
        }
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            set_up(&Links { handle }, &ends, bridge).await.map_err(|error| match error {
                NetworkError::Link { what, source } => {
                    io::Error::new(source.kind(), format!("{what}: {source}"))
                }
                other => io::Error::other(other.to_string()),
            })
        })
    });
    done.map_err(|source| NetworkError::Namespace { path: namespace.to_owned(), source })
}

/// Starts the loopback link of the namespace that the thread is in.
pub fn start_loopback() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        start(&Links { handle }, "lo").await.map_err(io::Error::other)
    })
}

async fn start(links: &Links, name: &str) -> Result<(), NetworkError> {
    let up = LinkUnspec::new_with_index(links.index(name).await?).up().build();
    let started = links.handle.link().set(up).execute().await;
    started.map_err(|error| failed(&format!("starting {name}"), &error))
}

async fn set_up(links: &Links, ends: &Ends, bridge: [u8; 6]) -> Result<(), NetworkError> {
    for name in ["lo", "eth0"] {
        start(links, name).await?;
    }
    let index = links.index("eth0").await?;
    for (address, length) in [(IpAddr::V6(ends.ipv6), 128), (IpAddr::V4(ends.ipv4), 32)] {
        links
            .address(index, address, length)
            .await
            .map_err(|error| failed(&format!("addressing {address}"), &error))?;
    }
    let out6 = RouteMessageBuilder::<Ipv6Addr>::new().gateway(GATEWAY).output_interface(index).build();
    let out4 = RouteMessageBuilder::<Ipv4Addr>::new().gateway(ends.gateway).output_interface(index).build();
    for route in [to_host(IpAddr::V4(ends.gateway), index), out6, out4] {
        let added = links.handle.route().add(route).replace().execute().await;
        added.map_err(|error| failed("routing out", &error))?;
    }
    for gateway in [IpAddr::V6(GATEWAY), ends.gateway.into()] {
        let known = links.know(index, gateway, bridge).await;
        known.map_err(|error| failed("knowing the way out", &error))?;
    }
    Ok(())
}

fn to_host(address: IpAddr, index: u32) -> RouteMessage {
    match address {
        IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(address, 128)
            .output_interface(index)
            .build(),
        IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .scope(RouteScope::Link)
            .output_interface(index)
            .build(),
    }
}

fn range(route: &RouteMessage) -> Option<(Ipv4Addr, u8)> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => {
            Some((*address, route.header.destination_prefix_length))
        }
        _ => None,
    })
}

fn read(message: LinkMessage) -> Link {
    let mut link = Link {
        name: String::new(),
        mtu: 0,
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        up: message.header.flags.contains(LinkFlags::Up),
        stats: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Stats64(stats) => link.stats = Some(stats),
            _ => {}
        }
    }
    link
}

/// A hardware address that stays: locally administered (IEEE 802), by a hash of what it belongs to.
pub fn hardware(name: &str) -> [u8; 6] {
    use sha2::Digest as _;
    let hash: [u8; 32] = sha2::Sha256::digest(name).into();
    let [first, second, third, fourth, fifth, sixth, ..] = hash;
    [(first & 0xfc) | 0x02, second, third, fourth, fifth, sixth]
}

/// That of the instance's end of a pair.
pub fn inside(link: &str) -> [u8; 6] {
    hardware(&format!("{link} inside"))
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut ip, mut flags) = (None, AddressFlags::empty());
    for attribute in &message.attributes {
        match attribute {
            // Of an IPv4 link between two it is the own end; IPv6 says it as the address.
            AddressAttribute::Local(local) => ip = Some(*local),
            AddressAttribute::Address(address) => ip = ip.or(Some(*address)),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let settled = !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
    Some(Address { link: message.header.index, ip: ip?, settled })
}

fn link(what: &str, source: io::Error) -> NetworkError {
    NetworkError::Link { what: what.to_owned(), source }
}

fn failed(what: &str, error: &rtnetlink::Error) -> NetworkError {
    let source =
        code(error).map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error);
    link(what, source)
}

/// The kernel's number of the error, positive.
fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get().saturating_neg()),
        _ => None,
    }
}
