//! Where in the text of a kubeconfig a field stands. Looked for only when something is wrong with it.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A value's place, and those of what is in it.
struct Placed {
    at: Location,
    inner: Inner,
}

enum Inner {
    Leaf,
    List(Vec<Placed>),
    Map(Vec<(String, Placed)>),
}

/// Line and column, from one, of a field such as `clusters[0].cluster.server`; of one that is not there, those of the
/// nearest that is and should hold it. `None` where the text cannot be read.
pub(super) fn place(text: &str, field: &str) -> Option<(u64, u64)> {
    let root: Placed = serde_saphyr::from_str(text).ok()?;
    let mut found = &root;
    let names = field.split('.').flat_map(|part| part.split('[')).map(|part| part.trim_end_matches(']'));
    for name in names {
        let next = match &found.inner {
            Inner::Leaf => None,
            Inner::List(items) => name.parse().ok().and_then(|at: usize| items.get(at)),
            Inner::Map(entries) => entries.iter().find(|(key, _)| key == name).map(|(_, value)| value),
        };
        match next {
            Some(next) => found = next,
            None => break,
        }
    }
    Some((found.at.line(), found.at.column()))
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Inner>::deserialize(deserializer)?;
        Ok(Self { at: referenced, inner: value })
    }
}

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visit)
    }
}

/// Takes whatever stands there.
struct Visit;

macro_rules! leaves {
    ($($visit:ident: $of:ty,)+) => {
        $(fn $visit<E>(self, _: $of) -> Result<Inner, E> {
            Ok(Inner::Leaf)
        })+
    };
}

impl<'de> Visitor<'de> for Visit {
    type Value = Inner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    leaves! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_i128: i128,
        visit_u128: u128,
        visit_f64: f64,
        visit_str: &str,
        visit_bytes: &[u8],
    }

    fn visit_unit<E>(self) -> Result<Inner, E> {
        Ok(Inner::Leaf)
    }

    fn visit_none<E>(self) -> Result<Inner, E> {
        Ok(Inner::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Inner, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Inner, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Inner, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Inner::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Inner, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            entries.push((key, access.next_value()?));
        }
        Ok(Inner::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    const TEXT: &str = "a: 1\nlist:\n- name: x\n  inner: {deep: [1, 2], text: y}\n- 5\n";

    #[test]
    fn fields_and_what_should_hold_them() {
        for (field, at) in [
            ("a", (1, 4)),
            ("list", (3, 3)),
            ("list[0].name", (3, 9)),
            ("list[0].inner.deep[1]", (4, 21)),
            ("list[0].inner.text", (4, 31)),
            ("list[0].inner.none", (4, 10)),
            ("list[1].inner", (5, 3)),
            ("list[7]", (3, 3)),
            ("none", (1, 1)),
            ("", (1, 1)),
        ] {
            assert_eq!(place(TEXT, field), Some(at), "{field}");
        }
        assert_eq!(place("a: [", "a"), None);
    }
}
