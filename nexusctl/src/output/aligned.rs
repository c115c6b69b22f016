//! Columns of text, as Go's `text/tabwriter` aligns them for kubectl.

/// Three spaces between columns, no column narrower than six: what kubectl's tables look like.
pub const TABLE: Layout = Layout { minimum: 6, padding: 3 };
/// Two spaces between columns: what kubectl's descriptions look like.
pub const DESCRIPTION: Layout = Layout { minimum: 0, padding: 2 };

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
            let width = (cell.chars().count() + self.padding).max(self.minimum);
            match widths.get_mut(column) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
}

/// Appends a row and a line break.
pub fn push_row(out: &mut String, widths: &[usize], cells: &[String]) {
    for (column, cell) in cells.iter().enumerate() {
        out.push_str(cell);
        if column + 1 < cells.len() {
            let width = widths.get(column).copied().unwrap_or_default();
            let gap = width.saturating_sub(cell.chars().count());
            out.extend(std::iter::repeat_n(' ', gap));
        }
    }
    out.push('\n');
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

    /// The text.
    pub fn render(&self) -> String {
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
                push_row(&mut out, &widths, line);
            }
            start += run;
        }
        out
    }
}
