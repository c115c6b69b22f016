//! Specifications as they are given to libcontainer, and what is refused before.

use super::build::{Built, Context, build};
use super::*;
use crate::report::CgroupVersion;
use hypermesh_shim::protocol::{IdMap, IdMaps};
use proptest::prelude::*;
use std::path::Path;

fn with<T>(user: bool, cgroups: CgroupVersion, then: impl FnOnce(&Context<'_>) -> T) -> T {
    let map = vec![IdMap { inside: 0, outside: 0x7000_0000, count: 65_536 }];
    let maps = IdMaps { users: map.clone(), groups: map };
    let all: BTreeSet<String> = capabilities::ALL.iter().map(|name| (*name).to_owned()).collect();
    let views = [("memory".to_owned(), PathBuf::from("/sys/fs/cgroup/memory/hypermesh/i/web-0"))];
    let context = Context {
        user: user.then_some(&maps),
        host_network: false,
        owns_network: true,
        host_ipc: false,
        cgroups,
        cgroup: Path::new("/hypermesh/i/web-0"),
        cgroup_views: if cgroups == CgroupVersion::V1 { &views } else { &[] },
        capabilities: &all,
        rootless: false,
    };
    then(&context)
}

fn built(spec: &ContainerSpec) -> Built {
    with(true, CgroupVersion::V2, |context| build(spec, context)).unwrap()
}

fn small() -> ContainerSpec {
    ContainerSpec {
        args: vec!["/bin/true".to_owned()],
        root: Root::Folder { path: "/images/a".into(), read_only: false },
        seccomp: Seccomp::Unconfined,
        ..ContainerSpec::default()
    }
}

fn full() -> ContainerSpec {
    ContainerSpec {
        args: vec!["httpd".to_owned(), "-f".to_owned()],
        env: vec!["A=1".to_owned(), "PATH=/bin".to_owned(), "A=2".to_owned()],
        cwd: "/srv".into(),
        user: User { uid: 1000, gid: 100, groups: vec![7] },
        read_only_root: true,
        mounts: vec![
            Mount {
                target: "/etc/config".into(),
                source: MountSource::Bind {
                    path: "/v/config".into(),
                    sub_path: Some("app.yaml".into()),
                    mapped: true,
                    propagate: false,
                    exec: false,
                },
                read_only: true,
            },
            Mount {
                target: "/tmp".into(),
                source: MountSource::Memory { size: Some(1 << 20), mode: 0o1777 },
                read_only: false,
            },
        ],
        capabilities_add: BTreeSet::from(["NET_BIND_SERVICE".to_owned()]),
        capabilities_drop: BTreeSet::from(["ALL".to_owned()]),
        no_new_privileges: true,
        limits: Limits {
            cpu_shares: Some(512),
            cpu_quota_us: Some(50_000),
            cpu_period_us: None,
            cpuset: Some("0-1".to_owned()),
            memory: Some(64 << 20),
            memory_reserved: Some(32 << 20),
            pids: Some(100),
            io_weight: Some(200),
        },
        devices: vec![Device {
            source: "/dev/fuse".into(),
            target: "/dev/fuse".into(),
            access: "rw".to_owned(),
        }],
        rlimits: BTreeMap::from([("RLIMIT_NOFILE".to_owned(), (1024, 4096))]),
        oom_score_adj: Some(900),
        sysctls: BTreeMap::from([("net.core.somaxconn".to_owned(), "1024".to_owned())]),
        terminal: true,
        ..small()
    }
}

/// As JSON, with sets in order.
fn shown(spec: &oci_spec::runtime::Spec) -> serde_json::Value {
    let mut value = serde_json::to_value(spec).unwrap();
    if let Some(sets) = value.pointer_mut("/process/capabilities").and_then(|sets| sets.as_object_mut()) {
        for set in sets.values_mut().filter_map(|set| set.as_array_mut()) {
            set.sort_by_key(ToString::to_string);
        }
    }
    value
}

#[test]
fn a_small_container() {
    insta::assert_json_snapshot!(shown(&built(&small()).spec));
}

#[test]
fn a_container_that_says_everything() {
    let built = built(&full());
    insta::assert_json_snapshot!((shown(&built.spec), built.binds));
}

#[test]
fn a_container_with_version_1_and_the_nodes_users() {
    let built = with(false, CgroupVersion::V1, |context| build(&full(), context)).unwrap();
    insta::assert_json_snapshot!((
        built.spec.linux().as_ref().unwrap().resources(),
        built.spec.mounts(),
        built.binds
    ));
}

#[test]
fn a_privileged_container() {
    let spec = ContainerSpec { privileged: true, seccomp: Seccomp::RuntimeDefault, ..small() };
    let built = with(false, CgroupVersion::V2, |context| build(&spec, context)).unwrap();
    insta::assert_json_snapshot!(shown(&built.spec));
}

#[test]
fn the_default_filter() {
    let spec = ContainerSpec { seccomp: Seccomp::RuntimeDefault, ..small() };
    insta::assert_json_snapshot!(built(&spec).spec.linux().as_ref().unwrap().seccomp());
}

/// Whoever may make devices where nothing filters them has the node's disk.
#[test]
fn nobody_makes_devices_where_nothing_filters_them() {
    let caps = |user, cgroups| {
        let built = with(user, cgroups, |context| build(&small(), context)).unwrap();
        let caps = built.spec.process().as_ref().unwrap().capabilities().clone().unwrap();
        caps.bounding().clone().unwrap().contains(&oci_spec::runtime::Capability::Mknod)
    };
    assert!(!caps(false, CgroupVersion::V2));
    assert!(!caps(false, CgroupVersion::None));
    assert!(caps(false, CgroupVersion::V1));
    assert!(caps(true, CgroupVersion::V2));
}

#[test]
fn what_makes_no_sense_is_refused_by_its_field() {
    let bad = |change: &dyn Fn(&mut ContainerSpec)| {
        let mut spec = small();
        change(&mut spec);
        with(true, CgroupVersion::V2, |context| build(&spec, context)).unwrap_err().to_string()
    };
    let mount = |target: &str| Mount {
        target: target.into(),
        source: MountSource::Memory { size: None, mode: 0o755 },
        read_only: false,
    };
    insta::assert_snapshot!(
        [
            bad(&|spec| spec.args.clear()),
            bad(&|spec| spec.args = vec!["a\0".to_owned()]),
            bad(&|spec| spec.env = vec!["=x".to_owned()]),
            bad(&|spec| spec.cwd = "srv".into()),
            bad(&|spec| spec.mounts = vec![mount("/a/../../b")]),
            bad(&|spec| spec.mounts = vec![mount("/")]),
            bad(&|spec| spec.cwd = "/proc/self/fd/3".into()),
            bad(&|spec| spec.cwd = "/proc/17/root".into()),
            bad(&|spec| spec.mounts = vec![mount("/proc/kcore")]),
            bad(&|spec| spec.limits.memory = Some(1000)),
            bad(&|spec| spec.limits.cpu_period_us = Some(10)),
            bad(&|spec| spec.limits.io_weight = Some(1)),
            bad(&|spec| spec.stop_signal = Some("SIGFLY".to_owned())),
            bad(&|spec| spec.oom_score_adj = Some(2000)),
            bad(&|spec| {
                spec.sysctls.insert("kernel.panic".to_owned(), "1".to_owned());
            }),
            bad(&|spec| {
                spec.sysctls.insert("net/../kernel.panic".to_owned(), "1".to_owned());
            }),
            bad(&|spec| spec.seccomp = Seccomp::Localhost("{".to_owned())),
            bad(&|spec| {
                spec.capabilities_add.insert("FLY".to_owned());
            }),
        ]
        .join("\n")
    );
}

proptest! {
    /// Names come from manifests and images: whatever they are, it ends in a specification or a reason.
    #[test]
    fn whatever_is_asked_for(
        args in prop::collection::vec(".{0,8}", 0..3),
        env in prop::collection::vec(".{0,8}=?.{0,4}", 0..4),
        cwd in "/?.{0,10}",
        memory in prop::option::of(any::<u64>()),
        pids in prop::option::of(any::<u64>()),
    ) {
        let limits = Limits { memory, pids, ..Limits::default() };
        let spec = ContainerSpec { args, env, cwd: cwd.into(), limits, ..small() };
        let _ = with(true, CgroupVersion::V2, |context| build(&spec, context));
    }
}
