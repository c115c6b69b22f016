//! Linux containers by libcontainer, in one shim process an Instance.

use crate::error::RuntimeError;
use hypermesh_shim::protocol::TerminalSize;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// How the class works on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciOptions {
    /// Where folders of Instances are kept, on a file system that is there after a restart of the agent; nobody else's.
    pub root: PathBuf,
    /// What is executed as a shim: `program` with `arguments`, then the shim's own. `None` is this program with `shim`.
    pub shim: Option<(PathBuf, Vec<OsString>)>,
    /// Below which cgroup Instances have theirs; absolute within each hierarchy.
    pub cgroup: PathBuf,
    /// The first id of the node that Instances may have, and how many Instances of 65536 ids there are room for.
    pub ids: (u32, u32),
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
        }
    }
}

/// Tells a terminal how large it is.
pub(crate) fn resize(terminal: Option<&OwnedFd>, size: TerminalSize) -> Result<(), RuntimeError> {
    let Some(terminal) = terminal else {
        return Err(RuntimeError::Invalid {
            what: "terminal".to_owned(),
            why: "the process has none, so it has no size".to_owned(),
        });
    };
    let size = rustix::termios::Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(terminal, size)
        .map_err(|errno| crate::error::io_error("resizing", "the terminal")(errno.into()))
}
