//! What a namespace has.

use super::{ACCOUNT, BUNDLE, BUNDLE_KEY, accounts, config_maps};
use crate::runtime::{Context, Failure, Key, Subject};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::core::{DynamicObject, PartialObjectMeta};

/// What a namespace has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether the account exists.
    pub account: bool,
    /// The ConfigMap, if it exists.
    pub bundle: Option<Bundle>,
}

/// The ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The very object.
    pub uid: String,
    /// Its revision.
    pub resource_version: String,
    /// The authorities it holds, if it holds them and nothing else.
    pub pem: Option<String>,
    /// It holds binary data.
    pub binary: bool,
    /// Its data can never change again.
    pub immutable: bool,
    /// It is being deleted.
    pub deleting: bool,
}

pub(super) async fn dereference(
    context: &Context,
    subject: &Subject<Namespace>,
) -> Result<Observed, Failure> {
    if subject.deleting() {
        return Ok(Observed::default());
    }
    let account = Key::namespaced(&subject.key.name, ACCOUNT);
    let bundle = Key::namespaced(&subject.key.name, BUNDLE);
    let account: Option<PartialObjectMeta<DynamicObject>> = context.get(&accounts(), &account).await?;
    let bundle: Option<ConfigMap> = context.get(&config_maps(), &bundle).await?;
    Ok(Observed { account: account.is_some(), bundle: bundle.map(read) })
}

fn read(map: ConfigMap) -> Bundle {
    let binary = map.binary_data.as_ref().is_some_and(|data| !data.is_empty());
    let alone = !binary && map.data.as_ref().is_some_and(|data| data.len() == 1);
    let pem = map.data.and_then(|mut data| data.remove(BUNDLE_KEY)).filter(|_| alone);
    Bundle {
        pem,
        binary,
        immutable: map.immutable == Some(true),
        deleting: map.metadata.deletion_timestamp.is_some(),
        uid: map.metadata.uid.unwrap_or_default(),
        resource_version: map.metadata.resource_version.unwrap_or_default(),
    }
}
