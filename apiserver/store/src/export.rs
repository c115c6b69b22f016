//! Snapshots, written: a state as logical chunks of key ranges, whatever the database's files look like.
//!
//! ```text
//! "HMSNAP\0\1" ‖ length (4) ‖ Manifest ‖ H(manifest)
//! then chunks:   kind (1) ‖ length (4) ‖ bytes ‖ H(index ‖ kind ‖ bytes)
//! ```
//!
//! Numbers are little-endian, values borsh. Objects come in order of key, then blocks in order of height, then the
//! outcomes of their requests; an end chunk counts them all, so that a snapshot that was cut short is none. The hashes
//! find damage on the way; that the state is the right one is proved by the manifest's state root, which the restoring
//! replica computes anew from the leaves.
//!
//! A snapshot is plain text: send it over an encrypted stream only.

use crate::error::StoreError;
use crate::files::encode;
use crate::keyspace::{self, Family, StoredBlock};
use crate::mark::Head;
use crate::view::View;
use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::{Hash, Height, Record};
use std::io::Write;
use std::ops::ControlFlow;

pub(crate) const MAGIC: &[u8; 8] = b"HMSNAP\0\x01";
/// A chunk is closed once it holds so much.
const CHUNK: usize = 1 << 20;

/// What to export beside the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The root of the state tree at the view's head, from its header.
    pub state_root: Hash,
    /// Blocks and outcomes from here on: as far back as a repeated request must be recognised. At least the head's
    /// block is exported.
    pub blocks_from: Height,
}

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Manifest {
    /// The newest commit.
    pub head: Head,
    /// The root of the state tree after it.
    pub state_root: Hash,
    /// The oldest block in the snapshot.
    pub oldest_block: Height,
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub(crate) enum Kind {
    /// `Vec<(object key, Option<leaf>, Record)>`
    Objects = 1,
    /// `Vec<(height, StoredBlock)>`
    Blocks = 2,
    /// `Vec<(request digest, outcome)>`
    Outcomes = 3,
    /// `Counts`
    End = 4,
}

pub(crate) type ObjectRow = (Vec<u8>, Option<Hash>, Record);
pub(crate) type BlockRow = (Height, StoredBlock);
pub(crate) type OutcomeRow = (Hash, Vec<u8>);

/// What the end chunk counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Counts {
    pub(crate) chunks: u64,
    pub(crate) objects: u64,
    pub(crate) blocks: u64,
    pub(crate) outcomes: u64,
}

/// The hash that follows a chunk.
pub(crate) fn chunk_hash(index: u64, kind: Kind, bytes: &[u8]) -> Hash {
    Hash::of(&[b"hypermesh snapshot chunk", &index.to_le_bytes(), &[kind as u8], bytes])
}

/// The hash that follows the manifest.
pub(crate) fn manifest_hash(bytes: &[u8]) -> Hash {
    Hash::of(&[b"hypermesh snapshot manifest", bytes])
}

impl View {
    /// Writes the state the view sees. Commits and compaction go on meanwhile.
    ///
    /// # Errors
    /// [`StoreError::BadSnapshot`] before the first commit; when a record is damaged or the stream fails.
    pub fn export(&self, scope: Scope, output: impl Write) -> Result<Manifest, StoreError> {
        let head = self
            .head()
            .ok_or_else(|| StoreError::BadSnapshot { detail: "there is no commit yet".to_owned() })?;
        let from = scope.blocks_from.clamp(self.oldest_height(), head.height);
        let manifest = Manifest { head, state_root: scope.state_root, oldest_block: from };
        let mut out = Chunks { output, counts: Counts::default(), bytes: Vec::new(), rows: 0 };
        let bytes = encode(&manifest)?;
        out.write(MAGIC)?;
        out.write(&(bytes.len() as u32).to_le_bytes())?;
        out.write(&bytes)?;
        out.write(&manifest_hash(&bytes).0)?;
        self.export_objects(&mut out)?;
        let requests = self.export_blocks(from, head.height, &mut out)?;
        self.export_outcomes(&requests, &mut out)?;
        let counts = encode(&out.counts)?;
        out.chunk(Kind::End, &counts)?;
        out.output.flush().map_err(|source| StoreError::Stream { doing: "write", source })?;
        Ok(manifest)
    }

    fn export_objects(&self, out: &mut Chunks<impl Write>) -> Result<(), StoreError> {
        let mut leaves = self.cursor(Family::Leaves, &[], false)?;
        leaves.seek_to_first();
        self.rows(Family::Objects, &[], None, false, |key, sealed| {
            while leaves.key().is_some_and(|leaf| leaf < key) {
                leaves.next();
            }
            let leaf =
                leaves.item().filter(|(leaf, _)| *leaf == key).and_then(|(_, hash)| hash.try_into().ok());
            let record = self.inner().keys.record(key, sealed)?;
            out.row(Kind::Objects, &(key.to_vec(), leaf.map(Hash), record))?;
            Ok(ControlFlow::Continue(()))
        })?;
        leaves.status().map_err(|error| self.inner().engine.fault("read", error))?;
        out.close(Kind::Objects)
    }

    fn export_blocks(
        &self,
        from: Height,
        to: Height,
        out: &mut Chunks<impl Write>,
    ) -> Result<Vec<Hash>, StoreError> {
        let mut requests = Vec::new();
        for height in from.0..=to.0 {
            let key = keyspace::number(height);
            let bad = |detail| StoreError::bad_record(Family::Blocks.name(), &key, detail);
            let sealed = self.row(Family::Blocks, &key)?.ok_or_else(|| bad("it is missing"))?;
            let block = self.inner().keys.block(&key, &sealed)?;
            requests.extend_from_slice(&block.requests);
            out.row(Kind::Blocks, &(Height(height), block))?;
        }
        out.close(Kind::Blocks)?;
        Ok(requests)
    }

    fn export_outcomes(&self, requests: &[Hash], out: &mut Chunks<impl Write>) -> Result<(), StoreError> {
        for request in requests {
            let Some(sealed) = self.row(Family::Outcomes, &request.0)? else { continue };
            let outcome = self.inner().keys.open_value(Family::Outcomes, &request.0, &sealed)?;
            out.row(Kind::Outcomes, &(*request, outcome))?;
        }
        out.close(Kind::Outcomes)
    }
}

/// Gathers rows into chunks.
struct Chunks<W> {
    output: W,
    counts: Counts,
    bytes: Vec<u8>,
    rows: u32,
}

impl<W: Write> Chunks<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.output.write_all(bytes).map_err(|source| StoreError::Stream { doing: "write", source })
    }

    fn row(&mut self, kind: Kind, row: &impl BorshSerialize) -> Result<(), StoreError> {
        if self.bytes.is_empty() {
            // The place of the count that borsh sets before a vector.
            self.bytes.extend_from_slice(&[0; 4]);
        }
        borsh::to_writer(&mut self.bytes, row)
            .map_err(|source| StoreError::Stream { doing: "encode a row of", source })?;
        self.rows += 1;
        match kind {
            Kind::Objects => self.counts.objects += 1,
            Kind::Blocks => self.counts.blocks += 1,
            Kind::Outcomes => self.counts.outcomes += 1,
            Kind::End => {}
        }
        if self.bytes.len() >= CHUNK { self.close(kind) } else { Ok(()) }
    }

    /// Ends the chunk that rows have been gathered into, if there is one.
    fn close(&mut self, kind: Kind) -> Result<(), StoreError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes[..4].copy_from_slice(&self.rows.to_le_bytes());
        self.rows = 0;
        self.chunk(kind, &bytes)?;
        bytes.clear();
        self.bytes = bytes;
        Ok(())
    }

    fn chunk(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), StoreError> {
        let hash = chunk_hash(self.counts.chunks, kind, bytes);
        self.counts.chunks += 1;
        self.write(&[kind as u8])?;
        self.write(&(bytes.len() as u32).to_le_bytes())?;
        self.write(bytes)?;
        self.write(&hash.0)
    }
}
