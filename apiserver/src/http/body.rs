//! Bodies of requests: bounded in size and in time.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hypermesh_api::Status;
use hypermesh_wire::MAX_BODY;
use std::time::Duration;

/// A body must be here within this time: who sends slower holds a connection, and nothing else.
const LONGEST: Duration = Duration::from_secs(60);

/// Reads a body, up to the limit.
pub(super) async fn read(body: Body) -> Result<Bytes, Box<Status>> {
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > MAX_BODY as u64 {
        return Err(Box::new(Status::too_large(MAX_BODY)));
    }
    match tokio::time::timeout(LONGEST, collect(body)).await {
        Ok(result) => result,
        Err(_) => Err(Box::new(Status::failure(
            408,
            "Timeout",
            format!("the body of the request did not arrive within {} s", LONGEST.as_secs()),
        ))),
    }
}

async fn collect(mut body: Body) -> Result<Bytes, Box<Status>> {
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
            return Err(Box::new(Status::too_large(MAX_BODY)));
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}
