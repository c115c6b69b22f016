//! A qlog file for each connection (draft-ietf-quic-qlog-main-schema), in a folder that the caller names.
//!
//! For looking into one problem: nothing bounds what a busy endpoint writes.

use crate::error::BindError;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(crate) struct Qlog {
    folder: PathBuf,
    started: Instant,
    /// Files of several processes and of restarts stand apart.
    prefix: String,
    next: AtomicU64,
}

impl Qlog {
    pub(crate) fn new(folder: &Path) -> Result<Self, BindError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| BindError::Qlog { folder: folder.to_owned(), source })?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let prefix = format!("{}-{}", since.as_millis(), std::process::id());
        Ok(Self { folder: folder.to_owned(), started: Instant::now(), prefix, next: AtomicU64::new(0) })
    }

    /// Has the next connection write a file; one that cannot be made is told and left out.
    pub(crate) fn write(&self, transport: &mut quinn::TransportConfig, side: &str) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}-{number:06}-{side}.sqlog", self.prefix));
        match File::create(&path) {
            Ok(file) => {
                let mut config = quinn::QlogConfig::default();
                config
                    .writer(Box::new(BufWriter::new(file)))
                    .title(Some(format!("stoq {side} {number}")))
                    .start_time(self.started);
                transport.qlog_stream(config.into_stream());
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "a qlog file cannot be made"),
        }
    }
}
