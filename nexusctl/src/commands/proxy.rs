//! `proxy`: a plain HTTP endpoint on this machine that identifies and signs as the kubeconfig says.
//!
//! For kubectl, Argo CD, Flux and browsers, which cannot sign: what they send is signed here, on their machine, so that
//! no replica has to be trusted to vouch for it. A body in protobuf or YAML becomes JSON first, since JSON is what is
//! ordered and signed; the reply is passed on as it comes.
//!
//! Whoever reaches the endpoint acts as the caller. So it listens on loopback (or a socket of the caller's alone) unless
//! told otherwise, and answers only to names that are its own and to pages that it served itself: a name that a stranger
//! points at 127.0.0.1, or a page of theirs, gets nothing.

mod forward;
mod gate;
mod listen;

use crate::{
    client::Client,
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use gate::Gate;
use http::Method;
use listen::Listener;
use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// How long requests that are under way may go on after the signal to end. Watches never end by themselves.
const FAREWELL: Duration = Duration::from_millis(500);

/// Arguments of `proxy`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl proxy --address 127.0.0.1:8001
  kubectl --server http://127.0.0.1:8001 apply --server-side -f web.yaml
  nexusctl proxy --unix-socket ~/.hypermesh.sock --reject-methods POST,PUT,PATCH,DELETE")]
pub struct Arguments {
    /// Where to listen; port 0 takes a free one, and it is printed
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8001", value_parser = parse_address)]
    pub address: SocketAddr,
    /// Listen on a socket that only this user may open, instead of an address
    #[arg(long, value_name = "PATH", conflicts_with = "address")]
    pub unix_socket: Option<PathBuf>,
    /// Names under which the endpoint may be asked, beside localhost and its own address
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub accept_hosts: Vec<String>,
    /// Methods that are refused: POST,PUT,PATCH,DELETE makes it read-only
    #[arg(long, value_name = "METHOD", value_delimiter = ',', value_parser = parse_method)]
    pub reject_methods: Vec<Method>,
    /// Listen where other machines can reach it: whoever reaches it acts as you
    #[arg(long)]
    pub allow_remote: bool,
}

/// An address, or a name of this machine. Of the addresses of a name the one that programs try by themselves is taken:
/// `localhost` is 127.0.0.1 to most of them, whatever stands first in a hosts file.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let known = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if known.is_none() {
        return Err("give HOST:PORT, such as localhost:8001 or 127.0.0.1:8001".to_owned());
    }
    let found = text.to_socket_addrs().map_err(|error| format!("that name has no address ({error})"))?;
    found.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "that name has no address".to_owned())
}

fn parse_method(text: &str) -> Result<Method, String> {
    let method = text.to_ascii_uppercase();
    let known = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    match known.contains(&method.as_str()) {
        true => Method::from_bytes(method.as_bytes()).map_err(|e| e.to_string()),
        false => Err(format!("there is no method {text:?}; there are {}", known.join(", "))),
    }
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let listener = match &arguments.unix_socket {
        Some(path) => Listener::unix(path)?,
        None => Listener::tcp(arguments.address, arguments.allow_remote).await?,
    };
    let target = session.target()?;
    let client = Client::renewed(&target, session)?;
    let gate = Gate::new(listener.address(), &arguments.accept_hosts, &arguments.reject_methods);
    session.say(&format!("Starting to serve on {listener}"))?;
    session.flush()?;
    let end = ended()?;
    listener.serve(Arc::new(forward::Forward::new(client, gate)), end, FAREWELL).await;
    Ok(Exit::Success)
}

/// Ends with SIGINT or SIGTERM.
fn ended() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let catch = |kind| signal(kind).map_err(|e| Error::Message(format!("cannot wait for signals: {e}")));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::parse_address;

    #[test]
    fn an_endpoint_is_an_address_or_a_name_of_this_machine() {
        let shown = |text| parse_address(text).map(|address| address.to_string());
        assert_eq!(shown("localhost:8001").as_deref(), Ok("127.0.0.1:8001"));
        assert_eq!(shown("[::1]:0").as_deref(), Ok("[::1]:0"));
        for wrong in ["localhost", ":8001", "8001", "localhost:http", "127.0.0.1:99999"] {
            assert!(shown(wrong).is_err_and(|why| why.contains("give HOST:PORT")), "{wrong}");
        }
    }
}
