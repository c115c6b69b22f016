//! The order of a list that a strategic merge patch merged.
//!
//! Items the patch names stand in its order, the others in that of the server, and the two are merged so that items
//! of both kinds keep the order they had on the server.

use crate::value::Keyed;
use serde_json::Value;
use std::collections::BTreeMap;

/// What an item is known by in its list: its merge key, or itself in a list of scalars.
#[derive(Clone, Copy)]
pub(super) struct Identity<'k>(pub(super) Option<&'k str>);

impl Identity<'_> {
    pub(super) fn of<'v>(&self, item: &'v Value) -> Option<Keyed<'v>> {
        match self.0 {
            Some(key) => item.get(key).map(Keyed),
            None => Some(Keyed(item)),
        }
    }

    /// Where each identity first occurs.
    pub(super) fn positions<'v>(&self, list: &'v [Value]) -> BTreeMap<Keyed<'v>, usize> {
        let mut positions = BTreeMap::new();
        for (i, item) in list.iter().enumerate() {
            if let Some(identity) = self.of(item) {
                positions.entry(identity).or_insert(i);
            }
        }
        positions
    }
}

/// Orders `merged`: `wanted` is the order of the patch, `server` the list before it.
pub(super) fn ordered(
    identity: Identity<'_>,
    merged: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
) -> Vec<Value> {
    let (wanted, server) = (identity.positions(wanted), identity.positions(server));
    let rank = |positions: &BTreeMap<Keyed<'_>, usize>, item: &Value| {
        identity.of(item).and_then(|identity| positions.get(&identity).copied())
    };
    let (mut of_patch, mut of_server): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| rank(&wanted, item).is_some());
    of_patch.sort_by_key(|item| rank(&wanted, item).unwrap_or(usize::MAX));
    of_server.sort_by_key(|item| rank(&server, item).unwrap_or(usize::MAX));

    let mut out = Vec::with_capacity(of_patch.len() + of_server.len());
    let (mut of_patch, mut of_server) = (of_patch.into_iter().peekable(), of_server.into_iter().peekable());
    while let (Some(own), Some(theirs)) = (of_patch.peek(), of_server.peek()) {
        let server_first = matches!((rank(&server, theirs), rank(&server, own)), (Some(l), Some(r)) if l < r);
        out.extend(if server_first { of_server.next() } else { of_patch.next() });
    }
    out.extend(of_patch);
    out.extend(of_server);
    out
}
