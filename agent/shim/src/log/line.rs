//! Bytes that a process writes, as lines of CRI's log format: `<time> <stream> F|P <text>`.

use jiff::Timestamp;
use std::io::Write as _;

/// Which of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Cuts one stream into lines. Holds what has no end yet, at most one line.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: Stream,
    longest: usize,
    held: Vec<u8>,
}

impl Lines {
    /// `longest` is of text, in bytes.
    pub(crate) fn new(stream: Stream, longest: u32) -> Self {
        Self { stream, longest: usize::try_from(longest).unwrap_or(usize::MAX).max(1), held: Vec::new() }
    }

    /// Takes what was written, and gives each line or part that is complete as it is to be logged.
    pub(crate) fn push(&mut self, mut bytes: &[u8], now: Timestamp, give: &mut impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = self.longest - self.held.len();
            let end = memchr::memchr(b'\n', bytes);
            match end {
                Some(end) if end <= room => {
                    let (line, rest) = bytes.split_at(end);
                    self.give(line, b'F', now, give);
                    bytes = rest.get(1..).unwrap_or_default();
                }
                _ if bytes.len() > room => {
                    let (part, rest) = bytes.split_at(room);
                    self.give(part, b'P', now, give);
                    bytes = rest;
                }
                _ => {
                    self.held.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    /// Gives what has no end, since none will come.
    pub(crate) fn finish(&mut self, now: Timestamp, give: &mut impl FnMut(&[u8])) {
        if !self.held.is_empty() {
            self.give(&[], b'F', now, give);
        }
    }

    fn give(&mut self, more: &[u8], tag: u8, now: Timestamp, give: &mut impl FnMut(&[u8])) {
        let mut line = Vec::with_capacity(64 + self.held.len() + more.len());
        // Writing to memory does not fail.
        drop(write!(line, "{now:.9} {} ", self.stream.name()));
        line.extend_from_slice(&[tag, b' ']);
        line.append(&mut self.held);
        line.extend_from_slice(more);
        line.push(b'\n');
        give(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn logged(longest: u32, parts: &[&[u8]]) -> String {
        let mut lines = Lines::new(Stream::Stdout, longest);
        let mut out = Vec::new();
        let now = Timestamp::from_nanosecond(1_700_000_000_000_000_001).unwrap();
        for part in parts {
            lines.push(part, now, &mut |line| out.extend_from_slice(line));
        }
        lines.finish(now, &mut |line| out.extend_from_slice(line));
        String::from_utf8_lossy(&out).replace("2023-11-14T22:13:20.000000001Z stdout ", "")
    }

    #[test]
    fn lines_are_as_cri_has_them() {
        let mut lines = Lines::new(Stream::Stderr, 100);
        let mut out = Vec::new();
        let now = Timestamp::from_nanosecond(1_700_000_000_120_000_000).unwrap();
        lines.push(b"hello\n", now, &mut |line| out.extend_from_slice(line));
        assert_eq!(String::from_utf8(out).unwrap(), "2023-11-14T22:13:20.120000000Z stderr F hello\n");
    }

    #[test]
    fn long_lines_are_parts_and_the_last_has_an_end() {
        assert_eq!(logged(4, &[b"abcdefghij\nk\n"]), "P abcd\nP efgh\nF ij\nF k\n");
        assert_eq!(logged(4, &[b"abcd\n"]), "F abcd\n");
        assert_eq!(logged(4, &[b"ab", b"", b"cd", b"e", b"\n\n"]), "P abcd\nF e\nF \n");
        assert_eq!(logged(4, &[b"abc"]), "F abc\n");
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_line_too_long(text in prop::collection::vec(any::<u8>(), 0..400), longest in 1u32..20, cut in 1usize..50) {
            let mut lines = Lines::new(Stream::Stdout, longest);
            let now = Timestamp::UNIX_EPOCH;
            let mut back = Vec::new();
            let mut give = |line: &[u8]| {
                let text = &line[40..line.len() - 1];
                assert!(text.len() <= longest as usize, "{line:?}");
                back.extend_from_slice(text);
                if line[38] == b'F' {
                    back.push(b'\n');
                }
            };
            for part in text.chunks(cut) {
                lines.push(part, now, &mut give);
            }
            lines.finish(now, &mut give);
            let mut wanted = text.clone();
            if wanted.last().is_some_and(|last| *last != b'\n') {
                wanted.push(b'\n');
            }
            prop_assert_eq!(back, wanted);
        }
    }
}
