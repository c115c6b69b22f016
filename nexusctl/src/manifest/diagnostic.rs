//! What is wrong with a manifest, shown the way a compiler shows it: file, line, column, the line itself, a caret.

use crate::manifest::node::Span;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::sync::Arc;

/// Longer lines are shown in part: this many bytes either side of the fault.
const LINE_WINDOW: usize = 200;

/// A text and the name that people know it by.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// A path, or `<stdin>`.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// A named text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// One line: what is wrong.
    pub title: String,
    /// Where, if it has a place.
    pub place: Option<(Arc<Source>, Span)>,
    /// Words beside the caret.
    pub label: Option<String>,
    /// Another place of the same text that it has to do with, and words beside that.
    pub also: Option<(Span, String)>,
    /// What to do, one line each.
    pub help: Vec<String>,
    /// Whether it is only a warning.
    pub warning: bool,
}

impl Diagnostic {
    /// Something wrong that has no place in a text.
    pub fn plain(title: impl Into<String>) -> Self {
        Self { title: title.into(), place: None, label: None, also: None, help: Vec::new(), warning: false }
    }

    /// Something wrong at a place.
    pub fn at(source: &Arc<Source>, span: Span, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            place: Some((Arc::clone(source), span)),
            label: None,
            also: None,
            help: Vec::new(),
            warning: false,
        }
    }

    /// As a warning rather than an error.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.warning = true;
        self
    }

    /// With words beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// With another place of the same text, and words beside it.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    /// With a line of advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The text for a terminal; with `color`, in colours. Ends without a line break.
    pub fn render(&self, color: bool) -> String {
        let level = if self.warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(printable(&self.title));
        let mut group = match &self.place {
            Some((source, span)) => {
                let also = self.also.as_ref().map(|(span, label)| (*span, label.as_str()));
                located(title, source, (*span, self.label.as_deref()), also)
            }
            None => Group::with_title(title),
        };
        for help in &self.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// Control characters could move the cursor or recolour the terminal of whoever reads the error.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// A span as offsets into its text, and those of its line.
struct Place {
    line: usize,
    column: usize,
    start: usize,
    end: usize,
    line_start: usize,
    line_end: usize,
}

impl Place {
    fn of(text: &str, span: Span) -> Self {
        let start = floor(text, offset(text, span));
        let line_start = text[..start].rfind('\n').map_or(0, |p| p + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |p| start + p);
        let end = floor(text, span.end.clamp(start, line_end));
        Self { line: span.line.max(1), column: span.column, start, end, line_start, line_end }
    }

    /// Whether the line is shown in part.
    fn is_long(&self) -> bool {
        self.line_end - self.line_start > 2 * LINE_WINDOW
    }

    /// The mark of this place in its line.
    fn mark<'a>(&self, kind: AnnotationKind, label: Option<&str>) -> Annotation<'a> {
        let marked = self.start - self.line_start..self.end - self.line_start;
        kind.span(marked).label(label.map(str::to_owned))
    }

    /// Adds the line, with its mark, to what is shown.
    fn shown<'a>(
        &self,
        group: Group<'a>,
        source: &'a Source,
        kind: AnnotationKind,
        label: Option<&str>,
        more: Option<Annotation<'a>>,
    ) -> Group<'a> {
        let text = &source.text;
        if !self.is_long() {
            let snippet = Snippet::source(&text[self.line_start..self.line_end])
                .line_start(self.line)
                .path(source.name.as_str())
                .annotation(self.mark(kind, label));
            return group.element(snippet.annotations(more));
        }
        // The window loses the true column, so it goes into the header by hand.
        let from = floor(text, self.start.saturating_sub(LINE_WINDOW).max(self.line_start));
        let to = floor(text, (self.start + LINE_WINDOW).min(self.line_end));
        let window = &text[from..to];
        let marked =
            self.start - from..(self.end.min(to) - from).max(self.start - from + 1).min(window.len().max(1));
        let snippet = Snippet::source(window)
            .line_start(self.line)
            .annotation(kind.span(marked).label(label.map(str::to_owned)));
        let origin = Origin::path(source.name.as_str()).line(self.line).char_column(self.column);
        group.element(origin).element(snippet)
    }
}

fn located<'a>(
    title: annotate_snippets::Title<'a>,
    source: &'a Source,
    (span, label): (Span, Option<&str>),
    also: Option<(Span, &str)>,
) -> Group<'a> {
    let here = Place::of(&source.text, span);
    let other = also.map(|(span, label)| (Place::of(&source.text, span), label));
    let long = |place: &Place| here.is_long() || place.is_long();
    let beside = other.as_ref().filter(|(other, _)| other.line == here.line && !long(other));
    let more = beside.map(|(other, label)| other.mark(AnnotationKind::Context, Some(label)));
    let apart = more.is_none();
    let group = here.shown(Group::with_title(title), source, AnnotationKind::Primary, label, more);
    match other {
        Some((other, label)) if apart && long(&other) => {
            let place = format!("{label}: line {}, column {}", other.line, other.column);
            group.element(Level::NOTE.message(place))
        }
        Some((other, label)) if apart => {
            other.shown(group, source, AnnotationKind::Context, Some(label), None)
        }
        _ => group,
    }
}

/// The byte offset of a span; taken from line and column, which every error carries.
fn offset(text: &str, span: Span) -> usize {
    if span.line == 0 {
        return span.start.min(text.len());
    }
    let mut start = 0;
    for _ in 1..span.line {
        match text[start..].find('\n') {
            Some(at) => start += at + 1,
            None => return text.len(),
        }
    }
    let line_end = text[start..].find('\n').map_or(text.len(), |p| start + p);
    let column = span.column.saturating_sub(1);
    text[start..line_end].char_indices().nth(column).map_or(line_end, |(at, _)| start + at)
}

fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
