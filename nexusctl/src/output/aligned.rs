//! Columns of text, as Go's `text/tabwriter` aligns them for kubectl.
//!
//! Widths are those of a terminal: wide characters count twice, combining ones not at all.

use crate::output::{Paint, escape_line};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Three spaces between columns, no column narrower than six: what kubectl's tables look like.
pub const TABLE: Layout = Layout { minimum: 6, padding: 3 };
/// Two spaces between columns: what kubectl's descriptions look like.
pub const DESCRIPTION: Layout = Layout { minimum: 0, padding: 2 };
/// No column is cut to fewer than this, padding not counted.
const NARROWEST: usize = 6;
/// A text is wrapped beside its label where there is so much room, else below it.
const ROOM: usize = 20;

/// How much room a text takes on a terminal.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// The text, or as much of it as takes `most`, an ellipsis at its end.
pub fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut room = most.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if wide > room {
            break;
        }
        room -= wide;
        short.push(c);
    }
    if most > 0 {
        short.push('…');
    }
    short
}

/// The widths that columns keep.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The narrowest column, padding included.
    pub minimum: usize,
    /// Spaces after the widest cell.
    pub padding: usize,
}

impl Layout {
    /// Widens `widths` to hold `cells`; the last cell of a row has no width.
    pub fn fit(self, widths: &mut Vec<usize>, cells: &[String]) {
        for (column, cell) in cells.iter().enumerate().take(cells.len().saturating_sub(1)) {
            let width = (width(cell) + self.padding).max(self.minimum);
            match widths.get_mut(column) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
}

/// Appends a row and a line break.
pub fn push_row(out: &mut String, widths: &[usize], cells: &[String]) {
    push_painted(out, widths, cells, |_, text| text.to_owned());
}

/// Appends a row and a line break; `paint` makes of a cell what is written in its place, which takes as much room.
pub fn push_painted(
    out: &mut String,
    widths: &[usize],
    cells: &[String],
    paint: impl Fn(usize, &str) -> String,
) {
    for (column, cell) in cells.iter().enumerate() {
        out.push_str(&paint(column, cell));
        if column + 1 < cells.len() {
            let room = widths.get(column).copied().unwrap_or_default();
            let gap = room.saturating_sub(width(cell));
            out.extend(std::iter::repeat_n(' ', gap));
        }
    }
    out.push('\n');
}

/// Rows as a table, each in one line whatever its cells hold, at most `most` wide.
pub fn rows(rows: &[Vec<String>], most: Option<usize>) -> String {
    let mut grid = Grid::default();
    rows.iter().for_each(|row| grid.row(row.clone()));
    grid.render(most, &Paint::default())
}

/// A text in lines of at most `most`, broken between words; a word that is longer stays whole.
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn lines(cells: &[String]) -> Vec<String> {
    cells.iter().map(|cell| escape_line(cell)).collect()
}

/// Rows under a heading, made to fit a terminal, each in one line whatever its cells hold.
///
/// What does not fit is taken from the widest columns, never from the first `kept` ones, which people copy; and where
/// that is not enough, the last columns are left out. Columns that were asked for by name are whole at any width.
#[derive(Debug, Default)]
pub struct Grid {
    rows: Vec<Vec<String>>,
    has_heading: bool,
    kept: usize,
    /// So many columns at the end are neither cut nor left out.
    spared: usize,
    widths: Vec<usize>,
}

impl Grid {
    /// No rows yet. The first `kept` columns are never cut, the first one is not in any case; `widths` are those that
    /// columns have at least.
    pub fn new(kept: usize, widths: Vec<usize>) -> Self {
        Self { kept, widths, ..Self::default() }
    }

    /// Has the last `spared` columns neither cut nor left out.
    #[must_use]
    pub fn sparing(mut self, spared: usize) -> Self {
        self.spared = spared;
        self
    }

    /// Sets the heading.
    pub fn heading(&mut self, cells: Vec<String>) {
        self.rows.insert(0, lines(&cells));
        self.has_heading = true;
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(lines(&cells));
    }

    /// The text, in lines of at most `most`.
    pub fn render(mut self, most: Option<usize>, paint: &Paint) -> String {
        self.print(most, paint)
    }

    /// The text of the rows so far, which are forgotten; widths are kept.
    pub fn print(&mut self, most: Option<usize>, paint: &Paint) -> String {
        for row in &self.rows {
            TABLE.fit(&mut self.widths, row);
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let last =
            self.rows.iter().filter(|r| r.len() == columns).filter_map(|r| r.last()).map(|c| width(c)).max();
        let mut widths = self.widths.clone();
        widths.truncate(columns.saturating_sub(1));
        widths.push(last.unwrap_or_default());
        let shown = most.map_or(columns, |most| narrow(&mut widths, most, self.kept.max(1), self.spared));
        let heading = if self.has_heading { self.rows.first().cloned() } else { None };
        let mut out = String::new();
        let heads = heading.as_deref().unwrap_or_default();
        for (index, row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let count = row.len();
            let cells: Vec<String> = row
                .into_iter()
                .take(shown)
                .enumerate()
                .map(|(column, cell)| {
                    let padding = if column + 1 == count { 0 } else { TABLE.padding };
                    let room = widths.get(column).copied().unwrap_or(usize::MAX).saturating_sub(padding);
                    if most.is_some() { cut(&cell, room.max(1)) } else { cell }
                })
                .collect();
            let is_heading = self.has_heading && index == 0;
            push_painted(&mut out, &widths, &cells, |column, text| match is_heading {
                true => paint.heading(text),
                false => paint.cell(heads.get(column).map_or("", String::as_str), text),
            });
        }
        self.has_heading = false;
        out
    }
}

/// Narrows columns until a row takes at most `most`; gives how many columns are left.
fn narrow(widths: &mut [usize], most: usize, kept: usize, spared: usize) -> usize {
    let mut shown = widths.len();
    loop {
        let padding = |column: usize| if column + 1 == shown { 0 } else { TABLE.padding };
        let total: usize = widths[..shown].iter().sum();
        if total <= most || shown <= 1 {
            return shown;
        }
        let can = |column: &usize| widths[*column] > NARROWEST + padding(*column);
        let cuttable = kept..shown.saturating_sub(spared).max(kept);
        match cuttable.filter(can).max_by_key(|column| widths[*column]) {
            Some(widest) => widths[widest] -= 1,
            None if shown > kept.max(1) && spared == 0 => shown -= 1,
            None => return shown,
        }
    }
}

/// Lines whose first cells are aligned within each run of neighbouring lines that have more than one cell: elastic
/// tab stops.
#[derive(Debug, Default)]
pub struct Elastic {
    lines: Vec<Vec<String>>,
}

impl Elastic {
    /// Adds a line of cells.
    pub fn line<const N: usize>(&mut self, cells: [String; N]) {
        self.lines.push(cells.into());
    }

    /// The text. Where lines take at most `most`, the last cell is wrapped beside the others, or below them.
    pub fn render(&self, most: Option<usize>) -> String {
        let mut out = String::new();
        let mut start = 0;
        while start < self.lines.len() {
            let columns = self.lines[start].len();
            let run = self.lines[start..].iter().take_while(|l| (l.len() > 1) == (columns > 1)).count();
            let block = &self.lines[start..start + run];
            let mut widths = Vec::new();
            for line in block {
                DESCRIPTION.fit(&mut widths, line);
            }
            for line in block {
                push_wrapped(&mut out, &widths, line, most);
            }
            start += run;
        }
        out
    }
}

/// Appends a row whose last cell may take several lines.
pub fn push_wrapped(out: &mut String, widths: &[usize], cells: &[String], most: Option<usize>) {
    let (Some(most), Some((text, labels))) = (most, cells.split_last()) else {
        return push_row(out, widths, cells);
    };
    let before: usize = widths.iter().take(labels.len()).sum();
    // What has lines of its own keeps them.
    if labels.is_empty() || before + width(text) <= most || text.contains('\n') {
        return push_row(out, widths, cells);
    }
    let indent = cells[0].len() - cells[0].trim_start().len();
    let (beside, column) = if most >= before + ROOM { (true, before) } else { (false, indent + 4) };
    let mut lines = wrap(text, most.saturating_sub(column).max(ROOM)).into_iter();
    let first = if beside { lines.next() } else { None };
    push_row(out, widths, &labels.iter().cloned().chain(first).collect::<Vec<_>>());
    for line in lines {
        out.push_str(&format!("{:column$}{line}\n", ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one longerthanthat x", 5), ["one", "longerthanthat", "x"]);
        assert_eq!(wrap("日本 語", 5), ["日本", "語"]);
        assert_eq!(wrap("", 5), [""]);
        let mut elastic = Elastic::default();
        elastic.line(["Name:".to_owned(), "web".to_owned()]);
        elastic.line(["  Message:".to_owned(), "no controller of this kind runs in this cluster".to_owned()]);
        let lines = "  Message:  no controller of this\n            kind runs in this\n            cluster\n";
        assert_eq!(elastic.render(Some(36)), format!("Name:       web\n{lines}"));
        let below = "  Message:\n      no controller of\n      this kind runs in\n      this cluster\n";
        assert_eq!(elastic.render(Some(24)), format!("Name:       web\n{below}"));
        assert_eq!(elastic.render(None).lines().count(), 2);
    }

    #[test]
    fn columns_that_were_asked_for_are_whole() {
        let mut grid = Grid::new(1, Vec::new()).sparing(1);
        grid.row(
            ["web", "registry.example/team/web:1.2.3", "tier=front,app=web"].map(str::to_owned).to_vec(),
        );
        let text = grid.render(Some(20), &Paint::default());
        assert_eq!(text, "web   regis…   tier=front,app=web\n");
    }

    fn grid(width: Option<usize>) -> String {
        let cells = |texts: [&str; 4]| texts.map(str::to_owned).to_vec();
        let mut grid = Grid::default();
        grid.heading(cells(["NAME", "IMAGE", "REASON", "AGE"]));
        grid.row(cells(["web", "registry.example/team/web:1.2.3", "NoController", "5m"]));
        grid.row(cells(["日本語", "x", "e\u{301}te", "12d"]));
        grid.render(width, &Paint::default())
    }

    #[test]
    fn tables_fit_the_terminal() {
        insta::assert_snapshot!(grid(None), @"
        NAME     IMAGE                             REASON         AGE
        web      registry.example/team/web:1.2.3   NoController   5m
        日本語   x                                 éte            12d
        ");
        insta::assert_snapshot!(grid(Some(40)), @"
        NAME     IMAGE         REASON        AGE
        web      registry.e…   NoControll…   5m
        日本語   x             éte           12d
        ");
        insta::assert_snapshot!(grid(Some(24)), @"
        NAME     IMAGE    RE…
        web      regis…   No…
        日本語   x        éte
        ");
        insta::assert_snapshot!(grid(Some(3)), @"
        NAME
        web
        日本語
        ");
        for most in 12..80 {
            assert!(grid(Some(most)).lines().all(|line| width(line) <= most), "{most}");
        }
    }

    #[test]
    fn a_cell_makes_no_rows_and_no_columns() {
        let hostile = vec!["a\nb\tc\r\u{1b}[2J\u{9b}".to_owned(), "x".to_owned()];
        let shown = "a\\nb\\tc\\r\\u{1b}[2J\\u{9b}   x\n";
        assert_eq!(rows(std::slice::from_ref(&hostile), None), shown);
        let mut grid = Grid::default();
        grid.row(hostile);
        assert_eq!(grid.render(None, &Paint::default()), shown);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
    }
}
