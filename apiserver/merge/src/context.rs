//! What a write is about, as far as ownership is concerned. Holds references only.

use crate::fieldset::{Element, FieldSet};
use hypermesh_structural::Schema;

/// One write: whose, when, by which version and subresource.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Schema of the kind at `api_version`. An empty schema makes every map granular and every list atomic.
    pub schema: &'a Schema,
    /// `fieldManager`; empty is recorded as `unknown`.
    pub manager: &'a str,
    /// `group/version` (or `v1`) of the request; for `scale`, that of the parent.
    pub api_version: &'a str,
    /// Subresource written to, empty for the object itself.
    pub subresource: &'a str,
    /// Block time, RFC 3339 with seconds in UTC: `2026-11-21T09:18:03Z`.
    pub time: &'a str,
    /// `force`: take fields from their owners instead of conflicting. Only `apply` reads it.
    pub force: bool,
    /// Fields that this endpoint never changes and so nobody comes to own through it (`ResetFieldsStrategy`), each a
    /// path of field names: `&[&["status"]]` on a kind with a status subresource, `&[&["spec"]]` on that subresource.
    pub reset: &'a [&'a [&'a str]],
}

impl Context<'_> {
    pub(crate) fn reset_set(&self) -> FieldSet {
        let mut set = FieldSet::new();
        for path in self.reset {
            let path: Vec<Element> = path.iter().map(|name| Element::field(name)).collect();
            set.insert(&path);
        }
        set
    }
}
