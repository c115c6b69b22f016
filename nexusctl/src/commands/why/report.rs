//! What is told: a heading, reasons with what to do about them, and parts that have reasons of their own. Pure.

use crate::output::{aligned, escape_line};
use serde_json::{Value, json};

/// How much a reason weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something is wrong, and stays so until somebody does something.
    Wrong,
    /// Something is waited for.
    Waits,
    /// So it is.
    Fact,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// How much it weighs.
    pub weight: Weight,
    /// In words.
    pub text: String,
    /// What to do about it, or where to look.
    pub hint: Option<String>,
    /// Finer grained, a line each: each node and why it does not do.
    pub details: Vec<(String, String)>,
}

/// What is told about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `instance`
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it is, in a few words: `runs on node-a`.
    pub summary: String,
    /// Why.
    pub reasons: Vec<Reason>,
    /// Of its parts.
    pub parts: Vec<Report>,
}

impl Report {
    /// Adds a reason, unless it says what was said.
    pub fn because(&mut self, weight: Weight, text: impl Into<String>, hint: Option<String>) {
        let text = text.into();
        let said = self.reasons.iter().any(|reason| reason.text.contains(&text));
        if !text.is_empty() && !said {
            self.reasons.push(Reason { weight, text, hint, details: Vec::new() });
        }
    }

    /// Whether a text was said, or is part of what was.
    pub fn says(&self, text: &str) -> bool {
        self.reasons.iter().any(|reason| reason.text.contains(text))
    }

    /// The gravest reason's text; empty if there is none.
    pub fn gravest(&self) -> Option<&Reason> {
        self.reasons.iter().min_by_key(|reason| reason.weight)
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let reasons: Vec<Value> = self.reasons.iter().map(Reason::to_json).collect();
        let mut object = json!({
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "summary": self.summary,
            "reasons": reasons,
        });
        if !self.parts.is_empty() {
            object["parts"] = self.parts.iter().map(Self::to_json).collect();
        }
        object
    }

    /// For people, in lines of at most `most`.
    pub fn render(&self, most: Option<usize>) -> String {
        let mut out = String::new();
        self.write(&mut out, 0, most);
        out
    }

    fn write(&self, out: &mut String, depth: usize, most: Option<usize>) {
        let place = if depth == 0 { format!("{}/{}", self.namespace, self.name) } else { self.name.clone() };
        paragraph(out, depth * 2, 2, &format!("{} {place} {}", self.kind, self.summary), most);
        let inner = depth * 2 + 2;
        for reason in &self.reasons {
            let mark = match reason.weight {
                Weight::Wrong => "✗ ",
                Weight::Waits => "… ",
                Weight::Fact => "· ",
            };
            paragraph(out, inner, 2, &format!("{mark}{}", escape_line(&reason.text)), most);
            let widest =
                reason.details.iter().map(|(name, _)| aligned::width(name)).max().unwrap_or_default();
            for (name, text) in &reason.details {
                let gap = widest - aligned::width(name) + 2;
                let line = format!("{}{}{}", escape_line(name), " ".repeat(gap), escape_line(text));
                paragraph(out, inner + 4, 2, &line, most);
            }
            if let Some(hint) = &reason.hint {
                paragraph(out, inner + 2, 2, &format!("→ {}", escape_line(hint)), most);
            }
        }
        for part in &self.parts {
            part.write(out, depth + 1, most);
        }
    }
}

impl Reason {
    /// Whether it says that something is wrong.
    pub fn is_wrong(&self) -> bool {
        self.weight == Weight::Wrong
    }

    fn to_json(&self) -> Value {
        let mut object = json!({
            "weight": match self.weight {
                Weight::Wrong => "wrong",
                Weight::Waits => "waits",
                Weight::Fact => "fact",
            },
            "text": self.text,
        });
        if let Some(hint) = &self.hint {
            object["hint"] = hint.as_str().into();
        }
        if !self.details.is_empty() {
            object["details"] =
                self.details.iter().map(|(name, text)| json!({"name": name, "text": text})).collect();
        }
        object
    }
}

/// Appends a text in lines that fit, the first indented by `indent` and the others by `hang` more. A word that is
/// longer than a line is left whole: it may have to be copied.
fn paragraph(out: &mut String, indent: usize, hang: usize, text: &str, most: Option<usize>) {
    let most = most.unwrap_or(usize::MAX).max(indent + hang + 16);
    let (mut column, mut first) = (indent, true);
    out.push_str(&" ".repeat(indent));
    for word in text.split(' ') {
        let width = aligned::width(word);
        if !first && column + 1 + width > most {
            out.push('\n');
            column = indent + hang;
            out.push_str(&" ".repeat(column));
        } else if !first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
        first = false;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn report() -> Report {
        let mut report = Report {
            kind: "instance",
            namespace: "default".to_owned(),
            name: "web-1".to_owned(),
            summary: "has no node".to_owned(),
            ..Report::default()
        };
        report.because(
            Weight::Wrong,
            "0/2 nodes fit: 1 is cordoned, 1 has too little memory",
            Some("free some".into()),
        );
        report.reasons[0].details =
            vec![("a".into(), "is cordoned".into()), ("long-name".into(), "has too little".into())];
        report.because(Weight::Fact, "1 is cordoned", None);
        report.because(Weight::Fact, "a\u{1b}[2Jb\nc", None);
        report
    }

    #[test]
    fn a_report_is_read_at_any_width() {
        assert_snapshot!(report().render(None), @r#"
        instance default/web-1 has no node
          ✗ 0/2 nodes fit: 1 is cordoned, 1 has too little memory
              a          is cordoned
              long-name  has too little
            → free some
          · a\u{1b}[2Jb\nc
        "#);
        assert_snapshot!(report().render(Some(32)), @r#"
        instance default/web-1 has no
          node
          ✗ 0/2 nodes fit: 1 is
            cordoned, 1 has too little
            memory
              a          is cordoned
              long-name  has too little
            → free some
          · a\u{1b}[2Jb\nc
        "#);
    }

    #[test]
    fn programs_read_it_too() {
        assert_snapshot!(report().to_json(), @r#"{"kind":"instance","name":"web-1","namespace":"default","reasons":[{"details":[{"name":"a","text":"is cordoned"},{"name":"long-name","text":"has too little"}],"hint":"free some","text":"0/2 nodes fit: 1 is cordoned, 1 has too little memory","weight":"wrong"},{"text":"a\u001b[2Jb\nc","weight":"fact"}],"summary":"has no node"}"#);
    }
}
