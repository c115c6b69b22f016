//! What the containers of an instance share: a network, a few files, a shim; made and removed.

use crate::connectivity::{Attached, Attachment};
use crate::containers::etc;
use crate::failure::chain;
use crate::host::Host;
use hypermesh_planner::{Instance, Outcome};
use hypermesh_runtime::{InstanceId, Network, Sandbox, SandboxSpec, UserNamespace};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Makes it.
pub(super) async fn make_sandbox(
    host: &Host,
    instance: &Instance,
    attachment: &Attachment,
) -> Result<(Arc<dyn Sandbox>, Attached), String> {
    let attached = host.connectivity.attach(attachment).await.map_err(|error| chain(&error))?;
    let folder = etc(&host.layout, instance);
    write_etc(&folder, instance, &attached)
        .map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    let network = attached.namespace.clone().map_or(Network::Own, Network::Path);
    let id = InstanceId::new(instance.uid.as_str()).map_err(|error| error.to_string())?;
    let hostname: String = instance.name.chars().take(63).collect();
    let spec = SandboxSpec {
        instance: id,
        hostname: hostname.trim_end_matches('-').to_owned(),
        network,
        user: if host.policy.require_user_namespaces { UserNamespace::Required } else { UserNamespace::Auto },
        host_ipc: false,
        sysctls: BTreeMap::new(),
        limits: hypermesh_runtime::spec::Limits::default(),
        annotations: BTreeMap::from([
            ("namespace".to_owned(), instance.namespace.clone()),
            ("name".to_owned(), instance.name.clone()),
        ]),
    };
    let sandbox = host.runtime.create(spec).await.map_err(|error| chain(&error))?;
    Ok((sandbox, attached))
}

fn write_etc(folder: &Path, instance: &Instance, attached: &Attached) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let files = [
        ("hosts", attached.hosts.as_str()),
        ("resolv.conf", attached.resolv_conf.as_str()),
        ("hostname", &format!("{}\n", instance.name)),
    ];
    files.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

/// Removes it, and what is left of its containers.
pub(super) async fn remove_sandbox(
    host: Host,
    instance: Arc<Instance>,
    sandbox: Option<Arc<dyn Sandbox>>,
) -> Outcome {
    let removed = async {
        match sandbox {
            Some(sandbox) => sandbox.remove().await.map_err(|error| chain(&error))?,
            None => sweep(&host, &instance).await?,
        }
        host.images.release(&format!("{}-", instance.uid)).await.map_err(|error| chain(&error))?;
        host.connectivity.detach(&instance.uid).await.map_err(|error| chain(&error))
    };
    match removed.await {
        Ok(()) => Outcome::SandboxRemoved,
        Err(why) => Outcome::SandboxStays(why),
    }
}

/// Clears away what is left of a sandbox that nobody holds: everything that is of no other instance.
pub(super) async fn sweep(host: &Host, instance: &Instance) -> Result<(), String> {
    let mut keep = std::collections::BTreeSet::new();
    let folders = std::fs::read_dir(host.layout.instances()).map_err(|error| error.to_string())?;
    for entry in folders.flatten() {
        if let Some(id) = entry.file_name().to_str().and_then(|name| InstanceId::new(name).ok())
            && id.as_str() != instance.uid.as_str()
        {
            keep.insert(id);
        }
    }
    let swept = host.runtime.sweep(&keep).await.map_err(|error| chain(&error))?;
    if swept.left.is_empty() { Ok(()) } else { Err(swept.left.join("; ")) }
}
