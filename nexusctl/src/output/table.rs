//! Tables as the server sends them (`meta.k8s.io/v1` Table), printed as kubectl prints them.

use crate::output::{Paint, aligned::Grid, escape};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A `meta.k8s.io/v1` Table.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Columns; a watch sends them with its first event only, and `null` from then on.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub column_definitions: Vec<Column>,
    /// Rows.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub rows: Vec<Row>,
    /// Of the list.
    #[serde(default)]
    pub metadata: Value,
}

/// A column.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// 0 is always shown; more in wide output only.
    #[serde(default)]
    pub priority: i32,
}

/// A row.
#[derive(Debug, Default, Deserialize)]
pub struct Row {
    /// One value per column.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub cells: Vec<Value>,
    /// PartialObjectMetadata of the object.
    #[serde(default)]
    pub object: Value,
}

impl Row {
    /// A text of the object's metadata.
    pub fn metadata(&self, key: &str) -> &str {
        self.object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Go writes a list that is not there as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// What a table shows beside its own columns.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Show every column.
    pub wide: bool,
    /// Leave the headings out.
    pub no_headers: bool,
    /// Begin with the namespace.
    pub namespace: bool,
    /// Write names as `type/name`.
    pub kind: Option<String>,
    /// End with all labels.
    pub labels: bool,
    /// End with these labels, a column each.
    pub label_columns: Vec<String>,
    /// Begin with the type of a watch event.
    pub events: bool,
    /// The widest line, if there is a terminal to fit.
    pub width: Option<usize>,
    /// Colours.
    pub paint: Paint,
}

/// Prints tables of one kind, one after another, under one heading and with columns that never shrink.
#[derive(Debug)]
pub struct TablePrinter {
    options: Options,
    columns: Vec<Column>,
    grid: Grid,
    heading_due: bool,
}

impl TablePrinter {
    /// A printer that has printed nothing.
    pub fn new(options: Options) -> Self {
        let heading_due = !options.no_headers;
        // The longest event is still to come.
        let widths = if options.events { vec!["MODIFIED".len()] } else { Vec::new() };
        // Names are there to be copied, and so is what stands before them.
        let kept = 1 + usize::from(options.events) + usize::from(options.namespace);
        let spared = options.label_columns.len() + usize::from(options.labels);
        let grid = Grid::new(kept, widths).sparing(spared);
        Self { options, columns: Vec::new(), grid, heading_due }
    }

    /// The text of some more rows; `event` is the type of a watch event.
    pub fn print(&mut self, table: &Table, event: Option<&str>) -> String {
        if !table.column_definitions.is_empty() {
            self.columns.clone_from(&table.column_definitions);
        }
        if self.heading_due && !table.rows.is_empty() {
            let heading = self.heading();
            self.grid.heading(heading);
            self.heading_due = false;
        }
        for row in &table.rows {
            let cells = self.row(row, event);
            self.grid.row(cells);
        }
        self.grid.print(self.options.width, &self.options.paint)
    }

    fn shown(&self, column: &Column) -> bool {
        self.options.wide || column.priority == 0
    }

    fn heading(&self) -> Vec<String> {
        let mut cells = Vec::new();
        if self.options.events {
            cells.push("EVENT".to_owned());
        }
        if self.options.namespace {
            cells.push("NAMESPACE".to_owned());
        }
        cells.extend(self.columns.iter().filter(|c| self.shown(c)).map(|c| escape(&c.name.to_uppercase())));
        cells.extend(
            self.options.label_columns.iter().map(|l| l.rsplit('/').next().unwrap_or(l).to_uppercase()),
        );
        if self.options.labels {
            cells.push("LABELS".to_owned());
        }
        cells
    }

    fn row(&self, row: &Row, event: Option<&str>) -> Vec<String> {
        let mut cells = Vec::new();
        if self.options.events {
            cells.push(event.unwrap_or("ADDED").to_owned());
        }
        if self.options.namespace {
            cells.push(row.metadata("namespace").to_owned());
        }
        let mut first = true;
        for (index, column) in self.columns.iter().enumerate().filter(|(_, c)| self.shown(c)) {
            let text = row.cells.get(index).map(cell).unwrap_or_default();
            let is_name = std::mem::take(&mut first) || column.name.eq_ignore_ascii_case("name");
            match &self.options.kind {
                Some(kind) if is_name && index == 0 => cells.push(format!("{kind}/{text}")),
                _ => cells.push(text),
            }
        }
        let labels = row.object.get("metadata").and_then(|m| m.get("labels")).and_then(Value::as_object);
        for name in &self.options.label_columns {
            let value = labels.and_then(|l| l.get(name)).and_then(Value::as_str).unwrap_or_default();
            cells.push(escape(value));
        }
        if self.options.labels {
            cells.push(match labels {
                Some(labels) if !labels.is_empty() => labels
                    .iter()
                    .map(|(k, v)| format!("{}={}", escape(k), escape(v.as_str().unwrap_or_default())))
                    .collect::<Vec<_>>()
                    .join(","),
                _ => "<none>".to_owned(),
            });
        }
        cells
    }
}

/// A cell shows its first line.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return "<none>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.split_once(['\n', '\r', '\u{c}']) {
        Some((line, _)) => format!("{line}..."),
        None => text,
    }
}
