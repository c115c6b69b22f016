//! Where in a value a walk stands.
//!
//! Places are linked on the stack and rendered only when something is to be said about them, so that a walk without
//! findings allocates nothing for paths. What is rendered is bounded: a hostile key is cut, not repeated.

use crate::rules::PathStep;
use std::fmt::Write;

/// Longest path that is rendered, in bytes; what is beyond is cut.
const LONGEST: usize = 2048;

/// One step down into a value.
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// A declared field of an object.
    Field(&'a str),
    /// A key of a map.
    Key(&'a str),
    /// An item of a list.
    Index(usize),
}

/// How keys of maps are written: validation against a schema and pruning have dots, everything else has brackets, as
/// upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `spec.labels.app`
    Dotted,
    /// `spec.labels[app]`
    Bracketed,
}

/// A place below a root.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    above: Option<(&'a Place<'a>, Step<'a>)>,
    /// Steps from the root.
    pub depth: usize,
}

impl<'a> Place<'a> {
    /// The root itself.
    pub const ROOT: Place<'static> = Place { above: None, depth: 0 };

    pub fn field(&'a self, name: &'a str) -> Self {
        self.step(Step::Field(name))
    }

    pub fn key(&'a self, name: &'a str) -> Self {
        self.step(Step::Key(name))
    }

    pub fn index(&'a self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    fn step(&'a self, step: Step<'a>) -> Self {
        Place { above: Some((self, step)), depth: self.depth + 1 }
    }

    /// The steps from the root.
    fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = Vec::with_capacity(self.depth);
        let mut here = self;
        while let Some((above, step)) = here.above {
            steps.push(step);
            here = above;
        }
        steps.reverse();
        steps
    }

    pub fn dotted(&self) -> String {
        render(self.steps(), Style::Dotted)
    }

    pub fn bracketed(&self) -> String {
        render(self.steps(), Style::Bracketed)
    }

    /// The bracketed path of what is below by the path of a rule.
    pub fn below(&self, path: &[PathStep]) -> String {
        render(self.steps().into_iter().chain(path.iter().map(PathStep::borrowed)), Style::Bracketed)
    }
}

/// A path, empty at the root.
fn render<'s>(steps: impl IntoIterator<Item = Step<'s>>, style: Style) -> String {
    let mut path = String::new();
    for step in steps {
        // Writing to a String cannot fail.
        let _ = match step {
            Step::Index(index) => write!(path, "[{index}]"),
            Step::Key(key) if style == Style::Bracketed => write!(path, "[{}]", cut(key)),
            Step::Field(name) | Step::Key(name) => {
                let dot = if path.is_empty() { "" } else { "." };
                write!(path, "{dot}{}", cut(name))
            }
        };
        if path.len() >= LONGEST {
            path.push('…');
            break;
        }
    }
    path
}

/// At most [`LONGEST`] bytes of a text.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_in_both_styles() {
        let spec = Place::ROOT.field("spec");
        let labels = spec.field("labels");
        let app = labels.key("a.b/c");
        let item = app.index(3);
        let name = item.field("name");
        assert_eq!(name.dotted(), "spec.labels.a.b/c[3].name");
        assert_eq!(name.bracketed(), "spec.labels[a.b/c][3].name");
        assert_eq!(Place::ROOT.dotted(), "");
        assert_eq!(name.depth, 5);
    }

    #[test]
    fn hostile_keys_are_cut() {
        let key = "ä".repeat(1 << 20);
        let first = Place::ROOT.key(&key);
        let second = first.key(&key);
        assert!(second.dotted().len() < LONGEST + 8);
    }
}
