//! Keys and values of ConfigMaps and Secrets: from words, files, folders and env files.
//!
//! Keys and limits are those of the server, told here by the flag that they came from.

use crate::{error::Error, session::Session};
use clap::Args;
use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

/// The largest file that is read, in bytes: an object has at most 3 MiB.
const LARGEST: u64 = 3 << 20;

/// Where keys and values come from.
#[derive(Args, Clone, Debug, Default)]
pub struct Data {
    /// KEY=VALUE; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// [KEY=]FILE, a folder whose files become keys, or KEY=- for standard input; may be given several times
    #[arg(long, value_name = "[KEY=]FILE")]
    pub from_file: Vec<String>,
    /// File of KEY=VALUE lines; may be given several times
    #[arg(long, value_name = "FILE")]
    pub from_env_file: Vec<String>,
}

/// Bytes by key.
pub(super) type Values = BTreeMap<String, Vec<u8>>;

impl Data {
    /// Reads everything.
    pub(super) fn read(&self, session: &mut Session) -> Result<Values, Error> {
        let mut values = Values::new();
        for word in &self.from_literal {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| Error::Message(format!("--from-literal={word}: give KEY=VALUE")))?;
            put(&mut values, key, value.as_bytes().to_vec(), "--from-literal")?;
        }
        for word in &self.from_file {
            let (key, path) = match word.split_once('=') {
                Some((key, path)) => (Some(key), path),
                None => (None, word.as_str()),
            };
            self.file(key, path, &mut values, session)?;
        }
        for path in &self.from_env_file {
            env_file(path, &text(path)?, &mut values)?;
        }
        Ok(values)
    }

    fn file(
        &self,
        key: Option<&str>,
        path: &str,
        values: &mut Values,
        session: &mut Session,
    ) -> Result<(), Error> {
        if path == "-" {
            let key = key.ok_or_else(|| {
                Error::Message("--from-file=-: say the key too: --from-file=KEY=-".to_owned())
            })?;
            let mut bytes = Vec::new();
            let read = session.streams.input.by_ref().take(LARGEST + 1).read_to_end(&mut bytes);
            read.map_err(|error| Error::Message(format!("cannot read standard input: {error}")))?;
            return put(values, key, bytes, "--from-file");
        }
        let place = Path::new(path);
        if !place.is_dir() {
            let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            return put(values, key.unwrap_or(&name), bytes(path)?, "--from-file");
        }
        if let Some(key) = key {
            let words = format!("--from-file={key}={path}: a folder's files have keys of their own");
            return Err(Error::Message(words));
        }
        let unreadable = |error| Error::Message(format!("cannot read {path}: {error}"));
        let mut entries: Vec<_> =
            fs::read_dir(place).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        // As kubectl: what cannot be a key, and what is no plain file, is passed over.
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_file()) && check(&name).is_ok() {
                put(values, &name, bytes(&entry.path().display().to_string())?, "--from-file")?;
            }
        }
        Ok(())
    }
}

/// A file's bytes.
pub(super) fn bytes(path: &str) -> Result<Vec<u8>, Error> {
    let unreadable = |error| Error::Message(format!("cannot read {path}: {error}"));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::Message(format!(
            "{path} is larger than {} MiB, which no object holds",
            LARGEST >> 20
        )));
    }
    Ok(bytes)
}

fn text(path: &str) -> Result<String, Error> {
    String::from_utf8(bytes(path)?).map_err(|_| Error::Message(format!("{path} is not text")))
}

/// Lines of `KEY=VALUE`, as Docker reads them: comments and empty lines are left out, a name alone has no value here.
fn env_file(path: &str, text: &str, values: &mut Values) -> Result<(), Error> {
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{path}:{}", number + 1);
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| Error::Message(format!("{place}: {line:?} has no value: give KEY=VALUE")))?;
        put(values, key, value.as_bytes().to_vec(), &place)?;
    }
    Ok(())
}

fn put(values: &mut Values, key: &str, value: Vec<u8>, origin: &str) -> Result<(), Error> {
    check(key).map_err(|why| Error::Message(format!("{origin}: {why}")))?;
    if values.insert(key.to_owned(), value).is_some() {
        return Err(Error::Message(format!("{origin}: the key {key:?} is given twice")));
    }
    Ok(())
}

/// What a key may look like: it becomes a file name when it is mounted.
fn check(key: &str) -> Result<(), String> {
    let sound = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if key.is_empty() || !sound {
        return Err(format!("{key:?} cannot be a key: letters, digits, '-', '_' and '.' can"));
    }
    if key == "." || key.starts_with("..") || key.len() > 253 {
        return Err(format!("{key:?} cannot be a key: it would be no file name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_read_as_docker_reads_them() {
        let mut values = Values::new();
        env_file("x.env", "\u{feff}# a comment\n\nA=1\n  B = two = 2 \nC=\n", &mut values).unwrap_err();
        values.clear();
        env_file("x.env", "# a comment\n\nA=1\n  B=two = 2 \nC=\n", &mut values).unwrap();
        let text = |key: &str| String::from_utf8(values[key].clone()).unwrap();
        assert_eq!((text("A"), text("B"), text("C")), ("1".into(), "two = 2 ".into(), String::new()));
        let error = env_file("x.env", "A=1\nB\n", &mut Values::new()).unwrap_err();
        assert_eq!(error.to_string(), "x.env:2: \"B\" has no value: give KEY=VALUE");
    }
}
