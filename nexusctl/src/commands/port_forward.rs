//! `port-forward`: ports of an instance, on this machine.

use crate::{
    client::{Call, Client},
    error::{Error, Exit, chain},
    output::escape_line,
    running::{self, Place},
    session::Session,
};
use clap::Args;
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::LocalSet,
};

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
}

/// Runs the verb, until it is stopped.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let mut place = running::one(&arguments.instance, session).await?;
    let instance = place.read(session).await?.clone();
    let client = session.client()?;
    let mut listeners = Vec::new();
    for text in &arguments.ports {
        let (here, there) = ports(text, &instance)?;
        for address in &arguments.address {
            let at = SocketAddr::new(*address, here);
            let listener = TcpListener::bind(at).await.map_err(|error| listening(at, there, &error))?;
            let at = listener.local_addr().map_err(|error| listening(at, there, &error))?;
            session.say(&format!("Forwarding from {at} -> {there}"))?;
            listeners.push((listener, there));
        }
    }
    session.flush()?;
    LocalSet::new().run_until(serve(listeners, place, client, &arguments.instance, session)).await
}

/// What is told of connections.
enum Told {
    Note(String),
    /// The instance of this name is not there any more.
    Gone(String),
}

async fn serve(
    listeners: Vec<(TcpListener, u16)>,
    place: Place,
    client: Rc<Client>,
    word: &str,
    session: &mut Session,
) -> Result<Exit, Error> {
    let (tell, mut told) = mpsc::unbounded_channel::<Told>();
    // Which instance it is may change: of a workload, any will do.
    let place = Rc::new(RefCell::new(place));
    for (listener, there) in listeners {
        let (client, place, tell) = (Rc::clone(&client), Rc::clone(&place), tell.clone());
        tokio::task::spawn_local(async move {
            loop {
                let connection = match listener.accept().await {
                    Ok((connection, _)) => connection,
                    Err(error) => {
                        let _ = tell.send(Told::Note(format!("a connection could not be taken: {error}")));
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let (client, place, tell) = (Rc::clone(&client), place.borrow().clone(), tell.clone());
                tokio::task::spawn_local(async move {
                    if let Err(error) = carry(connection, &client, &place, there).await {
                        let _ = tell.send(Told::Note(broken(there, &place.name, &error)));
                        if matches!(&error, Error::Client(error) if error.is_not_found()) {
                            let _ = tell.send(Told::Gone(place.name));
                        }
                    }
                });
            }
        });
    }
    loop {
        tokio::select! {
            Some(told) = told.recv() => match told {
                Told::Note(words) => session.note(&words),
                // Several connections may have found out.
                Told::Gone(name) if place.borrow().name == name => {
                    let next = next(&name, word, session).await?;
                    session.note(&format!("forwarding to {} from now on", escape_line(&next.name)));
                    *place.borrow_mut() = next;
                }
                Told::Gone(_) => {}
            },
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        }
    }
}

/// The instance that takes the place of one that is gone: another of the workload that was named. An instance that was
/// named itself has no other.
async fn next(gone: &str, word: &str, session: &mut Session) -> Result<Place, Error> {
    let over = || Error::Message(format!("{} is gone, and so is what was forwarded", escape_line(gone)));
    match running::one(word, session).await {
        Ok(place) if place.name != gone => Ok(place),
        Ok(_) => Err(over()),
        Err(error) => Err(error),
    }
}

/// Why a connection came to nothing, for people.
fn broken(port: u16, instance: &str, error: &Error) -> String {
    let (instance, words) = (escape_line(instance), chain(error));
    if words.contains("Connection refused") {
        return format!("error: connection refused by port {port} in {instance}: nothing listens there");
    }
    format!("error: port {port} in {instance}: {words}")
}

/// Carries one connection, both ways, until both have ended. One that comes to nothing is reset, as the port itself would
/// have done: an end in order would say that all that there was has been sent.
async fn carry(connection: TcpStream, client: &Client, place: &Place, there: u16) -> Result<(), Error> {
    let (send, body) = running::body();
    let path = Call::get(place.path("portforward")).query(&[("port", &there.to_string())]).path;
    let mut answer = match client.open(&path, hypermesh_stream::RAW, body).await {
        Ok(answer) => answer,
        Err(error) => {
            let _ = connection.set_zero_linger();
            return Err(error.into());
        }
    };
    let (mut from, mut to) = connection.into_split();
    let up = tokio::task::spawn_local(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count) = from.read(&mut buffer).await {
            let bytes = bytes::Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if count == 0 || send.send(bytes).await.is_err() {
                break;
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
    up.abort();
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

/// The port here (0: any) and the port there.
fn ports(text: &str, instance: &Value) -> Result<(u16, u16), Error> {
    let wrong = |words: &str| Error::Message(format!("{text:?}: {words}"));
    let (here, there) = text.split_once(':').map_or((None, text), |(here, there)| (Some(here), there));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let there_number = number(there).or_else(|| named(there, instance));
    let there_number = there_number.ok_or_else(|| {
        wrong(&format!(
            "{there:?} is neither a port from 1 to 65535 nor the name of a port of its containers"
        ))
    })?;
    match here {
        None => Ok((there_number, there_number)),
        Some("") => Ok((0, there_number)),
        Some(here) => {
            let here = here.parse().map_err(|_| wrong("the port here is a number from 0 to 65535"))?;
            Ok((here, there_number))
        }
    }
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
        let instance = json!({"spec": {"pod": {"containers": [{"name": "a"}, {"ports": [{"name": "http", "containerPort": 8080}]}]}}});
        let of = |text: &str| ports(text, &instance).map_err(|error| error.to_string());
        assert_eq!(
            [of("80"), of("1:80"), of(":80"), of("0:http"), of("http")],
            [Ok((80, 80)), Ok((1, 80)), Ok((0, 80)), Ok((0, 8080)), Ok((8080, 8080))]
        );
        for wrong in ["", "0", "x", "1:", "a:80", "65536", "1:2:3"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
