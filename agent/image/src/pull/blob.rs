//! One blob: asked for, gone on with where it broke off, and written on a thread that may block.

use super::error::FetchError;
use super::job::Job;
use crate::digest::Digest;
use crate::limits::REQUESTS;
use crate::manifest::Descriptor;
use crate::registry::RegistryError;
use crate::store::{Store, StoreError};
use bytes::Bytes;
use futures_util::stream::TryStreamExt as _;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

impl Job<'_> {
    /// Fetches a blob unless it is here, going on where it stopped. Gives the bytes that came.
    pub(super) async fn blob(&self, blob: &Descriptor, done: impl Fn(u64)) -> Result<u64, FetchError> {
        let (mut failures, mut fetched) = (0, 0);
        for request in 1..=REQUESTS {
            let mut come = 0;
            let error = match self.blob_once(blob, &mut come, &done).await {
                Ok(()) => return Ok(fetched + come),
                Err(error) => error,
            };
            fetched += come;
            failures = if come > 0 { 1 } else { failures + 1 };
            let pause = match &error {
                FetchError::Registry(error)
                    if error.is_transient() && failures < self.puller.options.retry.tries =>
                {
                    self.pause(failures, error.retry_after())
                }
                // Cut off without an error, or continued from something else than there is now.
                FetchError::Store(StoreError::WrongSize { .. } | StoreError::WrongDigest { .. })
                    if failures < 2 && request == 1 =>
                {
                    self.pause(failures, None)
                }
                _ => return Err(error),
            };
            if request == REQUESTS
                && let FetchError::Registry(source) = error
            {
                return Err(FetchError::BrokenOff { digest: blob.digest.clone(), source });
            }
            self.wait(pause, &error).await;
        }
        Err(FetchError::Ending)
    }

    async fn blob_once(
        &self,
        blob: &Descriptor,
        come: &mut u64,
        done: &impl Fn(u64),
    ) -> Result<(), FetchError> {
        let (send, receive) = mpsc::channel(16);
        let (tell, begins) = oneshot::channel();
        let (store, digest, size) = (Arc::clone(&self.puller.store), blob.digest.clone(), blob.size);
        let writer = tokio::task::spawn_blocking(move || write(&store, &digest, size, tell, receive));
        let result = match begins.await {
            Ok(Some(offset)) => self.feed(blob, offset, &send, come, done).await,
            // It is here, or the writer has something to tell.
            Ok(None) | Err(_) => Ok(()),
        };
        drop(send);
        let written = writer.await.map_err(|_| FetchError::Ending)?;
        match (result, written) {
            // What this machine could not do explains why the rest stopped.
            (_, Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(error.into()),
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    /// Hands what comes to the writer.
    async fn feed(
        &self,
        blob: &Descriptor,
        offset: u64,
        send: &mpsc::Sender<Piece>,
        come: &mut u64,
        done: &impl Fn(u64),
    ) -> Result<(), RegistryError> {
        let mut at = offset;
        done(at);
        if offset < blob.size || blob.size == 0 {
            let mut body = self.registry().blob(&self.source, &blob.digest, offset).await?;
            self.progress.send_if_modified(|progress| progress.waiting.take().is_some());
            if body.offset != offset {
                at = 0;
                if send.send(Piece::Restart).await.is_err() {
                    return Ok(());
                }
            }
            while let Some(chunk) = body.chunks.try_next().await? {
                *come += chunk.len() as u64;
                at += chunk.len() as u64;
                // The writer ended: it tells why.
                if send.send(Piece::Bytes(chunk)).await.is_err() {
                    return Ok(());
                }
                done(at.min(blob.size));
            }
        }
        let _ = send.send(Piece::End).await;
        Ok(())
    }
}

/// What the writer of a blob is handed.
enum Piece {
    /// Begin anew.
    Restart,
    /// The next bytes.
    Bytes(Bytes),
    /// That was all.
    End,
}

/// Writes a blob, on a thread that may block. Without an end, what came is kept to go on from.
fn write(
    store: &Store,
    digest: &Digest,
    size: u64,
    tell: oneshot::Sender<Option<u64>>,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<(), StoreError> {
    let Some(mut ingest) = store.ingest(digest, Some(size))? else {
        let _ = tell.send(None);
        return Ok(());
    };
    let resumed = ingest.resumed();
    let _ = tell.send(Some(ingest.offset()));
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Restart => ingest.restart()?,
            Piece::Bytes(bytes) => ingest.write(&bytes)?,
            Piece::End => {
                tracing::trace!(%digest, resumed, "the blob is whole");
                return ingest.commit();
            }
        }
    }
    Ok(())
}
