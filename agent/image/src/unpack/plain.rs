//! From a stored layer to its plain tar: gzip, zstd or neither, told by what is there and not by what it is called.

use crate::digest::{Algorithm, Digest, Hasher, HashingReader};
use crate::limits::Limits;
use flate2::bufread::MultiGzDecoder;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use zstd::stream::read::Decoder as ZstdDecoder;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, in one member or several.
    Gzip,
    /// RFC 8878, in one frame or several.
    Zstd,
}

impl Compression {
    /// How something is compressed that begins so.
    ///
    /// # Errors
    /// If it is compressed in a way that no image is.
    pub fn of(first: &[u8]) -> Result<Self, PlainError> {
        match first {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // A skippable frame, as zstd:chunked may begin with.
            [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Ok(Self::Zstd),
            [b'B', b'Z', b'h', ..] => Err(PlainError::Unknown("bzip2")),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Err(PlainError::Unknown("xz")),
            [b'P', b'K', 3, 4, ..] => Err(PlainError::Unknown("zip")),
            _ => Ok(Self::None),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Why something is not decompressed.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// It could not be read.
    #[error("reading it")]
    Read(#[source] io::Error),
    /// Compressed by something else.
    #[error("it is compressed by {0}; images have gzip, zstd or no compression")]
    Unknown(&'static str),
    /// It grows beyond what is taken.
    #[error("it grows to more than {limit} bytes, which is the most")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// It grows faster than anything real.
    #[error(
        "it grows to more than {ratio} times its size ({plain} bytes of {compressed}): this is a decompression bomb"
    )]
    Bomb {
        /// The limit.
        ratio: u64,
        /// What came out so far.
        plain: u64,
        /// What went in for it.
        compressed: u64,
    },
    /// Bytes stand behind the end of what is compressed, or it ends too early.
    #[error("the {0} stream is damaged, cut off, or followed by something else")]
    Stream(Compression, #[source] io::Error),
}

type Source<R> = BufReader<HashingReader<R>>;

enum Decoder<R: Read> {
    None(Source<R>),
    Gzip(MultiGzDecoder<Source<R>>),
    Zstd(Box<ZstdDecoder<'static, Source<R>>>),
}

/// A plain tar, read out of what is stored, bounded, and hashed on both sides.
pub(crate) struct Plain<R: Read> {
    decoder: Decoder<R>,
    hasher: Hasher,
    produced: u64,
    limits: Limits,
}

/// What was read from beginning to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Of what is stored.
    pub stored: Digest,
    /// Of the plain tar.
    pub plain: Digest,
    /// The plain tar's bytes.
    pub plain_bytes: u64,
}

impl<R: Read> Plain<R> {
    /// Looks at the first bytes. `stored` and `plain` say by which algorithms the two forms are named.
    pub(crate) fn new(
        inner: R,
        stored: Algorithm,
        plain: Algorithm,
        limits: &Limits,
    ) -> Result<Self, PlainError> {
        let mut source = BufReader::with_capacity(64 * 1024, HashingReader::new(inner, stored));
        let compression = Compression::of(source.fill_buf().map_err(PlainError::Read)?)?;
        let decoder = match compression {
            Compression::None => Decoder::None(source),
            Compression::Gzip => Decoder::Gzip(MultiGzDecoder::new(source)),
            Compression::Zstd => {
                let mut decoder = ZstdDecoder::with_buffer(source).map_err(PlainError::Read)?;
                decoder.window_log_max(limits.zstd_window_log).map_err(PlainError::Read)?;
                Decoder::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { decoder, hasher: Hasher::new(plain), produced: 0, limits: limits.clone() })
    }

    /// How it is compressed.
    pub(crate) const fn compression(&self) -> Compression {
        match self.decoder {
            Decoder::None(_) => Compression::None,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }

    fn source(&self) -> &Source<R> {
        match &self.decoder {
            Decoder::None(source) => source,
            Decoder::Gzip(decoder) => decoder.get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn check(&self) -> Result<(), PlainError> {
        if self.produced > self.limits.layer_bytes {
            return Err(PlainError::TooLarge { limit: self.limits.layer_bytes });
        }
        if self.produced > self.limits.expansion_floor {
            let compressed = self.source().get_ref().count();
            let ratio = self.limits.expansion;
            if self.produced > compressed.saturating_mul(ratio) {
                return Err(PlainError::Bomb { ratio, plain: self.produced, compressed });
            }
        }
        Ok(())
    }

    /// Reads to the end of both forms and gives their digests.
    pub(crate) fn finish(mut self) -> Result<Sums, PlainError> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(self.told(error)),
            }
        }
        let mut source = match self.decoder {
            Decoder::None(source) => source,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        // A decoder stops at the end of what it knows; the digest is of all there is.
        io::copy(&mut source, &mut io::sink()).map_err(PlainError::Read)?;
        let stored = source.into_inner();
        Ok(Sums { stored: stored.finish(), plain: self.hasher.finish(), plain_bytes: self.produced })
    }

    /// What an error of [`Read`] was.
    pub(crate) fn told(&self, error: io::Error) -> PlainError {
        if error.get_ref().is_some_and(|inner| inner.is::<PlainError>()) {
            match error.into_inner().map(|inner| inner.downcast::<PlainError>()) {
                Some(Ok(plain)) => return *plain,
                Some(Err(_)) | None => return PlainError::Read(io::ErrorKind::Other.into()),
            }
        }
        PlainError::Stream(self.compression(), error)
    }
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.decoder {
            Decoder::None(source) => source.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }?;
        self.hasher.update(&buffer[..read]);
        self.produced += read as u64;
        self.check().map_err(io::Error::other)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn all(stored: &[u8], limits: &Limits) -> Result<Sums, PlainError> {
        Plain::new(stored, Algorithm::Sha256, Algorithm::Sha256, limits)?.finish()
    }

    #[test]
    fn every_form_comes_to_the_same_and_all_of_it_is_hashed() {
        let text = b"a layer ".repeat(1000);
        let mut members = gzip(&text[..100]);
        members.extend(gzip(&text[100..]));
        let mut frames = zstd::encode_all(&text[..9], 3).unwrap();
        frames.extend([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]);
        frames.extend(zstd::encode_all(&text[9..], 3).unwrap());
        for stored in [text.clone(), gzip(&text), members, frames] {
            let sums = all(&stored, &Limits::default()).unwrap();
            let expected = Sums {
                stored: Digest::of(&stored),
                plain: Digest::of(&text),
                plain_bytes: text.len() as u64,
            };
            assert_eq!(sums, expected);
        }
    }

    #[test]
    fn what_is_cut_off_or_followed_by_more_is_refused() {
        let text = b"a layer ".repeat(1000);
        for stored in [gzip(&text), zstd::encode_all(&text[..], 3).unwrap()] {
            for cut in [1, 4, stored.len() / 2, stored.len() - 5] {
                assert!(all(&stored[..stored.len() - cut], &Limits::default()).is_err(), "cut by {cut}");
            }
            let followed = [&stored[..], b"something else entirely"].concat();
            assert!(matches!(all(&followed, &Limits::default()), Err(PlainError::Stream(..))));
        }
        assert!(matches!(all(b"BZh91AY", &Limits::default()), Err(PlainError::Unknown("bzip2"))));
    }

    #[test]
    fn bombs_are_stopped_before_they_are_whole() {
        let zeros = vec![0; 4 << 20];
        let limits = Limits { expansion_floor: 1 << 20, expansion: 100, ..Limits::default() };
        for stored in [gzip(&zeros), zstd::encode_all(&zeros[..], 3).unwrap()] {
            let Err(PlainError::Bomb { plain, .. }) = all(&stored, &limits) else { panic!("no bomb") };
            assert!(plain < 2 << 20, "stopped at {plain}");
            let small = Limits { layer_bytes: 1000, ..Limits::default() };
            assert!(matches!(all(&stored, &small), Err(PlainError::TooLarge { limit: 1000 })));
        }
    }
}
