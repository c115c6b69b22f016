use super::*;
use crate::Folder;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A disk that crashes: of what was not flushed, it keeps what it likes.
#[derive(Clone, Debug, Default)]
struct Memory {
    files: BTreeMap<String, (Vec<u8>, usize)>,
    salts: u8,
    /// Bytes that still fit; `None` for no limit.
    room: Option<usize>,
    broken_flush: bool,
}

impl Memory {
    /// What is there after a power failure: of each unflushed tail a part, with some sectors never written.
    fn crash(mut self, kept: usize, holes: u8) -> Self {
        for (bytes, flushed) in self.files.values_mut() {
            let tail = bytes.len() - *flushed;
            bytes.truncate(*flushed + kept.min(tail));
            let first = flushed.next_multiple_of(512);
            for (sector, start) in (first..bytes.len()).step_by(512).enumerate() {
                if holes & (1 << (sector % 8)) != 0 {
                    let end = bytes.len().min(start + 512);
                    bytes[start..end].fill(0);
                }
            }
            *flushed = bytes.len();
        }
        self
    }
}

impl Disk for Memory {
    fn list(&mut self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&mut self, name: &str, _most: u64) -> io::Result<Vec<u8>> {
        Ok(self.files[name].0.clone())
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files.insert(name.to_owned(), (bytes.to_vec(), bytes.len()));
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let fits = self.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        self.files.get_mut(name).unwrap().0.extend_from_slice(&bytes[..fits]);
        if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        if self.broken_flush {
            return Err(io::Error::other("I/O error"));
        }
        let (bytes, flushed) = self.files.get_mut(name).unwrap();
        *flushed = bytes.len();
        Ok(())
    }

    fn cut(&mut self, name: &str, length: u64) -> io::Result<()> {
        let (bytes, flushed) = self.files.get_mut(name).unwrap();
        bytes.truncate(length as usize);
        *flushed = bytes.len();
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.files.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn salt(&mut self) -> io::Result<[u8; 16]> {
        self.salts += 1;
        Ok([self.salts; 16])
    }
}

fn entries(recovered: &Recovered) -> Vec<&[u8]> {
    recovered.entries.iter().map(Vec::as_slice).collect()
}

#[test]
fn a_log_is_what_was_flushed() {
    let (mut log, recovered) = Log::open(Memory::default()).unwrap();
    assert!(recovered.new && recovered.entries.is_empty());
    log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    assert!(log.is_dirty());
    log.sync().unwrap();
    log.append(b"three").unwrap();
    let (mut log, recovered) = Log::open(log.into_disk()).unwrap();
    assert_eq!(entries(&recovered), [b"one", b"two"]);
    assert!(!recovered.new && recovered.torn.is_none());
    log.append(b"four").unwrap();
    log.sync().unwrap();
    assert_eq!(entries(&Log::open(log.into_disk()).unwrap().1), [&b"one"[..], b"two", b"four"]);
}

#[test]
fn a_log_that_was_begun_anew_forgets() {
    let (mut log, _) = Log::open(Memory::default()).unwrap();
    log.append(b"old").unwrap();
    log.sync().unwrap();
    log.restart().unwrap();
    log.append(b"new").unwrap();
    log.sync().unwrap();
    let disk = log.into_disk();
    assert_eq!(disk.files.len(), 1);
    assert_eq!(entries(&Log::open(disk).unwrap().1), [b"new"]);
}

#[test]
fn a_crash_while_it_is_begun_anew_leaves_the_newer_log() {
    let (mut log, _) = Log::open(Memory::default()).unwrap();
    log.append(b"old").unwrap();
    log.sync().unwrap();
    let mut before = log.disk.clone();
    log.restart().unwrap();
    let after = log.into_disk();
    // The old file was not removed yet.
    before.files.extend(after.files);
    let (log, recovered) = Log::open(before).unwrap();
    assert!(recovered.entries.is_empty() && !recovered.new);
    assert_eq!(log.into_disk().files.len(), 1);
}

#[test]
fn a_full_disk_takes_nothing_and_recovers() {
    let (mut log, _) = Log::open(Memory::default()).unwrap();
    log.append(b"one").unwrap();
    log.disk.room = Some(20);
    assert!(matches!(log.sync(), Err(WalError::Disk { action: "write", .. })));
    assert!(log.is_dirty());
    log.disk.room = None;
    log.sync().unwrap();
    assert_eq!(entries(&Log::open(log.into_disk()).unwrap().1), [b"one"]);
}

#[test]
fn a_flush_that_failed_is_the_last_one() {
    let (mut log, _) = Log::open(Memory::default()).unwrap();
    log.append(b"one").unwrap();
    log.disk.broken_flush = true;
    assert!(matches!(log.sync(), Err(WalError::Disk { action: "flush", .. })));
    log.disk.broken_flush = false;
    assert!(matches!(log.sync(), Err(WalError::Failed)));
    assert!(matches!(log.restart(), Err(WalError::Failed)));
}

#[test]
fn what_does_not_fit_is_not_taken() {
    let (mut log, _) = Log::open(Memory::default()).unwrap();
    let long = vec![0; MOST_BODY - 3];
    assert!(matches!(log.append(&long), Err(WalError::TooLong { .. })));
    assert!(!log.is_dirty());
}

#[test]
fn damage_is_told_by_file_and_place() {
    let (mut log, _) = Log::open(Memory::default()).unwrap();
    for entry in [b"one", b"two"] {
        log.append(entry).unwrap();
        log.sync().unwrap();
    }
    let disk = log.into_disk();
    for place in 50..disk.files["log-0000000000000000"].0.len() {
        let mut damaged = disk.clone();
        damaged.files.get_mut("log-0000000000000000").unwrap().0[place] ^= 1;
        let error = Log::open(damaged.clone()).unwrap_err();
        assert!(matches!(error, WalError::Damaged { offset: 50 | 93, .. }), "{place}: {error}");
        assert!(error.to_string().starts_with("the log's file log-0000000000000000 is damaged at byte"));
    }
}

#[test]
fn a_folder_is_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Log::open(Folder::open(&dir.path().join("log")).unwrap()).unwrap();
    let (mut log, recovered) = open();
    assert!(recovered.new);
    for entry in [b"one", b"two"] {
        log.append(entry).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let path = dir.path().join("log/log-0000000000000000");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    std::fs::write(dir.path().join("log/log-0000000000000009.new"), b"half").unwrap();
    let (mut log, recovered) = open();
    assert_eq!(entries(&recovered), [b"one"]);
    assert_eq!(recovered.torn.map(|torn| (torn.offset, torn.bytes)), Some((93, 42)));
    log.restart().unwrap();
    log.append(b"three").unwrap();
    log.sync().unwrap();
    drop(log);
    assert_eq!(entries(&open().1), [b"three"]);
    assert_eq!(std::fs::read_dir(dir.path().join("log")).unwrap().count(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Sync,
    Restart,
    /// A power failure while the flush runs: what it keeps of the frame, and which sectors it lost.
    CrashInSync(usize, u8),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entry = prop::collection::vec(1_u8.., 0..1500);
    let step = prop_oneof![
        4 => entry.prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => Just(Step::Restart),
        2 => (0..4000_usize, any::<u8>()).prop_map(|(kept, holes)| Step::CrashInSync(kept, holes)),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    /// After any crash the log holds all that was flushed, in order, and beyond it the one frame that was being written,
    /// whole, or nothing.
    #[test]
    fn what_was_flushed_is_there_and_nothing_is_invented(steps in steps()) {
        let (mut log, _) = Log::open(Memory::default()).unwrap();
        let (mut flushed, mut waiting) = (Vec::<Vec<u8>>::new(), Vec::<Vec<u8>>::new());
        for step in steps {
            match step {
                Step::Append(entry) => {
                    log.append(&entry).unwrap();
                    waiting.push(entry);
                }
                Step::Sync => {
                    log.sync().unwrap();
                    flushed.append(&mut waiting);
                }
                Step::Restart => {
                    log.restart().unwrap();
                    flushed.clear();
                    waiting.clear();
                }
                Step::Crash => {
                    let (again, recovered) = Log::open(log.into_disk().crash(0, 0)).unwrap();
                    prop_assert_eq!(&recovered.entries, &flushed);
                    waiting.clear();
                    log = again;
                }
                Step::CrashInSync(kept, holes) => {
                    log.disk.broken_flush = true;
                    let _ = log.sync();
                    let mut disk = log.into_disk().crash(kept, holes);
                    disk.broken_flush = false;
                    let (again, recovered) = Log::open(disk).unwrap();
                    if recovered.entries.len() > flushed.len() {
                        flushed.append(&mut waiting);
                    }
                    prop_assert_eq!(&recovered.entries, &flushed);
                    waiting.clear();
                    log = again;
                }
            }
        }
    }
}
