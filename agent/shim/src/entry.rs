//! How a shim begins: before it listens, everything that it holds is made, or the reason is told and nothing stays.

use crate::filter::{self, FILTER};
use crate::join::Joining;
use crate::namespaces::{Namespaces, Stage, become_root_of_ones_own};
use crate::probe::PROBE;
use crate::protocol::{SandboxConfig, VERSION};
use crate::server::{Held, Shim};
use crate::state::{self, Layout, ShimState};
use crate::{process, program, socket};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a shim says on its standard output when it listens. Anything else is why it does not.
pub const READY: &str = "ready\n";

/// Runs a shim until it ends. `arguments` are those behind `shim`: the Instance's folder, and nothing else.
///
/// To be called first thing, by a process with one thread: what a shim does is not possible with more. It speaks on its
/// standard output once ([`READY`]), and reads its standard input never.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let folder = match arguments.as_slice() {
        [filter] if filter == FILTER => {
            return match filter::main() {
                Ok(()) => ExitCode::SUCCESS,
                Err(why) => {
                    eprint!("{why}");
                    ExitCode::FAILURE
                }
            };
        }
        [folder] => PathBuf::from(folder),
        [probe, folder, cgroups @ ..] if probe == PROBE => {
            let probed = crate::probe::probe(Path::new(folder), cgroups);
            let told = serde_json::to_writer(std::io::stdout(), &probed);
            return if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        _ => {
            eprintln!("usage: shim FOLDER (it is started by the agent, not by people)");
            return ExitCode::from(2);
        }
    };
    match begin(folder) {
        Ok(shim) => {
            let layout = shim.layout.clone();
            shim.run();
            drop(fs::remove_file(layout.socket()));
            drop(fs::remove_file(layout.shim()));
            ExitCode::SUCCESS
        }
        Err(message) => {
            // Who started it may be gone.
            drop(std::io::stdout().write_all(message.as_bytes()));
            ExitCode::FAILURE
        }
    }
}

fn begin(folder: PathBuf) -> Result<Shim, String> {
    let layout = Layout::new(folder);
    let path = layout.config();
    let config: SandboxConfig = state::read(&path)
        .map_err(|error| format!("{} could not be read ({error})", path.display()))?
        .ok_or_else(|| format!("{} is not there", path.display()))?;
    stand_alone()?;
    let joining = Joining::begin(&config.shim_cgroups)?;
    let rootless = !nix::unistd::geteuid().is_root();
    let _users = become_root_of_ones_own()?;
    let signals = take_signals()?;
    let namespaces = Namespaces::make(&config)?;
    let stage = Stage::make(layout.folder())?;
    joining.finish()?;
    let told = |what: &str, error: std::io::Error| format!("{what} ({error})");
    let socket = layout.socket();
    drop(fs::remove_file(&socket));
    let listener = socket::listen(&socket).map_err(|error| told("it could not listen", error))?;
    listener.set_nonblocking(true).map_err(|error| told("it could not listen", error))?;
    let me = process::identify(std::process::id().cast_signed())
        .map_err(|error| told("it could not find itself in /proc", error))?
        .ok_or("it could not find itself in /proc")?;
    let state = ShimState { version: VERSION, instance: config.instance.clone(), process: me };
    state::write(&layout.shim(), &state).map_err(|error| told("its state could not be written", error))?;
    let folder = watch(&layout);
    settle(&layout).map_err(|error| told("its output could not be let go", error))?;
    let never = program::own();
    let (users, held) = (config.user, Held::default());
    Ok(Shim { rootless, layout, namespaces, users, stage, never, listener, signals, folder, held })
}

/// Parts from who started it.
fn stand_alone() -> Result<(), String> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Not if it leads one already.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/").map_err(|errno| format!("it could not go to / ({errno})"))?;
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|errno| format!("it could not adopt orphans ({errno})"))?;
    let _ = nix::sys::prctl::set_name(c"hypermesh-shim");
    // Where the kernel lets it, it is the last to be killed for memory; its containers set their own.
    drop(fs::write("/proc/self/oom_score_adj", "-999"));
    Ok(())
}

fn take_signals() -> Result<SignalFd, String> {
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGIO, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        blocked.add(signal);
    }
    blocked.thread_block().map_err(|errno| format!("signals could not be blocked ({errno})"))?;
    SignalFd::with_flags(&blocked, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(|errno| format!("signals could not be read ({errno})"))
}

/// Has a signal come when something goes away from its folder, as its state does when that is removed. Where that cannot be
/// seen, the agent is the one to end it.
///
/// By dnotify, since the end of who holds an inotify waits for a grace period of the kernel's, some ten milliseconds, and the
/// agent waits for this process' end (`fsnotify_destroy_group`).
fn watch(layout: &Layout) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(layout.folder(), flags, Mode::empty()).ok()?;
    #[expect(unsafe_code, reason = "neither rustix nor nix knows F_NOTIFY")]
    // SAFETY: it takes numbers, and the descriptor is open.
    let set = unsafe { libc::fcntl(folder.as_raw_fd(), F_NOTIFY, DN_GONE) };
    (set == 0).then_some(folder)
}

/// `F_NOTIFY` of the kernel's `fcntl.h`.
const F_NOTIFY: libc::c_int = 1026;
/// `DN_DELETE | DN_RENAME | DN_MULTISHOT` of the same.
const DN_GONE: libc::c_ulong = 0x8000_0018;

/// Says that it is ready, and holds nothing of who started it from then on.
fn settle(layout: &Layout) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    drop(out.write_all(READY.as_bytes()).and_then(|()| out.flush()));
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let log = File::options().append(true).create(true).open(layout.log())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&log)?;
    Ok(())
}
