//! `-o custom-columns`: headings and the paths of what stands below them.

use crate::{
    error::Error,
    jsonpath::{Template, shown},
    output::{aligned::Grid, escape_line},
};
use serde_json::Value;

/// Columns that the caller thought of.
#[derive(Clone, Debug)]
pub struct Columns {
    headings: Vec<String>,
    templates: Vec<Template>,
}

impl Columns {
    /// `NAME:.metadata.name,IMAGE:.spec.image`
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut columns = Self { headings: Vec::new(), templates: Vec::new() };
        for part in split(text) {
            let (heading, path) = part.split_once(':').filter(|(h, p)| !h.is_empty() && !p.is_empty()).ok_or_else(|| {
                Error::Message(format!(
                    "-o custom-columns: {part:?} is not of the form HEADING:PATH, as in NAME:.metadata.name,UID:.metadata.uid"
                ))
            })?;
            columns.headings.push(heading.to_owned());
            columns.templates.push(Template::relaxed("-o custom-columns", path)?);
        }
        Ok(columns)
    }

    /// A first line of headings and a second one of paths, blanks between them.
    pub fn of_file(name: &str, text: &str) -> Result<Self, Error> {
        let mut lines = text.lines();
        let (headings, paths) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let headings: Vec<String> = headings.split_whitespace().map(str::to_owned).collect();
        let paths: Vec<&str> = paths.split_whitespace().collect();
        if headings.is_empty() || headings.len() != paths.len() {
            return Err(Error::Message(format!(
                "{name}: the first line has {} headings, the second {} paths: as many of each are needed",
                headings.len(),
                paths.len()
            )));
        }
        let templates: Result<Vec<Template>, _> =
            paths.iter().map(|path| Template::relaxed(name, path)).collect();
        Ok(Self { headings, templates: templates? })
    }

    /// The objects as a table, at most `width` columns of the terminal wide.
    pub fn table(&self, objects: &[Value], no_headers: bool, width: Option<usize>) -> Result<String, Error> {
        let mut grid = Grid::default();
        if !no_headers {
            grid.heading(self.headings.clone());
        }
        for object in objects {
            grid.row(self.row(object)?);
        }
        Ok(grid.render(width, &crate::output::Paint::default()))
    }

    fn row(&self, object: &Value) -> Result<Vec<String>, Error> {
        let cell = |template: &Template| -> Result<String, Error> {
            let values = template.values(object)?;
            if values.is_empty() {
                return Ok("<none>".to_owned());
            }
            let texts: Vec<String> = values
                .into_iter()
                .map(|value| if value.is_null() { "<none>".to_owned() } else { shown(value) })
                .collect();
            Ok(escape_line(&texts.join(",")))
        };
        self.templates.iter().map(cell).collect()
    }
}

/// Splits at commas that stand in no brackets or quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(' | '{') => depth += 1,
            (None, ']' | ')' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_show_what_paths_lead_to() {
        let objects = [
            json!({"metadata": {"name": "web"}, "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 443}]}}),
            json!({"metadata": {"name": "long-name"}, "spec": {"image": "x\u{1b}[31m"}}),
        ];
        let columns = Columns::parse(
            "NAME:.metadata.name,PORTS:.spec.ports[*].port,FIRST:{.spec.ports[?(@.name==\"a\")].port},IMAGE:spec.image",
        )
        .unwrap();
        insta::assert_snapshot!(columns.table(&objects, false, None).unwrap(), @r"
        NAME        PORTS    FIRST    IMAGE
        web         80,443   80       <none>
        long-name   <none>   <none>   x\u{1b}[31m
        ");
        let file = Columns::of_file("f", "NAME  IMAGE\n.metadata.name spec.image\n").unwrap();
        insta::assert_snapshot!(file.table(&objects[..1], true, None).unwrap(), @"web   <none>");
        for wrong in ["", "NAME", "NAME:", ":.a", "NAME:.a,"] {
            assert!(Columns::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Columns::of_file("f", "A B\n.a\n").is_err());
    }
}
