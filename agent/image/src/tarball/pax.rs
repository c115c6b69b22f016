//! PAX records: `LENGTH KEY=VALUE\n`, which override what a header says.

use super::sparse::Piece;
use std::str;

/// What one or more extended headers say about the entry that follows.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Sparse,
}

/// GNU's sparse files within PAX.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Forms 0.0 and 0.1.
    pub pieces: Vec<Piece>,
    /// Form 0.0: the offset whose length comes next.
    offset: Option<u64>,
}

/// What was wrong with a record; more than a limit is told apart.
pub(super) enum Wrong {
    Form(&'static str),
    Xattrs,
    XattrBytes,
    Pieces,
}

/// What records may hold.
pub(super) struct Bounds {
    pub xattrs: usize,
    pub xattr_bytes: usize,
    pub pieces: usize,
}

impl Records {
    /// Takes the records of one extended header.
    pub(super) fn take(&mut self, mut body: &[u8], bounds: &Bounds) -> Result<(), Wrong> {
        while let Some(first) = body.first() {
            if *first == 0 {
                // Some tools fill up with zeros.
                return Ok(());
            }
            let space = body.iter().take(21).position(|byte| *byte == b' ');
            let space = space.ok_or(Wrong::Form("a PAX record without a length"))?;
            let length = number(&body[..space]).ok_or(Wrong::Form("a PAX record's length is no number"))?;
            let length =
                usize::try_from(length).ok().filter(|length| *length <= body.len() && *length > space + 1);
            let length = length.ok_or(Wrong::Form("a PAX record is longer than its header"))?;
            let (record, rest) = body.split_at(length);
            body = rest;
            let Some((b'\n', record)) = record[space + 1..].split_last() else {
                return Err(Wrong::Form("a PAX record without an end"));
            };
            let equals = record.iter().position(|byte| *byte == b'=');
            let equals = equals.ok_or(Wrong::Form("a PAX record without a value"))?;
            self.record(&record[..equals], &record[equals + 1..], bounds)?;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8], bounds: &Bounds) -> Result<(), Wrong> {
        let numeric = |what| number(value).ok_or(Wrong::Form(what));
        match key {
            b"path" => self.path = filled(value),
            b"linkpath" => self.link = filled(value),
            b"size" => self.size = Some(numeric("a PAX size is no number")?),
            b"uid" => self.uid = Some(numeric("a PAX uid is no number")?),
            b"gid" => self.gid = Some(numeric("a PAX gid is no number")?),
            b"mtime" => self.mtime = Some(time(value).ok_or(Wrong::Form("a PAX time is no number"))?),
            b"GNU.sparse.major" => self.sparse.major = Some(numeric("a sparse file's version is no number")?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(numeric("a sparse file's version is no number")?),
            b"GNU.sparse.name" => self.sparse.name = filled(value),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.size = Some(numeric("a sparse file's size is no number")?);
            }
            b"GNU.sparse.map" => self.map(value, bounds)?,
            b"GNU.sparse.offset" => self.sparse.offset = Some(numeric("a sparse piece is no number")?),
            b"GNU.sparse.numbytes" => {
                let offset =
                    self.sparse.offset.take().ok_or(Wrong::Form("a sparse piece without an offset"))?;
                self.piece(Piece { offset, length: numeric("a sparse piece is no number")? }, bounds)?;
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(name, value, bounds)?;
                }
            }
        }
        Ok(())
    }

    fn xattr(&mut self, name: &[u8], value: &[u8], bounds: &Bounds) -> Result<(), Wrong> {
        if value.len() > bounds.xattr_bytes {
            return Err(Wrong::XattrBytes);
        }
        if name.is_empty() || name.len() > 255 || name.contains(&0) {
            return Err(Wrong::Form("an extended attribute's name is empty, too long, or has a NUL"));
        }
        self.xattrs.retain(|(known, _)| known != name);
        if self.xattrs.len() >= bounds.xattrs {
            return Err(Wrong::Xattrs);
        }
        self.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }

    fn map(&mut self, value: &[u8], bounds: &Bounds) -> Result<(), Wrong> {
        let mut numbers = value.split(|byte| *byte == b',');
        while let Some(offset) = numbers.next().filter(|text| !text.is_empty()) {
            let length = numbers.next().and_then(number);
            let (Some(offset), Some(length)) = (number(offset), length) else {
                return Err(Wrong::Form("a sparse file's map is not of numbers in pairs"));
            };
            self.piece(Piece { offset, length }, bounds)?;
        }
        Ok(())
    }

    fn piece(&mut self, piece: Piece, bounds: &Bounds) -> Result<(), Wrong> {
        if self.sparse.pieces.len() >= bounds.pieces {
            return Err(Wrong::Pieces);
        }
        self.sparse.pieces.push(piece);
        Ok(())
    }
}

fn filled(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

/// A decimal number without a sign.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds since 1970, with a fraction, of either sign; nanoseconds beyond the ninth digit are cut off.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u32::from(fraction.get(at).map_or(0, |byte| byte - b'0'));
    let nanos = (0..9).fold(0, |sum, at| sum * 10 + digit(at));
    Some(match (negative, nanos) {
        (false, nanos) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_fractions_and_signs() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time(b"-3"), Some((-3, 0)));
        assert_eq!(time(b"1.1234567899"), Some((1, 123_456_789)));
        assert_eq!(time(b"x"), None);
        assert_eq!(time(b""), None);
    }
}
