//! The tests of this binary once more, in a virtual machine: a kernel of Debian's under QEMU, with cgroups of version 2 and
//! nothing else, whatever this machine has.
//!
//! QEMU emulates the processor too, so that it needs no hardware for it, and is slow. What runs in the machine is this
//! very binary with the shim and their libraries, on a file system of its own; what is told comes by a serial line.

use crate::harness::skip;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the machine may take from its start to its end. It takes a minute on two idle cores.
const PATIENCE: Duration = Duration::from_secs(270);

/// What is run in the machine: a name, the arguments of this binary, and how many tests it is at least.
const RUNS: [(&str, &str, usize); 2] = [
    ("version 2", "unified:: --ignored --skip inner_ --test-threads=1", 9),
    (
        "everybody",
        "--skip machine:: --skip kills:: --skip unified:: --skip hostile:: --skip many_at_once --skip logs_are_put --skip a_full_disk \
         --skip waits_for_nobody --test-threads=2",
        30,
    ),
];

/// Modules of the kernel, before what they need.
const MODULES: [&str; 7] = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay", "bfq", "veth"];

/// What the machine's own scripts use.
const APPLETS: [&str; 16] = [
    "sh",
    "mount",
    "umount",
    "mkdir",
    "insmod",
    "switch_root",
    "echo",
    "cat",
    "cut",
    "sleep",
    "ip",
    "poweroff",
    "true",
    "ls",
    "switch_root",
    "chmod",
];

/// A kernel and where its modules are: `make tools` puts them into the cache.
struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    fn find() -> Option<Self> {
        let cache = std::env::var_os("HYPERMESH_CACHE").map(PathBuf::from).or_else(|| {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
            Some(cache?.join("hypermesh"))
        })?;
        let root = cache.join("kernel");
        let image = entries(&root.join("boot")).into_iter().find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })?;
        Some(Self { image, modules: root.join("lib/modules") })
    }

    /// Files of modules, each after those that it needs. Some may be built in.
    fn modules(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        walk(&self.modules, &mut all);
        let file = |name: &str| {
            let name = name.replace('-', "_");
            let is = |path: &&PathBuf| {
                path.extension().is_some_and(|extension| extension == "ko")
                    && path.file_stem().is_some_and(|stem| stem.to_string_lossy().replace('-', "_") == name)
            };
            all.iter().find(is).cloned()
        };
        let (mut ordered, mut seen) = (Vec::new(), BTreeSet::new());
        for module in MODULES {
            order(module, &file, &mut seen, &mut ordered);
        }
        ordered
    }
}

fn order(
    name: &str,
    file: &impl Fn(&str) -> Option<PathBuf>,
    seen: &mut BTreeSet<String>,
    ordered: &mut Vec<PathBuf>,
) {
    if !seen.insert(name.replace('-', "_")) {
        return;
    }
    let Some(path) = file(name) else { return };
    for needed in needs(&fs::read(&path).unwrap()) {
        order(&needed, file, seen, ordered);
    }
    ordered.push(path);
}

/// What a module says that it needs.
fn needs(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let value = module[at + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in entries(folder) {
        if path.is_dir() && !path.is_symlink() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// An archive of cpio's "newc" form, as the kernel unpacks it before anything else (initramfs-buffer-format in its
/// documentation).
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    count: u32,
}

impl Archive {
    fn push(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.count += 1;
        let fields = [
            self.count,
            mode,
            0,
            0,
            1,
            0,
            u32::try_from(content.len()).unwrap(),
            0,
            0,
            0,
            0,
            u32::try_from(name.len() + 1).unwrap(),
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn folder(&mut self, name: &str) {
        self.push(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, content: &[u8]) {
        self.push(name, 0o100_755, content);
    }

    fn finish(mut self) -> Vec<u8> {
        self.push("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

/// What the kernel begins with: it finds the disk, and goes on there.
fn beginning(kernel: &Kernel) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "modules", "new"] {
        archive.folder(folder);
    }
    archive.push("dev/console", 0o020_600, &[]);
    archive.file("bin/busybox", &fs::read("/bin/busybox").unwrap());
    let mut script = String::from("#!/bin/busybox sh\nexport PATH=/bin\n/bin/busybox --install -s /bin\n");
    script += "mount -t proc proc /proc\nmount -t devtmpfs dev /dev\n";
    for path in kernel.modules() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        archive.file(&format!("modules/{name}"), &fs::read(&path).unwrap());
        script += &format!("insmod /modules/{name}\n");
    }
    script += "mount -t ext4 /dev/vda /new\nmount -o move /dev /new/dev\numount /proc\n";
    script += "exec switch_root /new /bin/sh /begin\n";
    archive.file("init", script.as_bytes());
    archive.finish()
}

/// Puts a program, or a library, with all that it is linked to, at the same places below another root.
fn put_program(root: &Path, program: &Path) {
    let mut files = vec![program.to_owned()];
    let linked = Command::new("ldd").arg(program).output().unwrap();
    for line in String::from_utf8_lossy(&linked.stdout).lines() {
        let place = line.split_once("=> ").map_or(line, |(_, place)| place).trim();
        let path = place.split(' ').next().unwrap_or_default();
        if path.starts_with('/') {
            files.push(PathBuf::from(path));
        }
    }
    for file in files {
        let there = root.join(file.strip_prefix("/").unwrap());
        if !there.exists() {
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            fs::copy(&file, &there).unwrap();
        }
    }
}

/// What is on the machine's disk.
fn fill(root: &Path) {
    for folder in ["bin", "dev", "etc", "proc", "run", "root", "sys", "tmp", "var/tmp"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        drop(symlink("busybox", root.join("bin").join(applet)));
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nsomebody:x:61001:61001::/tmp:/bin/sh\n",
    )
    .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nsomebody:x:61001:\n").unwrap();
    // Who maps several users without root is let do it by these.
    for (program, file) in [("newuidmap", "subuid"), ("newgidmap", "subgid")] {
        let path = Path::new("/usr/bin").join(program);
        if path.exists() {
            put_program(root, &path);
            let there = root.join("usr/bin").join(program);
            fs::set_permissions(there, fs::Permissions::from_mode(0o4755)).unwrap();
            fs::write(root.join("etc").join(file), "somebody:100000:65536\n").unwrap();
        }
    }
    let own = std::env::current_exe().unwrap();
    put_program(root, &own);
    put_program(root, Path::new(env!("CARGO_BIN_EXE_hypermesh-shim")));
    let mut script = String::from(
        "export PATH=/bin HOME=/root TMPDIR=/tmp HYPERMESH_SKIPS=/skips\n\
         mount -t proc proc /proc\nmount -t sysfs sys /sys\nmkdir -p /dev/pts /dev/shm\n\
         mount -t devpts pts /dev/pts\nmount -t tmpfs shm /dev/shm\nmount -t tmpfs run /run\n\
         mount -t cgroup2 cgroup /sys/fs/cgroup\nip link set lo up\n",
    );
    for (name, arguments, _) in RUNS {
        let own = own.display();
        script += &format!(
            "echo; echo \"@@ begin {name}\"\n{own} {arguments} 2>&1\necho; echo \"@@ end {name} $?\"\n"
        );
    }
    script += "echo \"@@ skipped\"; [ -e /skips ] && cat /skips\n";
    script += "echo \"@@ took $(cut -d. -f1 /proc/uptime)\"\npoweroff -f\n";
    fs::write(root.join("begin"), script).unwrap();
}

/// Makes a disk of a folder's content. As root on its file system's owners are those of the folder.
fn make_disk(root: &Path, disk: &Path) -> Result<(), String> {
    let file = fs::File::create(disk).map_err(|error| error.to_string())?;
    file.set_len(1 << 30).map_err(|error| error.to_string())?;
    let options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d"];
    let output = Command::new("mke2fs").env("PATH", PATH).args(options).arg(root).arg(disk).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Where system programs are, for who is not root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const QEMU: &str = "qemu-system-x86_64";

/// Runs the machine to its end; what it said.
fn run(kernel: &Kernel, beginning: &Path, disk: &Path) -> Result<String, String> {
    let mut command = Command::new(QEMU);
    command.env("PATH", PATH).args(["-machine", "pc,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    command.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(beginning);
    // Whether timers tick is not to be judged by the clock of a machine that has other things to do.
    let words =
        "console=ttyS0 quiet loglevel=1 panic=-1 cgroup_no_v1=all mitigations=off no_timer_check nowatchdog";
    command.args(["-append", words]);
    command.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache=unsafe", disk.display()));
    let said = tempfile::NamedTempFile::new().unwrap();
    command.stdin(Stdio::null()).stdout(said.reopen().unwrap()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{QEMU} could not be started ({error})"))?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let text = String::from_utf8_lossy(&fs::read(said.path()).unwrap()).replace('\r', "");
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => Err(format!("{QEMU} ended ({status}):\n{text}")),
        None => Err(format!("the machine did not end within {} s:\n{text}", PATIENCE.as_secs())),
    }
}

/// How many tests a run passed; none if it did not end well.
fn passed(said: &str, name: &str) -> Option<usize> {
    let (_, run) = said.split_once(&format!("@@ begin {name}\n"))?;
    let (run, end) = run.split_once(&format!("@@ end {name} "))?;
    if !end.starts_with("0\n") {
        return None;
    }
    let result = run.lines().find_map(|line| line.strip_prefix("test result: ok. "))?;
    result.split(' ').next()?.parse().ok()
}

#[test]
fn version_2() {
    if std::env::consts::ARCH != "x86_64" {
        return skip("the machine is made for x86_64");
    }
    let there = |name: &str| std::env::split_paths(PATH).any(|folder| folder.join(name).exists());
    for (program, package) in [
        (QEMU, "qemu-system-x86"),
        ("mke2fs", "e2fsprogs"),
        ("ldd", "libc-bin"),
        ("busybox", "busybox-static"),
    ] {
        if !there(program) {
            return skip(&format!("there is no {program} (Debian's {package})"));
        }
    }
    let Some(kernel) = Kernel::find() else {
        return skip("there is no kernel to boot: `make tools` puts one into the cache");
    };
    let dir = tempfile::tempdir().unwrap();
    let (root, disk, first) = (dir.path().join("root"), dir.path().join("disk"), dir.path().join("initrd"));
    fill(&root);
    if let Err(why) = make_disk(&root, &disk) {
        panic!("the disk could not be made: {why}");
    }
    fs::remove_dir_all(&root).unwrap();
    fs::File::create(&first).unwrap().write_all(&beginning(&kernel)).unwrap();
    let said = run(&kernel, &first, &disk).unwrap_or_else(|why| panic!("{why}"));
    println!("{said}");
    for (name, _, least) in RUNS {
        let count = passed(&said, name);
        assert!(count.is_some_and(|count| count >= least), "{name}: {count:?} passed, and {least} were to");
    }
    // What is skipped there is skipped everywhere: nothing is.
    let (_, skipped) = said.split_once("@@ skipped\n").unwrap();
    assert!(skipped.starts_with("@@ took"), "{skipped}");
}

#[test]
fn modules_say_what_they_need() {
    assert_eq!(needs(b"\x7fELF\0license=GPL\0depends=mbcache,jbd2\0intree=Y\0"), ["mbcache", "jbd2"]);
    assert_eq!(needs(b"\0depends=\0"), Vec::<String>::new());
    assert_eq!(needs(b""), Vec::<String>::new());
}

#[test]
fn archives_are_of_the_kernels_form() {
    let mut archive = Archive::default();
    archive.file("init", b"hello");
    let bytes = archive.finish();
    assert!(bytes.starts_with(b"070701000000010000") && bytes.len().is_multiple_of(4));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("init\0\0hello\0\0\x00070701") && text.contains("TRAILER!!!\0"), "{text:?}");
}
