//! Merging an applied value into a live one. Nothing is removed by a merge.

use crate::fieldset::Element;
use crate::shape::{Form, Items, Type};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Merges `applied` into `live`: leaves are those of `applied`; items stand as in `applied` where it says something
/// of their order, else as in `live`.
pub(crate) fn merge(ty: Type<'_>, live: &mut Value, applied: &Value) {
    merge_at(ty, live, applied, 0);
}

fn merge_at(ty: Type<'_>, live: &mut Value, applied: &Value, depth: usize) {
    match (ty.form(live, depth), ty.form(applied, depth)) {
        (Form::Map, Form::Map) => {
            let nothing = applied.as_object().is_none_or(Map::is_empty);
            match (live, applied) {
                (Value::Object(live), _) if nothing && !live.is_empty() => {}
                (Value::Object(live), Value::Object(applied)) if !nothing => {
                    for (name, applied) in applied {
                        match live.get_mut(name) {
                            Some(live) => merge_at(ty.field(name), live, applied, depth + 1),
                            None => {
                                live.insert(name.clone(), applied.clone());
                            }
                        }
                    }
                }
                (live, applied) => *live = applied.clone(),
            }
        }
        (Form::List(items), Form::List(_)) => {
            let nothing = applied.as_array().is_none_or(Vec::is_empty);
            match (live, applied) {
                (Value::Array(live), _) if nothing && !live.is_empty() => {}
                (Value::Array(live), Value::Array(applied)) => {
                    let merged = lists(items, live, applied, depth);
                    *live = merged.unwrap_or_else(|| applied.clone());
                }
                (live, applied) => *live = applied.clone(),
            }
        }
        _ => {
            if live != applied {
                *live = applied.clone();
            }
        }
    }
}

/// One list from two. `None` if items of either cannot be told apart.
fn lists(items: Items<'_>, live: &[Value], applied: &[Value], depth: usize) -> Option<Vec<Value>> {
    let live_elements = items.elements(live)?;
    let applied_elements = items.elements(applied)?;
    let mut merge = ListMerge {
        items,
        depth,
        live: index(live, &live_elements),
        applied: index(applied, &applied_elements),
        merged: BTreeSet::new(),
        out: Vec::with_capacity(live.len().max(applied.len())),
    };
    let mut shared =
        applied_elements.iter().filter(|e| merge.live.contains_key(e)).collect::<Vec<_>>().into_iter();
    let mut next_shared = shared.next();
    let (mut l, mut a) = (0, 0);
    while l < live.len() || a < applied.len() {
        if let (Some(element), Some(other)) = (live_elements.get(l), applied_elements.get(a)) {
            if element == other {
                merge.take_applied(element);
                (l, a) = (l + 1, a + 1);
                next_shared = shared.next();
                continue;
            }
            if merge.applied.contains_key(element) && next_shared.is_some_and(|next| next != element) {
                // Both have it, but the applied order wants another one first.
                l += 1;
                continue;
            }
        }
        if let Some(element) = live_elements.get(l) {
            if !merge.applied.contains_key(element) {
                merge.out.extend(live.get(l).cloned());
                l += 1;
                continue;
            }
            if merge.merged.contains(element) {
                l += 1;
            }
        }
        if let Some(element) = applied_elements.get(a) {
            merge.take_applied(element);
            a += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    Some(merge.out)
}

/// Items by element; `None` for an element that occurs more than once.
fn index<'v>(items: &'v [Value], elements: &'v [Element]) -> BTreeMap<&'v Element, Option<&'v Value>> {
    let mut index = BTreeMap::new();
    for (element, item) in elements.iter().zip(items) {
        index.entry(element).and_modify(|seen| *seen = None).or_insert(Some(item));
    }
    index
}

struct ListMerge<'v, 's> {
    items: Items<'s>,
    depth: usize,
    live: BTreeMap<&'v Element, Option<&'v Value>>,
    applied: BTreeMap<&'v Element, Option<&'v Value>>,
    merged: BTreeSet<&'v Element>,
    out: Vec<Value>,
}

impl<'v> ListMerge<'v, '_> {
    /// Takes the applied item, merged into the live one if there is exactly one.
    fn take_applied(&mut self, element: &'v Element) {
        self.merged.insert(element);
        let Some(Some(applied)) = self.applied.get(element) else { return };
        match self.live.get(element) {
            Some(Some(live)) => {
                let mut item = (*live).clone();
                merge_at(self.items.item, &mut item, applied, self.depth + 1);
                self.out.push(item);
            }
            _ => self.out.push((*applied).clone()),
        }
    }
}
