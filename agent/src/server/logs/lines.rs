//! Reads the lines of CRI's log format: `<time> stdout|stderr F|P <text>`.

use jiff::Timestamp;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How much is read at once.
const BLOCK: u64 = 64 << 10;
/// How much is given at once.
const PIECE: usize = 32 << 10;
/// A line of the file at most: text of 16 KiB, and what stands before it.
const LONGEST: u64 = 64 << 10;
/// Files that are looked for.
const MOST_FILES: u32 = 100;

/// Which lines, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    pub tail: Option<u64>,
    pub limit: Option<u64>,
}

/// Reads a log from where it is to begin.
pub(super) struct Reader {
    path: PathBuf,
    choice: Choice,
    file: Option<BufReader<File>>,
    /// What has been read of a line that has no end yet.
    held: Vec<u8>,
    /// Whether the last line given has an end.
    whole: bool,
    given: u64,
}

/// The file that was put aside as the `n`th; 0 is the one that is written.
fn numbered(path: &Path, n: u32) -> PathBuf {
    if n == 0 {
        return path.to_owned();
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{n}"));
    path.with_file_name(name)
}

impl Reader {
    /// Opens a log. That there is none yet is no error.
    pub fn open(path: PathBuf, choice: Choice) -> io::Result<Self> {
        let mut reader = Self { path, choice, file: None, held: Vec::new(), whole: true, given: 0 };
        reader.begin()?;
        Ok(reader)
    }

    /// Whether no more may be given.
    pub fn is_full(&self) -> bool {
        self.choice.limit.is_some_and(|limit| self.given >= limit)
    }

    /// Finds the file and the place to begin at.
    fn begin(&mut self) -> io::Result<()> {
        let mut missing = self.choice.tail;
        let mut oldest = None;
        for n in 0..MOST_FILES {
            let mut file = match File::open(numbered(&self.path, n)) {
                Ok(file) => file,
                // Between two files there may be none for a moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound && n == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            if let Some(lines) = missing {
                let (at, found) = tail(&mut file, lines)?;
                file.seek(SeekFrom::Start(at))?;
                oldest = Some(file);
                missing = Some(lines - found);
                if found == lines {
                    break;
                }
            } else {
                oldest = Some(file);
            }
        }
        self.file = oldest.map(BufReader::new);
        Ok(())
    }

    /// The next lines; none at the end of what there is now; empty where there is more to look at.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut piece = Vec::new();
        let mut looked = 0_u64;
        while piece.len() < PIECE && looked < 4 * BLOCK && !self.is_full() {
            let Some(file) = &mut self.file else {
                match File::open(&self.path) {
                    Ok(file) => self.file = Some(BufReader::new(file)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) => return Err(error),
                }
                continue;
            };
            let room = LONGEST.saturating_sub(u64::try_from(self.held.len()).unwrap_or(LONGEST)).max(1);
            let read = file.by_ref().take(room).read_until(b'\n', &mut self.held)?;
            looked += u64::try_from(read).unwrap_or_default();
            if read == 0 {
                if !self.next_file()? {
                    break;
                }
                continue;
            }
            if self.held.last() == Some(&b'\n')
                || self.held.len() >= usize::try_from(LONGEST).unwrap_or(usize::MAX)
            {
                let line = std::mem::take(&mut self.held);
                self.give(&line, &mut piece);
            }
        }
        if piece.is_empty() && (looked == 0 || self.is_full()) {
            return Ok(None);
        }
        Ok(Some(piece))
    }

    /// Goes on with the file after the one that is at its end; false where that is the newest.
    fn next_file(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let ours = file.get_ref().metadata()?.ino();
        let inode = |n: u32| std::fs::metadata(numbered(&self.path, n)).ok().map(|meta| meta.ino());
        if inode(0) == Some(ours) {
            return Ok(false);
        }
        // Where ours was put aside, the next newer one follows; where it is gone, the oldest there is.
        let all = (1..MOST_FILES).take_while(|n| inode(*n).is_some());
        let next = match all.clone().find(|n| inode(*n) == Some(ours)) {
            Some(n) => n - 1,
            None => all.last().unwrap_or(0),
        };
        match File::open(numbered(&self.path, next)) {
            Ok(next) => {
                self.file = Some(BufReader::new(next));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn give(&mut self, line: &[u8], piece: &mut Vec<u8>) {
        let Some(line) = Line::parse(line) else { return };
        if let Some(since) = self.choice.since
            && line.time().is_some_and(|time| time < since)
        {
            return;
        }
        let begin = piece.len();
        if self.choice.timestamps && self.whole {
            piece.extend_from_slice(line.time);
            piece.push(b' ');
        }
        piece.extend_from_slice(line.text);
        if line.whole {
            piece.push(b'\n');
        }
        self.whole = line.whole;
        let added = u64::try_from(piece.len() - begin).unwrap_or(u64::MAX);
        self.given = self.given.saturating_add(added);
        if let Some(limit) = self.choice.limit
            && self.given > limit
        {
            let over = usize::try_from(self.given - limit).unwrap_or(usize::MAX);
            piece.truncate(piece.len().saturating_sub(over));
            self.given = limit;
        }
    }
}

/// A line of the file.
struct Line<'a> {
    time: &'a [u8],
    whole: bool,
    text: &'a [u8],
}

impl<'a> Line<'a> {
    /// None for what is no line of the format: a crash may have cut one.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, _, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { time, whole: tag.first() != Some(&b'P'), text })
    }

    fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}

/// Where the last `lines` lines begin, and how many of them there are.
fn tail(file: &mut File, lines: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    let (mut at, mut found, mut block) = (size, 0, Vec::new());
    if lines == 0 {
        return Ok((size, 0));
    }
    while at > 0 {
        let begin = at.saturating_sub(BLOCK);
        block.clear();
        file.seek(SeekFrom::Start(begin))?;
        file.by_ref().take(at - begin).read_to_end(&mut block)?;
        for (offset, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = begin + u64::try_from(offset).unwrap_or_default() + 1;
            // The end of the last line begins no other.
            if after == size {
                continue;
            }
            found += 1;
            if found == lines {
                return Ok((after, lines));
            }
        }
        at = begin;
    }
    Ok((0, if size == 0 { 0 } else { found + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn line(n: u64, tag: &str, text: &str) -> String {
        format!("2026-01-01T00:00:{n:02}.000000001Z stdout {tag} {text}\n")
    }

    fn all(path: &Path, choice: Choice) -> String {
        let mut reader = Reader::open(path.to_owned(), choice).unwrap();
        let mut out = Vec::new();
        while let Some(piece) = reader.piece().unwrap() {
            out.extend(piece);
        }
        String::from_utf8(out).unwrap()
    }

    fn log() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        std::fs::write(numbered(&path, 2), line(1, "F", "one") + &line(2, "P", "two")).unwrap();
        std::fs::write(numbered(&path, 1), line(3, "F", "-end") + &line(4, "F", "three")).unwrap();
        std::fs::write(&path, line(5, "F", "four")).unwrap();
        (folder, path)
    }

    #[test]
    fn a_log_is_read_across_its_files() {
        let (_folder, path) = log();
        assert_eq!(all(&path, Choice::default()), "one\ntwo-end\nthree\nfour\n");
        let tail = |tail| all(&path, Choice { tail: Some(tail), ..Choice::default() });
        assert_eq!((tail(0).as_str(), tail(1).as_str()), ("", "four\n"));
        assert_eq!((tail(2).as_str(), tail(9).as_str()), ("three\nfour\n", "one\ntwo-end\nthree\nfour\n"));
        let since = Some("2026-01-01T00:00:04Z".parse().unwrap());
        assert_eq!(all(&path, Choice { since, ..Choice::default() }), "three\nfour\n");
        assert_eq!(all(&path, Choice { limit: Some(6), ..Choice::default() }), "one\ntw");
        let stamped = all(&path, Choice { timestamps: true, tail: Some(1), ..Choice::default() });
        assert_eq!(stamped, "2026-01-01T00:00:05.000000001Z four\n");
        assert_eq!(all(Path::new("/nowhere/0.log"), Choice::default()), "");
    }

    #[test]
    fn a_log_that_is_put_aside_meanwhile_is_read_on() {
        let (_folder, path) = log();
        let mut reader = Reader::open(path.clone(), Choice { tail: Some(0), ..Choice::default() }).unwrap();
        assert_eq!(reader.piece().unwrap(), None);
        let add = |text: &str| {
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .map(|mut file| {
                    use std::io::Write as _;
                    file.write_all(text.as_bytes()).unwrap();
                })
                .unwrap();
            old
        };
        add(&line(6, "F", "five"));
        assert_eq!(reader.piece().unwrap().unwrap(), b"five\n");
        add(&line(7, "F", "six"));
        std::fs::rename(&path, numbered(&path, 1)).unwrap();
        add(&line(8, "F", "seven"));
        std::fs::rename(numbered(&path, 1), numbered(&path, 2)).unwrap();
        std::fs::rename(&path, numbered(&path, 1)).unwrap();
        add(&line(9, "F", "eight"));
        let mut rest = String::new();
        while let Some(piece) = reader.piece().unwrap() {
            write!(rest, "{}", String::from_utf8(piece).unwrap()).unwrap();
        }
        assert_eq!(rest, "six\nseven\neight\n");
    }

    #[test]
    fn long_logs_are_found_from_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let text: String = (0..5000).map(|n| line(n % 60, "F", &format!("{n} {}", "x".repeat(50)))).collect();
        std::fs::write(&path, text).unwrap();
        let some = all(&path, Choice { tail: Some(3000), ..Choice::default() });
        assert_eq!(some.lines().count(), 3000);
        assert!(some.starts_with("2000 "));
    }
}
