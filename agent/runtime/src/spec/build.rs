//! From what is to run to an OCI runtime specification. Pure.

use super::{ContainerSpec, Invalid, Limits, MountSource, ProcMount, Seccomp, capabilities, seccomp};
use crate::report::CgroupVersion;
use hypermesh_shim::protocol::{Bind, IdMaps, Root};
use oci_spec::runtime::Spec;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// What a container finds: its Instance's and the node's.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// How the Instance's users map to the node's.
    pub user: Option<&'a IdMaps>,
    /// Whether it is in the node's network.
    pub host_network: bool,
    /// Whether its network is ruled by the Instance's own root, or there is no other root.
    pub owns_network: bool,
    /// Whether it sees the node's IPC objects.
    pub host_ipc: bool,
    /// How limits are set.
    pub cgroups: CgroupVersion,
    /// Its cgroup, absolute within each hierarchy.
    pub cgroup: &'a Path,
    /// With version 1: the folders that it sees of its own cgroups, by controller.
    pub cgroup_views: &'a [(String, PathBuf)],
    /// Which capabilities the agent has to give.
    pub capabilities: &'a BTreeSet<String>,
    /// Whether the agent is root.
    pub rootless: bool,
}

/// A specification, and what the shim completes in it.
#[derive(Clone, Debug)]
pub struct Built {
    /// Namespaces that are shared have no path yet, and sources of binds are still the node's.
    pub spec: Spec,
    /// Its binds.
    pub binds: Vec<Bind>,
}

/// Builds it.
///
/// # Errors
/// If what is to run makes no sense.
pub fn build(spec: &ContainerSpec, context: &Context<'_>) -> Result<Built, Invalid> {
    check(spec)?;
    let withheld = withheld(context);
    let caps = capabilities::resolve(
        &spec.capabilities_add,
        &spec.capabilities_drop,
        spec.privileged,
        context.capabilities,
        &withheld,
    )?;
    let (mounts, binds) = mounts(spec, context)?;
    let mut linux = json!({
        "namespaces": namespaces(context),
        "cgroupsPath": context.cgroup,
        "rootfsPropagation": "private",
        "maskedPaths": [],
        "readonlyPaths": [],
        "devices": [],
    });
    if !spec.privileged && spec.proc_mount == ProcMount::Default {
        put(&mut linux, "maskedPaths", json!(MASKED));
        put(&mut linux, "readonlyPaths", json!(READ_ONLY));
    }
    if !spec.sysctls.is_empty() {
        put(&mut linux, "sysctl", json!(sysctls(&spec.sysctls, context)?));
    }
    if context.cgroups != CgroupVersion::None {
        put(&mut linux, "resources", resources(&spec.limits, context.cgroups, spec.privileged));
    }
    if let Some(filter) = filter(spec, &caps)? {
        put(&mut linux, "seccomp", filter);
    }
    let value = json!({
        "ociVersion": "1.0.2",
        // The shim says where it is.
        "root": { "path": "/", "readonly": spec.read_only_root },
        "mounts": mounts,
        "process": process(spec, &caps),
        "linux": linux,
    });
    let spec = serde_json::from_value(value)
        .map_err(|error| Invalid::new("the container", format!("it is no runtime specification: {error}")))?;
    Ok(Built { spec, binds })
}

/// Adds an entry to a JSON object.
fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

/// What cannot be, whatever the node.
fn check(spec: &ContainerSpec) -> Result<(), Invalid> {
    let program = spec.args.first().map(String::as_str).unwrap_or_default();
    if program.is_empty() {
        return Err(Invalid::new(
            "args",
            "there is no program: neither the image nor the container names one",
        ));
    }
    let nul = |text: &String| text.contains('\0');
    if spec.args.iter().any(nul) || spec.env.iter().any(nul) {
        return Err(Invalid::new("args and env", "a NUL character cannot be part of any"));
    }
    if let Some(entry) =
        spec.env.iter().find(|entry| entry.split_once('=').is_none_or(|(name, _)| name.is_empty()))
    {
        return Err(Invalid::new("env", format!("{entry:?} is not of the form NAME=value")));
    }
    absolute("cwd", &spec.cwd)?;
    outside_processes(&spec.cwd)?;
    for mount in &spec.mounts {
        absolute("mounts.target", &mount.target)?;
        if mount.target.starts_with("/proc") && !OVER_PROC.iter().any(|path| mount.target == Path::new(path))
        {
            return Err(Invalid::new(
                "mounts.target",
                format!(
                    "nothing is mounted over {:?}: of /proc, only {} may be",
                    mount.target,
                    OVER_PROC.join(", ")
                ),
            ));
        }
        if mount.target == Path::new("/") {
            return Err(Invalid::new("mounts.target", "the root itself cannot be mounted over"));
        }
    }
    if let Some(signal) = &spec.stop_signal {
        super::signal::parse(signal)?;
    }
    if let Some(score) = spec.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return Err(Invalid::new("oom_score_adj", format!("{score} is not within -1000 to 1000")));
    }
    if let Root::Folder { path, .. } = &spec.root {
        absolute("root", path)?;
    }
    check_limits(&spec.limits)
}

/// What may be mounted over in `/proc`: what LXCFS has of its own, as with runc.
const OVER_PROC: [&str; 8] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
];

/// What a process holds, itself above all, leads out of the container while that is being made (CVE-2024-21626).
fn outside_processes(cwd: &Path) -> Result<(), Invalid> {
    let of = cwd.strip_prefix("/proc").ok().and_then(|rest| rest.components().next());
    let of = of.and_then(|part| part.as_os_str().to_str()).unwrap_or_default();
    let number = !of.is_empty() && of.bytes().all(|byte| byte.is_ascii_digit());
    if matches!(of, "self" | "thread-self") || number {
        let why = format!(
            "{cwd:?} is a process' and no folder of the container's (workingDir, or the image's WORKDIR)"
        );
        return Err(Invalid::new("cwd", why));
    }
    Ok(())
}

fn absolute(field: &'static str, path: &Path) -> Result<(), Invalid> {
    if !path.is_absolute() {
        return Err(Invalid::new(field, format!("{path:?} is not absolute")));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(Invalid::new(field, format!("{path:?} goes up by '..'")));
    }
    Ok(())
}

/// What no kernel takes.
pub(crate) fn check_limits(limits: &Limits) -> Result<(), Invalid> {
    let within = |field: &'static str, value: Option<u64>, low: u64, high: u64| match value {
        Some(value) if value < low || value > high => {
            Err(Invalid::new(field, format!("{value} is not within {low} to {high}")))
        }
        _ => Ok(()),
    };
    within("limits.cpu_shares", limits.cpu_shares, 2, 262_144)?;
    within("limits.cpu_quota_us", limits.cpu_quota_us, 1_000, u64::MAX / 2)?;
    within("limits.cpu_period_us", limits.cpu_period_us, 1_000, 1_000_000)?;
    // Less holds no program at all: libcontainer itself needs some of it.
    within("limits.memory", limits.memory, 6 << 20, i64::MAX.cast_unsigned())?;
    within("limits.pids", limits.pids, 1, 4 << 20)?;
    within("limits.io_weight", limits.io_weight.map(u64::from), 10, 1_000)
}

/// Capabilities that are given by default elsewhere, and not here.
///
/// Version 2 filters devices by programs that libcontainer was not built with. A user namespace makes devices useless;
/// without one, whoever may make them could make the node's disk.
fn withheld(context: &Context<'_>) -> BTreeSet<&'static str> {
    if context.cgroups != CgroupVersion::V1 && context.user.is_none() {
        BTreeSet::from(["MKNOD"])
    } else {
        BTreeSet::new()
    }
}

fn namespaces(context: &Context<'_>) -> Value {
    let mut list = vec!["pid", "mount", "uts"];
    if context.cgroups != CgroupVersion::None {
        list.push("cgroup");
    }
    if !context.host_ipc {
        list.push("ipc");
    }
    if !context.host_network {
        list.push("network");
    }
    if context.user.is_some() {
        list.push("user");
    }
    list.into_iter().map(|kind| json!({ "type": kind })).collect()
}

fn process(spec: &ContainerSpec, caps: &BTreeSet<String>) -> Value {
    let caps: Vec<String> = caps.iter().map(|name| format!("CAP_{name}")).collect();
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in spec.env.iter().filter_map(|entry| entry.split_once('=')) {
        match env.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.to_owned(),
            None => env.push((name.to_owned(), value.to_owned())),
        }
    }
    let has = |wanted: &str, env: &[(String, String)]| env.iter().any(|(name, _)| name == wanted);
    if !has("PATH", &env) {
        env.insert(0, ("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    if spec.terminal && !has("TERM", &env) {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    let env: Vec<String> = env.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let rlimits: Vec<Value> = spec
        .rlimits
        .iter()
        .map(|(name, (soft, hard))| json!({ "type": name, "soft": soft, "hard": hard }))
        .collect();
    let mut process = json!({
        "terminal": spec.terminal,
        "user": {
            "uid": spec.user.uid,
            "gid": spec.user.gid,
            "additionalGids": spec.user.groups,
            "umask": 0o022,
        },
        "args": spec.args,
        "env": env,
        "cwd": spec.cwd,
        "capabilities": { "bounding": caps, "effective": caps, "permitted": caps, "inheritable": [], "ambient": [] },
        "rlimits": rlimits,
        // The shim's own is not what a container inherits.
        "oomScoreAdj": spec.oom_score_adj.unwrap_or(0),
    });
    // libcontainer takes any word on it, `false` too, for one to load the filter after capabilities are dropped.
    if spec.no_new_privileges {
        put(&mut process, "noNewPrivileges", json!(true));
    }
    process
}

/// Where programs are looked for if nothing else is said: Docker's.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What containerd hides.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What containerd makes read-only.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn mounts(spec: &ContainerSpec, context: &Context<'_>) -> Result<(Vec<Value>, Vec<Bind>), Invalid> {
    let mount = |target: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": source, "options": options });
    let mut pts = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    // A mapping of one id has no such group.
    if !context.rootless {
        pts.push("gid=5");
    }
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ];
    if !context.host_ipc {
        mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    }
    let mut binds = Vec::new();
    let mut bind = |mounts: &mut Vec<Value>, target: &Path, path: &Path, options: &[&str], how: How| {
        binds.push(Bind {
            mount: mounts.len(),
            path: path.to_owned(),
            sub_path: how.sub_path,
            mapped: how.mapped && context.user.is_some(),
            propagate: how.propagate,
            alone: how.alone,
            sysfs: how.sysfs,
        });
        mounts.push(json!({ "destination": target, "type": "bind", "source": path, "options": options }));
    };
    let sys_options: &[&str] = if spec.privileged { &[] } else { &["ro"] };
    let sys: Vec<&str> = ["nosuid", "noexec", "nodev"].iter().chain(sys_options).copied().collect();
    if context.owns_network {
        mounts.push(mount("/sys", "sysfs", "sysfs", &sys));
    } else {
        // The kernel lets who rules a network alone mount what shows its devices, so the shim does, from there; in the node's
        // own network the node's view is given. Nothing is in it of what the node has mounted there: all cgroups, for one.
        let options: Vec<&str> = ["bind", "rprivate"].into_iter().chain(sys.iter().copied()).collect();
        let how = How { alone: true, sysfs: !context.host_network, ..How::default() };
        bind(&mut mounts, Path::new("/sys"), Path::new("/sys"), &options, how);
    }
    match context.cgroups {
        CgroupVersion::V2 => mounts.push(mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        )),
        CgroupVersion::V1 => {
            mounts.push(mount(
                "/sys/fs/cgroup",
                "tmpfs",
                "tmpfs",
                &["nosuid", "noexec", "nodev", "mode=755", "size=64k"],
            ));
            // libcontainer would mount them so that root may raise its own limits.
            let options = ["bind", "rprivate", "nosuid", "noexec", "nodev", "ro"];
            for (controller, folder) in context.cgroup_views {
                let target = Path::new("/sys/fs/cgroup").join(controller);
                bind(&mut mounts, &target, folder, &options, How::default());
            }
        }
        CgroupVersion::None => {}
    }
    for wanted in &spec.mounts {
        match &wanted.source {
            MountSource::Bind { path, sub_path, mapped, propagate, exec } => {
                absolute("mounts.source", path)?;
                if sub_path
                    .as_ref()
                    .is_some_and(|sub| sub.components().any(|part| part == Component::ParentDir))
                {
                    return Err(Invalid::new("mounts.sub_path", "it goes up by '..'"));
                }
                let mut options = vec!["rbind", "nosuid", "nodev"];
                options.push(if *propagate { "rslave" } else { "rprivate" });
                if !exec {
                    options.push("noexec");
                }
                // Read-only with all that is mounted below, where `ro` alone would mean the top.
                options.extend(if wanted.read_only { ["ro", "rro"].as_slice() } else { [].as_slice() });
                let how = How {
                    sub_path: sub_path.clone(),
                    mapped: *mapped,
                    propagate: *propagate,
                    ..How::default()
                };
                bind(&mut mounts, &wanted.target, path, &options, how);
            }
            MountSource::Memory { size, mode } => {
                let mut options = vec!["nosuid".to_owned(), "nodev".to_owned(), format!("mode={mode:o}")];
                options.extend(size.map(|size| format!("size={size}")));
                if wanted.read_only {
                    options.push("ro".to_owned());
                }
                mounts.push(json!({
                    "destination": wanted.target, "type": "tmpfs", "source": "tmpfs", "options": options,
                }));
            }
        }
    }
    for device in &spec.devices {
        absolute("devices.source", &device.source)?;
        absolute("devices.target", &device.target)?;
        let read_only = !device.access.contains('w');
        let mut options = vec!["bind", "rprivate", "nosuid", "noexec"];
        options.extend(if read_only { ["ro"].as_slice() } else { [].as_slice() });
        bind(&mut mounts, &device.target, &device.source, &options, How::default());
    }
    Ok((mounts, binds))
}

#[derive(Default)]
struct How {
    sub_path: Option<PathBuf>,
    mapped: bool,
    propagate: bool,
    alone: bool,
    sysfs: bool,
}

fn filter(spec: &ContainerSpec, caps: &BTreeSet<String>) -> Result<Option<Value>, Invalid> {
    match &spec.seccomp {
        _ if spec.privileged => Ok(None),
        Seccomp::Unconfined => Ok(None),
        Seccomp::RuntimeDefault => Ok(Some(seccomp::default_profile(caps))),
        Seccomp::Localhost(text) => {
            seccomp::parse(text, caps).map(Some).map_err(|why| Invalid::new("seccomp", why))
        }
    }
}

fn resources(limits: &Limits, version: CgroupVersion, privileged: bool) -> Value {
    // libcontainer adds the devices that every container has.
    let mut resources = json!({ "devices": [{ "allow": privileged, "access": "rwm" }] });
    // The shim takes it out, and sets it when libcontainer's own processes have ended.
    if let Some(pids) = limits.pids {
        put(&mut resources, "pids", json!({ "limit": pids }));
    }
    // Other limits of version 2 are written before libcontainer comes.
    if version == CgroupVersion::V2 {
        return resources;
    }
    let mut cpu = Map::new();
    if let Some(shares) = limits.cpu_shares {
        cpu.insert("shares".to_owned(), json!(shares));
    }
    if let Some(quota) = limits.cpu_quota_us {
        cpu.insert("quota".to_owned(), json!(quota));
        cpu.insert("period".to_owned(), json!(limits.cpu_period_us.unwrap_or(DEFAULT_PERIOD_US)));
    }
    if let Some(cpus) = &limits.cpuset {
        cpu.insert("cpus".to_owned(), json!(cpus));
    }
    if !cpu.is_empty() {
        put(&mut resources, "cpu", Value::Object(cpu));
    }
    // Swap is not told of: the node may have been started without counting it.
    if let Some(limit) = limits.memory {
        put(&mut resources, "memory", json!({ "limit": limit }));
    }
    if let Some(weight) = limits.io_weight {
        put(&mut resources, "blockIO", json!({ "weight": weight }));
    }
    resources
}

/// The kernel's own, in microseconds.
pub(crate) const DEFAULT_PERIOD_US: u64 = 100_000;

/// Parameters that a namespace has for itself: nobody may set the node's.
fn sysctls(
    wanted: &BTreeMap<String, String>,
    context: &Context<'_>,
) -> Result<BTreeMap<String, String>, Invalid> {
    const IPC: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "fs.mqueue.",
    ];
    for name in wanted.keys() {
        let dotted = name.replace('/', ".");
        let network = dotted.starts_with("net.") && !context.host_network;
        let ipc =
            IPC.iter().any(|known| dotted == *known || (known.ends_with('.') && dotted.starts_with(known)));
        if dotted.contains("..") || !(network || (ipc && !context.host_ipc)) {
            return Err(Invalid::new("sysctls", format!("{name} is the node's, not the instance's own")));
        }
    }
    Ok(wanted.clone())
}
