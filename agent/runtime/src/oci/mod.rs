//! Linux containers by libcontainer, in one shim process an Instance.

mod client;
mod container;
mod filters;
mod ids;
mod into_cgroup;
mod leftovers;
mod node;
mod probe;
mod sandbox;
mod spawn;
mod stream;

pub use leftovers::{cgroups, clear_cgroup};
pub(crate) use stream::resize;

use crate::class::{Adopted, Lost, RuntimeClass, Sandbox, SandboxSpec, Swept, UserNamespace, Work};
use crate::error::{RuntimeError, io_error};
use crate::report::{Ability, Report};
use futures_util::FutureExt as _;
use hypermesh_shim::process;
use hypermesh_shim::protocol::{IdMaps, InstanceId, SandboxConfig};
use hypermesh_shim::state::{self, ShimState};
use node::{Node, SHIM};
use sandbox::{OciSandbox, SPEC, lock};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the class works on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciOptions {
    /// Where folders of Instances are kept, on a file system that is there after a restart of the agent; nobody else's.
    pub root: PathBuf,
    /// What is executed as a shim: a program and its arguments before the shim's own. None is `hypermesh-shim` in this
    /// program's folder if it is of the same build, for it takes less memory; else this program with `shim`, whose `main`
    /// gives what follows to [`hypermesh_shim::main`] before it does anything else.
    pub shim: Option<(PathBuf, Vec<OsString>)>,
    /// Below which cgroup Instances have theirs; absolute within each hierarchy.
    pub cgroup: PathBuf,
    /// The first id of the node that Instances may have, and how many Instances of 65536 ids there is room for.
    pub ids: (u32, u32),
    /// How long a container, or a process in one, may take to be made. What takes longer is killed and refused: it waits for
    /// files that are the container's own.
    pub patience: Duration,
}

impl OciOptions {
    /// With its folder, and everything else as usual: this program as shim, cgroups below `/hypermesh`, ids from
    /// 1,879,048,192 (0x70000000) for 16,384 Instances.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            shim: None,
            cgroup: PathBuf::from("/hypermesh"),
            ids: (0x7000_0000, 16_384),
            patience: hypermesh_shim::protocol::PATIENCE,
        }
    }

    /// As a shim is told.
    fn patience(&self) -> Option<u64> {
        u64::try_from(self.patience.as_millis()).ok()
    }
}

/// The class `oci`.
struct Oci {
    node: Arc<Node>,
}

/// Opens the class on this node, and finds out what the node can do. Nothing is run by it, and nothing adopted yet.
///
/// # Errors
/// If its folder cannot be made, or the kernel would not say what there is.
pub async fn open(options: OciOptions) -> Result<Arc<dyn RuntimeClass>, RuntimeError> {
    let root = options.root.clone();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(io_error("making", &root))?;
    // Paths of mounts and of the shim's do not depend on where the agent was started, nor on links.
    let root = fs::canonicalize(&root).map_err(io_error("finding", &root))?;
    let options = OciOptions { root, ..options };
    let node = probe::probe(options).await?;
    for reason in &node.report.missing {
        tracing::info!(%reason, "this node gives containers less than it might");
    }
    Ok(Arc::new(Oci { node: Arc::new(node) }))
}

impl Oci {
    /// Decides on an Instance's users, and keeps its name.
    fn reserve(&self, spec: &SandboxSpec) -> Result<Option<IdMaps>, RuntimeError> {
        let mut known = lock(&self.node.known);
        if known.contains_key(&spec.instance) || self.node.layout(&spec.instance).folder().exists() {
            return Err(RuntimeError::Exists(spec.instance.clone()));
        }
        let report = &self.node.report;
        let can = report.has(Ability::UserNamespace) && report.has(Ability::IdMappedMounts);
        let wanted = match &spec.user {
            UserNamespace::Mapped(maps) => Some(maps.clone()),
            UserNamespace::Host => None,
            UserNamespace::Auto if !can => None,
            UserNamespace::Required if !can => {
                let why = report.missing.iter().find(|reason| {
                    matches!(reason.ability, Ability::UserNamespace | Ability::IdMappedMounts)
                });
                return Err(RuntimeError::Unsupported(why.map(ToString::to_string).unwrap_or_default()));
            }
            UserNamespace::Auto | UserNamespace::Required => {
                let (first, ranges) = self.node.options.ids;
                let taken: BTreeSet<u32> = known.values().flatten().copied().collect();
                let start = ids::allocate(first, ranges, &taken).ok_or_else(|| {
                    RuntimeError::Unsupported("all ranges of ids for instances are taken".to_owned())
                })?;
                Some(ids::maps(start))
            }
        };
        known.insert(spec.instance.clone(), wanted.as_ref().and_then(ids::start));
        Ok(wanted)
    }

    async fn make(&self, spec: SandboxSpec) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        if !self.node.report.has(Ability::Containers) {
            let why = self.node.report.missing.iter().find(|reason| reason.ability == Ability::Containers);
            return Err(RuntimeError::Unsupported(why.map(ToString::to_string).unwrap_or_default()));
        }
        crate::spec::build::check_limits(&spec.limits)?;
        check_hostname(&spec.hostname)?;
        let user = self.reserve(&spec)?;
        let instance = spec.instance.clone();
        let made = self.begin(spec, user).await;
        if made.is_err() {
            // Nothing of it stays, and its own error is the one that tells.
            if let Err(error) = self.node.clear(&instance).await {
                tracing::warn!(%instance, %error, "what was left of a sandbox could not be cleared away");
            }
            lock(&self.node.known).remove(&instance);
        }
        made
    }

    async fn begin(&self, spec: SandboxSpec, user: Option<IdMaps>) -> Result<Arc<dyn Sandbox>, RuntimeError> {
        let node = &self.node;
        let layout = node.layout(&spec.instance);
        for folder in [layout.folder().to_owned(), layout.containers()] {
            fs::DirBuilder::new().mode(0o700).create(&folder).map_err(io_error("making", &folder))?;
        }
        let cgroup = node.cgroups.path(&[spec.instance.as_str()]);
        let shim_cgroup = cgroup.join(SHIM);
        node.cgroups.make(&shim_cgroup).map_err(io_error("making the cgroup", &shim_cgroup))?;
        node.cgroups.limit(&cgroup, &spec.limits).map_err(io_error("limiting", &cgroup))?;
        let config = SandboxConfig {
            instance: spec.instance.clone(),
            hostname: spec.hostname.clone(),
            network: spec.network.clone(),
            user,
            host_ipc: spec.host_ipc,
            shim_cgroups: node.cgroups.all_folders(&shim_cgroup),
        };
        let kept = layout.folder().join(SPEC);
        state::write(&kept, &spec).map_err(io_error("writing", &kept))?;
        state::write(&layout.config(), &config).map_err(io_error("writing", layout.config()))?;
        let born = node.cgroups.unified(&shim_cgroup);
        node.program.start(&spec.instance, layout.folder(), born.as_deref()).await?;
        let shim = read_shim(&layout)?.ok_or_else(|| RuntimeError::ShimLost(spec.instance.clone()))?;
        let sandbox = OciSandbox::connect(node.clone(), spec, config, shim).await?;
        Ok(sandbox)
    }

    async fn find(&self) -> Result<Adopted, RuntimeError> {
        let mut adopted = Adopted::default();
        let boot = process::boot_id().map_err(io_error("reading", "/proc/sys/kernel/random/boot_id"))?;
        for instance in self.node.instances()? {
            if let Err(error) = self.adopt_one(&instance, &boot, &mut adopted).await {
                tracing::warn!(%instance, error = %crate::error::chain(&error), "a sandbox could not be adopted");
            }
        }
        Ok(adopted)
    }

    async fn adopt_one(
        &self,
        instance: &InstanceId,
        boot: &str,
        adopted: &mut Adopted,
    ) -> Result<(), RuntimeError> {
        let layout = self.node.layout(instance);
        let kept = layout.folder().join(SPEC);
        let spec = state::read::<SandboxSpec>(&kept).map_err(io_error("reading", &kept))?;
        let config =
            state::read::<SandboxConfig>(&layout.config()).map_err(io_error("reading", layout.config()))?;
        // Without them it was never made whole: there is nothing to adopt, and the sweep takes it.
        let (Some(spec), Some(config)) = (spec, config) else { return Ok(()) };
        let shim = read_shim(&layout)?;
        lock(&self.node.known).insert(instance.clone(), config.user.as_ref().and_then(ids::start));
        let alive = match &shim {
            Some(shim) => process::is_there(&shim.process).map_err(io_error("looking for", "the shim"))?,
            None => false,
        };
        match shim.filter(|_| alive) {
            Some(shim) => {
                let sandbox = OciSandbox::connect(self.node.clone(), spec, config, shim).await?;
                sandbox.adopt_containers()?;
                adopted.sandboxes.push(sandbox);
            }
            None => {
                self.node.kill_below(&self.node.cgroups.path(&[instance.as_str()]));
                let containers = sandbox::last_words(&layout);
                let rebooted = containers.iter().any(|(state, _)| state.process.boot_id != boot);
                adopted.lost.push(Lost { spec, containers, rebooted });
            }
        }
        Ok(())
    }

    async fn clear_but(&self, keep: &BTreeSet<InstanceId>) -> Result<Swept, RuntimeError> {
        let swept = self.node.sweep(keep).await?;
        lock(&self.node.known).retain(|instance, _| keep.contains(instance));
        Ok(swept)
    }
}

fn read_shim(layout: &state::Layout) -> Result<Option<ShimState>, RuntimeError> {
    state::read(&layout.shim()).map_err(io_error("reading", layout.shim()))
}

/// What the kernel takes: 64 bytes; and what a name is.
fn check_hostname(name: &str) -> Result<(), RuntimeError> {
    let good = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if good {
        return Ok(());
    }
    Err(RuntimeError::Invalid {
        what: "hostname".to_owned(),
        why: format!("{name:?} is no host's name: 1 to 64 letters, digits, dots and dashes"),
    })
}

impl RuntimeClass for Oci {
    fn name(&self) -> &str {
        "oci"
    }

    fn report(&self) -> &Report {
        &self.node.report
    }

    fn create(&self, spec: SandboxSpec) -> Work<'_, Arc<dyn Sandbox>> {
        self.make(spec).boxed()
    }

    fn adopt(&self) -> Work<'_, Adopted> {
        self.find().boxed()
    }

    fn sweep<'a>(&'a self, keep: &'a BTreeSet<InstanceId>) -> Work<'a, Swept> {
        self.clear_but(keep).boxed()
    }

    fn close(&self) {
        for folder in self.node.cgroups.all_folders(&self.node.cgroups.path(&[])) {
            // The kernel refuses to remove what anybody is in, or has a cgroup below.
            drop(fs::remove_dir(folder));
        }
    }
}
