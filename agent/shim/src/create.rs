//! Making a container by libcontainer, in a child.

use crate::child::{self, Door, Word};
use crate::filter::{self, Program};
use crate::home;
use crate::join;
use crate::namespaces::Namespaces;
use crate::program;
use crate::protocol::{Create, IdMaps, RefusalKind};
use crate::stage;
use crate::state::Layout;
use crate::stdio;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::sched::{CloneFlags, setns};
use oci_spec::runtime::{Capabilities, Capability, LinuxNamespaceType, Mount, Process, Spec};
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The specification in a bundle.
const CONFIG: &str = "config.json";

/// What a container's first process has for standard input, output and error; none with a terminal.
pub(crate) type Stdio = Option<[OwnedFd; 3]>;

/// All that is needed to make a container.
pub(crate) struct Making<'a> {
    pub(crate) create: &'a Create,
    pub(crate) layout: &'a Layout,
    pub(crate) namespaces: &'a Namespaces,
    /// Where its root and binds are mounted.
    pub(crate) stage: &'a Path,
    /// The Instance's shared memory.
    pub(crate) shm: &'a Path,
    /// The mount namespace of who asked.
    pub(crate) asker: Option<BorrowedFd<'a>>,
    pub(crate) stdio: &'a Stdio,
    /// How the Instance's users map to those of the node.
    pub(crate) users: Option<&'a IdMaps>,
    /// Where its first process says why its program could not be executed; closed when it is.
    pub(crate) executed: BorrowedFd<'a>,
    /// The filter of system calls that its program is confined by, if not one that its specification holds.
    pub(crate) filter: Option<BorrowedFd<'a>>,
    pub(crate) never: Option<program::FileId>,
}

impl Making<'_> {
    /// What the child needs of the shim's descriptors.
    pub(crate) fn keep(&self) -> Vec<BorrowedFd<'_>> {
        let mut keep = self.namespaces.fds();
        keep.extend(self.asker);
        keep.push(self.executed);
        keep.extend(self.filter);
        keep.extend(self.stdio.iter().flatten().map(|fd| fd.as_fd()));
        keep
    }

    /// What libcontainer's children need of them: they are half in the container already.
    fn needed(&self) -> Vec<BorrowedFd<'_>> {
        let mut needed = self.namespaces.fds();
        needed.push(self.executed);
        needed.extend(self.stdio.iter().flatten().map(|fd| fd.as_fd()));
        needed
    }

    /// Does it, in the child, and tells how it went.
    pub(crate) fn run(&self, door: &Door) {
        if let Err(message) = self.make(door) {
            let Ok(mouth) = door.open() else { return };
            let kind = if message.contains(program::CANNOT) {
                RefusalKind::CannotExecute
            } else {
                RefusalKind::Failed
            };
            mouth.fail(kind, message);
        }
    }

    fn make(&self, door: &Door) -> Result<(), String> {
        stage::set_up(self.create, self.namespaces, self.stage, self.asker)?;
        let id = &self.create.container;
        let bundle = self.layout.container(id);
        let enters = join::can_enter(&self.create.cgroups);
        let making = stage::making(self.stage);
        fs::create_dir(&making)
            .map_err(|error| format!("{} could not be made ({error})", making.display()))?;
        let read = |file| Program::read(file).map_err(|error| format!("its filter is lost ({error})"));
        let program = self.filter.map(read).transpose()?;
        let Completed { cwd, user, processes, keeps_right } =
            self.complete_spec(&bundle, &making, !self.create.cgroups.is_empty())?;
        stage::make_folder(&stage::root(self.stage), &cwd);
        if let Some(stdio) = self.stdio {
            stdio::give(stdio, user, self.users);
        }
        if let Some(network) = self.namespaces.network.as_ref().filter(|_| self.namespaces.foreign_network) {
            setns(network, CloneFlags::CLONE_NEWNET)
                .map_err(|errno| format!("its network could not be entered ({errno})"))?;
        }
        if self.create.cgroups.is_empty() {
            stage::stand_in_for_cgroups(&PathBuf::from("/hypermesh").join(id.as_str()))?;
        }
        child::hold_only(&self.needed());
        if enters {
            join::enter(&self.create.cgroups, &stage::decoy(self.stage))?;
        }
        let confine = program.map(|program| Confine { program, keeps_right });
        let executor = Execute { executed: self.executed.as_raw_fd(), confine, never: self.never };
        let mut builder = ContainerBuilder::new(id.to_string(), SyscallType::default())
            .with_executor(executor)
            .with_root_path(&making)
            .map_err(|error| crate::chain(&error))?;
        let console = self.create.terminal.then(|| Console::listen(&making)).transpose()?;
        if let Some(console) = &console {
            builder = builder.with_console_socket(Some(console.path.clone()));
        }
        if let Some([stdin, stdout, stderr]) = self.stdio {
            let again = |fd: &OwnedFd| fd.try_clone().map_err(|error| error.to_string());
            builder =
                builder.with_stdin(again(stdin)?).with_stdout(again(stdout)?).with_stderr(again(stderr)?);
        }
        let made = builder
            .as_init(&making)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(|error| crate::chain(&error))?;
        let pid = made.pid().ok_or("libcontainer told no process of the container")?.as_raw();
        // The largest part of it, which nobody reads again.
        drop(fs::remove_file(making.join(CONFIG)));
        if let Some(limit) = processes {
            join::limit_processes(&self.create.cgroups, limit)?;
        }
        let mouth = door.open().map_err(|error| error.to_string())?;
        if let Some(console) = console {
            let terminal = console.receive().map_err(|error| format!("no terminal came ({error})"))?;
            mouth.hand_over(&Word::Terminal, terminal.as_fd()).map_err(|error| error.to_string())?;
        }
        mouth.say(&Word::Process { pid });
        Ok(())
    }

    /// Fills in what only the shim knows, for libcontainer: where the root and the binds are, and which namespaces are
    /// joined. The limit of processes is `taken` out for who sets it later.
    fn complete_spec(&self, bundle: &Path, making: &Path, taken: bool) -> Result<Completed, String> {
        let path = bundle.join(CONFIG);
        let mut spec =
            Spec::load(&path).map_err(|error| format!("{}: {}", path.display(), crate::chain(&error)))?;
        let missing = || format!("{} has no root, mounts or linux part", path.display());
        spec.root_mut().as_mut().ok_or_else(missing)?.set_path(stage::root(self.stage));
        if let Some(linux) = spec.linux_mut().as_mut().filter(|_| self.create.cgroups.is_empty()) {
            linux.set_cgroups_path(Some(PathBuf::from("/hypermesh").join(self.create.container.as_str())));
        }
        let resources = spec.linux_mut().as_mut().and_then(|linux| linux.resources_mut().as_mut());
        let processes = resources.filter(|_| taken).and_then(|resources| resources.pids_mut().take());
        let mounts = spec.mounts_mut().as_mut().ok_or_else(missing)?;
        let own = |mount: &&mut Mount| mount.source().as_deref() == Some(Path::new("shm"));
        if let Some(mount) = mounts.iter_mut().find(own) {
            let options = ["bind", "rprivate", "nosuid", "noexec", "nodev"].map(str::to_owned);
            mount.set_typ(Some("bind".to_owned())).set_source(Some(self.shm.to_owned()));
            mount.set_options(Some(options.to_vec()));
        }
        for bind in &self.create.binds {
            let mount =
                mounts.get_mut(bind.mount).ok_or_else(|| format!("there is no mount {}", bind.mount))?;
            mount.set_source(Some(stage::bind(self.stage, bind.mount)));
        }
        let namespaces = spec.linux_mut().as_mut().and_then(|linux| linux.namespaces_mut().as_mut());
        let namespaces = namespaces.ok_or_else(missing)?;
        if self.namespaces.foreign_network {
            namespaces.retain(|namespace| namespace.typ() != LinuxNamespaceType::Network);
        }
        for namespace in namespaces {
            let held = match namespace.typ() {
                LinuxNamespaceType::User => &self.namespaces.user,
                LinuxNamespaceType::Network => &self.namespaces.network,
                LinuxNamespaceType::Ipc => &self.namespaces.ipc,
                LinuxNamespaceType::Uts => &self.namespaces.uts,
                _ => continue,
            };
            let held = held.as_ref().ok_or("a namespace is to be joined that the instance does not have")?;
            namespace.set_path(Some(PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))));
        }
        let mut keeps_right = true;
        if let (Some(_), Some(process)) = (self.filter, spec.process_mut()) {
            keeps_right = has_right(process);
            lend_right(process);
        }
        let process = spec.process().as_ref();
        let cwd = process.map(|process| process.cwd().clone()).unwrap_or_default();
        let user = process.map(|process| process.user().uid()).unwrap_or_default();
        if let Some(process) = spec.process_mut() {
            // libcontainer would have the C library look for it, in the container.
            let mut env = process.env().clone().unwrap_or_default();
            home::complete(&mut env, &stage::root(self.stage), process.user().uid());
            process.set_env(Some(env));
        }
        let path = making.join(CONFIG);
        spec.save(&path).map_err(|error| format!("{}: {}", path.display(), crate::chain(&error)))?;
        Ok(Completed { cwd, user, processes: processes.map(|pids| pids.limit()), keeps_right })
    }
}

/// What a completed specification says that is done by others than libcontainer.
struct Completed {
    /// The folder that its program works in.
    cwd: PathBuf,
    /// Whom its program runs as, in the container.
    user: u32,
    /// How many processes it may have, where that is set later.
    processes: Option<i64>,
    /// Whether the right to load filters is its own.
    keeps_right: bool,
}

/// Whether a process has the right to load a filter without a promise, as its own.
fn has_right(process: &Process) -> bool {
    let effective = process.capabilities().as_ref().and_then(|sets| sets.effective().as_ref());
    effective.is_some_and(|set| set.contains(&Capability::SysAdmin))
}

/// Lends a process that right until its filter is loaded: libcontainer takes away what is not its own before our code runs
/// again. It is not lent to what is executed: that is limited by the bounding set, which lacks it.
fn lend_right(process: &mut Process) {
    if process.no_new_privileges() == Some(true) {
        return;
    }
    let Some(mut sets) = process.capabilities().clone() else { return };
    let lent = |set: &Option<Capabilities>| {
        set.as_ref().map(|set| set.iter().copied().chain([Capability::SysAdmin]).collect::<Capabilities>())
    };
    let (effective, permitted) = (lent(sets.effective()), lent(sets.permitted()));
    sets.set_effective(effective);
    sets.set_permitted(permitted);
    process.set_capabilities(Some(sets));
}

/// Where a container's terminal comes from.
struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    fn listen(bundle: &Path) -> Result<Self, String> {
        let path = bundle.join("console.sock");
        drop(fs::remove_file(&path));
        let listener =
            crate::socket::listen(&path).map_err(|error| format!("{} ({error})", path.display()))?;
        Ok(Self { listener, path })
    }

    fn receive(self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept()?;
        drop(fs::remove_file(&self.path));
        let mut bytes = [0; 64];
        let (_, fds) = crate::protocol::frame::receive(&stream, &mut bytes)?;
        fds.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Executes a container's program, and says why not.
#[derive(Clone, Debug)]
struct Execute {
    executed: RawFd,
    confine: Option<Confine>,
    never: Option<program::FileId>,
}

/// The filter that a container's first process loads by itself.
#[derive(Clone, Debug)]
struct Confine {
    program: Program,
    /// Whether it keeps the right to do so, which it has as its own.
    keeps_right: bool,
}

impl Confine {
    fn load(&self) -> Result<(), String> {
        self.program.load()?;
        if self.keeps_right { Ok(()) } else { filter::give_up_right() }
    }
}

impl Execute {
    fn find(&self, spec: &Spec) -> Result<(PathBuf, Vec<String>), String> {
        let process = spec.process().as_ref().ok_or("there is no process in the specification")?;
        let args = process.args().as_ref().filter(|args| !args.is_empty());
        let args = args.ok_or("there is no program in the specification")?;
        let env = process.env().as_deref().unwrap_or_default();
        let program = args.first().map(String::as_str).unwrap_or_default();
        Ok((program::find(program, program::path_of(env), self.never)?, args.clone()))
    }
}

impl Executor for Execute {
    /// The last thing that is done before it waits for its start: what it waits with is what its program will be.
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let confined = self.confine.as_ref().map_or(Ok(()), Confine::load);
        confined.and_then(|()| self.find(spec).map(drop)).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let failed = match self.find(spec).and_then(|(path, args)| program::become_program(&path, &args)) {
            Ok(never) => match never {},
            Err(message) => message,
        };
        #[expect(
            unsafe_code,
            reason = "libcontainer wants an executor that can be cloned, so it holds a number"
        )]
        // SAFETY: the shim made this descriptor for this process, in which nobody else knows of it.
        let mut executed = unsafe { fs::File::from_raw_fd(self.executed) };
        drop(executed.write_all(failed.as_bytes()));
        Err(ExecutorError::Other(failed))
    }
}
