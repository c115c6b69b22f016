//! A protocol of one's own between two peers that know each other's keys: `cargo run -p stoq --example protocol`.

use std::error::Error;
use std::time::Duration;
use stoq::{Closing, Connection, Endpoint, Identity, ProtocolError, Router, Target, Trust};

const ALPN: &[u8] = b"example/shout/1";

async fn shout(connection: Connection, mut closing: Closing) -> Result<(), ProtocolError> {
    loop {
        let (mut send, mut recv) = tokio::select! {
            stream = connection.accept_bi() => stream?,
            () = closing.wait() => return Ok(()),
        };
        let said = recv.read_to_end(1024).await?;
        send.write_all(&said.to_ascii_uppercase()).await?;
        send.finish()?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (one, two) = (Identity::generate()?, Identity::generate()?);
    let one_key = one.public_key().ok_or("no key")?;
    let two_key = two.public_key().ok_or("no key")?;
    let loopback = "127.0.0.1:0".parse()?;
    let one = Endpoint::peer(one, Trust::key(two_key)).address(loopback).bind()?;
    let two = Endpoint::peer(two, Trust::key(one_key)).address(loopback).bind()?;
    let target = Target::key(&two_key, two.local_addr()?);
    let router = Router::builder(two).accept(ALPN, shout).spawn()?;

    let connection = one.connect(&target, ALPN).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(b"is anybody there?").await?;
    send.finish()?;
    println!("{}", String::from_utf8_lossy(&recv.read_to_end(1024).await?));

    router.shutdown(Duration::from_secs(5)).await;
    one.close(0, "done").await;
    Ok(())
}
