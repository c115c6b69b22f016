//! What a JSON patch may cost.
//!
//! Its size bounds what it adds, but not what `copy` multiplies, nor what inserting at the front of a long list
//! moves. Costs are counted, never timed, so that every replica refuses the same patches.

use super::{MAX_NESTING, PatchError};
use serde_json::Value;

/// Bytes that `copy` may add up to: upstream's `JSONPatchMaxCopyBytes`, the largest body.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Values that operations may shift or visit: some tenths of a second.
const MAX_WORK: usize = 50_000_000;

/// What is left.
pub(super) struct Budget {
    operation: usize,
    copied: usize,
    work: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { operation: 0, copied: MAX_COPIED, work: MAX_WORK }
    }

    pub(super) fn begin(&mut self, operation: usize) {
        self.operation = operation;
    }

    fn refuse(&self, reason: &'static str) -> PatchError {
        PatchError::TooCostly { operation: self.operation, reason }
    }

    /// Charges moving `values` within a list.
    pub(super) fn shift(&mut self, values: usize) -> Result<(), PatchError> {
        self.work = self
            .work
            .checked_sub(values)
            .ok_or_else(|| self.refuse("the patch moves too many list items"))?;
        Ok(())
    }

    /// Charges a copy of `value`.
    pub(super) fn copy(&mut self, value: &Value) -> Result<(), PatchError> {
        let bytes = size(value);
        self.copied =
            self.copied.checked_sub(bytes).ok_or_else(|| self.refuse("the patch copies too much"))?;
        Ok(())
    }

    /// Checks that `value` at `levels` below the root nests no deeper than objects may.
    pub(super) fn nest(&mut self, value: &Value, levels: usize) -> Result<(), PatchError> {
        let room = MAX_NESTING.checked_sub(levels);
        let fits = room.is_some_and(|room| self.fits(value, room));
        if fits {
            Ok(())
        } else {
            Err(self.refuse("the patched object is nested too deep, or the patch visits too much"))
        }
    }

    fn fits(&mut self, value: &Value, room: usize) -> bool {
        let Some(work) = self.work.checked_sub(1) else { return false };
        self.work = work;
        match value {
            Value::Array(items) => room > 0 && items.iter().all(|v| self.fits(v, room - 1)),
            Value::Object(map) => room > 0 && map.values().all(|v| self.fits(v, room - 1)),
            _ => true,
        }
    }
}

/// About as many bytes as the value has in JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|v| size(v) + 1).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(k, v)| k.len() + size(v) + 4).sum::<usize>(),
    }
}
