//! Unified diffs of objects as YAML.

use super::{Paint, paint, presentable};
use crate::output;
use serde_json::Value;
use similar::TextDiff;

/// How a difference is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// In colours.
    pub color: bool,
    /// With metadata.managedFields.
    pub managed_fields: bool,
}

/// The unified diff of an object before and after; empty if they are equal.
pub fn unified(name: &str, before: Option<Value>, after: Option<Value>, look: Look) -> String {
    let texts = presentable(before, after, look.managed_fields)
        .map(|object| object.map(|object| output::yaml::to_string(&object)));
    let [old, new] = &texts;
    if old == new {
        return String::new();
    }
    let side = |text: &Option<String>, letter: char| match text {
        Some(_) => format!("{letter}/{name}"),
        None => "/dev/null".to_owned(),
    };
    let [old_text, new_text] = [old, new].map(|text| text.as_deref().unwrap_or_default());
    let diff = TextDiff::from_lines(old_text, new_text)
        .unified_diff()
        .context_radius(3)
        .header(&side(old, 'a'), &side(new, 'b'))
        .to_string();
    if !look.color {
        return diff;
    }
    diff.lines().map(|line| coloured(line) + "\n").collect()
}

fn coloured(line: &str) -> String {
    let what = if line.starts_with("+++ ") || line.starts_with("--- ") {
        Paint::Title
    } else if line.starts_with("@@") {
        Paint::Place
    } else if line.starts_with('+') {
        Paint::Added
    } else if line.starts_with('-') {
        Paint::Removed
    } else {
        return line.to_owned();
    };
    paint(true, what, line)
}
