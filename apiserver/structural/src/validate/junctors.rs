//! Combined schemas: `allOf`, `anyOf`, `oneOf`, `not`.
//!
//! Alternatives are first tried without a word. Only where none of them holds are they tried again for their errors, of
//! which those of the alternative that came closest are told.
//!
//! Within `oneOf` and `not` nothing is excused by being unchanged, departing from upstream: there, a field that is taken
//! as valid would make the whole invalid.

use super::{Matches, Walk};
use crate::constraints::Junctors;
use crate::findings::Findings;
use crate::place::Place;
use crate::schema::Schema;
use serde_json::Value;

impl Walk<'_> {
    pub(super) fn junctors(
        &mut self,
        junctors: &Junctors,
        new: &Value,
        old: Option<&Value>,
        at: &Place<'_>,
    ) -> Matches {
        let mut matches = 1;
        if !junctors.any_of.is_empty() {
            matches += self.any_of(&junctors.any_of, new, old, at);
        }
        if !junctors.one_of.is_empty() {
            matches += self.one_of(&junctors.one_of, new, at);
        }
        if !junctors.all_of.is_empty() {
            matches += self.all_of(&junctors.all_of, new, old, at);
        }
        if let Some(not) = &junctors.not
            && self.holds(not, new, None, at).is_some()
        {
            self.unplaced(|| format!("{} must not validate the schema (not)", Self::quoted_path(at)));
        }
        matches
    }

    fn any_of(&mut self, schemas: &[Schema], new: &Value, old: Option<&Value>, at: &Place<'_>) -> Matches {
        if let Some(matches) = schemas.iter().find_map(|schema| self.holds(schema, new, old, at)) {
            return matches;
        }
        self.unplaced(|| format!("{} must validate at least one schema (anyOf)", Self::quoted_path(at)));
        self.tell_closest(schemas, new, old, at)
    }

    fn one_of(&mut self, schemas: &[Schema], new: &Value, at: &Place<'_>) -> Matches {
        let mut holding = schemas.iter().filter_map(|schema| self.holds(schema, new, None, at));
        let first = holding.next();
        let others = holding.count();
        if let Some(matches) = first
            && others == 0
        {
            return matches;
        }
        let found = match first {
            Some(_) => format!("Found {} valid alternatives", others + 1),
            None => "Found none valid".to_owned(),
        };
        self.unplaced(|| {
            format!("{} must validate one and only one schema (oneOf). {found}", Self::quoted_path(at))
        });
        if first.is_none() { self.tell_closest(schemas, new, None, at) } else { 0 }
    }

    fn all_of(&mut self, schemas: &[Schema], new: &Value, old: Option<&Value>, at: &Place<'_>) -> Matches {
        let mut matches = 0;
        let mut holding = 0;
        for schema in schemas {
            let mark = self.findings.mark();
            matches += self.node(schema, new, old, at);
            if !self.findings.has_failed_since(mark) {
                holding += 1;
            } else if self.findings.is_decided() {
                return matches;
            }
        }
        if holding < schemas.len() {
            let none = if holding == 0 { ". None validated" } else { "" };
            self.unplaced(|| {
                format!("{} must validate all the schemas (allOf){none}", Self::quoted_path(at))
            });
        }
        matches
    }

    /// The matches of a schema that holds.
    fn holds(&self, schema: &Schema, new: &Value, old: Option<&Value>, at: &Place<'_>) -> Option<Matches> {
        let mut findings = Findings::probe();
        let mut walk =
            Walk { findings: &mut findings, known_different: self.known_different, steps: self.steps };
        let matches = walk.node(schema, new, old, at);
        findings.is_empty().then_some(matches)
    }

    fn tell_closest(
        &mut self,
        schemas: &[Schema],
        new: &Value,
        old: Option<&Value>,
        at: &Place<'_>,
    ) -> Matches {
        if self.findings.is_probing() {
            return 0;
        }
        let mut closest: Option<(Matches, Findings)> = None;
        for schema in schemas {
            let mut findings = Findings::default();
            let mut walk =
                Walk { findings: &mut findings, known_different: self.known_different, steps: self.steps };
            let matches = walk.node(schema, new, old, at);
            if closest.as_ref().is_none_or(|(most, _)| matches > *most) {
                closest = Some((matches, findings));
            }
        }
        let Some((matches, findings)) = closest else { return 0 };
        self.findings.absorb(findings);
        matches
    }
}
