//! Flags of daemons that serve the API, and the TOML file that may hold any of them.
//!
//! A flag on the command line goes before the file. Keys of the file are the flags without their dashes; one that is
//! no flag is refused, with the nearest that is: a limit that is misspelt would be no limit.

use crate::config::{Config, Limits};
use clap::{Args, CommandFactory as _, Parser};
use hypermesh_store::KeyRotation;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;
use toml::de::DeTable;

/// History is kept for at least as long as it takes to compact it.
const LEAST_HISTORY: Duration = Duration::from_secs(300);
/// The key that seals the store is replaced no more often, but when somebody asks.
const LEAST_KEY_AGE: Duration = Duration::from_secs(3600);

/// Flags of `nexus-apiserver`.
#[derive(Clone, Debug, Default, Deserialize, Parser)]
#[command(name = "nexus-apiserver", version, about = "Serves the HyperMesh API from one data folder")]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Flags {
    /// TOML file with any of the flags below
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Where the data is kept [default: /var/lib/hypermesh]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the API is served [default: 127.0.0.1:6443]
    #[arg(long, value_name = "HOST:PORT")]
    pub api: Option<SocketAddr>,
    /// Where other replicas reach this one
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Option<SocketAddr>,
    /// A replica of the cluster to join
    #[arg(long, value_name = "HOST:PORT")]
    pub join: Option<String>,
    /// Further name or address for the server's certificate; may be given several times
    #[arg(long, value_name = "NAME")]
    pub tls_san: Vec<String>,
    /// How long history is kept: 30m, 24h, 7d [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub history: Option<History>,
    /// Memory for requests in flight, and once more for replies: 64MiB, 1GiB [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<Size>,
    /// Connections at a time [default: 20000]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Connections at a time of one address other than this machine's own [default: 1000]
    #[arg(long, value_name = "N")]
    pub max_connections_per_address: Option<usize>,
    /// How old the key that seals the store may get before it is replaced: 24h, 90d, or never [default: 365d]
    #[arg(long, value_name = "DURATION")]
    pub key_rotation: Option<Rotation>,
}

/// What a server keeps and lets clients take, for daemons that serve the API among other things.
#[derive(Args, Clone, Debug, Default)]
pub struct Tuning {
    /// How long history is kept: 30m, 24h, 7d [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub history: Option<History>,
    /// Memory for requests in flight, and once more for replies: 64MiB, 1GiB [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<Size>,
    /// Connections at a time [default: 20000]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Connections at a time of one address other than this machine's own [default: 1000]
    #[arg(long, value_name = "N")]
    pub max_connections_per_address: Option<usize>,
    /// How old the key that seals the store may get before it is replaced: 24h, 90d, or never [default: 365d]
    #[arg(long, value_name = "DURATION")]
    pub key_rotation: Option<Rotation>,
}

impl Tuning {
    /// Sets what is given.
    pub fn apply(&self, config: &mut Config) {
        let Limits { memory, connections, connections_per_address, .. } = &mut config.limits;
        if let Some(History(history)) = self.history {
            config.history = history;
        }
        *memory = self.max_memory.map_or(*memory, |Size(bytes)| bytes);
        *connections = self.max_connections.unwrap_or(*connections);
        *connections_per_address = self.max_connections_per_address.unwrap_or(*connections_per_address);
        if let Some(Rotation(rotation)) = self.key_rotation {
            config.key_rotation = rotation;
        }
    }
}

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key is no flag.
    #[error("{path}:{line}:{column}: unknown key `{key}`{hint}")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// The key.
        key: String,
        /// `; did you mean …?`, or which keys there are.
        hint: String,
    },
    /// It is no TOML, or a value is none of its key's.
    #[error("{path} is wrong: {why}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and what, with the line shown.
        why: String,
    },
}

impl Flags {
    /// The command line over the file that it names.
    pub fn over_file(self) -> Result<Self, FileError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let text = std::fs::read_to_string(&path)
            .map_err(|source| FileError::Read { path: path.clone(), source })?;
        let file = Self::parse_file(&path, &text)?;
        Ok(Self {
            config: None,
            data_dir: self.data_dir.or(file.data_dir),
            api: self.api.or(file.api),
            peer: self.peer.or(file.peer),
            join: self.join.or(file.join),
            tls_san: if self.tls_san.is_empty() { file.tls_san } else { self.tls_san },
            history: self.history.or(file.history),
            max_memory: self.max_memory.or(file.max_memory),
            max_connections: self.max_connections.or(file.max_connections),
            max_connections_per_address: self
                .max_connections_per_address
                .or(file.max_connections_per_address),
            key_rotation: self.key_rotation.or(file.key_rotation),
        })
    }

    fn parse_file(path: &Path, text: &str) -> Result<Self, FileError> {
        let wrong =
            |error: toml::de::Error| FileError::Wrong { path: path.to_owned(), why: error.to_string() };
        let table = DeTable::parse(text).map_err(wrong)?;
        let command = Self::command();
        let flags: Vec<&str> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .filter(|flag| !matches!(*flag, "config" | "help" | "version"))
            .collect();
        if let Some(key) = table.get_ref().keys().find(|key| !flags.contains(&key.get_ref().as_ref())) {
            let (line, column) = place(text, key.span().start);
            let name: &str = key.get_ref().as_ref();
            let nearest = flags
                .iter()
                .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
            let hint = match nearest.filter(|flag| strsim::jaro_winkler(flag, name) > 0.75) {
                Some(flag) => format!("; did you mean `{flag}`?"),
                None => format!("; there are {}", flags.join(", ")),
            };
            return Err(FileError::Unknown {
                path: path.to_owned(),
                line,
                column,
                key: name.to_owned(),
                hint,
            });
        }
        toml::from_str(text).map_err(wrong)
    }

    /// What of these flags tunes the server.
    pub fn tuning(&self) -> Tuning {
        Tuning {
            history: self.history,
            max_memory: self.max_memory,
            max_connections: self.max_connections,
            max_connections_per_address: self.max_connections_per_address,
            key_rotation: self.key_rotation,
        }
    }
}

/// Line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_begins = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before.get(line_begins..).map_or(0, |rest| rest.chars().count()) + 1)
}

/// How long history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct History(pub Duration);

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let history = duration(text)?;
        if history < LEAST_HISTORY {
            return Err(format!(
                "{text:?} is too short: watches and lists go on from history, so 5m is the least"
            ));
        }
        Ok(Self(history))
    }
}

impl TryFrom<String> for History {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// `30m`, `24h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
    let wrong = || format!("{text:?} is not a duration such as 30m, 24h or 7d");
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit, after) = measure(rest).ok_or_else(wrong)?;
        let (_, each) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        seconds = number.checked_mul(*each).and_then(|part| seconds.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// When the key that seals the store is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rotation(pub KeyRotation);

impl FromStr for Rotation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(KeyRotation::Keep));
        }
        let age = duration(text).map_err(|why| format!("{why}, and not `never`"))?;
        if age < LEAST_KEY_AGE {
            return Err(format!("{text:?} is too short: a key lives an hour at least, so 1h is the least"));
        }
        Ok(Self(KeyRotation::OlderThan(age)))
    }
}

impl TryFrom<String> for Rotation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size such as 64MiB or 1GiB");
        let (number, unit, after) = measure(text).ok_or_else(wrong)?;
        let each: u64 = match unit.strip_suffix('B').unwrap_or(unit) {
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            _ => return Err(wrong()),
        };
        let bytes =
            number.checked_mul(each).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(wrong)?;
        if !after.is_empty() {
            return Err(wrong());
        }
        if bytes < Limits::LEAST_MEMORY {
            let least = Limits::LEAST_MEMORY >> 20;
            return Err(format!(
                "{text:?} is too little: one client has to find room for a request, so {least}MiB is the least"
            ));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A number, the letters after it, and the rest.
fn measure(text: &str) -> Option<(u64, &str, &str)> {
    let letters = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(letters);
    let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    Some((number.parse().ok()?, unit, after))
}

#[cfg(test)]
mod tests;
