//! One connection that was taken up: its streams, each with a task of its own, until the first of them fails.
//!
//! | stream | opened by | carries |
//! |---|---|---|
//! | control, both ways | whoever dialled | hellos, then statements; before all others in every packet |
//! | requests, both ways | each end one | requests one way; the other way, how many were taken |
//! | block, one way | each end, a few at a time | one block |
//!
//! Streams of one class never wait for another's: each has a task, a queue, a window, and a part of the connection's
//! window that the others cannot use up.

mod blocks;
mod requests;
mod statements;

use crate::class::Class;
use crate::end::End;
use crate::frame::limit;
use crate::incoming::Incoming;
use crate::link::Link;
use crate::reader::{Reader, lost};
use crate::shared::{Phase, Shared};
use hypermesh_bft::Message;
use std::sync::Arc;
use std::time::Duration;
use stoq::{Connection, SendStream};
use tokio::task::JoinSet;

/// Statements go into a packet before anything else.
pub(crate) const FIRST: i32 = i32::MAX;
/// Requests go after statements and before blocks.
const SECOND: i32 = 0;

/// A connection whose hellos are said, with its control stream.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) reader: Reader,
    /// Its number at its link.
    pub(crate) number: u64,
}

/// What the tasks of a connection share.
#[derive(Clone, Debug)]
struct Session {
    shared: Arc<Shared>,
    link: Arc<Link>,
    connection: Connection,
}

/// Speaks on a connection until it is over, and says why it was.
pub(crate) async fn run(shared: &Arc<Shared>, link: &Arc<Link>, established: Established) -> End {
    let Established { connection, send, reader, number } = established;
    let turn = tokio::select! {
        biased;
        // Another has taken its place meanwhile.
        closed = connection.closed() => Err(End::Closed(closed)),
        // The one before it has been closed, and tells of its end first.
        turn = link.turn.lock() => Ok(turn),
    };
    let end = match turn {
        Err(end) => end,
        Ok(_turn) => {
            let (shared, link, connection) = (Arc::clone(shared), Arc::clone(link), connection.clone());
            Session { shared, link, connection }.speak(send, reader).await
        }
    };
    connection.close(end.code(), &end.told());
    link.release(number, &end);
    end
}

impl Session {
    async fn speak(self, send: SendStream, reader: Reader) -> End {
        let (shared, link) = (Arc::clone(&self.shared), Arc::clone(&self.link));
        link.told(true);
        shared.tell(Incoming::Connected(link.key));
        link.outbox.open();
        let address = self.connection.remote_address();
        tracing::debug!(peer = %link.key, %address, "a replica is connected");

        let mut tasks = JoinSet::new();
        let statements = limit(Class::Statements);
        tasks.spawn(statements::write(self.clone(), send));
        tasks.spawn(statements::read(self.clone(), reader.becomes(statements, "statements")));
        tasks.spawn(blocks::write(self.clone()));
        tasks.spawn(blocks::read(self.clone()));
        tasks.spawn(requests::write(self.clone()));
        tasks.spawn(requests::accept(self.clone()));
        let connection = self.connection.clone();
        tasks.spawn(async move { Err(End::Closed(connection.closed().await)) });
        let end = self.first_end(&mut tasks).await;

        // First the connection: a stream that is dropped on an open one ends as if it were whole.
        self.connection.close(end.code(), &end.told());
        tasks.shutdown().await;
        let gone = link.outbox.close();
        for (class, gone) in Class::ALL.into_iter().zip(gone) {
            link.counts.drop(class, gone);
        }
        link.told(false);
        shared.tell(Incoming::Disconnected(link.key));
        tracing::debug!(peer = %link.key, reason = end.told(), "a replica is disconnected");
        end
    }

    /// Why the session ends. While this replica stops, it ends once all three writers have brought across what waited.
    async fn first_end(&self, tasks: &mut JoinSet<Result<(), End>>) -> End {
        let mut writers = Class::ALL.len();
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok(Ok(())) => writers -= 1,
                // What a stream fails of is what its connection ended of.
                Ok(Err(end)) => return lost(&self.connection).unwrap_or(end),
                Err(_) => return End::Receiver,
            }
            if writers == 0 {
                break;
            }
        }
        End::Stopping
    }

    /// A message of a stream's class.
    fn decode(&self, class: Class, bytes: &[u8], reader: &Reader) -> Result<Message, End> {
        let message = Message::decode(bytes).map_err(|error| reader.malformed(crate::end::told(&error)))?;
        if Class::of(&message) != class {
            return Err(reader.malformed(format!("a message of {} is on it", Class::of(&message).name())));
        }
        self.link.counts.received.add(class, 1, bytes.len());
        Ok(message)
    }

    fn is_draining(&self) -> bool {
        self.shared.phase() >= Phase::Draining
    }

    /// Waits for something of a class to send; false if there is none and none will come.
    async fn wait(&self, class: Class) -> bool {
        if self.is_draining() {
            if self.link.outbox.is_empty(class) {
                return false;
            }
            self.link.outbox.wait(class).await;
            return true;
        }
        tokio::select! {
            () = self.link.outbox.wait(class) => {}
            () = self.shared.until(Phase::Draining) => {}
        }
        true
    }

    /// Writing failed: with the connection, or because the other end does not want the stream.
    fn unwritten(&self) -> End {
        lost(&self.connection).unwrap_or(End::OutOfPlace("a stream was stopped"))
    }

    fn stalled(&self, patience: Duration) -> End {
        lost(&self.connection).unwrap_or(End::Stalled(patience))
    }
}
