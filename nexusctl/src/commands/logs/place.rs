//! How far a log was read, so that it can be gone on with where it broke off: no line is missed, none is seen twice.
//! Pure.
//!
//! The log is asked for with times, which begin each line. Lines may have the same time, and the last may be cut: how
//! many of them, and how much of it was seen, is counted.

use jiff::Timestamp;

/// The longest time that is looked for; a line that begins otherwise is passed on as it is.
const LONGEST: usize = 40;

/// How far a log was read.
#[derive(Debug, Default)]
pub struct Place {
    /// Whether times are shown.
    shows: bool,
    /// The time of the latest line, as it was written.
    time: String,
    at: Option<Timestamp>,
    /// Lines with this time so far, the latest among them.
    same: u64,
    /// Bytes of the latest line that were seen, without its time.
    seen: usize,
    /// Lines with this time since the log was asked for again; none once all are new.
    again: Option<u64>,
    line: Line,
}

/// Where in a line it is.
#[derive(Debug)]
enum Line {
    /// In its time.
    Head(Vec<u8>),
    /// Behind it: so many bytes, of which so many are known already.
    Body { at: usize, known: usize },
}

impl Default for Line {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

impl Place {
    /// At the beginning.
    pub fn new(shows: bool) -> Self {
        Self { shows, ..Self::default() }
    }

    /// From when on to ask again; none: as at first.
    pub fn since(&self) -> Option<&str> {
        self.at.map(|_| self.time.as_str())
    }

    /// The log was asked for again: what comes begins with what is known.
    pub fn again(&mut self) {
        self.line = Line::default();
        self.again = self.at.map(|_| 0);
    }

    /// Takes what comes; gives what of it is new.
    pub fn take(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() {
            match &mut self.line {
                Line::Head(head) => {
                    let room = LONGEST.saturating_sub(head.len());
                    let end = bytes.iter().take(room).position(|byte| matches!(byte, b' ' | b'\n'));
                    let length = end.unwrap_or_else(|| room.min(bytes.len()));
                    let (more, rest) = bytes.split_at(length);
                    head.extend_from_slice(more);
                    bytes = rest;
                    if end.is_some() || head.len() >= LONGEST {
                        let head = std::mem::take(head);
                        self.begin(head, &mut bytes, &mut out);
                    }
                }
                Line::Body { at, known } => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (body, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    let new = body.get(known.saturating_sub(*at).min(body.len())..).unwrap_or_default();
                    out.extend_from_slice(new);
                    *at += body.len();
                    if *known != usize::MAX {
                        self.seen = self.seen.max(*at);
                    }
                    if end.is_some() {
                        self.line = Line::default();
                    }
                    bytes = rest;
                }
            }
        }
        out
    }

    /// A line's head is whole.
    fn begin(&mut self, head: Vec<u8>, bytes: &mut &[u8], out: &mut Vec<u8>) {
        let text = std::str::from_utf8(&head).unwrap_or_default();
        let Ok(at) = text.parse::<Timestamp>() else {
            // No time: whoever answers knows none, and all of it belongs to the line.
            out.extend_from_slice(&head);
            self.line = Line::Body { at: 0, known: 0 };
            return;
        };
        // The space behind it.
        if let Some((b' ', rest)) = bytes.split_first() {
            *bytes = rest;
        }
        let known = self.known(at);
        if known == 0 {
            self.same = if self.at == Some(at) { self.same + 1 } else { 1 };
            (self.at, self.time, self.seen) = (Some(at), text.to_owned(), 0);
            if self.shows {
                out.extend_from_slice(&head);
                out.push(b' ');
            }
        }
        // A line of which nothing but its time was seen is at its beginning still.
        let known = if known == NOTHING { 0 } else { known };
        self.line = Line::Body { at: 0, known };
    }

    /// How many bytes of a line with this time are known already.
    fn known(&mut self, at: Timestamp) -> usize {
        let (Some(again), Some(last)) = (&mut self.again, self.at) else { return 0 };
        if at < last {
            return usize::MAX;
        }
        if at > last {
            self.again = None;
            return 0;
        }
        *again += 1;
        match (*again).cmp(&self.same) {
            std::cmp::Ordering::Less => usize::MAX,
            std::cmp::Ordering::Equal if self.seen == 0 => NOTHING,
            std::cmp::Ordering::Equal => self.seen,
            std::cmp::Ordering::Greater => {
                self.again = None;
                0
            }
        }
    }
}

/// The line is known, and none of its bytes.
const NOTHING: usize = usize::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is written at which second.
    fn log(lines: &[(u8, String)]) -> Vec<u8> {
        let line = |(at, text): &(u8, String)| format!("2026-01-01T00:00:{at:02}.5Z {text}\n");
        lines.iter().map(line).collect::<String>().into_bytes()
    }

    /// What is answered to who asks from a time on.
    fn since<'a>(lines: &'a [(u8, String)], place: &Place) -> &'a [(u8, String)] {
        let Some(time) = place.since() else { return lines };
        let at: Timestamp = time.parse().unwrap();
        let first = lines.iter().position(|(second, _)| {
            format!("2026-01-01T00:00:{second:02}.5Z").parse::<Timestamp>().unwrap() >= at
        });
        &lines[first.unwrap_or(lines.len())..]
    }

    proptest! {
        #[test]
        fn nothing_is_missed_and_nothing_comes_twice(
            steps in prop::collection::vec((0_u8..2, "[a-z ]{0,12}"), 1..12),
            cuts in prop::collection::vec((0_usize..200, 1_usize..20), 0..6),
            shows: bool,
        ) {
            let mut at = 0;
            let lines: Vec<_> = steps.into_iter().map(|(step, text)| { at += step; (at, text) }).collect();
            let mut place = Place::new(shows);
            let mut out = Vec::new();
            for (length, piece) in cuts {
                let bytes = log(since(&lines, &place));
                let bytes = &bytes[..length.min(bytes.len())];
                for piece in bytes.chunks(piece) {
                    out.extend(place.take(piece));
                }
                place.again();
            }
            out.extend(place.take(&log(since(&lines, &place))));
            let whole = log(&lines);
            let wanted = if shows {
                whole
            } else {
                lines.iter().map(|(_, text)| format!("{text}\n")).collect::<String>().into_bytes()
            };
            prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(wanted).unwrap());
        }

        #[test]
        fn what_has_no_times_is_passed_on(text in "([a-z.:]{0,60}\n){0,5}", piece in 1_usize..50) {
            let mut place = Place::new(false);
            let out: Vec<u8> = text.as_bytes().chunks(piece).flat_map(|piece| place.take(piece)).collect();
            prop_assert_eq!(out, text.as_bytes());
        }
    }
}
