//! An image's configuration: what its maker says should run, and what its layers unpack to.

use crate::digest::Digest;
use crate::limits::Limits;
use crate::manifest::nullable;
use crate::platform::Platform;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The part of an OCI image's configuration that a node acts on. Unknown fields are left alone, since the bytes that a
/// digest names are kept as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made (RFC 3339), as its maker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Which architecture it is for, by Go's name.
    #[serde(default, deserialize_with = "nullable")]
    pub architecture: String,
    /// That architecture's variant.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Which operating system it is for.
    #[serde(default, deserialize_with = "nullable")]
    pub os: String,
    /// How it runs if nothing else is said.
    #[serde(default, deserialize_with = "nullable")]
    pub config: Execution,
    /// Its layers, decompressed.
    pub rootfs: RootFsIds,
    /// How it was made, one entry a step.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// How an image runs if its user says nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// `user`, `uid`, `user:group` or `uid:gid`; empty is root.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports as `80/tcp`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The command's beginning.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, or the command itself without an entry point.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Paths that hold data.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Empty>,
    /// Where it runs; empty is `/`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// What its maker says about it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that ends it, by name or number; empty is `SIGTERM`.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

impl Execution {
    /// What runs, as Kubernetes combines it: `command` replaces the entry point and lets the image's arguments go;
    /// `args` replaces the arguments. Empty means that nothing says what runs.
    #[must_use]
    pub fn command(&self, command: &[String], args: &[String]) -> Vec<String> {
        let begin = if command.is_empty() { &self.entrypoint } else { command };
        let end = match (args.is_empty(), command.is_empty()) {
            (false, _) => args,
            (true, true) => &self.cmd,
            (true, false) => &[],
        };
        [begin, end].concat()
    }
}

/// Go's `struct{}`, the values of its sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// What the layers unpack to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFsIds {
    /// `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Digests of the layers' plain tars, lowest first.
    #[serde(default, deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By what command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether it left no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not of the form.
    #[error("the image's configuration is not of the OCI image specification's form")]
    Form(#[source] serde_json::Error),
    /// It and the manifest disagree.
    #[error("the manifest has {layers} layers and the configuration tells of {diff_ids}")]
    Layers {
        /// The manifest's.
        layers: usize,
        /// The configuration's.
        diff_ids: usize,
    },
    /// It is for another kind of machine.
    #[error("the image is for {found} and this node runs {wanted}")]
    Platform {
        /// What the image is for.
        found: Platform,
        /// What the node runs.
        wanted: Platform,
    },
    /// Something that no command or environment can hold.
    #[error("the configuration's {0} has a NUL character, which no process can be given")]
    Nul(&'static str),
    /// It is larger than any real one.
    #[error("the image's configuration has {found} bytes, and {limit} is the most that is taken")]
    TooLarge {
        /// Its bytes.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

impl ImageConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// If it is not of the form, too large, or has what no process can be given.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ConfigError> {
        if bytes.len() as u64 > limits.config_bytes {
            return Err(ConfigError::TooLarge { found: bytes.len() as u64, limit: limits.config_bytes });
        }
        let config: Self = serde_json::from_slice(bytes).map_err(ConfigError::Form)?;
        let run = &config.config;
        let nul = |texts: &[String]| texts.iter().any(|text| text.contains('\0'));
        let single = [run.user.clone(), run.working_dir.clone(), run.stop_signal.clone()];
        for (what, texts) in [
            ("environment", &run.env[..]),
            ("entry point", &run.entrypoint),
            ("command", &run.cmd),
            ("user, folder or signal", &single),
        ] {
            if nul(texts) {
                return Err(ConfigError::Nul(what));
            }
        }
        Ok(config)
    }

    /// Whether it fits a manifest of so many layers and runs on the node. A configuration that tells no platform runs.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, layers: usize, node: &Platform) -> Result<(), ConfigError> {
        let diff_ids = self.rootfs.diff_ids.len();
        if diff_ids != layers {
            return Err(ConfigError::Layers { layers, diff_ids });
        }
        let silent = self.os.is_empty() && self.architecture.is_empty();
        if !silent && self.platform().distance(node).is_none() {
            return Err(ConfigError::Platform { found: self.platform(), wanted: node.clone() });
        }
        Ok(())
    }

    /// What it is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform::new(&self.os, &self.architecture, Some(&self.variant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_writes_is_read() {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin"],"Cmd":["sh"],"Entrypoint":null,"ExposedPorts":{{"80/tcp":{{}}}},"Labels":null,"OnBuild":null,"Healthcheck":{{"Test":["CMD"]}}}},"container":"x","rootfs":{{"type":"layers","diff_ids":["{}"]}},"history":[{{"created":"2024-01-01T00:00:00Z","empty_layer":true}}]}}"#,
            Digest::of(b"")
        );
        let config = ImageConfig::read(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(config.config.cmd, ["sh"]);
        assert!(config.config.entrypoint.is_empty());
        config.check(1, &"linux/amd64/v2".parse().unwrap()).unwrap();
        let error = config.check(2, &Platform::host()).unwrap_err().to_string();
        assert_eq!(error, "the manifest has 2 layers and the configuration tells of 1");
        let error = config.check(1, &"linux/arm64".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "the image is for linux/amd64 and this node runs linux/arm64");
    }

    #[test]
    fn commands_are_combined_as_kubernetes_does() {
        let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let image = Execution { entrypoint: words("entry"), cmd: words("cmd"), ..Execution::default() };
        let run = |command: &str, args: &str| image.command(&words(command), &words(args)).join(" ");
        assert_eq!(run("", ""), "entry cmd");
        assert_eq!(run("", "args"), "entry args");
        assert_eq!(run("command", ""), "command");
        assert_eq!(run("command", "args"), "command args");
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        let text = r#"{"os":"linux","architecture":"amd64","config":{"Env":["A=\u0000"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert!(matches!(
            ImageConfig::read(text.as_bytes(), &Limits::default()),
            Err(ConfigError::Nul("environment"))
        ));
    }
}
