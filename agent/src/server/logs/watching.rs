//! Learns when a log grows or is put aside, from the kernel.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches the folder of a log.
pub(super) struct Watching(AsyncFd<OwnedFd>);

impl Watching {
    pub fn of(path: &Path) -> Option<Self> {
        let descriptor = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&descriptor, path.parent()?, events).ok()?;
        #[expect(unsafe_code, reason = "tokio cannot know that a descriptor stays what it is")]
        // SAFETY: an owned descriptor is open, and the same, until it is dropped with what owns it.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Some(Self(registered.ok()?))
    }

    /// Waits until something happens there.
    pub async fn changed(&mut self) {
        let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(ready.get_inner(), &mut buffer);
        // All that is there is one change.
        while events.next().is_ok() {}
        ready.clear_ready();
    }
}
