//! Whether all that combined schemas mention is part of the structure.
//!
//! Only the root's combined schemas are judged, as upstream judges them: schemas that mention further down what is no
//! part of the structure are in use. Source: `apiextensions-apiserver/pkg/apiserver/schema/complete.go`.

use super::Problems;
use super::props::Props;
use crate::place::Place;

pub(super) fn check(root: &Props, problems: &mut Problems) {
    check_combined(root, root, &Place::ROOT, &Place::ROOT, problems);
}

fn check_combined(
    combined: &Props,
    structure: &Props,
    structure_at: &Place<'_>,
    at: &Place<'_>,
    problems: &mut Problems,
) {
    if let Some(not) = &combined.not {
        check_nested(not, Some(structure), structure_at, &at.field("not"), problems);
    }
    for (keyword, schemas) in
        [("allOf", &combined.all_of), ("anyOf", &combined.any_of), ("oneOf", &combined.one_of)]
    {
        let above = at.field(keyword);
        for (index, schema) in schemas.iter().enumerate() {
            check_nested(schema, Some(structure), structure_at, &above.index(index), problems);
        }
    }
}

fn check_nested(
    nested: &Props,
    structure: Option<&Props>,
    structure_at: &Place<'_>,
    at: &Place<'_>,
    problems: &mut Problems,
) {
    let Some(structure) = structure else {
        problems.required(structure_at, &format!("because it is defined in {}", at.bracketed()));
        return;
    };
    check_combined(nested, structure, structure_at, at, problems);
    if let Some(items) = &nested.items {
        check_nested(
            items,
            structure.items.as_deref(),
            &structure_at.field("items"),
            &at.field("items"),
            problems,
        );
    }
    let (structure_above, above) = (structure_at.field("properties"), at.field("properties"));
    for (name, property) in &nested.properties {
        check_nested(
            property,
            structure.properties.get(name),
            &structure_above.key(name),
            &above.key(name),
            problems,
        );
    }
}
