//! What an instance's environment and volumes are made of: ConfigMaps, Secrets, and fields of the instance itself.

use crate::instance::Instance;
use hypermesh_schemas::value::FieldPath;
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::volume::Volume;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Something of an instance that is missing or wrong. The words name it, so that who reads them can make it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is not there.
    #[error("{kind} \"{name}\" not found: create it in this namespace, or mark the reference as optional")]
    NoObject {
        /// What it is.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// It does not have the key.
    #[error("couldn't find key {key} in {kind} \"{name}\"; it has {}", listed(.keys))]
    NoKey {
        /// What it is.
        kind: ObjectKind,
        /// Its name.
        name: String,
        /// The key.
        key: String,
        /// The keys that it has.
        keys: Vec<String>,
    },
    /// A variable would not be text.
    #[error("the key {key} of {kind} \"{name}\" cannot be a variable: it is not UTF-8, or has a NUL")]
    NoText {
        /// What it is.
        kind: ObjectKind,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// A field has no value yet, or never.
    #[error("the field {0} has no value on this node")]
    NoField(String),
    /// There is no token for it.
    #[error("there is no token of the service account yet: {0}")]
    NoToken(String),
    /// It would run as root.
    #[error(
        "container {container} has runAsNonRoot and {} will run as root: set runAsUser to another number than 0",
        if *.of_image { "image" } else { "its runAsUser" }
    )]
    Root {
        /// The container.
        container: String,
        /// Whether the image says so.
        of_image: bool,
    },
    /// The paths of a volume do not go together.
    #[error("the volume {volume} has a file at {path}, and something else needs a folder there")]
    FileAndFolder {
        /// The volume.
        volume: String,
        /// Where.
        path: String,
    },
    /// A name that no command line can take.
    #[error(
        "container {container}: nothing says what it runs: the image has neither entrypoint nor cmd; set command"
    )]
    NoCommand {
        /// The container.
        container: String,
    },
}

fn listed(keys: &[String]) -> String {
    if keys.is_empty() { "none".to_owned() } else { keys.join(", ") }
}

/// What values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        })
    }
}

/// Keys and values of a ConfigMap or Secret, decoded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents(pub BTreeMap<String, Vec<u8>>);

impl std::fmt::Debug for Contents {
    /// Keys alone: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The objects that an instance refers to, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Those that are there.
    pub objects: BTreeMap<(ObjectKind, String), Contents>,
}

impl Sources {
    /// An object; none if it is not there and need not be.
    pub(crate) fn object(
        &self,
        kind: ObjectKind,
        name: &str,
        optional: bool,
    ) -> Result<Option<&Contents>, ConfigError> {
        match self.objects.get(&(kind, name.to_owned())) {
            None if !optional => Err(ConfigError::NoObject { kind, name: name.to_owned() }),
            found => Ok(found),
        }
    }

    /// A value; none if it is not there and need not be.
    pub(crate) fn value(
        &self,
        kind: ObjectKind,
        name: &str,
        key: &str,
        optional: bool,
    ) -> Result<Option<&[u8]>, ConfigError> {
        let Some(contents) = self.object(kind, name, optional)? else { return Ok(None) };
        match contents.0.get(key) {
            None if !optional => Err(ConfigError::NoKey {
                kind,
                name: name.to_owned(),
                key: key.to_owned(),
                keys: contents.0.keys().cloned().collect(),
            }),
            found => Ok(found.map(Vec::as_slice)),
        }
    }
}

/// What an instance refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// What environment and volumes are made of.
    pub objects: BTreeSet<(ObjectKind, String)>,
    /// Secrets with which images are pulled.
    pub pull_secrets: BTreeSet<String>,
}

/// What an instance refers to.
#[must_use]
pub fn wants(instance: &Instance) -> Wants {
    let mut wants = Wants::default();
    for container in instance.pod().init_containers.iter().chain(&instance.pod().containers) {
        wants.container(container);
    }
    for volume in &instance.pod().volumes {
        wants.volume(volume);
    }
    wants.pull_secrets =
        instance.pod().image_pull_secrets.iter().map(|secret| secret.name.to_string()).collect();
    wants
}

impl Wants {
    fn add(&mut self, kind: ObjectKind, name: impl ToString) {
        self.objects.insert((kind, name.to_string()));
    }

    fn container(&mut self, container: &Container) {
        for from in &container.env_from {
            if let Some(source) = &from.config_map_ref {
                self.add(ObjectKind::ConfigMap, &source.name);
            }
            if let Some(source) = &from.secret_ref {
                self.add(ObjectKind::Secret, &source.name);
            }
        }
        for from in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
            if let Some(key) = &from.config_map_key_ref {
                self.add(ObjectKind::ConfigMap, &key.name);
            }
            if let Some(key) = &from.secret_key_ref {
                self.add(ObjectKind::Secret, &key.name);
            }
        }
    }

    fn volume(&mut self, volume: &Volume) {
        if let Some(source) = &volume.config_map {
            self.add(ObjectKind::ConfigMap, &source.name);
        }
        if let Some(source) = &volume.secret {
            self.add(ObjectKind::Secret, &source.secret_name);
        }
        for source in volume.projected.iter().flat_map(|projected| &projected.sources) {
            if let Some(source) = &source.config_map {
                self.add(ObjectKind::ConfigMap, &source.name);
            }
            if let Some(source) = &source.secret {
                self.add(ObjectKind::Secret, &source.name);
            }
        }
    }
}

/// What an instance may read of itself, beside what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The address of its node.
    pub host_ip: Option<IpAddr>,
    /// Its own address.
    pub pod_ip: Option<IpAddr>,
}

impl Fields {
    /// The value of a field of an instance.
    ///
    /// # Errors
    /// If the field has no value (yet).
    pub fn read(&self, instance: &Instance, path: &FieldPath) -> Result<String, ConfigError> {
        let missing = || ConfigError::NoField(path.to_string());
        let keyed = |prefix: &str| path.as_str().strip_prefix(prefix)?.strip_suffix("']");
        if let Some(key) = keyed("metadata.labels['") {
            return Ok(instance.labels.get(key).cloned().unwrap_or_default());
        }
        if let Some(key) = keyed("metadata.annotations['") {
            return Ok(instance.annotations.get(key).cloned().unwrap_or_default());
        }
        Ok(match path.as_str() {
            "metadata.name" => instance.name.clone(),
            "metadata.namespace" => instance.namespace.clone(),
            "metadata.uid" => instance.uid.to_string(),
            "spec.nodeName" => instance.spec.node_name.as_ref().ok_or_else(missing)?.to_string(),
            "spec.serviceAccountName" => instance.pod().service_account_name.to_string(),
            "status.hostIP" => self.host_ip.ok_or_else(missing)?.to_string(),
            "status.podIP" => self.pod_ip.ok_or_else(missing)?.to_string(),
            _ => return Err(missing()),
        })
    }
}
