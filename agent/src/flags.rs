//! Flags of `nexus-agent`, and the TOML file that may hold any of them.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use hypermesh_agent::join::{Invitation, join};
use hypermesh_agent::settings::{Layout, MOST_PIDS, PressureSettings, Settings};
use hypermesh_schemas::value::Quantity;
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Where the agent's files lie unless told otherwise.
const DATA: &str = "/var/lib/hypermesh-agent";

/// Runs what the cluster binds to this machine.
#[derive(Debug, Default, Deserialize, Parser)]
#[command(name = "nexus-agent", version)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Flags {
    /// TOML file with any of the flags below
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The API server; with --token and --ca, to join a cluster
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// A bootstrap token (`nexusctl token create`), shown once to join
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The API server's authorities in PEM: pki/ca.crt of its data folder
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name of this node [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Where the agent's files lie [default: /var/lib/hypermesh-agent]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How the API server is reached, and as whom, instead of joining
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where API servers reach the agent [default: 0.0.0.0:6444]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<SocketAddr>,
    /// The host under which API servers reach it [default: the address that leads to the API server]
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// A label that the node gets when it joins: key=value; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    node_label: Vec<String>,
    /// A path of this machine below which instances may see files (hostPath); may be given several times
    #[arg(long, value_name = "PATH")]
    allow_host_path: Vec<PathBuf>,
    /// Let containers be privileged, add any capability and go without a filter of system calls
    #[arg(long)]
    allow_privileged: bool,
    /// A capability that containers may add beside the usual fourteen: NET_ADMIN; may be given several times
    #[arg(long, value_name = "NAME")]
    allow_capability: Vec<String>,
    /// Refuse instances where their root would be this machine's
    #[arg(long)]
    require_user_namespaces: bool,
    /// Let instances reach what tells a machine of a cloud who it is, and gives it keys (169.254.169.254)
    #[arg(long)]
    allow_metadata: bool,
    /// Open shells and ports only for what a user signed: a stolen token opens none, nor does a request that was recorded.
    /// Whose a key is, and what they may do, the API server says; --signature-key goes without it
    #[arg(long)]
    require_signatures: bool,
    /// A key that opens shells and ports, and no other does, whatever an API server says; may be given several times
    #[arg(long, value_name = "KEY")]
    signature_key: Vec<String>,
    /// Another place of a registry's images: registry=host[/prefix]; may be given several times
    #[arg(long, value_name = "REGISTRY=HOST")]
    mirror: Vec<String>,
    /// A registry that is spoken to in plain HTTP; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    plain_http: Vec<String>,
    /// Authorities in PEM that registries may have their certificates from; may be given several times
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// A port of this machine, or FROM-TO, that no instance may have; may be given several times [default: 22]
    #[arg(long, value_name = "PORT", value_parser = ports)]
    #[serde(deserialize_with = "listed_ports")]
    reserve_ports: Vec<RangeInclusive<u16>>,
    /// Instances at most [default: 110]
    #[arg(long, value_name = "N")]
    max_instances: Option<u32>,
    /// Processes and threads of a container that names no limit of its own [default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_PIDS))]
    container_pids: Option<u64>,
    /// How large a container's log grows before it is put aside [default: 10Mi]
    #[arg(long, value_name = "AMOUNT", value_parser = quantity)]
    container_log_size: Option<Quantity>,
    /// Files of a container's log at most, the one that is written included [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    container_log_files: Option<u32>,
    /// Memory that has to be available, or instances have to go: 100Mi, 1Gi [default: 100Mi]
    #[arg(long, value_name = "AMOUNT", value_parser = quantity)]
    evict_below_memory: Option<Quantity>,
    /// Percent of processes that may be in use on this machine, or instances have to go [default: 90]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    evict_above_pids: Option<u8>,
    /// Percent of the disk that have to be available, or instances have to go; 4Gi are enough [default: 10]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=99))]
    evict_below_disk: Option<u8>,
    /// How often memory, disk and processes are looked at, in seconds [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=300))]
    evict_every: Option<u64>,
}

/// An amount as manifests write it.
fn quantity(text: &str) -> Result<Quantity, String> {
    Quantity::parse(text).map_err(|error| error.to_string())
}

/// `22` or `1-1023`.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let range = port(from).zip(port(to)).filter(|(from, to)| from <= to);
    range.map(|(from, to)| from..=to).ok_or_else(|| format!("{text} is neither a port nor FROM-TO"))
}

fn listed_ports<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<RangeInclusive<u16>>, D::Error> {
    let listed = Vec::<String>::deserialize(deserializer)?;
    listed.iter().map(|text| ports(text).map_err(serde::de::Error::custom)).collect()
}

fn first<T>(flags: Vec<T>, file: Vec<T>) -> Vec<T> {
    if flags.is_empty() { file } else { flags }
}

impl Flags {
    /// The command line over the file that it names.
    pub(crate) fn over_file(self) -> Result<Self> {
        let Some(path) = &self.config else { return Ok(self) };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: Self = toml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?;
        Ok(Self {
            config: None,
            server: self.server.or(file.server),
            token: self.token.or(file.token),
            ca: self.ca.or(file.ca),
            node_name: self.node_name.or(file.node_name),
            data_dir: self.data_dir.or(file.data_dir),
            kubeconfig: self.kubeconfig.or(file.kubeconfig),
            listen: self.listen.or(file.listen),
            advertise: self.advertise.or(file.advertise),
            node_label: first(self.node_label, file.node_label),
            allow_host_path: first(self.allow_host_path, file.allow_host_path),
            allow_privileged: self.allow_privileged || file.allow_privileged,
            allow_capability: first(self.allow_capability, file.allow_capability),
            require_user_namespaces: self.require_user_namespaces || file.require_user_namespaces,
            require_signatures: self.require_signatures || file.require_signatures,
            signature_key: first(self.signature_key, file.signature_key),
            allow_metadata: self.allow_metadata || file.allow_metadata,
            mirror: first(self.mirror, file.mirror),
            plain_http: first(self.plain_http, file.plain_http),
            reserve_ports: first(self.reserve_ports, file.reserve_ports),
            max_instances: self.max_instances.or(file.max_instances),
            container_pids: self.container_pids.or(file.container_pids),
            registry_ca: first(self.registry_ca, file.registry_ca),
            container_log_size: self.container_log_size.or(file.container_log_size),
            container_log_files: self.container_log_files.or(file.container_log_files),
            evict_below_memory: self.evict_below_memory.or(file.evict_below_memory),
            evict_above_pids: self.evict_above_pids.or(file.evict_above_pids),
            evict_below_disk: self.evict_below_disk.or(file.evict_below_disk),
            evict_every: self.evict_every.or(file.evict_every),
        })
    }

    /// The settings; joins the cluster if this node has not joined yet.
    pub(crate) async fn settings(self) -> Result<Settings> {
        let node = self.node_name.clone().unwrap_or_else(hypermesh_agent::facts::hostname);
        let data = self.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA));
        let mut settings = Settings::new(&node, &data);
        settings.kubeconfig = self.kubeconfig(&settings.layout, &node).await?;
        settings.pressure = self.pressure()?;
        settings.listen = self.listen.unwrap_or(settings.listen);
        settings.advertise = self.advertise;
        for label in &self.node_label {
            settings.add_label(label)?;
        }
        settings.policy.host_paths = self.allow_host_path;
        settings.policy.privileged = self.allow_privileged;
        for name in &self.allow_capability {
            settings.allow_capability(name)?;
        }
        settings.policy.require_user_namespaces = self.require_user_namespaces;
        settings.policy.endorsed_streams = !self.require_signatures;
        for key in &self.signature_key {
            settings.add_stream_key(key)?;
        }
        if let Some(pids) = self.container_pids {
            anyhow::ensure!((1..=MOST_PIDS).contains(&pids), "container-pids is from 1 to {MOST_PIDS}");
            settings.policy.pids = pids;
        }
        for mirror in &self.mirror {
            settings.add_mirror(mirror)?;
        }
        settings.images.plain_http = self.plain_http.into_iter().collect();
        for path in &self.registry_ca {
            settings.add_registry_ca(path)?;
        }
        if let Some(size) = &self.container_log_size {
            settings.set_log_size(size)?;
        }
        if let Some(files) = self.container_log_files {
            anyhow::ensure!((1..=100).contains(&files), "container-log-files is from 1 to 100");
            settings.policy.log_files = files;
        }
        settings.network.metadata = self.allow_metadata;
        if !self.reserve_ports.is_empty() {
            settings.network.reserved = self.reserve_ports;
        }
        settings.most_instances = self.max_instances.unwrap_or(settings.most_instances);
        Ok(settings)
    }

    /// When instances have to go. What a file says was not looked at by the command line's parser.
    fn pressure(&self) -> Result<PressureSettings> {
        let usual = PressureSettings::default();
        let memory = self.evict_below_memory.as_ref().map(|least| u64::try_from(least.units()));
        let memory = memory.transpose().context("evict-below-memory is too much")?;
        let pressure = PressureSettings {
            memory: memory.unwrap_or(usual.memory),
            disk_percent: self.evict_below_disk.unwrap_or(usual.disk_percent),
            pids_percent: self.evict_above_pids.unwrap_or(usual.pids_percent),
            every: self.evict_every.map_or(usual.every, Duration::from_secs),
            ..usual
        };
        anyhow::ensure!(pressure.disk_percent < 100, "evict-below-disk is from 0 to 99 percent");
        anyhow::ensure!(
            (1..=100).contains(&pressure.pids_percent),
            "evict-above-pids is from 1 to 100 percent"
        );
        anyhow::ensure!(
            (1..=300).contains(&pressure.every.as_secs()),
            "evict-every is from 1 to 300 seconds"
        );
        Ok(pressure)
    }

    async fn kubeconfig(&self, layout: &Layout, node: &str) -> Result<PathBuf> {
        if let Some(kubeconfig) = &self.kubeconfig {
            return Ok(kubeconfig.clone());
        }
        if layout.kubeconfig().exists() {
            return Ok(layout.kubeconfig());
        }
        let (Some(server), Some(token), Some(ca)) = (&self.server, &self.token, &self.ca) else {
            bail!(
                "this node has not joined a cluster: say --server HOST:PORT --token TOKEN --ca FILE (`nexusctl token \
                 create` makes a token; the authorities are pki/ca.crt of the server's data folder), or --kubeconfig FILE"
            );
        };
        let authorities = std::fs::read(ca).with_context(|| format!("cannot read {}", ca.display()))?;
        let invitation = Invitation { server: server.clone(), token: token.clone(), authorities };
        Ok(join(layout, node, &invitation).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_are_kept_for_the_node() {
        assert_eq!((ports("22"), ports("1-1023")), (Ok(22..=22), Ok(1..=1023)));
        for wrong in ["", "0", "2-1", "a", "1-", "65536", "-1"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
        let file: Flags = toml::from_str("reserve-ports = [\"22\", \"1-1023\"]").unwrap();
        assert_eq!(file.reserve_ports, [22..=22, 1..=1023]);
        assert!(toml::from_str::<Flags>("reserve-ports = [\"x\"]").is_err());
    }
}
