//! HTTP/3 and TCP beside each other: which is used, what shut UDP costs, and what happens when one of them goes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod dropped;
mod server;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use hypermesh_client::{Body, Client, Config, Error, Metrics, Protocol, Source, Transport};
use server::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long HTTP/3 is waited for where nobody answers: what takes less did not wait for it.
const HTTP3_PATIENCE: Duration = Duration::from_secs(3);

async fn get(client: &Client) -> Result<String, Error> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/version");
    let reply = client.send(request).await?;
    let body = reply.into_body().collect(1 << 20).await.unwrap();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn replies(metrics: &Metrics) -> (u64, u64) {
    (metrics.replies(Protocol::Http3), metrics.replies(Protocol::Tcp))
}

#[tokio::test]
async fn http3_is_used_where_udp_gets_through() {
    let server = Server::start(true, true).await;
    let client = Client::new(&server.config(Transport::Auto)).unwrap();
    for _ in 0..5 {
        assert_eq!(get(&client).await.unwrap(), "HTTP/3.0 GET /version");
    }
    assert_eq!(replies(client.metrics()), (5, 0));
    assert_eq!(client.metrics().connections(Protocol::Http3), 1);
}

#[tokio::test]
async fn shut_udp_costs_a_moment_once() {
    let server = Server::start(false, true).await;
    let client = Client::new(&server.config(Transport::Auto)).unwrap();
    let begun = Instant::now();
    assert_eq!(get(&client).await.unwrap(), "HTTP/2.0 GET /version");
    assert!(begun.elapsed() < HTTP3_PATIENCE, "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..10 {
        get(&client).await.unwrap();
    }
    assert!(begun.elapsed() < HTTP3_PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(replies(client.metrics()), (0, 11));
    assert_eq!(client.metrics().connections(Protocol::Tcp), 1);
}

#[tokio::test]
async fn when_udp_goes_tcp_goes_on() {
    let mut server = Server::start(true, true).await;
    let client = Client::new(&server.config(Transport::Auto)).unwrap();
    assert_eq!(get(&client).await.unwrap(), "HTTP/3.0 GET /version");
    server.shut_udp().await;
    assert_eq!(get(&client).await.unwrap(), "HTTP/2.0 GET /version");
}

/// What a client does that was told nothing: reads are in the first flight of a resumed connection, writes are not.
#[tokio::test]
async fn reads_go_early_on_resumed_connections_and_writes_wait() {
    let server = Server::start(true, true).await;
    for transport in [Transport::Auto, Transport::Http3] {
        let client = Client::new(&server.config(transport)).unwrap();
        let early = server.quic().early_requests.get();
        assert_eq!(get(&client).await.unwrap(), "HTTP/3.0 GET /version");
        // On a loaded machine a handshake may be over before the server looks at what came with it.
        let mut reads = 0;
        while server.quic().early_requests.get() - early < 3 {
            server.idle().await;
            assert_eq!(get(&client).await.unwrap(), "HTTP/3.0 GET /version");
            reads += 1;
            assert!(reads < 30, "{transport:?}: nothing goes early");
        }
        server.idle().await;
        let mut write = Request::new(Body::from("text".to_owned()));
        *write.method_mut() = Method::POST;
        *write.uri_mut() = http::Uri::from_static("/echo");
        assert_eq!(client.send(write).await.unwrap().into_body().collect(10).await.unwrap(), "text");
        assert_eq!(server.quic().early_requests.get() - early, 3, "{transport:?}");
        assert_eq!(server.quic().too_early.get(), 0);
        assert_eq!(client.metrics().connections(Protocol::Http3), reads + 2);
    }
}

/// Early data is a bet: where UDP has been shut meanwhile, TCP is there as soon as it would have been.
#[tokio::test]
async fn a_read_that_went_early_into_nothing_comes_over_tcp() {
    let mut server = Server::start(true, true).await;
    let client = Client::new(&server.config(Transport::Auto)).unwrap();
    get(&client).await.unwrap();
    server.idle().await;
    server.ignore_udp().await;
    let begun = Instant::now();
    assert_eq!(get(&client).await.unwrap(), "HTTP/2.0 GET /version");
    assert!(begun.elapsed() < HTTP3_PATIENCE, "{:?}", begun.elapsed());
    assert_eq!(replies(client.metrics()), (1, 1));
}

#[tokio::test]
async fn bodies_go_both_ways_over_each() {
    let server = Server::start(true, true).await;
    for transport in [Transport::Http3, Transport::Tcp] {
        let client = Client::new(&server.config(transport)).unwrap();
        let text = "x".repeat(300_000);
        let mut request = Request::new(Body::from(text.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static("/echo");
        let reply = client.send(request).await.unwrap();
        assert_eq!(reply.into_body().collect(1 << 20).await.unwrap(), text);
    }
}

#[tokio::test]
async fn a_reply_that_breaks_off_says_so_over_each() {
    let server = Server::start(true, true).await;
    for transport in [Transport::Http3, Transport::Tcp] {
        let client = Client::new(&server.config(transport)).unwrap();
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/breaks");
        let mut body = client.send(request).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "so far");
        server.break_off();
        let error = body.collect(1 << 20).await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let told = source.to_string();
        assert!(told.starts_with(&format!("the connection to https://{} broke", server.address)), "{told}");
    }
}

#[tokio::test]
async fn each_transport_alone_tells_what_is_wrong() {
    let neither = Server::start(false, false).await;
    let told = |error: Error| error.to_string().replace(&neither.address.to_string(), "SERVER");
    let tcp = Client::new(&neither.config(Transport::Tcp)).unwrap();
    insta::assert_snapshot!(told(get(&tcp).await.unwrap_err()), @"cannot reach https://SERVER: connection refused: is `nexusctl up` running, and is this its address?");
    let auto = Client::new(&neither.config(Transport::Auto)).unwrap();
    let begun = Instant::now();
    let error = told(get(&auto).await.unwrap_err());
    assert!(error.contains("connection refused: is `nexusctl up` running"), "{error}");
    // Ten seconds are what each step may take at the most: none did.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_asks_without_tls_is_told_of_it() {
    let server = Server::start(true, true).await;
    let config = Config::new(hypermesh_client::Server::parse(&format!("http://{}", server.address)).unwrap());
    let error = get(&Client::new(&config).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("without TLS") && error.ends_with("write https:// in its URL"), "{error}");
}

#[tokio::test]
async fn shut_udp_is_told_with_the_way_round_it() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(false, false).await;
    let mut config = server.config(Transport::Http3);
    let url = format!("https://{}", silent.local_addr().unwrap());
    config.server = hypermesh_client::Server::parse(&url).unwrap();
    config.patience = Duration::from_secs(1);
    let error = get(&Client::new(&config).unwrap()).await.unwrap_err().to_string();
    assert!(
        error.ends_with("no answer over UDP within 3 s: where UDP is shut, --transport tcp does"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stranger_is_told_in_the_same_words_over_each() {
    let server = Server::start(true, true).await;
    let stranger = Server::start(true, true).await;
    for transport in [Transport::Http3, Transport::Tcp, Transport::Auto] {
        let mut config = server.config(transport);
        config.trust = stranger.config(transport).trust;
        let error = get(&Client::new(&config).unwrap()).await.unwrap_err().to_string();
        let wanted = "its certificate was not issued by an authority that is trusted here (ca)";
        assert!(error.contains(wanted), "{transport:?}: {error}");
        assert!(!error.contains("over HTTP/3"), "told twice: {error}");
        // Where the kubeconfig names nobody, it is not the kubeconfig's authority that is blamed.
        config.trust = hypermesh_client::Trust::System { bundle: None };
        let error = get(&Client::new(&config).unwrap()).await.unwrap_err().to_string();
        let wanted = "by an authority that this machine trusts, and no other is named";
        assert!(
            error.contains(wanted) && error.contains("certificate-authority-data"),
            "{transport:?}: {error}"
        );
        assert!(!error.contains("over HTTP/3"), "told twice: {error}");
    }
}

#[tokio::test]
async fn another_name_is_told_with_who_asks_for_it_over_each() {
    let server = Server::start(true, true).await;
    for transport in [Transport::Http3, Transport::Tcp, Transport::Auto] {
        let mut config = server.config(transport);
        config.server_name = Some("api.example".to_owned());
        let told = async |config: &Config| get(&Client::new(config).unwrap()).await.unwrap_err().to_string();
        let error = told(&config).await;
        let wanted = "its certificate is for other names (127.0.0.1), not for api.example: use one of them as the server";
        assert!(error.contains(wanted), "{transport:?}: {error}");
        config.server_name_origin = Some("/k:7:22: clusters[0].cluster.tls-server-name".to_owned());
        let error = told(&config).await;
        let wanted = "not for api.example, which /k:7:22: clusters[0].cluster.tls-server-name asks for: name one of them there";
        assert!(error.contains(wanted) && !error.contains("over HTTP/3"), "{transport:?}: {error}");
        // What is no name at all is told before anything is dialled.
        config.server_name = Some("https://api.example".to_owned());
        let error = Client::new(&config).err().unwrap().to_string();
        assert!(
            error.starts_with(
                "/k:7:22: clusters[0].cluster.tls-server-name: \"https://api.example\" is no name"
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_token_that_is_renewed_on_disk_is_taken_up() {
    let server = Server::start(true, true).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), server.authority()).unwrap();
    let path = folder.path().join("config");
    let write = |token: &str| {
        let text = format!(
            "current-context: c\ncontexts:\n- {{name: c, context: {{cluster: c, user: u}}}}\nusers:\n\
             - {{name: u, user: {{token: {token}}}}}\nclusters:\n\
             - {{name: c, cluster: {{server: 'https://{}', certificate-authority: ca.crt}}}}\n",
            server.address
        );
        // As the server writes it: beside, and then in its place.
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
    };
    write("old");
    let client = Client::new(&Config::from_kubeconfig(&path).unwrap()).unwrap();
    let code = async || {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/known");
        client.send(request).await.unwrap().status().as_u16()
    };
    assert_eq!(code().await, 401);
    write("new");
    // Who is refused looks at once.
    assert_eq!(code().await, 200);
    // What is written half or wrong does not take away what works.
    std::fs::write(&path, "nonsense: [").unwrap();
    assert_eq!(code().await, 200);
}

#[tokio::test]
async fn an_identity_that_is_handed_out_is_asked_for_again_once_it_is_refused() {
    let server = Server::start(true, true).await;
    let mut config = server.config(Transport::Tcp);
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, mut next) = (Arc::clone(&asked), config.clone());
    next.identity.token = Some("new".to_owned());
    let read = move || {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(next.clone())
    };
    config.identity.token = Some("old".to_owned());
    config.source = Some(Source { files: Vec::new(), read: Arc::new(read), hands_out: true });
    let client = Client::new(&config).unwrap();
    let code = async || {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/known");
        client.send(request).await.unwrap().status().as_u16()
    };
    assert_eq!((code().await, asked.load(Ordering::SeqCst)), (401, 0));
    // Not at once: who hands out what nobody takes would be asked with every request.
    let renewed = async {
        while code().await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), renewed).await.unwrap();
    assert_eq!((code().await, asked.load(Ordering::SeqCst)), (200, 1));
}
