//! Colours, where they are wanted: few, and never the only carrier of a meaning.

use anstyle::{AnsiColor, Effects, Style};

/// Whether and how texts are coloured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours, or none.
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    fn styled(self, style: Style, text: &str) -> String {
        if self.on && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Headings and labels.
    pub fn heading(self, text: &str) -> String {
        self.styled(Style::new().effects(Effects::BOLD), text)
    }

    /// What is well.
    pub fn good(self, text: &str) -> String {
        self.styled(AnsiColor::Green.on_default(), text)
    }

    /// What is not.
    pub fn bad(self, text: &str) -> String {
        self.styled(AnsiColor::Red.on_default(), text)
    }

    /// What is not known, or on its way.
    pub fn unsure(self, text: &str) -> String {
        self.styled(AnsiColor::Yellow.on_default(), text)
    }

    /// What matters least.
    pub fn weak(self, text: &str) -> String {
        self.styled(Style::new().effects(Effects::DIMMED), text)
    }

    /// A cell under a heading.
    pub fn cell(self, heading: &str, text: &str) -> String {
        if !self.on {
            return text.to_owned();
        }
        match heading {
            "READY" | "STATUS" | "AVAILABLE" | "TYPE" | "CHANGE" => self.state(text),
            _ if text == "<none>" || text == "<unknown>" => self.weak(text),
            _ => text.to_owned(),
        }
    }

    /// A word that says how something is.
    pub fn state(self, text: &str) -> String {
        match text {
            "True" | "Ready" | "Active" | "Running" | "Bound" | "Succeeded" | "Created" => self.good(text),
            "False" | "Failed" | "Error" | "Deleted" => self.bad(text),
            "Unknown" | "Pending" | "Terminating" | "Warning" => self.unsure(text),
            _ => text.to_owned(),
        }
    }
}
