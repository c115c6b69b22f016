//! Adjusting sets to a schema.

use crate::fieldset::{Element, FieldSet, Node};
use crate::shape::Type;

/// Follows a schema that made lists or maps atomic since the set was written: who owned something inside now owns the
/// whole. The other way round nothing changes, as upstream.
pub(crate) fn reconcile(ty: Type<'_>, set: &mut FieldSet) {
    for node in set.nodes_mut() {
        let below = child(ty, &node.element);
        let inside = !node.children.is_empty();
        if (inside && below.is_atomic_map()) || ((inside || !node.member) && below.is_atomic_list()) {
            node.member = true;
            node.children = FieldSet::new();
        } else {
            reconcile(below, &mut node.children);
        }
    }
}

/// Makes fields that the schema names members wherever something below them is: with `.spec.color`, `.spec` as well.
pub(crate) fn name_members(ty: Type<'_>, set: &mut FieldSet) {
    for Node { element, member, children } in set.nodes_mut() {
        if let Element::Field(name) = element {
            *member |= !children.is_empty() && ty.names(name);
        }
        name_members(child(ty, element), children);
    }
}

fn child<'a>(ty: Type<'a>, element: &Element) -> Type<'a> {
    match element {
        Element::Field(name) => ty.field(name),
        Element::Key(_) | Element::Value(_) | Element::Index(_) => ty.item(),
    }
}
