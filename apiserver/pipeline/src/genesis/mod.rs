//! The state that a cluster begins with.
//!
//! Everything that influences an outcome is in the state from the first block on: the kinds with their schemas, the
//! registered keys, what replicas may endorse, the default roles and the first namespaces.

pub mod policy;
mod roles;

pub(crate) use roles::everything;

use crate::entropy::Entropy;
use crate::identities::IDENTITIES;
use crate::record;
use crate::registry::{Registry, RegistryError};
use crate::system::{self, ClusterConfig, Grant};
use crate::{authn, clock};
use hypermesh_api::Status;
use hypermesh_chain::{Change, Effect, Facts, Genesis, Hash, Height, ObjectKey, PublicKey, Record, Revision};
use hypermesh_schemas::KindDefinition;
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

/// Namespaces that every cluster has.
pub const NAMESPACES: [&str; 4] = ["default", crate::authz::NODE_LEASES, "kube-public", "kube-system"];

/// The user that a genesis administrator's key stands for.
pub const ADMINISTRATOR: &str = "admin";
/// Whom the server signs certificates as.
pub const SIGNER: &str = "system:certificate-signer";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// Why there is no first state.
#[derive(Debug, Error)]
pub enum GenesisError {
    /// A kind cannot be served.
    #[error("a kind of the genesis cannot be served")]
    Kind(#[from] RegistryError),
    /// An object of the first state does not encode.
    #[error("an object of the genesis does not encode: {0}")]
    Object(Box<Status>),
    /// A record of the first state does not encode.
    #[error("a record of the genesis does not encode")]
    Record(#[source] serde_json::Error),
    /// A name of the first state holds a zero byte.
    #[error("the name {0:?} cannot be a key")]
    Key(String),
}

/// The writes of the first block, in order.
pub fn effects(genesis: &Genesis, definitions: Vec<KindDefinition>) -> Result<Vec<Effect>, GenesisError> {
    let mut writer = Writer { effects: Vec::new() };
    for definition in &definitions {
        let name = format!("{}.{}", definition.names.plural, definition.group);
        writer.system(system::KINDS, &name, definition)?;
    }
    let config = ClusterConfig { pipeline_version: genesis.version, ..ClusterConfig::default() };
    writer.system(system::CLUSTER, "config", &config)?;
    let grant = grant(genesis.validators.validators().len());
    for validator in genesis.validators.validators() {
        writer.system(system::GRANTS, &authn::hex_of(&validator.key.0), &grant)?;
    }
    let registry = Registry::compile(definitions)?;
    let digest = Hash::of(&[b"objects of the genesis"]);
    let mut entropy = Entropy::new(&genesis.cluster_id().0, Height(0), &digest);
    let time = clock::rfc3339(genesis.time);
    for (collection, object) in genesis.administrators.iter().map(administrator).chain(objects()) {
        writer.object(&registry, collection, object, &mut entropy, &time)?;
    }
    Ok(writer.effects)
}

/// One replica alone may endorse everything. With more, none may endorse what could make one operator the master of
/// all: rights, kinds, secrets, membership, impersonation.
fn grant(replicas: usize) -> Grant {
    if replicas == 1 {
        return Grant { rules: everything() };
    }
    Grant { rules: roles::endorsable() }
}

/// The key of an administrator by birth: an Identity like any other, which may be revoked once there is another.
fn administrator(key: &PublicKey) -> (&'static str, Value) {
    let object = json!({
        "apiVersion": "hypermesh.online/v1",
        "kind": "Identity",
        "metadata": {"name": authn::hex_of(&key.0), "generation": 1},
        "spec": {"user": ADMINISTRATOR, "groups": [MASTERS]},
    });
    (IDENTITIES, object)
}

fn objects() -> Vec<(&'static str, Value)> {
    let namespaces = NAMESPACES.iter().map(|name| {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        ("/namespaces", object)
    });
    namespaces.chain(roles::cluster_roles()).chain(roles::cluster_role_bindings()).collect()
}

struct Writer {
    effects: Vec<Effect>,
}

impl Writer {
    fn next(&self) -> Revision {
        Revision(self.effects.len() as u64 + 1)
    }

    fn push(&mut self, key: ObjectKey, record: Record) {
        self.effects.push(Effect { revision: record.revision, key, change: Change::Created(record) });
    }

    fn system(
        &mut self,
        collection: &'static str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), GenesisError> {
        let key = system::key(collection, name).ok_or_else(|| GenesisError::Key(name.to_owned()))?;
        let body = serde_json::to_vec(value).map_err(GenesisError::Record)?;
        let record =
            Record { revision: self.next(), salt: Vec::new(), facts: Facts::default(), body: body.into() };
        self.push(key, record);
        Ok(())
    }

    fn object(
        &mut self,
        registry: &Registry,
        collection: &str,
        mut object: Value,
        entropy: &mut Entropy,
        time: &str,
    ) -> Result<(), GenesisError> {
        // A kind that this genesis does not have (in tests) has no objects either.
        let Some(kind) = registry.collection(collection) else { return Ok(()) };
        let name = crate::metadata::text(&object, "name").to_owned();
        if let Some(meta) = crate::metadata::of(&mut object) {
            meta.insert("uid".into(), entropy.uid().to_string().into());
            meta.insert("creationTimestamp".into(), time.into());
        }
        let key = ObjectKey::new(collection, "", name.as_str()).ok_or(GenesisError::Key(name))?;
        let record = record::encode(kind, &mut object, self.next(), Vec::new())
            .map_err(|status| GenesisError::Object(Box::new(status)))?;
        self.push(key, record);
        Ok(())
    }
}
