//! Small images made here: static binaries and folders, without a build tool and without a registry.
//!
//! The same input gives the same digest: entries are in order, owners and times are those that are asked for, modes are
//! 0755 for what may be executed and for folders, else 0644. The compressed form is the same for one version of the
//! compressor; the diff id is the same for ever.

mod elf;
mod layer;

#[cfg(test)]
mod tests;

use crate::archive::manifest_bytes;
use crate::config::{Empty, Execution, History, ImageConfig, RootFsIds};
use crate::digest::Digest;
use crate::manifest::{Descriptor, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Something that goes into the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackSource {
    /// A file or a folder of this machine.
    pub from: PathBuf,
    /// Where it is in the image; a folder's contents go below it.
    pub to: String,
}

/// What an image is made of, and how it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackSpec {
    /// What goes in. Where two name the same file, the later one counts.
    pub sources: Vec<PackSource>,
    /// The command's beginning. Empty is the one file that may be executed, if there is one.
    pub entrypoint: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Who runs it; empty is root.
    pub user: String,
    /// Where it runs; empty is `/`.
    pub working_dir: String,
    /// Ports as `80/tcp`; the protocol may be left out.
    pub ports: Vec<String>,
    /// What is said about it.
    pub labels: BTreeMap<String, String>,
    /// For which platform; none is what the binaries are for.
    pub platform: Option<Platform>,
    /// When all of it was made, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub time: u64,
    /// Whose the files are: user and group.
    pub owner: (u32, u32),
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Its manifest.
    pub manifest: Digest,
    /// Docker's id of it.
    pub id: Digest,
    /// Bytes of its layer, compressed.
    pub bytes: u64,
    /// For which platform it is.
    pub platform: Platform,
    /// What will not work as it is, in sentences.
    pub notes: Vec<String>,
}

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something could not be read.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Something that is neither file, folder nor link.
    #[error("{} is neither a file, a folder nor a link, and cannot be packed", .0.display())]
    Kind(PathBuf),
    /// A file that changed while it was read.
    #[error("{} changed while it was packed; pack again", .0.display())]
    Changed(PathBuf),
    /// A place in the image that is none.
    #[error("{to:?} is no place in an image: {why}")]
    Place {
        /// What was given.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// A place that is a file for one and a folder for another.
    #[error("{0:?} would be a file and a folder at once")]
    Twice(String),
    /// Nothing to pack.
    #[error("an image needs at least one file or folder")]
    Empty,
    /// Binaries for several platforms.
    #[error("the binaries are for {0} and for {1}; an image is for one platform, so say which")]
    Platforms(Platform, Platform),
    /// An environment variable without a name or value.
    #[error("{0:?} is no environment variable; write NAME=value")]
    Env(String),
    /// A port that is none.
    #[error("{0:?} is no port; write a number from 1 to 65535, with /tcp, /udp or /sctp where that matters")]
    Port(String),
    /// A text with a NUL.
    #[error("{0:?} has a NUL character, which no process can be given")]
    Nul(String),
    /// The store would not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes an image, keeps it, and names it.
    ///
    /// # Errors
    /// What cannot be packed, or what the store could not do.
    pub fn pack(&self, name: &Reference, spec: &PackSpec) -> Result<Packed, PackError> {
        let plan = layer::plan(spec)?;
        let platform = plan.platform(spec.platform.as_ref())?;
        let execution = execution(spec, &plan)?;
        let mut hold = self.hold();
        let layer = layer::write(self, &plan, spec, &mut hold)?;
        hold.add(&layer.diff_id);
        let created = timestamp(spec.time);
        let config = ImageConfig {
            created: Some(created.clone()),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone().unwrap_or_default(),
            os: platform.os.clone(),
            config: execution,
            rootfs: RootFsIds { kind: "layers".to_owned(), diff_ids: vec![layer.diff_id.clone()] },
            history: vec![History {
                created: Some(created),
                created_by: Some("nexusctl image pack".to_owned()),
                empty_layer: false,
            }],
        };
        let form = |source: serde_json::Error| PackError::Io {
            doing: "writing",
            path: PathBuf::from("config"),
            source: source.into(),
        };
        let bytes = serde_json::to_vec(&config).map_err(form)?;
        let config = Descriptor::new(OCI_CONFIG, Digest::of(&bytes), bytes.len() as u64);
        hold.add(&config.digest);
        self.put(&config.digest, &bytes)?;
        let blob = Descriptor::new(OCI_LAYER_GZIP, layer.digest, layer.bytes);
        let manifest = manifest_bytes(&config, std::slice::from_ref(&blob)).map_err(form)?;
        let digest = Digest::of(&manifest);
        hold.add(&digest);
        self.put(&digest, &manifest)?;
        let target = Descriptor::new(OCI_MANIFEST, digest.clone(), manifest.len() as u64);
        self.name(name, &target, &digest, &platform)?;
        let notes = plan.notes(spec);
        Ok(Packed { manifest: digest, id: config.digest, bytes: blob.size, platform, notes })
    }
}

fn execution(spec: &PackSpec, plan: &layer::Plan) -> Result<Execution, PackError> {
    for text in
        [&spec.user, &spec.working_dir].into_iter().chain(&spec.env).chain(&spec.entrypoint).chain(&spec.args)
    {
        if text.contains('\0') {
            return Err(PackError::Nul(text.clone()));
        }
    }
    for variable in &spec.env {
        if variable.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
            return Err(PackError::Env(variable.clone()));
        }
    }
    let ports = spec.ports.iter().map(|port| Ok((port_of(port)?, Empty {})));
    let entrypoint = match (spec.entrypoint.is_empty(), plan.only_program()) {
        (true, Some(program)) => vec![format!("/{program}")],
        _ => spec.entrypoint.clone(),
    };
    Ok(Execution {
        user: spec.user.clone(),
        exposed_ports: ports.collect::<Result<_, PackError>>()?,
        env: spec.env.clone(),
        entrypoint,
        cmd: spec.args.clone(),
        working_dir: spec.working_dir.clone(),
        labels: spec.labels.clone(),
        ..Execution::default()
    })
}

fn port_of(text: &str) -> Result<String, PackError> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse::<u16>() {
        Ok(port) if port > 0 && digits && matches!(protocol, "tcp" | "udp" | "sctp") => {
            Ok(format!("{port}/{protocol}"))
        }
        _ => Err(PackError::Port(text.chars().take(40).collect())),
    }
}

/// RFC 3339 in UTC, by the civil calendar (Howard Hinnant's algorithm for days).
fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
