//! Tells an API server that the node is there, in a request that lasts. Nothing of it is stored.

use crate::failure::chain;
use crate::workers::Workers;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hypermesh_client::{Body, Client, Streamed};
use hypermesh_stream::liveness::{Beat, EVERY};
use std::convert::Infallible;
use std::time::Duration;

/// The shortest and the longest pause before a request that ended is made again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Tells for as long as the agent runs.
pub async fn tell(client: Client, node: String, boot_id: String, workers: Workers) {
    let mut pause = PAUSES.0;
    loop {
        let began = tokio::time::Instant::now();
        match once(&client, &node, &boot_id, &workers).await {
            Ok(()) => tracing::debug!("the request of liveness has ended, and is made again"),
            Err(why) => tracing::warn!(why, "the API server is not told that this node is there"),
        }
        if began.elapsed() > 4 * PAUSES.1 {
            pause = PAUSES.0;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn once(client: &Client, node: &str, boot_id: &str, workers: &Workers) -> Result<(), String> {
    let (boot_id, workers) = (boot_id.to_owned(), workers.clone());
    let beats = futures_util::stream::unfold(true, move |first| {
        let beat = Beat { boot_id: boot_id.clone(), instances: u32::try_from(workers.uids().len()).ok() };
        async move {
            if !first {
                tokio::time::sleep(EVERY).await;
            }
            let mut line = serde_json::to_vec(&beat).unwrap_or_default();
            line.push(b'\n');
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), false))
        }
    });
    let request = Request::post(format!("/apis/hypermesh.online/v1/nodes/{node}/liveness"))
        // It never ends: a signature covers it without its body, and nobody sends it again.
        .extension(Streamed)
        .body(Body::stream(StreamBody::new(beats)))
        .map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| chain(&error))?;
    if answer.status() != StatusCode::OK {
        let code = answer.status().as_u16();
        let words = answer.into_body().collect(4096).await.unwrap_or_default();
        return Err(format!("it answered {code}: {}", String::from_utf8_lossy(&words)));
    }
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| error.to_string())?;
    }
    Ok(())
}
