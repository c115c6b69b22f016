//! Volumes on the node: folders and files that containers mount.
//!
//! What is made of objects is exchanged as a whole while containers look at it, the way kubelet does it: files lie in a
//! folder named after the moment, `..data` is a link to it that is replaced by one rename, and what is visible are links
//! through `..data`. Containers may not write there; still, every step is taken below an open folder, through no link.

mod content;
mod host_path;

use crate::failure::chain;
use crate::images::blocking;
use crate::private;
use crate::settings::{Layout, Policy};
use hypermesh_planner::Instance;
use hypermesh_planner::InstanceUid;
use hypermesh_planner::volume::{FileTree, has_api_access, is_secret};
use hypermesh_runtime::spec::{Mount, MountSource};
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::volume::{EmptyDir, Medium, Volume, VolumeMount};
use rustix::mount::{MountFlags, UnmountFlags};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The volume with which containers reach the API server, unless they are to have none, and where it appears.
pub const API_ACCESS: &str = "kube-api-access";
/// See [`API_ACCESS`].
pub const API_ACCESS_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What each volume holds that is made of objects, by the volume's name.
pub type Contents = BTreeMap<String, FileTree>;

/// The volumes of a node.
#[derive(Clone, Debug)]
pub struct Volumes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    policy: Policy,
    /// Whether what is secret lies in memory.
    memory: bool,
}

impl Volumes {
    /// Opens the node's volumes. Beside it: what the node lacks.
    ///
    /// # Errors
    /// When the folders cannot be made.
    pub fn open(layout: &Layout, policy: &Policy) -> io::Result<(Self, Option<String>)> {
        let memory = layout.memory();
        private::folder(&memory)?;
        let mounted = is_tmpfs(&memory) || mount_tmpfs(&memory, None, 0o700).is_ok();
        let lack = (!mounted).then(|| {
            format!(
                "what Secrets and tokens hold lies on the disk ({}), since this process may not mount file systems",
                memory.display()
            )
        });
        let inner = Inner { layout: layout.clone(), policy: policy.clone(), memory: mounted };
        Ok((Self(Arc::new(inner)), lack))
    }

    /// Whether what is secret lies in memory.
    #[must_use]
    pub fn keeps_secrets_in_memory(&self) -> bool {
        self.0.memory
    }

    /// Leaves nothing mounted. What instances still use stays with them.
    pub fn close(&self) {
        let memory = self.0.layout.memory();
        let empty = std::fs::read_dir(&memory).is_ok_and(|mut entries| entries.next().is_none());
        if empty && is_tmpfs(&memory) {
            let _ = rustix::mount::unmount(&memory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }

    /// Makes an instance's volumes. What is there already stays, and gets its new contents.
    ///
    /// # Errors
    /// Which volume cannot be made, and why.
    pub async fn prepare(&self, instance: &Instance, contents: Contents) -> Result<(), String> {
        let (inner, instance) = (Arc::clone(&self.0), instance.clone());
        blocking(move || inner.prepare(&instance, &contents)).await
    }

    /// Gives volumes that are made of objects their new contents; those whose contents are the same stay untouched.
    ///
    /// # Errors
    /// Which volume cannot be written, and why.
    pub async fn refresh(&self, instance: &Instance, contents: Contents) -> Result<(), String> {
        let (inner, instance) = (Arc::clone(&self.0), instance.clone());
        blocking(move || inner.write(&instance, &contents)).await
    }

    /// Removes an instance's volumes. That there are none is no error.
    ///
    /// # Errors
    /// What cannot be removed, and why.
    pub async fn remove(&self, uid: &InstanceUid) -> Result<(), String> {
        let (inner, uid) = (Arc::clone(&self.0), uid.clone());
        blocking(move || inner.remove(&uid)).await
    }

    /// What a container mounts of its instance's volumes.
    ///
    /// # Errors
    /// What this node does not let it mount.
    pub fn mounts(&self, instance: &Instance, container: &Container) -> Result<Vec<Mount>, String> {
        let mut mounts = Vec::new();
        for mount in &container.volume_mounts {
            let volume = instance.pod().volumes.iter().find(|volume| volume.name == mount.name);
            let volume = volume.ok_or_else(|| format!("there is no volume {}", mount.name))?;
            mounts.push(self.0.mount(instance, volume, mount)?);
        }
        let taken = |path: &str| mounts.iter().any(|mount| mount.target == Path::new(path));
        let free = !taken(API_ACCESS_PATH) && !taken("/run/secrets/kubernetes.io/serviceaccount");
        if free && has_api_access(instance) {
            mounts.push(Mount {
                target: API_ACCESS_PATH.into(),
                source: bind(self.0.path(&instance.uid, API_ACCESS, true), None, true),
                read_only: true,
            });
        }
        Ok(mounts)
    }
}

fn bind(path: PathBuf, sub_path: Option<PathBuf>, mapped: bool) -> MountSource {
    MountSource::Bind { path, sub_path, mapped, propagate: false, exec: true }
}

impl Inner {
    fn path(&self, uid: &InstanceUid, volume: &str, secret: bool) -> PathBuf {
        let below = if secret {
            self.layout.memory().join(uid.as_str())
        } else {
            self.layout.instance(uid).join("volumes")
        };
        below.join(volume)
    }

    fn prepare(&self, instance: &Instance, contents: &Contents) -> Result<(), String> {
        for volume in &instance.pod().volumes {
            if volume.name.as_str() == API_ACCESS {
                return Err(format!(
                    "the volume {API_ACCESS}: the name is the node's own, for what every container reaches the API \
                     server with"
                ));
            }
            let told = |error: io::Error| format!("the volume {}: {}", volume.name, chain(&error));
            if let Some(empty) = &volume.empty_dir {
                self.empty(instance, volume, empty).map_err(told)?;
            } else if let Some(path) = &volume.host_path {
                host_path::check(path, &self.policy)
                    .map(drop)
                    .map_err(|why| format!("the volume {}: {why}", volume.name))?;
            }
        }
        self.write(instance, contents)
    }

    fn empty(&self, instance: &Instance, volume: &Volume, empty: &EmptyDir) -> io::Result<()> {
        let path = self.path(&instance.uid, volume.name.as_str(), false);
        std::fs::create_dir_all(&path)?;
        if empty.medium == Some(Medium::Memory) && !is_tmpfs(&path) {
            let limit = empty.size_limit.as_ref().map(hypermesh_schemas::value::Quantity::units);
            mount_tmpfs(&path, limit.and_then(|limit| u64::try_from(limit).ok()), 0o777)?;
        }
        let group = fs_group(instance);
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        if group.is_some() {
            chown(&path, None, group)?;
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
    }

    fn write(&self, instance: &Instance, contents: &Contents) -> Result<(), String> {
        for (name, tree) in contents {
            let volume = instance.pod().volumes.iter().find(|volume| volume.name.as_str() == name);
            let path = self.path(&instance.uid, name, volume.is_none_or(is_secret));
            let written = std::fs::create_dir_all(&path)
                .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)))
                .and_then(|()| content::exchange(&path, tree, fs_group(instance)));
            written.map_err(|error| format!("the volume {name}: {}", chain(&error)))?;
        }
        Ok(())
    }

    fn remove(&self, uid: &InstanceUid) -> Result<(), String> {
        let volumes = self.layout.instance(uid).join("volumes");
        for entry in std::fs::read_dir(&volumes).into_iter().flatten().flatten() {
            while is_tmpfs(&entry.path()) && !is_tmpfs(&volumes) {
                rustix::mount::unmount(entry.path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                    .map_err(|error| format!("cannot unmount {}: {error}", entry.path().display()))?;
            }
        }
        for path in [volumes, self.layout.memory().join(uid.as_str())] {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(format!("cannot remove {}: {error}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn mount(&self, instance: &Instance, volume: &Volume, mount: &VolumeMount) -> Result<Mount, String> {
        let sub_path = mount.sub_path.as_ref().map(|path| PathBuf::from(path.as_str()));
        let own = |secret| self.path(&instance.uid, volume.name.as_str(), secret);
        let (source, read_only) = if let Some(path) = &volume.host_path {
            let place = host_path::check(path, &self.policy)
                .map_err(|why| format!("the volume {}: {why}", volume.name))?;
            // Who mounts it takes the way below what is allowed once more, by no link that leads out of it.
            let below = place.below.join(sub_path.unwrap_or_default());
            let below = Some(below).filter(|below| !below.as_os_str().is_empty());
            // What lies there has owners of the node, which a mapping would make others'.
            (bind(place.allowed, below, false), mount.read_only)
        } else if volume.empty_dir.is_some() {
            let path = own(false);
            if let Some(sub_path) = &sub_path {
                make_sub_path(&path, sub_path).map_err(|error| {
                    format!("the volume {}, {}: {error}", volume.name, sub_path.display())
                })?;
            }
            (bind(path, sub_path, true), mount.read_only)
        } else {
            (bind(own(is_secret(volume)), sub_path, true), true)
        };
        Ok(Mount { target: mount.mount_path.as_str().into(), source, read_only })
    }
}

/// Makes a folder below a volume that is not there yet, as kubelet does; containers may have put links there.
fn make_sub_path(volume: &Path, sub_path: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(volume, flags, Mode::empty())?;
    let mut below = PathBuf::new();
    for step in sub_path.components() {
        let parent = if below.as_os_str().is_empty() {
            rustix::fs::open(volume, flags, Mode::empty())?
        } else {
            rustix::fs::openat2(&root, &below, flags, Mode::empty(), ResolveFlags::IN_ROOT)?
        };
        match rustix::fs::mkdirat(&parent, step.as_os_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        below.push(step);
    }
    Ok(())
}

fn fs_group(instance: &Instance) -> Option<u32> {
    let group = instance.pod().security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

fn is_tmpfs(path: &Path) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == TMPFS)
}

fn mount_tmpfs(path: &Path, size: Option<u64>, mode: u32) -> io::Result<()> {
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let data = std::ffi::CString::new(format!("mode={mode:o}{size}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(data.as_c_str()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::read_instance;

    #[tokio::test]
    async fn a_volume_does_not_take_the_place_of_what_every_container_has() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let (volumes, _) = Volumes::open(&layout, &Policy::default()).unwrap();
        let object = |name: &str| {
            let object = serde_json::json!({
                "apiVersion": "hypermesh.online/v1", "kind": "Instance",
                "metadata": {"name": "web-1", "namespace": "shop", "uid": "0a"},
                "spec": {"workload": "web", "revision": "1", "pod": {
                    "containers": [{"name": "a", "image": "a"}],
                    "volumes": [{"name": name, "emptyDir": {}}],
                }},
            });
            read_instance(&serde_json::from_value(object).unwrap()).unwrap()
        };
        let refused = volumes.prepare(&object(API_ACCESS), Contents::new()).await.unwrap_err();
        assert!(refused.contains("the node's own"), "{refused}");
        assert!(!layout.instances().exists());
        volumes.prepare(&object("data"), Contents::new()).await.unwrap();
        volumes.remove(&object("data").uid).await.unwrap();
        volumes.close();
    }
}
