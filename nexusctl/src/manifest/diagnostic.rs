//! What is wrong with a manifest, shown the way a compiler shows it: file, line, column, the line itself, a caret.

use crate::manifest::node::Span;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
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
    /// What to do, one line each.
    pub help: Vec<String>,
    /// Whether it is only a warning.
    pub warning: bool,
}

impl Diagnostic {
    /// Something wrong that has no place in a text.
    pub fn plain(title: impl Into<String>) -> Self {
        Self { title: title.into(), place: None, label: None, help: Vec::new(), warning: false }
    }

    /// Something wrong at a place.
    pub fn at(source: &Arc<Source>, span: Span, title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            place: Some((Arc::clone(source), span)),
            label: None,
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
            Some((source, span)) => located(title, source, *span, self.label.as_deref()),
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

fn located<'a>(
    title: annotate_snippets::Title<'a>,
    source: &'a Source,
    span: Span,
    label: Option<&'a str>,
) -> Group<'a> {
    let text = &source.text;
    let start = floor(text, offset(text, span));
    let line_start = text[..start].rfind('\n').map_or(0, |p| p + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |p| start + p);
    let end = floor(text, span.end.clamp(start, line_end));
    if line_end - line_start > 2 * LINE_WINDOW {
        // The window loses the true column, so it goes into the header by hand.
        let from = floor(text, start.saturating_sub(LINE_WINDOW).max(line_start));
        let to = floor(text, (start + LINE_WINDOW).min(line_end));
        let window = &text[from..to];
        let marked = start - from..(end.min(to) - from).max(start - from + 1).min(window.len().max(1));
        let snippet = Snippet::source(window)
            .line_start(span.line)
            .annotation(AnnotationKind::Primary.span(marked).label(label.map(str::to_owned)));
        let origin = Origin::path(source.name.as_str()).line(span.line).char_column(span.column);
        return title.element(origin).element(snippet);
    }
    let line = &text[line_start..line_end];
    let from = start - line_start;
    let to = (end - line_start).max(from);
    title.element(
        Snippet::source(line)
            .line_start(span.line.max(1))
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(from..to).label(label.map(str::to_owned))),
    )
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
