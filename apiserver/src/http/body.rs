//! Bodies of requests: bounded in size and in time.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_wire::MAX_BODY;
use std::time::Duration;

/// A body must be here within this time: who sends slower holds a connection, and nothing else.
const LONGEST: Duration = Duration::from_secs(60);

/// A body that is too large is read on for so long, and no further than [`MOST_DISCARDED`]: a client that writes
/// before it reads would find its connection reset in place of the refusal.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes of a body that is too large that are read and thrown away.
const MOST_DISCARDED: usize = 2 * MAX_BODY;

/// Reads a body, up to the limit.
pub(super) async fn read(mut body: Body) -> Result<Bytes, Box<Status>> {
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > MAX_BODY as u64 {
        discard(&mut body).await;
        return Err(Box::new(Status::too_large(MAX_BODY)));
    }
    match tokio::time::timeout(LONGEST, collect(&mut body)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => {
            discard(&mut body).await;
            Err(Box::new(Status::too_large(MAX_BODY)))
        }
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Box::new(Status::failure(
            408,
            "Timeout",
            format!("the body of the request did not arrive within {} s", LONGEST.as_secs()),
        ))),
    }
}

async fn discard(body: &mut Body) {
    let discarding = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > MOST_DISCARDED {
                return;
            }
        }
    };
    // Whoever is slower than this has been told long enough.
    let _ = tokio::time::timeout(LINGER, discarding).await;
}

/// The whole body; `None` for one over the limit.
async fn collect(body: &mut Body) -> Result<Option<Bytes>, Box<Status>> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Box::new(Status::bad_request(format!("the body of the request broke off: {error}")))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        match first.take() {
            None if all.is_empty() => first = Some(data),
            before => {
                if let Some(before) = before {
                    all.extend_from_slice(&before);
                }
                all.extend_from_slice(&data);
            }
        }
        if all.len().max(first.as_ref().map_or(0, Bytes::len)) > MAX_BODY {
            return Ok(None);
        }
    }
    Ok(Some(first.unwrap_or_else(|| all.freeze())))
}
