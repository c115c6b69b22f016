//! The one layer of a packed image: first what goes where, then its bytes.

use super::elf::{self, Elf};
use super::{PackError, PackSpec};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits::PACK_ENTRIES;
use crate::platform::Platform;
use crate::store::{Hold, Store};
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// One entry.
#[derive(Clone, Debug)]
enum What {
    Folder,
    File { from: PathBuf, size: u64, program: bool, elf: Option<Elf> },
    Link(PathBuf),
}

/// What goes where. Paths are relative and in order, so that folders come before what is in them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    entries: BTreeMap<String, What>,
}

/// The layer that was written.
pub(super) struct Layer {
    pub digest: Digest,
    pub diff_id: Digest,
    pub bytes: u64,
}

/// Looks at everything that goes in.
pub(super) fn plan(spec: &PackSpec) -> Result<Plan, PackError> {
    let mut plan = Plan::default();
    for source in &spec.sources {
        let to = place(&source.to)?;
        let meta = fs::metadata(&source.from).map_err(io_error("looking at", &source.from))?;
        if meta.is_dir() {
            plan.folder(&source.from, &to)?;
        } else {
            // `-> bin/` means: under its own name.
            let to = match (source.to.ends_with('/') || to.is_empty(), source.from.file_name()) {
                (true, Some(name)) => join(&to, &name.to_string_lossy()),
                _ => to,
            };
            plan.add(&source.from, to)?;
        }
    }
    if plan.entries.is_empty() { Err(PackError::Empty) } else { Ok(plan) }
}

impl Plan {
    fn folder(&mut self, from: &Path, to: &str) -> Result<(), PackError> {
        let mut waiting = vec![(from.to_owned(), to.to_owned())];
        while let Some((from, to)) = waiting.pop() {
            self.put(to.clone(), What::Folder)?;
            for entry in fs::read_dir(&from).map_err(io_error("reading", &from))? {
                let entry = entry.map_err(io_error("reading", &from))?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    let to = entry.path().to_string_lossy().into_owned();
                    return Err(PackError::Place { to, why: "its name is no UTF-8" });
                };
                let to = join(&to, &name);
                // Links stay links: what they point to may lie outside.
                if entry.file_type().map_err(io_error("looking at", &from))?.is_dir() {
                    waiting.push((entry.path(), to));
                } else {
                    self.add(&entry.path(), to)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, from: &Path, to: String) -> Result<(), PackError> {
        let looking = io_error("looking at", from);
        let meta = fs::symlink_metadata(from).map_err(&looking)?;
        let what = if meta.is_symlink() && self.entries.is_empty() && !to.is_empty() && from.is_file() {
            // A program that was named itself is meant, and not the link to it.
            let real = fs::canonicalize(from).map_err(&looking)?;
            return self.add(&real, to);
        } else if meta.is_symlink() {
            What::Link(fs::read_link(from).map_err(&looking)?)
        } else if meta.is_file() {
            let file = File::open(from).map_err(io_error("opening", from))?;
            let elf = elf::read(&file).map_err(io_error("reading", from))?;
            let program = meta.permissions().mode() & 0o111 != 0;
            What::File { from: from.to_owned(), size: meta.len(), program, elf }
        } else {
            return Err(PackError::Kind(from.to_owned()));
        };
        self.put(to, what)
    }

    fn put(&mut self, to: String, what: What) -> Result<(), PackError> {
        if self.entries.len() >= PACK_ENTRIES {
            return Err(PackError::Place { to, why: "there are a million entries already" });
        }
        let mut parent = to.as_str();
        while let Some((above, _)) = parent.rsplit_once('/') {
            parent = above;
            match self.entries.get(parent) {
                Some(What::Folder) => break,
                Some(_) => return Err(PackError::Twice(format!("/{parent}"))),
                None => {
                    self.entries.insert(parent.to_owned(), What::Folder);
                }
            }
        }
        if to.is_empty() {
            return Ok(());
        }
        let folder = matches!(what, What::Folder);
        if self.entries.get(&to).is_some_and(|there| matches!(there, What::Folder) != folder) {
            return Err(PackError::Twice(format!("/{to}")));
        }
        self.entries.insert(to, what);
        Ok(())
    }

    /// The one file that may be executed, if it is one.
    pub(super) fn only_program(&self) -> Option<&str> {
        let mut programs =
            self.entries.iter().filter(|(_, what)| matches!(what, What::File { program: true, .. }));
        match (programs.next(), programs.next()) {
            (Some((name, _)), None) => Some(name),
            _ => None,
        }
    }

    fn elves(&self) -> impl Iterator<Item = (&str, &Elf)> {
        self.entries.iter().filter_map(|(name, what)| match what {
            What::File { elf: Some(elf), .. } => Some((name.as_str(), elf)),
            _ => None,
        })
    }

    /// What was asked for, else what the binaries are for, else this machine's.
    pub(super) fn platform(&self, asked: Option<&Platform>) -> Result<Platform, PackError> {
        if let Some(asked) = asked {
            return Ok(asked.clone());
        }
        let mut found: Option<&Platform> = None;
        for platform in self.elves().filter_map(|(_, elf)| elf.platform.as_ref()) {
            match found {
                Some(other) if other != platform => {
                    return Err(PackError::Platforms(other.clone(), platform.clone()));
                }
                _ => found = Some(platform),
            }
        }
        Ok(found.cloned().unwrap_or_else(Platform::host))
    }

    /// What will not work.
    pub(super) fn notes(&self, spec: &PackSpec) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, elf) in self.elves() {
            if let Some(loader) = &elf.loader
                && !self.entries.contains_key(loader.trim_start_matches('/'))
            {
                notes.push(format!(
                    "/{name} is not static: it needs {loader}, which the image does not have; link it statically, or pack its libraries too"
                ));
            }
        }
        let entry = spec.entrypoint.first().and_then(|program| program.strip_prefix('/'));
        if let Some(program) = entry
            && !self.entries.contains_key(program)
        {
            notes.push(format!("the entry point /{program} is not in the image"));
        }
        if spec.entrypoint.is_empty() && spec.args.is_empty() && self.only_program().is_none() {
            notes.push("nothing says what runs: the image has no entry point and no arguments".to_owned());
        }
        notes
    }
}

/// Writes the layer into the store.
pub(super) fn write(
    store: &Store,
    plan: &Plan,
    spec: &PackSpec,
    hold: &mut Hold<'_>,
) -> Result<Layer, PackError> {
    let blob = store.new_blob()?;
    let packing = io_error("packing into", store.root());
    // Neither a time nor a system of origin in the header.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(blob, Compression::new(6));
    let mut builder = tar::Builder::new(Hashed { inner: gzip, hasher: Hasher::new(Algorithm::Sha256) });
    for (name, what) in &plan.entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(spec.time);
        header.set_uid(spec.owner.0.into());
        header.set_gid(spec.owner.1.into());
        header.set_size(0);
        header.set_mode(0o755);
        match what {
            What::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                builder.append_data(&mut header, format!("{name}/"), io::empty()).map_err(&packing)?;
            }
            What::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, name, target).map_err(&packing)?;
            }
            What::File { from, size, program, .. } => {
                header.set_mode(if *program { 0o755 } else { 0o644 });
                header.set_size(*size);
                let file = File::open(from).map_err(io_error("opening", from))?;
                // One byte more than there should be tells of growth.
                let mut exact = Exact { file: file.take(size.saturating_add(1)), read: 0 };
                builder
                    .append_data(&mut header, name, (&mut exact).take(*size))
                    .map_err(io_error("packing", from))?;
                let more = exact.file.read(&mut [0]).map_err(io_error("reading", from))?;
                if exact.read != *size || more != 0 {
                    return Err(PackError::Changed(from.clone()));
                }
            }
        }
    }
    let hashed = builder.into_inner().map_err(&packing)?;
    let diff_id = hashed.hasher.finish();
    let blob = hashed.inner.finish().map_err(&packing)?;
    let (digest, bytes) = blob.commit_held(hold)?;
    Ok(Layer { digest, diff_id, bytes })
}

/// Hashes what is written through it.
struct Hashed<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Counts what is read of a file.
struct Exact {
    file: io::Take<File>,
    read: u64,
}

impl io::Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A place in the image, from its root.
fn place(to: &str) -> Result<String, PackError> {
    let wrong = |why| PackError::Place { to: to.chars().take(200).collect(), why };
    if to.contains('\0') {
        return Err(wrong("it has a NUL character"));
    }
    let parts: Vec<&str> = to.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(wrong("it has .. in it"));
    }
    if parts.iter().any(|part| part.starts_with(".wh.")) {
        return Err(wrong("names that begin with .wh. delete what they name"));
    }
    Ok(parts.join("/"))
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> PackError + 'a {
    move |source| PackError::Io { doing, path: path.to_owned(), source }
}
