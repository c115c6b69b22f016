//! What a hostile container tries. With a user namespace and without: each layer holds alone.

use crate::harness::*;
use hypermesh_runtime::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

async fn both(node: &Node) -> Vec<Arc<dyn Sandbox>> {
    let mut sandboxes = Vec::new();
    for (name, user) in [("mapped", UserNamespace::Auto), ("host", UserNamespace::Host)] {
        let mut spec = node.sandbox_spec(name);
        spec.user = user;
        sandboxes.push(node.class.create(spec).await.unwrap());
    }
    sandboxes
}

async fn end(node: Node, sandboxes: Vec<Arc<dyn Sandbox>>) {
    for sandbox in sandboxes {
        sandbox.remove().await.unwrap();
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_node_is_changed() {
    let Some(node) = Node::new().await else { return };
    let sandboxes = both(&node).await;
    let tries = [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /proc/sys",
        "mount -o bind /proc/sys /tmp",
        "umount /proc",
        "unshare -r true",
        "unshare -m true",
        "echo 1 > /proc/sys/kernel/panic",
        "echo core > /proc/sys/kernel/core_pattern",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /proc/irq/default_smp_affinity",
        "echo x > /sys/kernel/uevent_helper",
        "touch /sys/fs/cgroup/memory/memory.limit_in_bytes && echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
        "mkdir /sys/fs/cgroup/memory/x",
        "test -e /sys/fs/cgroup/memory.max && echo max > /sys/fs/cgroup/memory.max",
        "test -e /sys/fs/cgroup/cgroup.procs && mkdir /sys/fs/cgroup/x",
        "test -e /sys/fs/cgroup/cgroup.procs && echo 1 > /sys/fs/cgroup/cgroup.procs",
        "head -c 1 /proc/kcore | grep .",
        "test -s /proc/keys && cat /proc/keys | grep .",
        "head -c 1 /dev/kmsg",
        "ls /sys/firmware | grep .",
        "cat /proc/timer_list | grep .",
        "mknod /tmp/disk b 8 0 && head -c 1 /tmp/disk",
        "mknod /dev/mem c 1 1 && head -c 1 /dev/mem",
        "chroot /proc/1/root/../../.. ls /proc/self/root/work",
        "ip link set lo down",
        "hostname other",
        "kill -9 1; exit 1",
        "ls /proc/1/root/var/lib | grep .",
    ];
    for sandbox in &sandboxes {
        let script: String = tries
            .iter()
            .map(|one| {
                format!("if ( {one} ) >/dev/null 2>&1; then echo 'WON {}'; fi\n", one.replace('\'', ""))
            })
            .collect();
        let (exit, log) = node.run(sandbox, node.spec(&(script + "echo tried"))).await;
        assert!(exit.success() && log.contains("tried"), "{exit:?} {log}");
        let mapped = sandbox.id_maps().is_some();
        let won: Vec<&str> = log.lines().filter(|line| line.contains("WON")).collect();
        assert_eq!(won, Vec::<&str>::new(), "user namespace: {mapped}\n{log}");
    }
    end(node, sandboxes).await;
}

/// The tries above are no straw men: who is let do them can.
#[tokio::test(flavor = "multi_thread")]
async fn a_privileged_container_is_not_held_back() {
    let Some(node) = Node::new().await else { return };
    let sandboxes = both(&node).await;
    for sandbox in &sandboxes {
        let mut spec = node.spec(
            "mount -t tmpfs none /tmp && echo mounted; unshare -m true && echo unshared; hostname other && echo named; \
             ip link set lo down && echo linked; grep -q Seccomp:.0 /proc/self/status && echo Seccomp:",
        );
        spec.privileged = true;
        let (_, log) = node.run(sandbox, spec).await;
        for word in ["mounted", "unshared", "named", "linked", "Seccomp:"] {
            assert!(log.contains(&format!("stdout F {word}\n")), "{word}: {log}");
        }
    }
    end(node, sandboxes).await;
}

/// The same again from a process of exec, whose confinement is another code's.
#[tokio::test(flavor = "multi_thread")]
async fn nor_by_a_process_that_is_started_later() {
    let Some(node) = Node::new().await else { return };
    let sandboxes = both(&node).await;
    for sandbox in &sandboxes {
        let container = sandbox.create(id("c"), node.spec("exec sleep 1000")).await.unwrap();
        container.start().await.unwrap();
        for script in [
            "mount -t tmpfs none /tmp",
            "unshare -m true",
            "echo 1 > /proc/sys/kernel/panic",
            "ip link set lo down",
        ] {
            let args = ["sh", "-c", script].map(str::to_owned).to_vec();
            let process = container.exec(ExecSpec { args, ..ExecSpec::default() }).await.unwrap();
            assert_ne!(process.wait().await.unwrap().code, 0, "{script}");
        }
        let spec = ExecSpec { args: vec!["/proc/self/exe".to_owned()], ..ExecSpec::default() };
        let error = told(&container.exec(spec).await.err().expect("the shim is not executed"));
        assert!(error.contains("agent"), "{error}");
    }
    end(node, sandboxes).await;
}

/// An image's links lead nowhere but into its own root, whatever is mounted over them.
#[tokio::test(flavor = "multi_thread")]
async fn links_in_a_root_lead_into_it() {
    let Some(node) = Node::new().await else { return };
    let sandboxes = both(&node).await;
    let outside = node.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    let root = node.dir.path().join("root");
    symlink(&outside, root.join("absolute")).unwrap();
    symlink("../../../../../../../..".to_owned() + &outside.display().to_string(), root.join("relative"))
        .unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    let volume = node.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "inside").unwrap();
    for sandbox in &sandboxes {
        for target in ["/absolute/sub", "/relative/sub", "/magic/etc/sub"] {
            let mut spec = node.spec(&format!("cat {target}/file; echo more > {target}/new"));
            spec.mounts = vec![spec::Mount {
                target: target.into(),
                source: spec::MountSource::Bind {
                    path: volume.clone(),
                    sub_path: None,
                    mapped: true,
                    propagate: false,
                    exec: false,
                },
                read_only: false,
            }];
            match sandbox.create(id("c"), spec).await {
                Ok(container) => {
                    container.start().await.unwrap();
                    container.wait().await.unwrap();
                    container.delete().await.unwrap();
                }
                // Refusing is as good.
                Err(error) => println!("{target}: {}", told(&error)),
            }
            let names: Vec<_> =
                fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["kept"], "{target}");
        }
    }
    // A root whose /proc is a link is not mounted over.
    fs::remove_dir(root.join("proc")).unwrap();
    symlink("/tmp", root.join("proc")).unwrap();
    let error = told(&sandboxes[0].create(id("c"), node.spec("true")).await.err().expect("it is refused"));
    println!("{error}");
    end(node, sandboxes).await;
}

/// A volume's own links do not choose what of the node is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_volume_is_of_that_volume() {
    let Some(node) = Node::new().await else { return };
    let sandboxes = both(&node).await;
    let volume = node.dir.path().join("volume");
    fs::create_dir_all(volume.join("data")).unwrap();
    fs::create_dir_all(volume.join("etc")).unwrap();
    fs::write(volume.join("data/file"), "mine\n").unwrap();
    fs::write(volume.join("etc/file"), "of the volume\n").unwrap();
    symlink("/etc", volume.join("to-etc")).unwrap();
    symlink("../../../../etc", volume.join("up-to-etc")).unwrap();
    symlink("/proc/self/root/etc", volume.join("magic")).unwrap();
    for sandbox in &sandboxes {
        for (sub, seen) in
            [("data", "mine"), ("to-etc", "of the volume"), ("up-to-etc", "of the volume"), ("magic", "")]
        {
            let mut spec = node.spec("cat /mnt/file; ls /mnt");
            spec.mounts = vec![spec::Mount {
                target: "/mnt".into(),
                source: spec::MountSource::Bind {
                    path: volume.clone(),
                    sub_path: Some(sub.into()),
                    mapped: true,
                    propagate: false,
                    exec: true,
                },
                read_only: true,
            }];
            if seen.is_empty() {
                let error = told(&sandbox.create(id("c"), spec).await.err().expect("there is no such part"));
                assert!(error.contains("could not be opened"), "{error}");
                continue;
            }
            let (_, log) = node.run(sandbox, spec).await;
            assert!(log.contains(&format!("stdout F {seen}\n")) && !log.contains("passwd"), "{sub}: {log}");
        }
    }
    end(node, sandboxes).await;
}

/// The shim's file is seen by a container through a mount that cannot be written through.
#[tokio::test(flavor = "multi_thread")]
async fn the_shims_file_cannot_be_written() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let exe = format!("/proc/{}/exe", sandbox.shim());
    // Opening it to write is refused anyway while it runs; whoever keeps it by another descriptor waits for its end.
    let file = rustix::fs::open(exe, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let flags = rustix::fs::fstatvfs(&file).unwrap().f_flag;
    assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{flags:?}");
    end(node, vec![sandbox]).await;
}
