//! Snapshots, read: a new store from what an export wrote.
//!
//! The input is hostile until its hashes agree: lengths are bounded before they are believed, and nothing is written
//! from a chunk whose hash is wrong. While it runs, the directory is marked; a restore that was cut short is never
//! opened.

use crate::engine::Engine;
use crate::error::StoreError;
use crate::export::{
    BlockRow, Counts, Kind, MAGIC, Manifest, ObjectRow, OutcomeRow, chunk_hash, manifest_hash,
};
use crate::files::{Files, encode, make_dir, sync_dir};
use crate::keyspace::{self, Done, Event, FLOOR, Family, Floor, HEAD, LIVE};
use crate::mark::Mark;
use crate::options::Options;
use crate::records::object_key;
use crate::store::{Inner, Store};
use borsh::BorshDeserialize;
use hypermesh_chain::{Canonical, Hash, Height, Revision};
use rocksdb::WriteBatch;
use std::fs;
use std::io::Read;
use std::path::Path;

/// A longer chunk is damage: one row may exceed the usual size, not this.
const MAX_CHUNK: u32 = 64 << 20;
const MAX_MANIFEST: u32 = 4096;

impl Store {
    /// Makes a store in the empty directory `dir` from a snapshot. The past before the snapshot is not in it: the
    /// oldest revision is the head's.
    ///
    /// The caller compares the root of the tree that it builds from [`crate::View::leaves`] with the certified one
    /// before it serves anything.
    ///
    /// # Errors
    /// [`StoreError::BadSnapshot`] when the input is not what an export wrote: empty `dir` and try another source.
    pub fn restore(dir: &Path, options: Options, input: impl Read) -> Result<(Self, Manifest), StoreError> {
        let files = Files::new(dir);
        make_dir(dir)?;
        let lock = files.take()?;
        if files.restoring().exists() {
            return Err(StoreError::HalfRestored { dir: dir.to_owned() });
        }
        if files.format().exists() {
            return Err(StoreError::NotAStore { dir: dir.to_owned() });
        }
        files.check_format(true)?;
        fs::write(files.restoring(), []).map_err(StoreError::io("create", &files.restoring()))?;
        sync_dir(dir)?;
        let store = Self::open_locked(&files, options, lock)?;
        let manifest = fill(&store.0, input)?;
        // The head is synced, so all before it in the log is; only then may the store be opened as a whole.
        Mark::create(&files.head(), Some(manifest.head))?;
        fs::remove_file(files.restoring()).map_err(StoreError::io("remove", &files.restoring()))?;
        sync_dir(dir)?;
        *store.0.head.write() = Some(manifest.head);
        *store.0.writer.lock() = Mark::open(&files.head())?;
        Ok((store, manifest))
    }
}

fn bad(detail: impl Into<String>) -> StoreError {
    StoreError::BadSnapshot { detail: detail.into() }
}

fn fill(inner: &Inner, mut input: impl Read) -> Result<Manifest, StoreError> {
    let manifest = read_manifest(&mut input)?;
    let mut intake =
        Intake { inner, manifest, counts: Counts::default(), stage: Kind::Objects, last: Vec::new() };
    loop {
        let (kind, bytes) = read_chunk(&mut input, intake.counts.chunks)?;
        if kind < intake.stage {
            return Err(bad(format!("a chunk of {kind:?} after {:?}", intake.stage)));
        }
        if kind != intake.stage {
            intake.last.clear();
        }
        intake.stage = kind;
        if kind == Kind::End {
            let counts: Counts = parse(&bytes)?;
            if counts != intake.counts {
                return Err(bad("its end counts other rows than came"));
            }
            intake.finish()?;
            return Ok(manifest);
        }
        intake.counts.chunks += 1;
        intake.take(kind, &bytes)?;
    }
}

/// What has been taken in.
struct Intake<'a> {
    inner: &'a Inner,
    manifest: Manifest,
    counts: Counts,
    stage: Kind,
    /// The last object's key.
    last: Vec<u8>,
}

impl Intake<'_> {
    fn take(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        match kind {
            Kind::Objects => {
                for row in parse::<Vec<ObjectRow>>(bytes)? {
                    self.object(&mut batch, row)?;
                }
            }
            Kind::Blocks => {
                for (height, block) in parse::<Vec<BlockRow>>(bytes)? {
                    if Some(height.0) != self.manifest.oldest_block.0.checked_add(self.counts.blocks) {
                        return Err(bad(format!("block {} is out of order", height.0)));
                    }
                    let head = self.manifest.head;
                    if height == head.height && (block.id, block.revision) != (head.block_id, head.revision) {
                        return Err(bad("its last block is not the head's"));
                    }
                    self.counts.blocks += 1;
                    self.inner.put_sealed(
                        &mut batch,
                        Family::Blocks,
                        &keyspace::number(height.0),
                        &encode(&block)?,
                    )?;
                }
            }
            Kind::Outcomes => {
                for (request, outcome) in parse::<Vec<OutcomeRow>>(bytes)? {
                    self.counts.outcomes += 1;
                    self.inner.put_sealed(&mut batch, Family::Outcomes, &request.0, &outcome)?;
                }
            }
            Kind::End => {}
        }
        self.inner.engine.write(batch, false)
    }

    fn object(&mut self, batch: &mut WriteBatch, (key, leaf, record): ObjectRow) -> Result<(), StoreError> {
        let name = || key.escape_ascii().to_string();
        let object =
            object_key(Family::Objects, &key).map_err(|_| bad(format!("{} names no object", name())))?;
        if self.last >= key && self.counts.objects > 0 {
            return Err(bad(format!("object {} is out of order", name())));
        }
        record.check().map_err(|why| bad(format!("object {}: {why}", name())))?;
        if record.revision > self.manifest.head.revision {
            return Err(bad(format!("object {} is newer than the snapshot", name())));
        }
        if leaf.is_some_and(|leaf| leaf != record.leaf(&key)) {
            return Err(bad(format!("the leaf of {} is not its record's", name())));
        }
        let engine = &self.inner.engine;
        let revision = record.revision;
        self.inner.index(batch, &key, None, Some(&record.facts))?;
        self.inner.put_sealed(batch, Family::Objects, &key, &encode(&record)?)?;
        if let Some(leaf) = leaf {
            batch.put_cf(engine.family(Family::Leaves)?, &key, leaf.0);
        }
        batch.put_cf(engine.family(Family::Versions)?, keyspace::version(&key, revision), [LIVE]);
        let event: Event = Event { revision, key: object, done: Done::Created };
        self.inner.put_sealed(batch, Family::History, &keyspace::number(revision.0), &encode(&event)?)?;
        self.counts.objects += 1;
        self.last = key;
        Ok(())
    }

    /// Writes the head, synced: the log before it is durable with it.
    fn finish(&self) -> Result<(), StoreError> {
        let head = self.manifest.head;
        if self.manifest.oldest_block.0.checked_add(self.counts.blocks) != head.height.0.checked_add(1) {
            return Err(bad("blocks are missing before the head"));
        }
        let engine: &Engine = &self.inner.engine;
        let floor =
            Floor { revision: head.revision, swept: head.revision, height: self.manifest.oldest_block };
        let meta = engine.family(Family::Meta)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, FLOOR, encode(&floor)?);
        batch.put_cf(meta, HEAD, encode(&head)?);
        engine.write(batch, true)
    }
}

fn read_manifest(input: &mut impl Read) -> Result<Manifest, StoreError> {
    let mut magic = [0; 8];
    read(input, &mut magic)?;
    if magic != *MAGIC {
        return Err(bad("it does not begin as a snapshot does, or is of a later version"));
    }
    let bytes = read_bytes(input, MAX_MANIFEST)?;
    let mut hash = [0; 32];
    read(input, &mut hash)?;
    if manifest_hash(&bytes) != Hash(hash) {
        return Err(bad("the manifest's hash is wrong"));
    }
    let manifest: Manifest = parse(&bytes)?;
    if manifest.head.height == Height(u64::MAX) || manifest.head.revision == Revision(u64::MAX) {
        return Err(bad("the head leaves no room for a next one"));
    }
    Ok(manifest)
}

fn read_chunk(input: &mut impl Read, index: u64) -> Result<(Kind, Vec<u8>), StoreError> {
    let mut kind = [0; 1];
    read(input, &mut kind)?;
    let kind = Kind::try_from_slice(&kind).map_err(|_| bad(format!("chunk {index} is of no known kind")))?;
    let bytes = read_bytes(input, MAX_CHUNK)?;
    let mut hash = [0; 32];
    read(input, &mut hash)?;
    if chunk_hash(index, kind, &bytes) != Hash(hash) {
        return Err(bad(format!("the hash of chunk {index} is wrong")));
    }
    Ok((kind, bytes))
}

/// Reads a length and so many bytes; memory grows with what comes, not with what is announced.
fn read_bytes(input: &mut impl Read, most: u32) -> Result<Vec<u8>, StoreError> {
    let mut length = [0; 4];
    read(input, &mut length)?;
    let length = u32::from_le_bytes(length);
    if length > most {
        return Err(bad(format!("a part of {length} bytes is longer than any")));
    }
    let mut bytes = Vec::new();
    let got = input
        .take(u64::from(length))
        .read_to_end(&mut bytes)
        .map_err(|source| StoreError::Stream { doing: "read", source })?;
    if got as u64 != u64::from(length) {
        return Err(bad("it ends early"));
    }
    Ok(bytes)
}

fn read(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), StoreError> {
    input.read_exact(bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::UnexpectedEof => bad("it ends early"),
        _ => StoreError::Stream { doing: "read", source },
    })
}

fn parse<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, StoreError> {
    borsh::from_slice(bytes).map_err(|_| bad("a part cannot be read"))
}
