//! The loop over blocks.

use super::header::{
    GID, MAJOR, MINOR, MODE, MTIME, SIZE, UID, check_sum, kind, numeric, padding, unsigned, until_nul,
};
use super::pax::{Bounds, Records, Wrong, number};
use super::sparse::{self, Piece};
use super::{BLOCK, TarError};
use crate::limits::Limits;
use std::io::{ErrorKind, Read};
use tar::{EntryType, GnuExtSparseHeader, Header};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, with or without holes.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// Another name of an entry before.
    Hardlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// Of a type that this reader does not know: its letter.
    Other(u8),
}

/// One entry, as the archive says. Nothing in it has been judged.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where its header begins, in the plain tar.
    pub at: u64,
    /// Its name, as it was written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// What it points to, if it is a link.
    pub link: Vec<u8>,
    /// Permissions, with setuid, setgid and sticky: the lowest 12 bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// When it was last changed: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// How long the file is, with its holes.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where it has data, if it has holes.
    pub pieces: Option<Vec<Piece>>,
}

/// A tar that is read once, from its beginning.
pub struct Archive<R> {
    inner: R,
    limits: Limits,
    /// How much of the plain tar was read.
    at: u64,
    /// Data of the present entry that was not read yet.
    left: u64,
    /// What follows that data up to the next block.
    padding: u64,
    entries: u64,
    ended: bool,
}

impl<R: Read> Archive<R> {
    /// Over a plain tar.
    pub fn new(inner: R, limits: &Limits) -> Self {
        Self { inner, limits: limits.clone(), at: 0, left: 0, padding: 0, entries: 0, ended: false }
    }

    /// The next entry; what was left of the present one is passed over. None at the archive's end.
    ///
    /// # Errors
    /// Whatever makes it no archive, or more than the limits take.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.pass_over()?;
        let mut records = Records::default();
        let (mut long_path, mut long_link) = (None, None);
        let mut extended = false;
        loop {
            let at = self.at;
            let Some(header) = self.header(extended)? else { return Ok(None) };
            let header = &header;
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(TarError::Limit { at, what: "entries", limit: self.limits.entries });
            }
            let wrong = |what| TarError::Header { at, what };
            let size = unsigned(header, SIZE).ok_or(wrong("its size is no number"))?;
            let kind = header.entry_type();
            match kind {
                EntryType::GNULongName => long_path = Some(until_nul(self.extended(size)?)),
                EntryType::GNULongLink => long_link = Some(until_nul(self.extended(size)?)),
                EntryType::XHeader => {
                    let body = self.extended(size)?;
                    records.take(&body, &self.bounds()).map_err(|wrong| self.wrong(at, wrong))?;
                }
                EntryType::XGlobalHeader => {
                    // Neither Docker nor containerd lets them speak for every entry that follows; git writes its
                    // commit into one.
                    self.extended(size)?;
                }
                _ => return self.entry(at, header, records, long_path, long_link).map(Some),
            }
            extended = kind != EntryType::XGlobalHeader;
        }
    }

    /// Data of the present entry; 0 when there is no more.
    ///
    /// # Errors
    /// If what lies below cannot be read or ends too early.
    pub fn data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(TarError::Truncated { at: self.at, within: "an entry's data" });
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// How much data the present entry has left.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Where the next byte comes from, in the plain tar.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.at
    }

    /// What lies below, wherever it is.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// Reads what follows the end, which has to be padding.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn finish(mut self) -> Result<R, TarError> {
        let mut buffer = [0; 8 * 1024];
        loop {
            let at = self.at;
            match self.read(&mut buffer)? {
                0 => return Ok(self.inner),
                read => {
                    if let Some(offset) = buffer[..read].iter().position(|byte| *byte != 0) {
                        return Err(TarError::Trailing { at: at + offset as u64 });
                    }
                }
            }
        }
    }

    fn entry(
        &mut self,
        at: u64,
        header: &Header,
        mut records: Records,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let wrong = |what| TarError::Header { at, what };
        let field = |range, what| unsigned(header, range).ok_or(wrong(what));
        let kind = kind(header.entry_type());
        let stored = match records.size {
            Some(size) => size,
            None => field(SIZE, "its size is no number")?,
        };
        // Links and devices have no data, whatever their size says.
        let has_data = matches!(kind, Kind::File | Kind::Other(_));
        self.left = if has_data { stored } else { 0 };
        self.padding = padding(self.left);
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let part = |range, what| match u32::try_from(if device { field(range, what)? } else { 0 }) {
            Ok(number) => Ok(number),
            Err(_) => Err(wrong(what)),
        };
        let numbers = (part(MAJOR, "its device is no number")?, part(MINOR, "its device is no number")?);
        let mode = field(MODE, "its mode is no number")?;
        let mut entry = Entry {
            at,
            path: records.path.take().or(long_path).unwrap_or_else(|| header.path_bytes().into_owned()),
            kind,
            link: records.link.take().or(long_link).unwrap_or_else(|| {
                header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default()
            }),
            mode: u32::try_from(mode & 0o7777).unwrap_or(0),
            uid: match records.uid {
                Some(uid) => uid,
                None => field(UID, "its owner is no number")?,
            },
            gid: match records.gid {
                Some(gid) => gid,
                None => field(GID, "its group is no number")?,
            },
            mtime: match records.mtime {
                Some(mtime) => mtime,
                None => (numeric(header, MTIME).ok_or(wrong("its time is no number"))?, 0),
            },
            size: self.left,
            device: numbers,
            xattrs: std::mem::take(&mut records.xattrs),
            pieces: None,
        };
        if kind == Kind::File {
            self.holes(&mut entry, header, records)?;
        }
        // Before there were folders in tar, a slash at the end made one.
        if entry.kind == Kind::File && entry.path.ends_with(b"/") {
            entry.kind = Kind::Dir;
            entry.size = 0;
        }
        Ok(entry)
    }

    /// The map of a sparse file, in whichever of the four forms it comes.
    fn holes(&mut self, entry: &mut Entry, header: &Header, records: Records) -> Result<(), TarError> {
        let at = entry.at;
        let wrong = |what| TarError::Header { at, what };
        let mut sparse = records.sparse;
        let (pieces, real) = if header.entry_type() == EntryType::GNUSparse {
            self.old_map(at, header)?
        } else if let (Some(1), Some(0)) = (sparse.major, sparse.minor) {
            let real = sparse.size.ok_or(wrong("a sparse file without its size"))?;
            (self.map_in_data(at)?, real)
        } else if let (false, Some(real)) = (sparse.pieces.is_empty(), sparse.size) {
            (std::mem::take(&mut sparse.pieces), real)
        } else if sparse.major.is_some_and(|major| major > 0) {
            return Err(wrong("a sparse file of a form that is not known"));
        } else {
            return Ok(());
        };
        if real > self.limits.layer_bytes {
            let limit = self.limits.layer_bytes;
            return Err(TarError::Limit { at, what: "a sparse file", limit });
        }
        entry.pieces = Some(sparse::check(pieces, real, self.left).map_err(wrong)?);
        entry.size = real;
        if let Some(name) = sparse.name {
            entry.path = name;
        }
        Ok(())
    }

    /// GNU's old form: four pieces in the header, more in blocks behind it.
    fn old_map(&mut self, at: u64, header: &Header) -> Result<(Vec<Piece>, u64), TarError> {
        let wrong = |what| TarError::Header { at, what };
        let gnu = header.as_gnu().ok_or(wrong("a sparse file that is not of GNU's form"))?;
        let real = gnu.real_size().map_err(|_| wrong("a sparse file's size is no number"))?;
        let mut pieces = Vec::new();
        let mut take = |sparse: &[tar::GnuSparseHeader]| -> Result<(), TarError> {
            for piece in sparse.iter().filter(|piece| !piece.is_empty()) {
                let offset = piece.offset().map_err(|_| wrong("a sparse piece is no number"))?;
                let length = piece.length().map_err(|_| wrong("a sparse piece is no number"))?;
                pieces.push(Piece { offset, length });
            }
            if pieces.len() > self.limits.sparse_pieces {
                let limit = self.limits.sparse_pieces as u64;
                return Err(TarError::Limit { at, what: "pieces of a sparse file", limit });
            }
            Ok(())
        };
        take(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            let mut filled = 0;
            // `read_block` would borrow all of self.
            while filled < BLOCK {
                match self.inner.read(&mut block.as_mut_bytes()[filled..]) {
                    Ok(0) => {
                        return Err(TarError::Truncated { at: self.at, within: "a sparse file's map" });
                    }
                    Ok(read) => {
                        filled += read;
                        self.at += read as u64;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(source) => return Err(TarError::Read { at: self.at, source }),
                }
            }
            more = block.is_extended();
            take(block.sparse())?;
        }
        Ok((pieces, real))
    }

    /// PAX form 1.0: decimal numbers, one a line, in blocks before the data.
    fn map_in_data(&mut self, at: u64) -> Result<Vec<Piece>, TarError> {
        let wrong = |what| TarError::Header { at, what };
        let most = self.limits.sparse_pieces as u64;
        let mut numbers: Vec<u64> = Vec::new();
        let mut wanted: Option<u64> = None;
        let mut digits: Vec<u8> = Vec::new();
        loop {
            let mut block = [0; BLOCK];
            if self.left < BLOCK as u64 {
                return Err(wrong("a sparse file's map does not end"));
            }
            self.block(&mut block, "a sparse file's map")?;
            self.left -= BLOCK as u64;
            for byte in block {
                if wanted == Some(numbers.len() as u64) {
                    break;
                }
                if byte != b'\n' {
                    digits.push(byte);
                    if digits.len() > 20 {
                        return Err(wrong("a sparse file's map is not of numbers"));
                    }
                    continue;
                }
                let value = number(&digits).ok_or(wrong("a sparse file's map is not of numbers"))?;
                digits.clear();
                if wanted.is_some() {
                    numbers.push(value);
                } else if value > most {
                    return Err(TarError::Limit { at, what: "pieces of a sparse file", limit: most });
                } else {
                    wanted = Some(value * 2);
                }
            }
            if wanted == Some(numbers.len() as u64) {
                let pair = |pair: &[u64]| Piece { offset: pair[0], length: pair[1] };
                return Ok(numbers.chunks_exact(2).map(pair).collect());
            }
        }
    }

    /// The next header, none at the end.
    fn header(&mut self, extended: bool) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let at = self.at;
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        // Some tools write no end: an archive may stop where a header would begin.
        let first = self.read(block)?;
        if first == 0 {
            self.ended = true;
            if extended {
                return Err(TarError::Truncated { at, within: "an extended header" });
            }
            return Ok(None);
        }
        self.fill(&mut block[first..], "a header")?;
        if block.iter().all(|byte| *byte == 0) {
            self.ended = true;
            if extended {
                return Err(TarError::Truncated { at, within: "an extended header" });
            }
            return Ok(None);
        }
        check_sum(block).map_err(|what| TarError::Header { at, what })?;
        Ok(Some(header))
    }

    /// The body of an extended header.
    fn extended(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        let limit = self.limits.header_bytes;
        if size > limit {
            return Err(TarError::Limit { at: self.at, what: "an extended header", limit });
        }
        let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
        self.fill(&mut body, "an extended header")?;
        self.left = 0;
        self.padding = padding(size);
        self.pass_over()?;
        Ok(body)
    }

    /// Reads over what is left of the present entry.
    fn pass_over(&mut self) -> Result<(), TarError> {
        let mut buffer = [0; 16 * 1024];
        while self.data(&mut buffer)? > 0 {}
        let padding = usize::try_from(self.padding).unwrap_or(0);
        self.padding = 0;
        let mut filled = 0;
        while filled < padding {
            match self.read(&mut buffer[..padding - filled])? {
                // The last entry's padding is left out by some tools.
                0 => return Ok(()),
                read => filled += read,
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &mut [u8; BLOCK], within: &'static str) -> Result<(), TarError> {
        self.fill(block, within)
    }

    fn fill(&mut self, mut buffer: &mut [u8], within: &'static str) -> Result<(), TarError> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(TarError::Truncated { at: self.at, within }),
                read => buffer = &mut buffer[read..],
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.inner.read(buffer) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { at: self.at, source }),
            }
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            xattrs: self.limits.xattrs,
            xattr_bytes: self.limits.xattr_bytes,
            pieces: self.limits.sparse_pieces,
        }
    }

    fn wrong(&self, at: u64, wrong: Wrong) -> TarError {
        let limit = |what, limit: usize| TarError::Limit { at, what, limit: limit as u64 };
        match wrong {
            Wrong::Form(what) => TarError::Header { at, what },
            Wrong::Xattrs => limit("extended attributes", self.limits.xattrs),
            Wrong::XattrBytes => limit("an extended attribute", self.limits.xattr_bytes),
            Wrong::Pieces => limit("pieces of a sparse file", self.limits.sparse_pieces),
        }
    }
}
