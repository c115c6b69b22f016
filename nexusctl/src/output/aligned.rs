//! Columns of text, as Go's `text/tabwriter` aligns them for kubectl.
//!
//! Widths are those of a terminal: wide characters count twice, combining ones not at all.

use crate::output::{Paint, escape_line};
use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Three spaces between columns, no column narrower than six: what kubectl's tables look like.
pub const TABLE: Layout = Layout { minimum: 6, padding: 3 };
/// Two spaces between columns: what kubectl's descriptions look like.
pub const DESCRIPTION: Layout = Layout { minimum: 0, padding: 2 };
/// No column is cut to fewer than this, padding not counted: less says nothing.
const NARROWEST: usize = 8;
/// Where a text begins that stands below its label.
const BELOW: usize = 4;
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

/// A text for people in lines of at most `most`, broken between words; what follows is indented. Lines of a source, which
/// something points at, stay as they are.
pub fn fold(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let plain = plain(line);
        if width(&plain) <= most || is_laid_out(&plain) {
            out.push_str(line);
            out.push_str(end);
            continue;
        }
        let indent = plain.len() - plain.trim_start().len() + DESCRIPTION.padding;
        let mut room = 0;
        for word in line.split_inclusive(' ') {
            let wide = width(self::plain(word).trim_end_matches(' '));
            if room > indent && room + wide > most {
                out.truncate(out.trim_end_matches(' ').len());
                out.push_str(&format!("\n{:indent$}", ""));
                room = indent;
            }
            out.push_str(word);
            room += width(&self::plain(word));
        }
        out.push_str(end);
    }
    out
}

/// A text without what changes colours.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    out.extend(parts.next());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        out.push_str(&part[end..]);
    }
    Cow::Owned(out)
}

/// Whether a line of an error shows a source, and where in it: `3 | spec:`, `  | ^^^`, ` --> web.yaml:3:1`.
fn is_laid_out(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    rest.starts_with('|') || rest.starts_with("-->") || rest.starts_with(":::")
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
    /// What columns take whose widest cells are `widths`.
    fn total(self, widths: &[usize]) -> usize {
        let (last, others) = widths.split_last().unwrap_or((&0, &[]));
        others.iter().map(|room| (room + self.padding).max(self.minimum)).sum::<usize>() + last
    }

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

/// Rows as a table that is made to fit `most`; the first of them is the heading, if `headed`.
pub fn table(rows: &[Vec<String>], headed: bool, most: Option<usize>) -> String {
    let mut grid = Grid::default();
    let (heading, rows) = rows.split_at(usize::from(headed).min(rows.len()));
    heading.iter().for_each(|cells| grid.heading(cells.clone()));
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
/// No column is ever left out. Where they do not fit side by side, they first move closer together; then the widest are
/// cut, which an ellipsis shows, but never the first `kept` ones, which people copy, nor those that were asked for by
/// name. Where even that is not enough, each row becomes lines of `HEADING:  cell`, as `\x auto` of psql has it, and
/// stays so for all rows that follow.
#[derive(Debug, Default)]
pub struct Grid {
    rows: Vec<Vec<String>>,
    heading: Vec<String>,
    heading_due: bool,
    kept: usize,
    /// So many columns at the end are not cut.
    spared: usize,
    /// The widest cells so far, without padding.
    widths: Vec<usize>,
    /// Whether the last column is words, which may stand below their row.
    telling: bool,
    /// Whether they do.
    told_below: bool,
    /// Whether a row has become lines.
    broken_up: bool,
    /// Whether there is something above what comes next.
    begun: bool,
}

/// Columns that fit side by side.
struct Fitted {
    layout: Layout,
    widths: Vec<usize>,
}

impl Grid {
    /// No rows yet. The first `kept` columns are never cut, the first one is not in any case; `widths` are those that
    /// columns have at least.
    pub fn new(kept: usize, widths: Vec<usize>) -> Self {
        Self { kept, widths, ..Self::default() }
    }

    /// Has the last `spared` columns not cut.
    #[must_use]
    pub fn sparing(mut self, spared: usize) -> Self {
        self.spared = spared;
        self
    }

    /// Has the last column, which is words, stand below its row where it is too wide to stand beside it: nothing of it is
    /// cut.
    #[must_use]
    pub fn telling(mut self) -> Self {
        self.telling = true;
        self
    }

    /// Has each row become lines at any width.
    #[must_use]
    pub fn broken_up(mut self) -> Self {
        self.broken_up = true;
        self
    }

    /// Sets the heading.
    pub fn heading(&mut self, cells: Vec<String>) {
        self.heading = lines(&cells);
        self.heading_due = true;
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(lines(&cells));
    }

    /// The text, in lines of at most `most`.
    pub fn render(mut self, most: Option<usize>, paint: &Paint) -> String {
        self.print(most, paint)
    }

    /// The text of the rows so far, which are forgotten; heading and widths are kept.
    pub fn print(&mut self, most: Option<usize>, paint: &Paint) -> String {
        let rows = std::mem::take(&mut self.rows);
        let heading = Some(&self.heading).filter(|_| self.heading_due);
        for row in heading.into_iter().chain(&rows) {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (known, cell) in self.widths.iter_mut().zip(row) {
                *known = (*known).max(width(cell));
            }
        }
        if let Some(most) = most.filter(|_| self.telling && !self.broken_up) {
            self.told_below |= [TABLE, DESCRIPTION].iter().all(|layout| layout.total(&self.widths) > most);
        }
        let beside = self.widths.len() - usize::from(self.told_below && self.widths.len() > 1);
        let widths = &self.widths[..beside];
        let fitted = match most {
            _ if self.broken_up => None,
            None => Some(Fitted { layout: TABLE, widths: widths.to_vec() }),
            Some(most) => fit(widths, most, self.kept.max(1), self.spared),
        };
        let mut out = String::new();
        match (fitted, most) {
            (Some(fitted), most) => {
                self.side_by_side(&fitted, &rows, (paint, most.unwrap_or(usize::MAX)), &mut out);
            }
            (None, most) => self.below_each_other(&rows, most.unwrap_or(usize::MAX), paint, &mut out),
        }
        out
    }

    fn side_by_side(
        &mut self,
        fitted: &Fitted,
        rows: &[Vec<String>],
        (paint, most): (&Paint, usize),
        out: &mut String,
    ) {
        let padding = |room: usize| (room + fitted.layout.padding).max(fitted.layout.minimum);
        let padded: Vec<usize> = fitted.widths.iter().map(|room| padding(*room)).collect();
        let short = |row: &[String]| -> Vec<String> {
            row.iter().zip(&fitted.widths).map(|(cell, room)| cut(cell, *room)).collect()
        };
        let below = |row: &[String]| row.get(fitted.widths.len()).filter(|words| !words.is_empty()).cloned();
        if std::mem::take(&mut self.heading_due) {
            push_painted(out, &padded, &short(&self.heading), |_, text| paint.heading(text));
            self.begun = true;
        }
        for row in rows {
            let head = |column: usize| self.heading.get(column).map_or("", String::as_str);
            push_painted(out, &padded, &short(row), |column, text| paint.cell(head(column), text));
            for line in below(row).iter().flat_map(|words| wrap(words, most.saturating_sub(BELOW).max(ROOM)))
            {
                out.push_str(&format!("{:BELOW$}{line}\n", ""));
            }
            self.begun = true;
        }
    }

    /// Each row as lines of a heading and a cell; without headings, of a cell, those after the first one indented.
    fn below_each_other(&mut self, rows: &[Vec<String>], most: usize, paint: &Paint, out: &mut String) {
        (self.broken_up, self.heading_due) = (true, false);
        let widest = self.heading.iter().map(|head| width(head) + 1).max().unwrap_or_default();
        for row in rows {
            if std::mem::replace(&mut self.begun, true) {
                out.push('\n');
            }
            for (column, cell) in row.iter().enumerate() {
                let head = self.heading.get(column).map_or("", String::as_str);
                let indent = match (self.heading.is_empty(), column) {
                    (false, _) => widest + DESCRIPTION.padding,
                    (true, 0) => 0,
                    (true, _) => 2,
                };
                let label = if head.is_empty() { String::new() } else { format!("{head}:") };
                if !label.is_empty() || !cell.is_empty() {
                    out.push_str(&paint.heading(&label));
                    push_cell(out, cell, (width(&label), indent, most), |whole| paint.cell(head, whole));
                }
            }
        }
    }
}

/// Appends a cell and a line break behind a label that takes `label`: in lines from column `indent` on, or below the label
/// where there is too little room beside it.
fn push_cell(
    out: &mut String,
    cell: &str,
    (label, indent, most): (usize, usize, usize),
    paint: impl Fn(&str) -> String,
) {
    let longest = cell.split(' ').map(width).max().unwrap_or_default();
    let fits = |column: usize| longest <= most.saturating_sub(column);
    // A word is broken only where it fits nowhere.
    let beside = label == 0
        || width(cell) <= most.saturating_sub(indent)
        || (most >= indent + ROOM && fits(indent))
        || !fits(BELOW);
    let column = if beside { indent } else { BELOW };
    for (index, part) in wrap(cell, most.saturating_sub(column)).iter().enumerate() {
        let gap = match index {
            0 if part.is_empty() => 0,
            0 if beside => column.saturating_sub(label),
            _ => column,
        };
        let line_break = if index > 0 || !beside { "\n" } else { "" };
        let part = if *part == cell { paint(part) } else { part.clone() };
        out.push_str(&format!("{line_break}{:gap$}{part}", ""));
    }
    out.push('\n');
}

/// How columns whose widest cells are `widths` fit side by side into `most`, if they do.
fn fit(widths: &[usize], most: usize, kept: usize, spared: usize) -> Option<Fitted> {
    if let Some(layout) = [TABLE, DESCRIPTION].into_iter().find(|layout| layout.total(widths) <= most) {
        return Some(Fitted { layout, widths: widths.to_vec() });
    }
    let mut widths = widths.to_vec();
    let cuttable = kept..widths.len().saturating_sub(spared).max(kept);
    for column in cuttable.clone() {
        widths.iter_mut().skip(column).take(1).for_each(|room| *room = (*room).min(most.max(NARROWEST)));
    }
    loop {
        let over = DESCRIPTION.total(&widths).saturating_sub(most);
        // A single column has nothing beside it.
        if over == 0 || widths.len() == 1 {
            return Some(Fitted { layout: DESCRIPTION, widths });
        }
        let can = |column: &usize| widths.get(*column).is_some_and(|room| *room > NARROWEST);
        let widest = cuttable.clone().filter(can).max_by_key(|column| widths.get(*column).copied())?;
        widths.iter_mut().skip(widest).take(1).for_each(|room| *room -= 1);
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
    let longest = text.split(' ').map(width).max().unwrap_or_default();
    // A word is broken only where it fits nowhere.
    let beside = most >= before + ROOM && (longest <= most - before || longest > most);
    let below = (indent + BELOW).min(if longest > most { most } else { most - longest });
    let column = if beside { before } else { below };
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
        let text = grid.print(Some(36), &Paint::default());
        assert_eq!(text, "web  registry.e…  tier=front,app=web\n");
        // What cannot stand beside the others stands below them, whole.
        grid.row(["db", "registry.example/db", "tier=back,app=web"].map(str::to_owned).to_vec());
        let text = grid.print(Some(20), &Paint::default());
        assert_eq!(text, "\ndb\n  registry.example/db\n  tier=back,app=web\n");
    }

    #[test]
    fn words_stand_below_their_row_where_there_is_no_room_beside_it() {
        let cells = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
        let mut grid = Grid::default().telling();
        grid.heading(cells(["REASON", "OBJECT", "MESSAGE"]));
        grid.row(cells(["Scheduled", "instance/web-1", "bound to vm"]));
        insta::assert_snapshot!(grid.print(Some(60), &Paint::default()), @r"
        REASON      OBJECT           MESSAGE
        Scheduled   instance/web-1   bound to vm
        ");
        grid.row(cells([
            "Failed",
            "instance/web-1",
            "the image could not be pulled: nobody has such an image",
        ]));
        grid.row(cells(["Killing", "instance/web-1", ""]));
        insta::assert_snapshot!(grid.print(Some(40), &Paint::default()), @r"
        Failed      instance/web-1
            the image could not be pulled:
            nobody has such an image
        Killing     instance/web-1
        ");
        // So it stays, and where not even the others fit, each row becomes lines.
        grid.row(cells(["Scheduled", "instance/web-2", "bound to vm"]));
        assert_eq!(grid.print(Some(60), &Paint::default()), "Scheduled   instance/web-2\n    bound to vm\n");
        grid.row(cells(["Scheduled", "instance/web-2", "bound to vm"]));
        assert!(grid.print(Some(16), &Paint::default()).contains("MESSAGE:"));
    }

    #[test]
    fn a_word_stays_whole_where_it_fits_anywhere() {
        let mut elastic = Elastic::default();
        let uid = "0b4b3d0c-6d52-4c6e-9d7a-5f0a3f9a8b11";
        elastic.line(["  Creation Timestamp:".to_owned(), "2026-11-21T09:30:00Z".to_owned()]);
        elastic.line(["  UID:".to_owned(), uid.to_owned()]);
        assert!(elastic.render(Some(80)).contains(&format!("  UID:                 {uid}\n")));
        for most in 36..59 {
            let text = elastic.render(Some(most));
            assert!(text.lines().all(|line| line.len() <= most), "{most}:\n{text}");
            assert!(text.lines().any(|line| line.trim() == uid), "{most}:\n{text}");
        }
    }

    #[test]
    fn errors_are_folded_and_what_they_point_at_is_not() {
        let error = "error: workloads have no field \"replcas\"\n --> web.yaml:3:3 and more of it\n  |\n\
                     3 |   replcas: 3 # how many there should be\n  |   ^^^^^^^\n  = help: did you mean \"replicas\"?";
        insta::assert_snapshot!(fold(error, 24), @r#"
        error: workloads have no
          field "replcas"
         --> web.yaml:3:3 and more of it
          |
        3 |   replcas: 3 # how many there should be
          |   ^^^^^^^
          = help: did you mean
            "replicas"?
        "#);
        assert_eq!(fold(error, 80), error);
        assert_eq!(fold("\u{1b}[1merror\u{1b}[0m: one two\n", 12), "\u{1b}[1merror\u{1b}[0m: one\n  two\n");
        assert_eq!(fold("averyveryverylongword", 8), "averyveryverylongword");
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
        insta::assert_snapshot!(grid(Some(58)), @"
        NAME    IMAGE                            REASON        AGE
        web     registry.example/team/web:1.2.3  NoController  5m
        日本語  x                                éte           12d
        ");
        insta::assert_snapshot!(grid(Some(40)), @"
        NAME    IMAGE          REASON        AGE
        web     registry.exa…  NoController  5m
        日本語  x              éte           12d
        ");
        insta::assert_snapshot!(grid(Some(28)), @"
        NAME:    web
        IMAGE:   registry.example/team/web:1.2.3
        REASON:  NoController
        AGE:     5m

        NAME:    日本語
        IMAGE:   x
        REASON:  éte
        AGE:     12d
        ");
        for most in 3..80 {
            let text = grid(Some(most));
            let fits =
                |line: &str| width(line) <= most || line.split(": ").all(|word| !word.trim().contains(' '));
            assert!(text.lines().all(fits), "{most}:\n{text}");
            assert!(["IMAGE", "REASON", "AGE"].iter().all(|head| text.contains(head)), "{most}:\n{text}");
        }
    }

    #[test]
    fn no_column_vanishes_without_a_mark() {
        let heading = ["NAME", "WORKLOAD", "PHASE", "RESTARTS", "READY", "MESSAGE"].map(str::to_owned);
        let row =
            ["web-7pdvc7rl62-dbhbf", "web", "Running", "0", "True", "two of three containers are ready"];
        let mut grid = Grid::new(1, Vec::new());
        grid.heading(heading.to_vec());
        grid.row(row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(grid.print(Some(40), &Paint::default()), @"
        NAME:      web-7pdvc7rl62-dbhbf
        WORKLOAD:  web
        PHASE:     Running
        RESTARTS:  0
        READY:     True
        MESSAGE:   two of three containers are
                   ready
        ");
        // A row that would fit comes in the form of those before it.
        grid.row(["db-1", "db", "Running", "0", "True", ""].map(str::to_owned).to_vec());
        insta::assert_snapshot!(grid.print(Some(80), &Paint::default()), @"

        NAME:      db-1
        WORKLOAD:  db
        PHASE:     Running
        RESTARTS:  0
        READY:     True
        MESSAGE:
        ");
        let mut tiny = Grid::default();
        tiny.heading(heading.to_vec());
        tiny.row(row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(tiny.print(Some(24), &Paint::default()), @"
        NAME:
            web-7pdvc7rl62-dbhbf
        WORKLOAD:  web
        PHASE:     Running
        RESTARTS:  0
        READY:     True
        MESSAGE:
            two of three
            containers are ready
        ");
    }

    #[test]
    fn tables_without_headings_break_up_too() {
        let rows = [["CURRENT", "NAME", ""], ["*", "a-context-of-some-cluster", "(in use here)"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        insta::assert_snapshot!(table(&rows, true, Some(26)), @"
        CURRENT:  *
        NAME:     a-context-of-some-cluster
                  (in use here)
        ");
        insta::assert_snapshot!(table(&rows[1..], false, Some(20)), @"
        *
          a-context-of-some-cluster
          (in use here)
        ");
    }

    #[test]
    fn a_cell_makes_no_rows_and_no_columns() {
        let hostile = vec!["a\nb\tc\r\u{1b}[2J\u{9b}".to_owned(), "x".to_owned()];
        let shown = "a\\nb\\tc\\r\\u{1b}[2J\\u{9b}   x\n";
        assert_eq!(table(std::slice::from_ref(&hostile), false, None), shown);
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
