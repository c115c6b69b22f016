//! `port-forward`: ports of an instance, on this machine.
//!
//! An instance that does not run yet is waited for. Where a workload was named and its instance goes, a connection that
//! finds out goes to the next one: nothing of it was sent, so whoever dialled does not notice.

mod awaited;

use crate::{
    cli::parse_duration,
    client::{Call, Client},
    error::{Error, Exit, chain},
    output::escape_line,
    running::{self, Place},
    session::Session,
};
use bytes::Bytes;
use clap::Args;
use http_body_util::BodyExt as _;
use hypermesh_client::Body;
use serde_json::Value;
use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot},
    task::LocalSet,
};

/// How long is read on after the other end has said all.
const LINGER: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "Examples:
  nexusctl port-forward web-1 8080
  # Port 8000 here, the port that is called http there
  nexusctl port-forward workload/web 8000:http
  # Any free port here
  nexusctl port-forward web-1 :8080";

/// Arguments of `port-forward`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The instance: NAME, pod/NAME, or workload/NAME for one that it has
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Ports: PORT, HERE:THERE, or :THERE for any free port here; THERE may be a port's name
    #[arg(required = true, value_name = "PORT")]
    pub ports: Vec<String>,
    /// Addresses of this machine to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_delimiter = ',')]
    pub address: Vec<IpAddr>,
    /// How long to wait until the instance runs
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration)]
    pub pod_running_timeout: Duration,
}

/// Runs the verb, until it is stopped.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    // A mistake in the ports is told before anything is waited for.
    let ports: Vec<Port> = arguments.ports.iter().map(|text| Port::parse(text)).collect::<Result<_, _>>()?;
    let place = awaited::running(&arguments.instance, arguments.pod_running_timeout, session).await?;
    let client = session.client()?;
    let mut listeners = Vec::new();
    for port in ports {
        let there = port.there(&place)?;
        for address in &arguments.address {
            let at = SocketAddr::new(*address, port.here.unwrap_or(there));
            let listener = TcpListener::bind(at).await.map_err(|error| listening(at, there, &error))?;
            let at = listener.local_addr().map_err(|error| listening(at, there, &error))?;
            session.say(&format!("Forwarding from {at} -> {there}"))?;
            listeners.push((listener, port.clone()));
        }
    }
    session.flush()?;
    let interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Error::Message(format!("cannot listen for signals: {error}")))?;
    let (tell, told) = mpsc::unbounded_channel();
    let current = Rc::new(RefCell::new(place));
    let forwarding = Forwarding { client, current: Rc::clone(&current), tell };
    let watch = Watch { current, told, interrupt };
    LocalSet::new()
        .run_until(async {
            for (listener, port) in listeners {
                tokio::task::spawn_local(forwarding.clone().accept(listener, port));
            }
            watch.until_stopped(&arguments, session).await
        })
        .await
}

/// What connections tell.
enum Told {
    /// Something for people.
    Note(String),
    /// The instance of this name took no connection. Answered by the one to take in its place; nothing, where it is there.
    Refused(String, oneshot::Sender<Option<Place>>),
}

/// What a connection needs.
#[derive(Clone)]
struct Forwarding {
    client: Rc<Client>,
    /// Which instance it is may change: of a workload, any will do.
    current: Rc<RefCell<Place>>,
    tell: mpsc::UnboundedSender<Told>,
}

/// Who hears what connections tell, and finds the next instance.
struct Watch {
    current: Rc<RefCell<Place>>,
    told: mpsc::UnboundedReceiver<Told>,
    interrupt: Signal,
}

impl Watch {
    async fn until_stopped(mut self, arguments: &Arguments, session: &mut Session) -> Result<Exit, Error> {
        loop {
            let told = tokio::select! {
                Some(told) = self.told.recv() => told,
                _ = self.interrupt.recv() => return Ok(Exit::Interrupted),
            };
            match told {
                Told::Note(words) => session.note(&words),
                Told::Refused(name, answer) => {
                    // Several connections may have found out.
                    let mut other = Some(self.current.borrow().clone()).filter(|place| place.name != name);
                    if other.is_none() {
                        other = tokio::select! {
                            next = next(&self.current, arguments, session) => next?,
                            _ = self.interrupt.recv() => return Ok(Exit::Interrupted),
                        };
                    }
                    let _ = answer.send(other);
                }
            }
        }
    }
}

/// The instance that takes the place of the current one, if that is gone: another of the workload that was named. An
/// instance that was named itself has no other.
async fn next(
    current: &RefCell<Place>,
    arguments: &Arguments,
    session: &mut Session,
) -> Result<Option<Place>, Error> {
    let before = current.borrow().clone();
    let Some(words) = awaited::gone(&before, session).await? else { return Ok(None) };
    if let running::Meant::One(_) = running::meant(&arguments.instance, session).await? {
        return Err(Error::Message(format!("{words}, and so is what was forwarded")));
    }
    session.note(&words);
    let next = awaited::running(&arguments.instance, arguments.pod_running_timeout, session).await?;
    session.note(&format!("forwarding to {} from now on", escape_line(&next.name)));
    current.replace(next.clone());
    Ok(Some(next))
}

impl Forwarding {
    async fn accept(self, listener: TcpListener, port: Port) {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    tokio::task::spawn_local(self.clone().forward(connection, port.clone()));
                }
                Err(error) => {
                    self.note(format!("a connection could not be taken: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn note(&self, words: String) {
        let _ = self.tell.send(Told::Note(words));
    }

    /// Carries one connection. One that comes to nothing is reset, as the port itself would have done: an end in order
    /// would say that all that there was has been sent.
    async fn forward(self, connection: TcpStream, port: Port) {
        let mut place = self.current.borrow().clone();
        let failed = loop {
            let there = match port.there(&place) {
                Ok(there) => there,
                Err(error) => break format!("error: {}", chain(&error)),
            };
            match open(&self.client, &place, there).await {
                Ok((send, answer)) => {
                    if let Err(error) = carry(connection, send, answer).await {
                        self.note(broken(there, &place.name, &error));
                    }
                    return;
                }
                Err(error) => match self.instead(&place, &error).await {
                    Some(next) => place = next,
                    None => break broken(there, &place.name, &error),
                },
            }
        };
        let _ = connection.set_zero_linger();
        self.note(failed);
    }

    /// Where to go instead, after an instance refused a connection; nothing, where it is there and means it.
    async fn instead(&self, place: &Place, error: &Error) -> Option<Place> {
        let refused = matches!(error, Error::Client(error) if error.status().is_some());
        if !refused || is_closed_port(&chain(error)) {
            return None;
        }
        let (answer, next) = oneshot::channel();
        self.tell.send(Told::Refused(place.name.clone(), answer)).ok()?;
        next.await.ok()?
    }
}

fn is_closed_port(words: &str) -> bool {
    words.contains("Connection refused")
}

/// Why a connection came to nothing, for people.
fn broken(port: u16, instance: &str, error: &Error) -> String {
    let (instance, words) = (escape_line(instance), chain(error));
    if is_closed_port(&words) {
        return format!("error: connection refused by port {port} in {instance}: nothing listens there");
    }
    format!("error: port {port} in {instance}: {words}")
}

/// Opens a connection to a port of an instance.
async fn open(client: &Client, place: &Place, there: u16) -> Result<(mpsc::Sender<Bytes>, Body), Error> {
    let (send, body) = running::body();
    let path = Call::get(place.path("portforward")).query(&[("port", &there.to_string())]).path;
    Ok((send, client.open(&path, hypermesh_stream::RAW, body).await?))
}

/// Carries one connection, both ways, until both have ended. One that breaks off is reset. When the other end has said all,
/// what comes here still is read for a moment: a socket that is closed with something unread is reset by the kernel, and
/// takes what was said last away from who has not read it yet.
async fn carry(connection: TcpStream, send: mpsc::Sender<Bytes>, mut answer: Body) -> Result<(), Error> {
    let (mut from, mut to) = connection.into_split();
    let mut up = tokio::task::spawn_local(async move {
        let (mut buffer, mut send) = (vec![0; 16 * 1024], Some(send));
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if let Some(taking) = &send
                && taking.send(bytes).await.is_err()
            {
                // Nobody takes it any more.
                send = None;
            }
        }
    });
    while let Some(frame) = answer.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                let _ = to.as_ref().set_zero_linger();
                up.abort();
                return Err(Error::Message(format!("the connection broke off: {error}")));
            }
        };
        let Some(data) = frame.data_ref() else { continue };
        if to.write_all(data).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    drop(answer);
    if tokio::time::timeout(LINGER, &mut up).await.is_err() {
        up.abort();
    }
    Ok(())
}

fn listening(at: SocketAddr, there: u16, error: &io::Error) -> Error {
    let words = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {} is in use here: say another as HERE:{there}, or :{there} for any", at.port())
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {} needs root here: say another as HERE:{there}, or :{there} for any", at.port())
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    };
    Error::Message(format!("cannot listen on {at}: {words}"))
}

/// A port to forward, as it was asked for.
#[derive(Clone, Debug, PartialEq)]
struct Port {
    /// What was asked.
    text: String,
    /// The port here; 0: any; none: as there.
    here: Option<u16>,
    /// A number, or a name that each instance may have another number for.
    there: String,
}

impl Port {
    fn parse(text: &str) -> Result<Self, Error> {
        let (here, there) = text.split_once(':').map_or((None, text), |(here, there)| (Some(here), there));
        let here = match here {
            None => None,
            Some("") => Some(0),
            Some(here) => {
                let words = || Error::Message(format!("{text:?}: the port here is a number from 0 to 65535"));
                Some(here.parse().map_err(|_| words())?)
            }
        };
        let port = Self { text: text.to_owned(), here, there: there.to_owned() };
        // RFC 6335: names of ports have letters, digits and hyphens, and a letter.
        let is_name = !there.is_empty()
            && there.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && there.bytes().any(|byte| byte.is_ascii_alphabetic());
        if is_name || number(there).is_some() { Ok(port) } else { Err(port.wrong()) }
    }

    fn wrong(&self) -> Error {
        Error::Message(format!(
            "{:?}: {:?} is neither a port from 1 to 65535 nor the name of a port of its containers",
            self.text, self.there
        ))
    }

    /// The port there.
    fn there(&self, place: &Place) -> Result<u16, Error> {
        let found = number(&self.there).or_else(|| named(&self.there, place.object.as_ref()?));
        found.ok_or_else(|| self.wrong())
    }
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

fn named(name: &str, instance: &Value) -> Option<u16> {
    let containers = instance.pointer("/spec/pod/containers")?.as_array()?;
    let mut ports = containers.iter().filter_map(|container| container["ports"].as_array()).flatten();
    ports.find(|port| port["name"] == name)?["containerPort"].as_u64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_closed_port_is_told_as_one() {
        let refused = |message: &str| {
            let status = hypermesh_api::Status::failure(502, "ServiceUnavailable", message);
            Error::Client(crate::client::Error::Refused { status: Box::new(status), retry_after: None })
        };
        let closed = refused("port 81 of the instance cannot be reached: Connection refused (os error 111)");
        assert_eq!(
            broken(81, "web-1\u{1b}", &closed),
            "error: connection refused by port 81 in web-1\\u{1b}: nothing listens there"
        );
        assert_eq!(
            broken(81, "web-1", &refused("it is gone")),
            "error: port 81 in web-1: Error from server (ServiceUnavailable): it is gone"
        );
    }

    #[test]
    fn ways_to_say_a_port() {
        let object = json!({"spec": {"pod": {"containers": [{"name": "a"}, {"ports": [{"name": "http", "containerPort": 8080}]}]}}});
        let place = Place { namespace: "default".to_owned(), name: "a".to_owned(), object: Some(object) };
        let of = |text: &str| {
            let port = Port::parse(text).map_err(|error| error.to_string())?;
            let there = port.there(&place).map_err(|error| error.to_string())?;
            Ok::<_, String>((port.here.unwrap_or(there), there))
        };
        assert_eq!(
            [of("80"), of("1:80"), of(":80"), of("0:http"), of("http")],
            [Ok((80, 80)), Ok((1, 80)), Ok((0, 80)), Ok((0, 8080)), Ok((8080, 8080))]
        );
        for wrong in ["", "0", "x", "1:", "a:80", "65536", "1:2:3"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        // What can be told without an instance is.
        for wrong in ["", "0", "1:", "a:80", "65536", "1:2:3", "99999", "a_b"] {
            assert!(Port::parse(wrong).is_err(), "{wrong}");
        }
    }
}
