//! Roots and volumes: who owns what, and what is seen of changes.

use crate::harness::*;
use hypermesh_runtime::spec::{Mount, MountSource, User};
use hypermesh_runtime::*;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

fn bind(path: &Path, target: &str, mapped: bool, read_only: bool) -> Mount {
    Mount {
        target: target.into(),
        source: MountSource::Bind {
            path: path.to_owned(),
            sub_path: None,
            mapped,
            propagate: false,
            exec: true,
        },
        read_only,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_the_instances_own() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let volume = node.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "x").unwrap();
    chown(volume.join("file"), Some(1000), Some(1000)).unwrap();
    let mut spec = node.spec("id -u; touch /data/new; ls -ln /data | grep -o '[0-9]* *1000 '; ls -lnd /bin | wc -l; touch /root-file; echo $?");
    spec.mounts = vec![bind(&volume, "/data", true, false)];
    let (exit, log) = node.run(&sandbox, spec).await;
    assert!(exit.success(), "{log}");
    // What its root wrote is root's on disk, as it will be for the next instance that has the volume.
    assert_eq!(fs::metadata(volume.join("new")).unwrap().uid(), 0, "{log}");
    assert_eq!(fs::metadata(node.dir.path().join("root/root-file")).unwrap().uid(), 0);
    let mut spec = node.spec("cat /data/file; echo more >> /data/file; id -u; echo x > /etc/passwd");
    spec.mounts = vec![bind(&volume, "/data", true, false)];
    spec.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    let (exit, log) = node.run(&sandbox, spec).await;
    assert!(!exit.success() && log.contains("stdout F x") && log.contains("1000"), "{log}");
    assert!(fs::read_to_string(volume.join("file")).unwrap().contains("more"), "{log}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_is_read_only_and_changes_are_seen() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let volume = node.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    let file = node.dir.path().join("resolv.conf");
    fs::write(&file, "nameserver 10.0.0.1\n").unwrap();
    let mut spec = node.spec("cat /etc/resolv.conf; touch /data/x || echo kept; touch /y || echo kept too; touch /tmp/z && echo writable; while ! test -f /data/word; do sleep 0.01; done; cat /data/word");
    spec.read_only_root = true;
    spec.mounts = vec![
        bind(&volume, "/data", true, true),
        bind(&file, "/etc/resolv.conf", true, true),
        Mount {
            target: "/tmp".into(),
            source: MountSource::Memory { size: Some(1 << 20), mode: 0o1777 },
            read_only: false,
        },
    ];
    let container = sandbox.create(id("c"), spec).await.unwrap();
    container.start().await.unwrap();
    until("it waits", || node.log().contains("writable")).await;
    fs::write(volume.join("word.new"), "changed\n").unwrap();
    fs::rename(volume.join("word.new"), volume.join("word")).unwrap();
    assert!(container.wait().await.unwrap().success());
    let log = node.log();
    for line in ["nameserver 10.0.0.1", "kept", "kept too", "writable", "changed"] {
        assert!(log.contains(&format!("stdout F {line}\n")), "{line}: {log}");
    }
    assert!(!node.dir.path().join("root/y").exists());
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A volume that is mounted when the sandbox is there already: a shim's mounts are its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_mounted_later_is_bound_too() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let volume = node.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    rustix::mount::mount("none", &volume, "tmpfs", rustix::mount::MountFlags::empty(), Some(c"size=1m"))
        .unwrap();
    fs::write(volume.join("file"), "in memory\n").unwrap();
    let mut spec = node.spec("cat /data/file");
    spec.mounts = vec![bind(&volume, "/data", true, false)];
    let (_, log) = node.run(&sandbox, spec).await;
    rustix::mount::unmount(&volume, rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(log, "stdout F in memory\n");
    let mut spec = node.spec("true");
    spec.mounts = vec![bind(Path::new("/nowhere"), "/data", true, false)];
    let error = told(&sandbox.create(id("c"), spec).await.err().unwrap());
    assert!(error.contains("/nowhere could not be opened"), "{error}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_to_work_in_is_made() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("pwd; touch here && echo mine");
    spec.cwd = "/work/deep".into();
    let (exit, log) = node.run(&sandbox, spec).await;
    assert!(exit.success(), "{log}");
    assert_eq!(log, "stdout F /work/deep\nstdout F mine\n");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_shared_within_an_instance() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let writer =
        sandbox.create(id("w"), node.spec("echo word > /dev/shm/x; echo wrote; sleep 1000")).await.unwrap();
    writer.start().await.unwrap();
    until("it wrote", || node.log().contains("wrote")).await;
    let mut spec = node.spec("cat /dev/shm/x; ls -ld /dev/shm");
    spec.user = User { uid: 1000, gid: 1000, groups: Vec::new() };
    let (_, log) = node.run(&sandbox, spec).await;
    assert!(log.contains("stdout F word\n") && log.contains("drwxrwxrwt"), "{log}");
    let other = node.sandbox("i2").await;
    let (_, log) = node.run(&other, node.spec("ls /dev/shm | grep . || echo empty")).await;
    assert_eq!(log, "stdout F empty\n");
    sandbox.remove().await.unwrap();
    other.remove().await.unwrap();
    node.finish().await;
}

/// A network that somebody else made, and the node's own.
#[tokio::test(flavor = "multi_thread")]
async fn networks_of_all_kinds() {
    let Some(node) = Node::new().await else { return };
    let own = node.sandbox("own").await;
    let path = own.network_namespace().unwrap();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let (_, log) = node
        .run(&own, node.spec("readlink /proc/self/ns/net; grep -c : /proc/net/dev; ls /sys/class/net"))
        .await;
    assert!(log.contains(&format!("net:[{}]", inode(&path))) && log.contains("stdout F lo"), "{log}");
    let mut spec = node.sandbox_spec("joined");
    spec.network = Network::Path(path.clone());
    let joined = node.class.create(spec).await.unwrap();
    let script = "readlink /proc/self/ns/net; echo devices of: $(ls /sys/class/net); touch /sys/class/net/x; grep -c fs/cgroup/devices /proc/self/mountinfo; touch /sys/fs/cgroup/x; \
                  ls /sys/fs/cgroup; ls /sys/fs/cgroup/memory/hypermesh* && echo seen";
    let (_, log) = node.run(&joined, node.spec(script)).await;
    // What `/sys` shows is of that network, without the cgroups that the node has mounted there.
    assert!(log.contains("stdout F devices of: lo\n"), "{log}");
    let log = log.replace("devices of", "");
    assert!(log.contains("stdout F 0\n") && !log.contains("seen") && !log.contains("devices"), "{log}");
    assert!(log.contains(&format!("net:[{}]", inode(&path))), "{log}");
    let mut spec = node.sandbox_spec("host");
    spec.network = Network::Host;
    let host = node.class.create(spec).await.unwrap();
    assert_eq!(host.network_namespace(), None);
    let (_, log) = node.run(&host, node.spec("readlink /proc/self/ns/net")).await;
    assert!(log.contains(&format!("net:[{}]", inode(Path::new("/proc/self/ns/net")))), "{log}");
    for sandbox in [own, joined, host] {
        sandbox.remove().await.unwrap();
    }
    node.finish().await;
}
