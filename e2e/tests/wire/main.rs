//! What clients of the reference expect of the wire beyond single replies: documents in the forms that they ask for,
//! paths of old, pages that belong together, refusals that reach whoever is still sending.

mod documents;
mod early;
mod lists;
mod writes;

/// Where most of it happens.
pub const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";
