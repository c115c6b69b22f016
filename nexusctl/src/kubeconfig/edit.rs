//! Kubeconfigs as they are changed: one file at a time, whole or not at all, nothing lost that is not understood.
//!
//! Which file a change goes to follows kubectl (`k8s.io/client-go/tools/clientcmd/config.go`): an entry is changed where
//! it stands; a new one, and the current context, goes to the first file of the list that exists. A file is replaced by
//! a new one with its permissions, under the lock that kubectl takes too. Comments do not survive, as with kubectl.

use crate::{
    bounded,
    kubeconfig::{Error, File, file::LARGEST},
    output::yaml,
    replace::replace,
};
use serde_json::{Map, Value, json};
use std::{
    fs::{self, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long another program's lock is waited for.
const LOCKED: Duration = Duration::from_secs(3);

/// A list of named entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `clusters`
    Cluster,
    /// `contexts`
    Context,
    /// `users`
    User,
}

impl Kind {
    /// `cluster`, `context`, `user`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Context => "context",
            Self::User => "user",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Cluster => "clusters",
            Self::Context => "contexts",
            Self::User => "users",
        }
    }
}

/// One file, to be changed.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file.
    pub path: PathBuf,
    root: Map<String, Value>,
    changed: bool,
}

/// The files of one invocation, the first winning.
#[derive(Clone, Debug)]
pub struct Documents {
    files: Vec<Document>,
    /// Index of the file that gets what is new.
    default: usize,
}

impl Document {
    /// Reads a file; one that does not exist yet is empty.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = match bounded::text(path, LARGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Unreadable { path: path.to_owned(), source }),
        };
        // The reader that knows places tells what is wrong.
        let file = File::parse(path, &text)?;
        for kind in [Kind::Cluster, Kind::Context, Kind::User] {
            file.check(kind.list(), kind.word())?;
        }
        let root: Value = match text.trim().is_empty() {
            true => json!({}),
            false => serde_saphyr::from_str(&text).map_err(|error| Error::Unreadable {
                path: path.to_owned(),
                // Its words may show a line, and a line may hold a key.
                source: io::Error::other(match error.location() {
                    Some(at) => format!("not valid YAML at line {}, column {}", at.line(), at.column()),
                    None => "not valid YAML".to_owned(),
                }),
            })?,
        };
        let Value::Object(root) = root else {
            return Ok(Self { path: path.to_owned(), root: Map::new(), changed: false });
        };
        Ok(Self { path: path.to_owned(), root, changed: false })
    }

    fn list(&self, kind: Kind) -> &[Value] {
        self.root.get(kind.list()).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn position(&self, kind: Kind, name: &str) -> Option<usize> {
        self.list(kind).iter().position(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
    }

    fn current(&self) -> &str {
        self.root.get("current-context").and_then(Value::as_str).unwrap_or_default()
    }

    /// What stands under an entry's name.
    fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.list(kind).get(self.position(kind, name)?)?.get(kind.word())
    }

    fn set(&mut self, kind: Kind, name: &str, inner: Value) {
        let at = self.position(kind, name);
        let list = self.root.entry(kind.list()).or_insert_with(|| json!([]));
        if !list.is_array() {
            *list = json!([]);
        }
        let Value::Array(list) = list else { return };
        match at.and_then(|at| list.get_mut(at)) {
            Some(entry) => entry[kind.word()] = inner,
            None => list.push(json!({"name": name, kind.word(): inner})),
        }
        self.changed = true;
    }

    /// The file's text.
    fn text(&self) -> String {
        let mut root = self.root.clone();
        root.entry("apiVersion").or_insert_with(|| json!("v1"));
        root.entry("kind").or_insert_with(|| json!("Config"));
        yaml::to_string(&Value::Object(root))
    }

    /// Replaces the file.
    fn write(&self) -> Result<(), Error> {
        replace(&self.path, self.text().as_bytes())
            .map_err(|source| Error::Unwritable { path: self.path.clone(), source })
    }
}

/// The lock that kubectl takes as well: a file beside the file.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)
                .map_err(|source| Error::Unwritable { path: path.to_owned(), source })?;
        }
        let begun = Instant::now();
        loop {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if begun.elapsed() >= LOCKED {
                        return Err(Error::Locked { path: path.to_owned(), lock });
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(source) => return Err(Error::Unwritable { path: path.to_owned(), source }),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads the files, has them changed, and writes those that were; nobody else changes them meanwhile.
pub fn change<T>(
    paths: &[PathBuf],
    change: impl FnOnce(&mut Documents) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut sorted: Vec<&PathBuf> = paths.iter().collect();
    // In one order, so that two who change the same files do not wait for each other.
    sorted.sort();
    sorted.dedup();
    let writable = |path: &&&PathBuf| {
        path.exists() || path.parent().is_some_and(|folder| folder.exists() || paths.len() == 1)
    };
    let _locks: Vec<Lock> =
        sorted.iter().filter(writable).map(|path| Lock::take(path)).collect::<Result<_, _>>()?;
    let mut documents = Documents::read(paths)?;
    let outcome = change(&mut documents)?;
    for document in documents.files.iter().filter(|document| document.changed) {
        document.write()?;
    }
    Ok(outcome)
}

impl Documents {
    /// Reads the files of a list; at least one.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Error> {
        let default = paths.iter().position(|path| path.exists()).unwrap_or(paths.len().saturating_sub(1));
        let files = paths.iter().map(|path| Document::read(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { files, default })
    }

    /// The current context; empty for none.
    pub fn current(&self) -> &str {
        self.files.iter().map(Document::current).find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// Names of a kind, in order, each once.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for entry in self.files.iter().flat_map(|file| file.list(kind)) {
            if let Some(name) = entry.get("name").and_then(Value::as_str)
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
        names
    }

    /// What stands under a name.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Value> {
        self.files.iter().find_map(|file| file.get(kind, name))
    }

    /// Sets an entry where it stands, or in the file for what is new. True if it is new.
    pub fn set(&mut self, kind: Kind, name: &str, inner: Value) -> bool {
        let found = self.files.iter().position(|file| file.position(kind, name).is_some());
        if let Some(file) = self.files.get_mut(found.unwrap_or(self.default)) {
            file.set(kind, name, inner);
        }
        found.is_none()
    }

    /// Makes a context the current one.
    pub fn use_context(&mut self, name: &str) {
        // The first file that says something wins, so it is there that it has to be said.
        let said = self.files.iter().position(|file| !file.current().is_empty());
        if let Some(file) = self.files.get_mut(said.unwrap_or(self.default)) {
            file.root.insert("current-context".to_owned(), json!(name));
            file.changed = true;
        }
    }

    /// Takes an entry away, from the first file that has it; the file.
    pub fn delete(&mut self, kind: Kind, name: &str) -> Result<PathBuf, Error> {
        for file in &mut self.files {
            if let Some(at) = file.position(kind, name)
                && let Some(Value::Array(list)) = file.root.get_mut(kind.list())
            {
                list.remove(at);
                file.changed = true;
                return Ok(file.path.clone());
            }
        }
        Err(self.unknown(kind, name))
    }

    /// Gives a context another name, wherever it stands, and makes that the current one if it was.
    pub fn rename_context(&mut self, from: &str, to: &str) -> Result<(), Error> {
        if self.get(Kind::Context, to).is_some() {
            return Err(Error::Exists { what: Kind::Context.word(), name: to.to_owned() });
        }
        let Some(inner) = self.get(Kind::Context, from).cloned() else {
            return Err(self.unknown(Kind::Context, from));
        };
        let current = self.current() == from;
        let at = self.files.iter().position(|file| file.position(Kind::Context, from).is_some());
        self.delete(Kind::Context, from)?;
        if let Some(file) = at.and_then(|at| self.files.get_mut(at)) {
            file.set(Kind::Context, to, inner);
        }
        if current {
            self.use_context(to);
        }
        Ok(())
    }

    /// That there is no entry of a name.
    pub fn unknown(&self, kind: Kind, name: &str) -> Error {
        Error::Unknown { what: kind.word(), name: name.to_owned(), known: self.names(kind), by: None }
    }

    /// All files as one, as clients see them. Files that entries name are told from the root.
    pub fn merged(&self) -> Value {
        let mut merged = json!({"apiVersion": "v1", "kind": "Config", "preferences": {}});
        for kind in [Kind::Cluster, Kind::Context, Kind::User] {
            let entries = self.names(kind).into_iter().filter_map(|name| {
                let file = self.files.iter().find(|file| file.position(kind, &name).is_some())?;
                let mut inner = file.get(kind, &name)?.clone();
                absolute(&mut inner, &file.path);
                Some(json!({"name": name, kind.word(): inner}))
            });
            merged[kind.list()] = entries.collect();
        }
        merged["current-context"] = json!(self.current());
        let further = self.files.iter().rev().flat_map(|file| &file.root);
        for (key, value) in further {
            if merged.get(key).is_none() || key == "preferences" {
                merged[key] = value.clone();
            }
        }
        merged
    }
}

/// Fields that name files, and those that hold what is in them.
pub const FILES: [(&str, &str); 3] = [
    ("certificate-authority", "certificate-authority-data"),
    ("client-certificate", "client-certificate-data"),
    ("client-key", "client-key-data"),
];

fn absolute(inner: &mut Value, file: &Path) {
    let folder = file.parent().unwrap_or(Path::new("."));
    let names = FILES.iter().map(|(path, _)| *path).chain(["tokenFile"]);
    for name in names {
        if let Some(Value::String(path)) = inner.get_mut(name)
            && !path.is_empty()
        {
            *path = folder.join(&*path).display().to_string();
        }
    }
}
