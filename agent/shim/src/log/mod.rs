//! A container's log: files in CRI's format that grow so large and are so many.
//!
//! A container never waits for its log. What cannot be written is lost, and told once each time it begins.

mod line;

pub(crate) use line::Stream;

use crate::protocol::Log;
use jiff::Timestamp;
use line::Lines;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The log that is written.
#[derive(Debug)]
pub(crate) struct LogFile {
    options: Log,
    file: Option<File>,
    size: u64,
    stdout: Lines,
    stderr: Lines,
    /// Whether the last that was written was lost.
    failing: bool,
    /// Whether something was kept again after that, which nobody has been told of.
    recovered: bool,
}

impl LogFile {
    /// Opens a log to go on with what is there.
    pub(crate) fn open(options: Log) -> io::Result<Self> {
        let (file, size) = open(&options.path)?;
        let stdout = Lines::new(Stream::Stdout, options.max_line);
        let stderr = Lines::new(Stream::Stderr, options.max_line);
        Ok(Self { options, file: Some(file), size, stdout, stderr, failing: false, recovered: false })
    }

    /// Takes what a container wrote. An error is given when output begins to be lost, and not again until some was kept.
    pub(crate) fn push(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut ready = Vec::with_capacity(bytes.len() + 256);
        let mut ends = Vec::new();
        let mut give = |line: &[u8]| {
            ready.extend_from_slice(line);
            ends.push(ready.len());
        };
        match stream {
            Stream::Stdout => self.stdout.push(bytes, Timestamp::now(), &mut give),
            Stream::Stderr => self.stderr.push(bytes, Timestamp::now(), &mut give),
        }
        let done = self.write(&ready, &ends);
        self.told(done, !ready.is_empty())
    }

    /// Whether output is kept again after some was lost; told once.
    pub(crate) fn recovered(&mut self) -> bool {
        std::mem::take(&mut self.recovered)
    }

    /// Takes the end of a stream.
    pub(crate) fn finish(&mut self, stream: Stream) -> io::Result<()> {
        let mut ready = Vec::new();
        let mut give = |line: &[u8]| ready.extend_from_slice(line);
        match stream {
            Stream::Stdout => self.stdout.finish(Timestamp::now(), &mut give),
            Stream::Stderr => self.stderr.finish(Timestamp::now(), &mut give),
        }
        let done = self.write(&ready, &[ready.len()]);
        self.told(done, !ready.is_empty())
    }

    /// `some`: there was something to be written. Nothing is written anywhere, and says nothing.
    fn told(&mut self, done: io::Result<()>, some: bool) -> io::Result<()> {
        if !some && done.is_ok() {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.failing, done.is_err());
        self.recovered = before && done.is_ok();
        if before { Ok(()) } else { done }
    }

    /// Writes lines, as many at once as one file takes.
    fn write(&mut self, ready: &[u8], ends: &[usize]) -> io::Result<()> {
        let mut from = 0;
        let mut to = 0;
        for end in ends {
            let fits = |upto: usize| {
                self.size + u64::try_from(upto - from).unwrap_or(u64::MAX) <= self.options.max_size
            };
            if !fits(*end) && (self.size > 0 || to > from) {
                self.append(ready.get(from..to).unwrap_or_default())?;
                from = to;
                self.rotate()?;
            }
            to = *end;
        }
        self.append(ready.get(from..to).unwrap_or_default())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let (file, size) = open(&self.options.path)?;
                self.size = size;
                self.file.insert(file)
            }
        };
        let before = file.metadata()?.len();
        match file.write_all(bytes) {
            Ok(()) => {
                self.size = before + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                Ok(())
            }
            Err(error) => {
                // Half a line would be read as one.
                drop(file.set_len(before));
                self.size = before;
                Err(error)
            }
        }
    }

    /// Puts the file aside and begins another.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.size = 0;
        let last = self.options.max_files.max(1) - 1;
        if last == 0 {
            remove(&self.options.path)?;
        } else {
            for number in (1..last).rev() {
                rename(&aside(&self.options.path, number), &aside(&self.options.path, number + 1))?;
            }
            rename(&self.options.path, &aside(&self.options.path, 1))?;
        }
        let (file, size) = open(&self.options.path)?;
        self.file = Some(file);
        self.size = size;
        Ok(())
    }
}

/// The name of a log that was put aside; 1 is the newest.
fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = File::options().append(true).create(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, max_size: u64, max_files: u32) -> LogFile {
        LogFile::open(Log { path: dir.join("0.log"), max_size, max_files, max_line: 100 }).unwrap()
    }

    fn texts(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| line.splitn(4, ' ').last().unwrap().to_owned()).collect()
    }

    #[test]
    fn files_are_so_large_and_so_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 100, 3);
        for number in 0..10 {
            log.push(Stream::Stdout, format!("line {number}\n").as_bytes()).unwrap();
        }
        // Two lines of 46 bytes fit into a hundred.
        assert_eq!(texts(&dir.path().join("0.log")), ["line 8", "line 9"]);
        assert_eq!(texts(&dir.path().join("0.log.1")), ["line 6", "line 7"]);
        assert_eq!(texts(&dir.path().join("0.log.2")), ["line 4", "line 5"]);
        assert!(!dir.path().join("0.log.3").exists());
    }

    #[test]
    fn what_comes_at_once_is_cut_between_lines() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 100, 5);
        log.push(Stream::Stderr, b"a\nb\nc\nd\ne\nhalf").unwrap();
        log.finish(Stream::Stderr).unwrap();
        assert_eq!(texts(&dir.path().join("0.log.2")), ["a", "b"]);
        assert_eq!(texts(&dir.path().join("0.log.1")), ["c", "d"]);
        assert_eq!(texts(&dir.path().join("0.log")), ["e", "half"]);
    }

    #[test]
    fn a_log_is_gone_on_with_and_put_aside_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 1000, 2).push(Stream::Stdout, b"one\n").unwrap();
        let mut again = log(dir.path(), 1000, 2);
        again.push(Stream::Stdout, b"two\n").unwrap();
        assert_eq!(texts(&dir.path().join("0.log")), ["one", "two"]);
        again.rotate().unwrap();
        again.push(Stream::Stdout, b"three\n").unwrap();
        assert_eq!(texts(&dir.path().join("0.log")), ["three"]);
        assert_eq!(texts(&dir.path().join("0.log.1")), ["one", "two"]);
    }

    #[test]
    fn one_file_alone_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 60, 1);
        log.push(Stream::Stdout, b"one\n").unwrap();
        log.push(Stream::Stdout, b"two\n").unwrap();
        assert_eq!(texts(&dir.path().join("0.log")), ["two"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_told_once_and_then_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("logs");
        fs::create_dir(&folder).unwrap();
        let mut log = log(&folder, 50, 2);
        log.push(Stream::Stdout, b"one\n").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(log.push(Stream::Stdout, b"two\n").is_err());
        assert!(log.push(Stream::Stdout, b"three\n").is_ok() && !log.recovered());
        fs::create_dir(&folder).unwrap();
        // What is no line yet is not kept yet.
        log.push(Stream::Stdout, b"fo").unwrap();
        assert!(!log.recovered());
        log.push(Stream::Stdout, b"ur\n").unwrap();
        assert_eq!((log.recovered(), log.recovered()), (true, false));
        assert_eq!(texts(&folder.join("0.log")), ["four"]);
    }
}
