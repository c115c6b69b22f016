//! Where manifests come from: files, folders, standard input. (`remote` fetches those behind a URL.)
//!
//! Reading only: nothing here looks at what the text says, but for its being UTF-8.

use crate::manifest::{
    diagnostic::{Diagnostic, Source},
    yaml::LARGEST_TEXT,
};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Extensions that a folder's files are picked by.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];
/// How deep `-R` follows folders.
const DEEPEST_FOLDER: usize = 64;

/// Why a source gives no text.
#[derive(Debug)]
pub enum Unread {
    /// There is none: a folder without manifests.
    Nothing(String),
    /// It cannot be read.
    Faulty(Diagnostic),
}

impl From<Diagnostic> for Unread {
    fn from(fault: Diagnostic) -> Self {
        Self::Faulty(fault)
    }
}

impl From<Unread> for Diagnostic {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Nothing(words) => Self::plain(words),
            Unread::Faulty(fault) => fault,
        }
    }
}

/// Reads every source named: `-` is `stdin`; a folder gives its manifests in order of name, with `recursive` those of
/// its subfolders too. All that is wrong is told at once.
pub fn read_all(
    names: &[String],
    recursive: bool,
    stdin: &mut dyn Read,
) -> Result<Vec<Arc<Source>>, Vec<Unread>> {
    let (mut sources, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        let result = match name.as_str() {
            "-" => read_text("<stdin>", stdin).map(|s| sources.push(s)).map_err(Unread::from),
            path => read_path(Path::new(path), recursive, &mut sources),
        };
        faults.extend(result.err());
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

fn read_path(path: &Path, recursive: bool, sources: &mut Vec<Arc<Source>>) -> Result<(), Unread> {
    let metadata = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if !metadata.is_dir() {
        sources.push(read_file(path)?);
        return Ok(());
    }
    let mut files = Vec::new();
    list(path, recursive, 0, &mut files)?;
    if files.is_empty() {
        let hint = if recursive { "" } else { " (with -R its subfolders are searched too)" };
        return Err(Unread::Nothing(format!(
            "{} holds no manifest: no file ends in .yaml, .yml or .json{hint}",
            path.display()
        )));
    }
    for file in files {
        sources.push(read_file(&file)?);
    }
    Ok(())
}

fn list(folder: &Path, recursive: bool, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Diagnostic> {
    if depth > DEEPEST_FOLDER {
        return Err(Diagnostic::plain(format!(
            "{} lies more than {DEEPEST_FOLDER} folders deep: does a link lead back up?",
            folder.display()
        )));
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|e| unreadable(folder, &e))?.into_iter().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if recursive {
                list(&path, recursive, depth + 1, files)?;
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| EXTENSIONS.contains(&e)) {
            files.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let text = match error.kind() {
        io::ErrorKind::NotFound => format!("the path {:?} does not exist", path.display().to_string()),
        _ => format!("cannot read {}: {error}", path.display()),
    };
    Diagnostic::plain(text)
}

fn read_file(path: &Path) -> Result<Arc<Source>, Diagnostic> {
    let mut file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    read_text(&path.display().to_string(), &mut file)
}

fn read_text(name: &str, reader: &mut dyn Read) -> Result<Arc<Source>, Diagnostic> {
    let mut bytes = Vec::new();
    let limit = LARGEST_TEXT as u64 + 1;
    reader
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| Diagnostic::plain(format!("cannot read {name}: {e}")))?;
    if bytes.len() > LARGEST_TEXT {
        return Err(Diagnostic::plain(format!("{name} is larger than {} MiB", LARGEST_TEXT >> 20)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Arc::new(Source::new(name, text))),
        Err(error) => Err(not_utf8(name, &error)),
    }
}

fn not_utf8(name: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    let before = &bytes[..at];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    let byte = bytes.get(at).copied().unwrap_or_default();
    let hint = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        " (this looks like UTF-16: save the file as UTF-8)"
    } else {
        ""
    };
    Diagnostic::plain(format!("{name}:{line}:{column}: the byte 0x{byte:02x} is not UTF-8{hint}"))
}
