//! A tower service over HTTP/3, and a client that asks it: `cargo run -p stoq --example http3`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;
use stoq::http3::{ALPN, Body, Caller, Client, Http3};
use stoq::{ClientAuth, Endpoint, Identity, Router, Trust};

async fn greet(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    let caller = request.extensions().get::<Caller>().and_then(|caller| caller.peer.key);
    let name = caller.map_or_else(|| "stranger".to_owned(), |key| key.to_string());
    Ok(Response::new(Full::new(format!("Hello, {name}!\n").into())))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, client) = (Identity::generate()?, Identity::generate()?);
    let server_key = server.public_key().ok_or("the server has no key")?;
    let client_key = client.public_key().ok_or("the client has no key")?;

    // Clients may show a key; one that is not known is refused, and who shows none is a stranger.
    let endpoint = Endpoint::server(server)
        .clients(ClientAuth::Optional(Trust::key(client_key)))
        .address("127.0.0.1:0".parse()?)
        .bind()?;
    let address = endpoint.local_addr()?;
    let router = Router::builder(endpoint).accept(ALPN, Http3::new(tower::service_fn(greet))).spawn()?;

    let client = Client::new(Endpoint::client(Trust::key(server_key)).identity(client).bind()?);
    let request = Request::get(format!("https://{address}/")).body(http_body_util::Empty::<Bytes>::new())?;
    let response = client.send(request).await?;
    print!("{}", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));

    drop(client);
    router.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
