//! The hellos at the beginning of a connection, from either end.
//!
//! Whoever dialled opens the control stream and speaks first; the other end answers, or closes the connection and says
//! why. Until both have spoken nothing else is read.

use crate::counts;
use crate::duel::Origin;
use crate::end::End;
use crate::frame::{HEAD, Stream};
use crate::hello::{self, Hello, HelloError};
use crate::link::Link;
use crate::reader::{Reader, lost};
use crate::session::{Established, FIRST};
use crate::shared::{Phase, Shared};
use std::sync::Arc;
use stoq::{Connection, SendStream, Target};
use tokio::time::{Instant, timeout};

/// The name and version of what replicas speak, for ALPN (RFC 7301).
pub const ALPN: &[u8] = b"hypermesh-replica/1";

/// Dials a peer and says hello.
pub(crate) async fn dial(shared: &Arc<Shared>, link: &Arc<Link>) -> Result<Established, End> {
    let addresses = link.addresses();
    let name = stoq::PublicKey::from_bytes(link.key.0).server_name();
    let connection = match shared.endpoint.connect(&Target::named(name, addresses), ALPN).await {
        Ok(connection) => connection,
        Err(error) => return Err(End::Unreached(error)),
    };
    let dial = shared.next_dial();
    let greeted = timeout(shared.limits.hello, speak_first(shared, link, &connection, dial)).await;
    let taken = greeted.unwrap_or(Err(End::Slow("a hello"))).and_then(|(send, reader, theirs)| {
        let number = link.take_up(shared.us(&link.key), Origin::Ours(dial), &theirs, &connection)?;
        Ok(Established { connection: connection.clone(), send, reader, number })
    });
    taken.map_err(|end| refuse(&connection, end))
}

async fn speak_first(
    shared: &Shared,
    link: &Link,
    connection: &Connection,
    dial: u64,
) -> Result<(SendStream, Reader, Hello), End> {
    let (mut send, recv) = connection.open_bi().await.map_err(End::Closed)?;
    let ours = link.hello(&shared.cluster, shared.incarnation, dial);
    say(&mut send, &ours, Some(Stream::Control), connection).await?;
    let mut reader = Reader::new(recv, hello::MOST, connection, "hellos");
    let theirs = hear(shared, &mut reader).await?;
    Ok((send, reader, theirs))
}

/// Takes a connection that another replica dialled.
pub(crate) async fn accept(
    shared: &Arc<Shared>,
    connection: &Connection,
) -> Result<(Arc<Link>, Established), End> {
    if shared.phase() != Phase::Running {
        return Err(refuse(connection, End::Stopping));
    }
    let link = shared.link_of(connection).map_err(|end| refuse(connection, end))?;
    let answered = answer(shared, &link, connection).await;
    match answered {
        Ok(established) => Ok((link, established)),
        Err(end) => {
            counts::one(&link.counts.refused);
            link.failed(&end);
            Err(refuse(connection, end))
        }
    }
}

async fn answer(shared: &Shared, link: &Link, connection: &Connection) -> Result<Established, End> {
    if let Some(left) = link.penalty() {
        return Err(End::Penalty(left));
    }
    link.comes()?;
    let _place = Arc::clone(&link.greeting).try_acquire_owned().map_err(|_| End::Busy)?;
    let within = shared.limits.hello;
    let heard = timeout(within, listen_first(shared, connection)).await;
    let (mut send, reader, theirs) = heard.unwrap_or(Err(End::Slow("a hello")))?;
    let number = link.take_up(shared.us(&link.key), Origin::Theirs, &theirs, connection)?;
    let ours = link.hello(&shared.cluster, shared.incarnation, 0);
    let said = timeout(within, say(&mut send, &ours, None, connection)).await;
    if let Err(end) = said.unwrap_or(Err(End::Slow("a hello"))) {
        link.release(number, &end);
        return Err(end);
    }
    Ok(Established { connection: connection.clone(), send, reader, number })
}

async fn listen_first(shared: &Shared, connection: &Connection) -> Result<(SendStream, Reader, Hello), End> {
    let (send, recv) = connection.accept_bi().await.map_err(End::Closed)?;
    let mut reader = Reader::new(recv, hello::MOST, connection, "hellos");
    if Stream::of_tag(reader.tag(shared.limits.hello).await?) != Some(Stream::Control) {
        return Err(End::OutOfPlace("the first stream carries no hello"));
    }
    let theirs = hear(shared, &mut reader).await?;
    Ok((send, reader, theirs))
}

async fn say(
    send: &mut SendStream,
    hello: &Hello,
    tag: Option<Stream>,
    connection: &Connection,
) -> Result<(), End> {
    let _ = send.set_priority(FIRST);
    let (body, mut bytes) = (hello.encode(), Vec::with_capacity(hello::MOST));
    bytes.extend(tag.map(Stream::tag));
    let length: [u8; HEAD] = u32::try_from(body.len()).unwrap_or_default().to_le_bytes();
    bytes.extend(length);
    bytes.extend(body);
    let written = send.write_all(&bytes).await;
    written.map_err(|_| lost(connection).unwrap_or(End::OutOfPlace("the hello is not read")))
}

async fn hear(shared: &Shared, reader: &mut Reader) -> Result<Hello, End> {
    let begun = Instant::now() + shared.limits.hello;
    let Some(_) = reader.head(&shared.limits, Some(begun)).await? else {
        return Err(End::Hello(HelloError::Malformed));
    };
    let body = reader.body(&shared.limits).await?;
    let hello = Hello::decode(&body).map_err(End::Hello)?;
    hello.check(&shared.cluster).map_err(End::Hello)?;
    Ok(hello)
}

/// Closes a connection, with the reason why.
fn refuse(connection: &Connection, end: End) -> End {
    let end = lost(connection).unwrap_or(end);
    connection.close(end.code(), &end.told());
    end
}
