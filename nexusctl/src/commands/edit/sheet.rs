//! The text that an editor is given: objects below a few lines of comment. Pure.

use crate::output;
use serde_json::{Value, json};

const HEAD: &str = "# Change what is below and save it; an empty file changes nothing. Lines that begin with '#' are comments.\n";
/// Comments of ours that come and go with each refusal.
const MARK: &str = "#! ";

/// A text for the editor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sheet {
    /// The text.
    pub(super) text: String,
    /// What it was when nothing had been changed.
    original: Option<String>,
}

impl Sheet {
    /// The objects, as YAML documents, or as JSON: one object, or a List.
    pub(super) fn new(objects: &[&Value], as_json: bool) -> Self {
        let body = match (as_json, objects) {
            (true, [only]) => output::json(only),
            (true, several) => {
                output::json(&json!({"apiVersion": "v1", "kind": "List", "items": several, "metadata": {}}))
            }
            (false, several) => {
                several.iter().map(|object| output::yaml::to_string(object)).collect::<Vec<_>>().join("---\n")
            }
        };
        // JSON has comments only for who reads it as YAML; its text is left alone.
        let text = if as_json { body } else { format!("{HEAD}#\n{body}") };
        Self { original: Some(plain(&text)), text }
    }

    /// A text that was kept.
    pub(super) fn kept(text: String) -> Self {
        Self { text, original: None }
    }

    /// Whether a text says the same as the original one, comments aside.
    pub(super) fn is_same(&self, text: &str) -> bool {
        self.original.as_ref().is_some_and(|original| *original == plain(text))
    }

    /// A text to be opened again, with reasons above it.
    pub(super) fn again(&self, reasons: &[String], text: &str) -> Self {
        let mut head = String::new();
        for reason in reasons {
            for line in reason.lines() {
                head.push_str(MARK);
                head.push_str(line);
                head.push('\n');
            }
        }
        let body: String = text
            .lines()
            .filter(|line| !line.starts_with(MARK.trim_end()))
            .map(|line| format!("{line}\n"))
            .collect();
        Self { text: head + &body, original: self.original.clone() }
    }
}

/// The text without comments and empty lines.
pub(super) fn plain(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_and_go() {
        let sheet = Sheet::new(&[&json!({"a": 1})], false);
        assert!(sheet.is_same(&sheet.text) && sheet.is_same("a: 1\n") && !sheet.is_same("a: 2\n"));
        let again = sheet.again(&["spec.a: too much\nmore".to_owned()], "# mine\na: 2\n");
        assert_eq!(again.text, "#! spec.a: too much\n#! more\n# mine\na: 2\n");
        assert_eq!(again.again(&["other".to_owned()], &again.text).text, "#! other\n# mine\na: 2\n");
        assert!(again.is_same("a: 1"));
    }
}
