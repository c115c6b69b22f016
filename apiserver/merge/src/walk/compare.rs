//! How two values of one type differ.

use super::fields::{every, grouped};
use crate::fieldset::{Element, FieldSet, Node};
use crate::shape::{Form, Items, Type};
use crate::value::equal;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// How a new value differs from an old one. No path is in two of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Paths only the new value has.
    pub added: FieldSet,
    /// Leaves that both have and that differ.
    pub modified: FieldSet,
    /// Paths only the old value has.
    pub removed: FieldSet,
}

impl Comparison {
    /// Nothing differs, save perhaps the order of items that are told apart by keys.
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Leaves out these paths and all below them.
    #[must_use]
    pub fn without(self, fields: &FieldSet) -> Self {
        Self {
            added: self.added.recursive_difference(fields),
            modified: self.modified.recursive_difference(fields),
            removed: self.removed.recursive_difference(fields),
        }
    }

    /// Below `element` these changes, and at `element` a modification or none.
    fn nest(&mut self, element: Element, modified: bool, below: Self) {
        if below.is_same() && !modified {
            return;
        }
        self.added.push(Node { element: element.clone(), member: false, children: below.added });
        self.removed.push(Node { element: element.clone(), member: false, children: below.removed });
        self.modified.push(Node { element, member: modified, children: below.modified });
    }
}

/// How `new` differs from `old`.
pub(crate) fn compare_typed(ty: Type<'_>, old: &Value, new: &Value) -> Comparison {
    let mut out = Comparison::default();
    walk(ty, old, new, 0, &mut out);
    out
}

/// Adds what differs below; returns whether the place itself is modified.
fn walk(ty: Type<'_>, old: &Value, new: &Value, depth: usize, out: &mut Comparison) -> bool {
    match (ty.form(old, depth), ty.form(new, depth)) {
        (Form::Map, Form::Map) => {
            let (old_map, new_map) = (old.as_object(), new.as_object());
            if old_map.is_none_or(Map::is_empty) && new_map.is_none_or(Map::is_empty) {
                // Emptiness and null are told apart.
                return !equal(old, new);
            }
            let empty = Map::new();
            maps(ty, old_map.unwrap_or(&empty), new_map.unwrap_or(&empty), depth, out);
            false
        }
        (Form::List(items), Form::List(_)) => {
            let (old_list, new_list) = (list_of(old), list_of(new));
            if old_list.is_empty() && new_list.is_empty() {
                return !equal(old, new);
            }
            match (grouped(items, old_list), grouped(items, new_list)) {
                (Some(old), Some(new)) => {
                    lists(items, old, new, depth, out);
                    false
                }
                _ => !equal(old, new),
            }
        }
        (Form::Leaf, Form::Leaf) => !equal(old, new),
        _ => {
            out.removed = std::mem::take(&mut out.removed).union(every(ty, old, depth));
            out.added = std::mem::take(&mut out.added).union(every(ty, new, depth));
            !equal(old, new)
        }
    }
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn maps(
    ty: Type<'_>,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    depth: usize,
    out: &mut Comparison,
) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let next = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((l, _)), Some((r, _))) => l.cmp(r),
        };
        let old = if next.is_le() { old.next() } else { None };
        let new = if next.is_ge() { new.next() } else { None };
        match (old, new) {
            (Some((name, old)), Some((_, new))) => {
                let mut below = Comparison::default();
                let modified = walk(ty.field(name), old, new, depth + 1, &mut below);
                if modified || !below.is_same() {
                    out.nest(Element::field(name), modified, below);
                }
            }
            (Some((name, old)), None) => {
                out.removed.push(whole(Element::field(name), ty.field(name), old, depth))
            }
            (None, Some((name, new))) => {
                out.added.push(whole(Element::field(name), ty.field(name), new, depth))
            }
            (None, None) => return,
        }
    }
}

fn whole(element: Element, ty: Type<'_>, value: &Value, depth: usize) -> Node {
    Node { element, member: true, children: every(ty, value, depth + 1) }
}

type Groups<'v> = Vec<(Element, Vec<&'v Value>)>;

fn lists(items: Items<'_>, old: Groups<'_>, new: Groups<'_>, depth: usize, out: &mut Comparison) {
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let next = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((l, _)), Some((r, _))) => l.cmp(r),
        };
        let old = if next.is_le() { old.next() } else { None };
        let new = if next.is_ge() { new.next() } else { None };
        let (old, new) = (old.unzip(), new.unzip());
        let Some(element) = old.0.or(new.0) else { return };
        item(items, element, &old.1.unwrap_or_default(), &new.1.unwrap_or_default(), depth, out);
    }
}

/// Compares the items of one key. Items that cannot be told apart are compared and owned as one.
fn item(
    items: Items<'_>,
    element: Element,
    old: &[&Value],
    new: &[&Value],
    depth: usize,
    out: &mut Comparison,
) {
    let bare = |element| Node { element, member: true, children: FieldSet::new() };
    let whole = |element, value: &Value| whole(element, items.item, value, depth);
    match (old, new) {
        ([], []) => {}
        ([old], [new]) => {
            let mut below = Comparison::default();
            let modified = walk(items.item, old, new, depth + 1, &mut below);
            out.nest(element, modified, below);
        }
        ([old], []) => out.removed.push(whole(element, old)),
        ([], [new]) => out.added.push(whole(element, new)),
        (many, []) if many.len() > 1 => out.removed.push(bare(element)),
        ([], many) if many.len() > 1 => out.added.push(bare(element)),
        (_, [new]) => {
            // No longer ambiguous: the mark of the group goes, the item with its fields comes.
            out.removed.push(bare(element.clone()));
            out.added.push(whole(element, new));
        }
        ([old], _) => {
            out.removed.push(whole(element.clone(), old));
            out.added.push(bare(element));
        }
        (old, new) => {
            let same = old.len() == new.len() && old.iter().zip(new).all(|(l, r)| equal(l, r));
            out.nest(element, !same, Comparison::default());
        }
    }
}
