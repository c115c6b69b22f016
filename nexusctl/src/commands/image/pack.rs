//! `image pack`: an image of static binaries and folders, into a file that any tool reads.

use crate::{
    error::{Error, Exit, chain},
    session::Session,
};
use clap::Args;
use hypermesh_image::{ExportTo, PackSource, PackSpec, Platform, Reference, Store, StoreOptions};
use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "Examples:
  # One static binary, which becomes the entrypoint
  nexusctl image pack -t localhost/hello:1 ./hello
  # Several, a folder, and how it runs
  nexusctl image pack -t localhost/site:1 -o site.tar ./httpd=/bin/httpd ./public=/srv \\
      --entrypoint /bin/httpd --arg -f --arg -h --arg /srv --port 8080 --run-as 1000";

/// Arguments of `image pack`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files and folders of this machine, each with its place in the image: FILE or FILE=/PLACE. Without a place a file
    /// lies in /, and a folder's contents too
    #[arg(required = true, value_name = "FROM[=/TO]")]
    pub sources: Vec<String>,
    /// The image's name
    #[arg(short, long, value_name = "NAME:TAG")]
    pub tag: String,
    /// File to write, - for standard output [default: the name's last part with .tar]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A word of the command; may be given several times [default: the only program]
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub entrypoint: Vec<String>,
    /// An argument of it; may be given several times
    #[arg(long = "arg", value_name = "WORD", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// An environment variable; may be given several times
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// A port that it listens on, for who reads the image; may be given several times
    #[arg(long, value_name = "PORT")]
    pub port: Vec<String>,
    /// Who runs it: a user's number or name, and group after a colon [default: root]
    #[arg(long, value_name = "USER")]
    pub run_as: Option<String>,
    /// Where it runs
    #[arg(long, value_name = "FOLDER")]
    pub working_dir: Option<String>,
    /// What is said about it; may be given several times
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// For which platform [default: what the binaries are for]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// Runs the verb.
pub fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let name: Reference = arguments.tag.parse().map_err(|error| failed("--tag", &error))?;
    let spec = spec(&arguments)?;
    let here = |error: std::io::Error| failed("a folder to work in", &error);
    let work = tempfile::tempdir().map_err(here)?;
    let (store, _) =
        Store::open(work.path(), StoreOptions::default()).map_err(|error| failed("packing", &error))?;
    let packed = store.pack(&name, &spec).map_err(|error| failed("packing", &error))?;
    let archive = work.path().join("packed.tar");
    let to = ExportTo::Tar(archive.clone());
    store.export(std::slice::from_ref(&name), &to).map_err(|error| failed("packing", &error))?;
    let output = arguments.output.unwrap_or_else(|| usual(&arguments.tag));
    write(&archive, &output, session)?;
    for note in &packed.notes {
        session.note(&format!("Note: {note}"));
    }
    if output.as_os_str() != "-" {
        session.say(&format!("{name} for {} packed into {}", packed.platform, output.display()))?;
        session.say(&format!("{}", packed.manifest))?;
    }
    Ok(Exit::Success)
}

fn spec(arguments: &Arguments) -> Result<PackSpec, Error> {
    let platform = arguments.platform.as_deref().map(str::parse::<Platform>).transpose();
    let labels = arguments.label.iter().map(|label| {
        let pair = label.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) =
            pair.ok_or_else(|| Error::Message(format!("--label {label}: write NAME=VALUE")))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    Ok(PackSpec {
        sources: arguments.sources.iter().map(|text| source(text)).collect::<Result<_, _>>()?,
        entrypoint: arguments.entrypoint.clone(),
        args: arguments.args.clone(),
        env: arguments.env.clone(),
        user: arguments.run_as.clone().unwrap_or_default(),
        working_dir: arguments.working_dir.clone().unwrap_or_default(),
        ports: arguments.port.clone(),
        labels: labels.collect::<Result<_, Error>>()?,
        platform: platform.map_err(|error| failed("--platform", &error))?,
        time: epoch()?,
        owner: (0, 0),
    })
}

/// When it was made, as reproducible builds say it (`SOURCE_DATE_EPOCH`); else 1970, so that the same input gives the
/// same image.
fn epoch() -> Result<u64, Error> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => text.parse().map_err(|_| {
            Error::Message(format!("SOURCE_DATE_EPOCH is {text:?}: seconds since 1970 are expected"))
        }),
    }
}

/// `FROM=/TO`, where a file may have an equals sign in its name as long as no `=/` is in it.
fn source(text: &str) -> Result<PackSource, Error> {
    if let Some((from, to)) = text.split_once("=/") {
        return Ok(PackSource { from: PathBuf::from(from), to: format!("/{to}") });
    }
    let from = PathBuf::from(text);
    let missing = || Error::Message(format!("{text}: there is no such file or folder"));
    let folder = from.metadata().map_err(|_| missing())?.is_dir();
    let to = match from.file_name() {
        Some(name) if !folder => format!("/{}", name.to_string_lossy()),
        _ => "/".to_owned(),
    };
    Ok(PackSource { from, to })
}

/// `localhost/team/hello:1` → `hello.tar`.
fn usual(tag: &str) -> PathBuf {
    let last = tag.rsplit('/').next().unwrap_or(tag);
    let name = last.split(['@', ':']).next().filter(|name| !name.is_empty()).unwrap_or("image");
    PathBuf::from(format!("{name}.tar"))
}

fn write(archive: &Path, output: &Path, session: &mut Session) -> Result<(), Error> {
    let reading = |error: std::io::Error| failed("reading what was packed", &error);
    if output.as_os_str() != "-" {
        let told = |error: std::io::Error| failed(&output.display().to_string(), &error);
        return std::fs::copy(archive, output).map(drop).map_err(told);
    }
    if session.streams.out_width.is_some() {
        return Err(Error::Message("an image is not for a terminal: say --output FILE, or pipe it".into()));
    }
    let mut file = std::fs::File::open(archive).map_err(reading)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer).map_err(reading)?;
        if count == 0 {
            return session.streams.out.flush().map_err(|error| failed("standard output", &error));
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        session.streams.out.write_all(bytes).map_err(|error| failed("standard output", &error))?;
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Error {
    Error::Message(format!("{what}: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a=b");
        std::fs::write(&file, "").unwrap();
        let of = |text: &str| {
            source(text).map(|source| (source.from, source.to)).map_err(|error| error.to_string())
        };
        assert_eq!(of(file.to_str().unwrap()), Ok((file.clone(), "/a=b".to_owned())));
        assert_eq!(of(folder.path().to_str().unwrap()), Ok((folder.path().to_owned(), "/".to_owned())));
        assert_eq!(of("a=/b/c"), Ok((PathBuf::from("a"), "/b/c".to_owned())));
        assert_eq!(of("not-there"), Err("not-there: there is no such file or folder".to_owned()));
    }

    #[test]
    fn usual_names() {
        let of = |tag: &str| usual(tag).display().to_string();
        assert_eq!(
            ["localhost/team/hello:1", "hello", "a.b:5000/x@sha256:00", ":1"].map(of),
            ["hello.tar", "hello.tar", "x.tar", "image.tar"]
        );
    }
}
