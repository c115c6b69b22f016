//! JSON indented for people, as it streams by.

/// Indents JSON by two spaces. Input may come in pieces cut anywhere; it must be well-formed and compact, as all that
/// is written here is.
#[derive(Debug, Default)]
pub struct Indenter {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// An opening bracket was written, and nothing after it yet.
    opened: bool,
}

impl Indenter {
    /// Appends the indented form of the next piece.
    pub fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &byte in piece {
            if self.in_string {
                out.push(byte);
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            if self.opened && !matches!(byte, b'}' | b']') {
                self.opened = false;
                self.line(out);
            }
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    self.opened = true;
                    out.push(byte);
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if !self.opened {
                        self.line(out);
                    }
                    self.opened = false;
                    out.push(byte);
                }
                b',' => {
                    out.push(byte);
                    self.line(out);
                }
                b':' => out.extend_from_slice(b": "),
                b'"' => {
                    self.in_string = true;
                    out.push(byte);
                }
                other => out.push(other),
            }
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

/// The whole of a compact JSON text, indented.
pub fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    Indenter::default().write(json, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn is_indented_as_go_indents() {
        let value = json!({"a": [], "b": {}, "c": [1, {"d": "x,{\\\"}"}], "e": null});
        let compact = value.to_string();
        assert_eq!(
            String::from_utf8(indent(compact.as_bytes())).unwrap(),
            serde_json::to_string_pretty(&value).unwrap()
        );
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(text in r#"[a"\\{},:\[\]]{0,9}"#, number: i32, cut in 0usize..60) {
            let value: Value = json!({"t": text, "n": [number, {"u": text}], "e": [[]]});
            let compact = value.to_string();
            let cut = cut.min(compact.len());
            let (mut indenter, mut out) = (Indenter::default(), Vec::new());
            indenter.write(&compact.as_bytes()[..cut], &mut out);
            indenter.write(&compact.as_bytes()[cut..], &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
