//! `cp`: files to and from a container, by the `tar` that it has.
//!
//! What comes from a container is not trusted: of its archive only files and folders are taken, each below the place
//! that was named, and through no link.

mod pack;
mod unpack;

use crate::{
    client::Call,
    commands::exec::commanded,
    error::{Error, Exit},
    running::{self, Duplex, Ended, Place},
    session::Session,
};
use clap::Args;
use hypermesh_stream::{Channel, Frame};
use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    thread,
};

/// Bytes of a command's errors that are told, at most.
const WORDS: usize = 4096;

const EXAMPLES: &str = "Examples:
  nexusctl cp ./site web-1:/srv/site
  nexusctl cp web-1:/var/log/app.log .
  nexusctl cp -c db workload/web:/data ./data";

/// Arguments of `cp`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What is copied: a path of this machine, or INSTANCE:PATH
    pub from: String,
    /// Where to: a path of this machine, or INSTANCE:PATH; into it where it is a folder
    pub to: String,
    /// Its container [default: the only one, or that of its annotation kubectl.kubernetes.io/default-container]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
}

/// One end of the copy.
enum End {
    Here(PathBuf),
    There(String, String),
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let container = arguments.container.as_deref();
    match (End::read(&arguments.from)?, End::read(&arguments.to)?) {
        (End::Here(from), End::There(instance, to)) => {
            let place = running::one(&instance, session).await?;
            upload(&from, &place, container, &to, session).await
        }
        (End::There(instance, from), End::Here(to)) => {
            let place = running::one(&instance, session).await?;
            download(&place, container, &from, &to, session).await
        }
        (End::Here(_), End::Here(_)) => {
            Err(Error::Message("one of the two has to be in an instance: INSTANCE:PATH".into()))
        }
        (End::There(..), End::There(..)) => {
            Err(Error::Message("one of the two has to be of this machine: copy it here first".into()))
        }
    }
}

impl End {
    /// `INSTANCE:PATH`, unless what stands before the colon looks like a path.
    fn read(text: &str) -> Result<Self, Error> {
        let Some((instance, path)) = text.split_once(':') else { return Ok(Self::Here(text.into())) };
        if instance.starts_with(['.', '/']) {
            return Ok(Self::Here(text.into()));
        }
        if instance.is_empty() || path.is_empty() {
            return Err(Error::Message(format!(
                "{text:?}: write INSTANCE:PATH, or ./{text} for a file of this machine"
            )));
        }
        Ok(Self::There(instance.to_owned(), path.to_owned()))
    }
}

async fn upload(
    from: &Path,
    place: &Place,
    container: Option<&str>,
    to: &str,
    session: &mut Session,
) -> Result<Exit, Error> {
    let told = |error: io::Error| Error::Message(format!("{}: {error}", from.display()));
    let from = from.canonicalize().map_err(told)?;
    let own = from.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = own.ok_or_else(|| Error::Message("the root folder cannot be copied".into()))?;
    let into = matches!(
        command(place, container, &["test", "-d", to], None::<io::Empty>, io::sink(), session).await?,
        Ended::Exit(0)
    );
    let (folder, name) = if into || to.ends_with('/') { (to, own) } else { split(to) };
    let (reader, writer) = io::pipe().map_err(told)?;
    let packing = thread::spawn(move || pack::write(&from, &name, writer));
    let unpack = ["tar", "-xmf", "-", "-C", folder];
    let ended = command(place, container, &unpack, Some(reader), io::sink(), session).await?;
    let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("packing panicked")));
    finish(ended, place)?;
    packed.map_err(|error| Error::Message(format!("reading what was to be copied: {error}")))?;
    Ok(Exit::Success)
}

async fn download(
    place: &Place,
    container: Option<&str>,
    from: &str,
    to: &Path,
    session: &mut Session,
) -> Result<Exit, Error> {
    let (folder, name) = split(from.trim_end_matches('/'));
    let target = if to.is_dir() { to.join(&name) } else { to.to_owned() };
    let told = |error: io::Error| Error::Message(format!("{}: {error}", target.display()));
    let (reader, writer) = io::pipe().map_err(told)?;
    let (below, at) = (name.clone(), target.clone());
    let unpacking = thread::spawn(move || unpack::read(reader, &below, &at));
    let pack = ["tar", "-cf", "-", "-C", folder, "--", &name];
    let ended = command(place, container, &pack, None::<io::Empty>, writer, session).await;
    let unpacked = unpacking.join().unwrap_or_else(|_| Err(io::Error::other("unpacking panicked")));
    finish(ended?, place)?;
    let unpacked = unpacked.map_err(told)?;
    for skipped in &unpacked.skipped {
        session.note(&format!("Not copied: {skipped}"));
    }
    if unpacked.copied == 0 {
        return Err(Error::Message(format!("{from} of {}: nothing was copied", place.name)));
    }
    Ok(Exit::Success)
}

/// Folder and last part of a path in a container.
fn split(path: &str) -> (&str, String) {
    match path.rsplit_once('/') {
        None => (".", path.to_owned()),
        Some(("", name)) => ("/", name.to_owned()),
        Some((folder, name)) => (folder, name.to_owned()),
    }
}

/// Runs a command in the container: `input` is what it reads, what it writes goes to `output`.
async fn command(
    place: &Place,
    container: Option<&str>,
    words: &[&str],
    input: Option<impl Read + Send + 'static>,
    mut output: impl Write,
    session: &mut Session,
) -> Result<Ended, Error> {
    let call = commanded(Call::get(place.path("exec")), words);
    let stdin = if input.is_some() { "true" } else { "" };
    let container = container.unwrap_or_default();
    let call =
        call.query(&[("container", container), ("stdin", stdin), ("stdout", "true"), ("stderr", "true")]);
    let client = session.client()?;
    let mut command = Duplex::open(&client, &call.path).await?;
    if let Some(input) = input {
        command.feed(input)?;
    }
    let mut words = Vec::new();
    let what = format!("copying, {}", place.name);
    loop {
        match session.wait_for(&what, command.next()).await? {
            Some(Frame::Data(Channel::Stdout, bytes)) => {
                // Who unpacks has stopped, and says why.
                let _ = output.write_all(&bytes);
            }
            Some(Frame::Data(Channel::Stderr, bytes)) if words.len() < WORDS => {
                words.extend_from_slice(&bytes)
            }
            Some(Frame::Data(Channel::Error, payload)) => {
                let words = String::from_utf8_lossy(&words).trim().to_owned();
                return Ok(match Ended::of(&payload) {
                    Ended::Exit(code) if code != 0 && !words.is_empty() => Ended::Failed(words),
                    ended => ended,
                });
            }
            Some(_) => {}
            None => return Ok(Ended::Failed("the connection ended before the copy did".to_owned())),
        }
    }
}

fn finish(ended: Ended, place: &Place) -> Result<(), Error> {
    let why = match ended {
        Ended::Exit(0) => return Ok(()),
        Ended::Exit(code) => format!("tar ended with {code}"),
        Ended::Failed(why)
            if why.contains("tar") && why.contains("not found") || why.contains("no such file") =>
        {
            format!("{why} (copying needs a tar in the container)")
        }
        Ended::Failed(why) => why,
    };
    Err(Error::Message(format!("{}: {}", place.name, crate::output::escape(&why))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let of = |text: &str| match End::read(text) {
            Ok(End::Here(path)) => format!("here {}", path.display()),
            Ok(End::There(instance, path)) => format!("{instance} {path}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            ["a", "./a:b", "/a:b", "pod/a:b:c", "a:b"].map(of),
            ["here a", "here ./a:b", "here /a:b", "pod/a b:c", "a b"]
        );
        assert_eq!(of(":b"), "\":b\": write INSTANCE:PATH, or ./:b for a file of this machine");
        assert_eq!(
            ["a", "/a", "/a/b", "a/b"].map(split),
            [(".", "a".to_owned()), ("/", "a".to_owned()), ("/a", "b".to_owned()), ("a", "b".to_owned())]
        );
    }
}
