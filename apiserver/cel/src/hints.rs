//! What a schema knows of a JSON document and the document does not say.

/// How a JSON value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// As JSON has it: integers that fit 64 bits are `int`, other numbers `double`, objects maps.
    /// Fields are looked up as written, then unescaped. Also what int-or-string is.
    Dyn,
    /// `bool`.
    Bool,
    /// `int`; a number without fraction is taken as one.
    Int,
    /// `double`, whatever the number looks like.
    Double,
    /// `string`.
    String,
    /// `bytes`, in base64 (format `byte`).
    Bytes,
    /// `timestamp`, an RFC 3339 date or date-time (formats `date`, `date-time`).
    Timestamp,
    /// `duration`, as Go writes them (format `duration`).
    Duration,
    /// A number or a string (`x-kubernetes-int-or-string`).
    IntOrString,
    /// A list compared and added in order (`x-kubernetes-list-type: atomic`).
    List,
    /// A list compared without order and added as a union (`x-kubernetes-list-type: set`).
    Set,
    /// A list whose elements are identified by [`TypeHints::list_keys`]: compared without order, and
    /// added by replacing elements of the same keys (`x-kubernetes-list-type: map`).
    MapList,
    /// A map of arbitrary string keys (`additionalProperties`); its values are [`TypeHints::item`].
    Map,
    /// An object of declared properties: [`TypeHints::field`] answers for each of them, and any other
    /// field is an error.
    Object,
}

/// A schema node as the evaluator sees it.
///
/// Field names given to [`TypeHints::field`] are those of the document: the evaluator undoes the
/// escaping that rules use (`__dash__`, `__namespace__`).
pub trait TypeHints: Sync {
    /// How values described by this node are read.
    fn kind(&self) -> Hint;

    /// The node of a declared property; `None` if the schema declares none of that name.
    fn field(&self, name: &str) -> Option<&dyn TypeHints>;

    /// The node of a list's elements or a map's values; `None` if the schema says nothing of them.
    fn item(&self) -> Option<&dyn TypeHints>;

    /// The properties that identify an element of a [`Hint::MapList`].
    fn list_keys(&self) -> &[String] {
        &[]
    }
}

/// The document's name for a field written `name` in a rule.
///
/// Rules write properties that are not CEL identifiers in escaped form: `__dot__`, `__dash__`,
/// `__slash__`, `__underscores__` for a double underscore, and keywords between double underscores.
/// `None` if nothing is escaped, so that the name stands for itself. Source: the Kubernetes
/// documentation of `x-kubernetes-validations`.
pub(crate) fn unescape(name: &str) -> Option<String> {
    const KEYWORDS: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    const SEQUENCES: [(&str, &str); 4] =
        [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];
    if !name.contains("__") {
        return None;
    }
    if let Some(inner) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && KEYWORDS.contains(&inner)
    {
        return Some(inner.to_owned());
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        if let Some((escaped, plain)) = SEQUENCES.iter().find(|(escaped, _)| rest.starts_with(escaped)) {
            out.push_str(plain);
            rest = &rest[escaped.len()..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escaped_names_become_the_documents() {
        for (escaped, plain) in [
            ("a__dash__b", "a-b"),
            ("x__dot__y__slash__z", "x.y/z"),
            ("__namespace__", "namespace"),
            ("a__underscores__b", "a__b"),
            ("a__b", "a__b"),
            ("___dash__", "_-"),
        ] {
            assert_eq!(unescape(escaped).as_deref(), Some(plain), "{escaped}");
        }
        assert_eq!(unescape("plain_name"), None);
    }
}
