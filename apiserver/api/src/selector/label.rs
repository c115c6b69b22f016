//! Label selectors as values.

use super::{SelectorError, label_parser};
use std::fmt;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// `=`
    Equals,
    /// `==`
    DoubleEquals,
    /// `!=`; an absent key satisfies it.
    NotEquals,
    /// `in (…)`
    In,
    /// `notin (…)`; an absent key satisfies it.
    NotIn,
    /// The key alone.
    Exists,
    /// `!key`
    DoesNotExist,
    /// `>`; both sides are integers.
    GreaterThan,
    /// `<`; both sides are integers.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// How it compares.
    pub operator: LabelOperator,
    /// Sorted, each once.
    pub values: Vec<String>,
}

impl LabelRequirement {
    /// Whether a label of this value (`None`: absent) satisfies it.
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        use LabelOperator::{
            DoesNotExist, DoubleEquals, Equals, Exists, GreaterThan, In, LessThan, NotEquals, NotIn,
        };
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        match (self.operator, value) {
            (In | Equals | DoubleEquals, Some(value)) => listed(value),
            (NotIn | NotEquals, Some(value)) => !listed(value),
            (NotIn | NotEquals, None) => true,
            (Exists, value) => value.is_some(),
            (DoesNotExist, value) => value.is_none(),
            (GreaterThan, Some(value)) => self.integers(value).is_some_and(|(label, bound)| label > bound),
            (LessThan, Some(value)) => self.integers(value).is_some_and(|(label, bound)| label < bound),
            (In | Equals | DoubleEquals | GreaterThan | LessThan, None) => false,
        }
    }

    fn integers(&self, value: &str) -> Option<(i64, i64)> {
        Some((value.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            LabelOperator::Equals => write!(f, "{key}={values}"),
            LabelOperator::DoubleEquals => write!(f, "{key}=={values}"),
            LabelOperator::NotEquals => write!(f, "{key}!={values}"),
            LabelOperator::In => write!(f, "{key} in ({values})"),
            LabelOperator::NotIn => write!(f, "{key} notin ({values})"),
            LabelOperator::Exists => write!(f, "{key}"),
            LabelOperator::DoesNotExist => write!(f, "!{key}"),
            LabelOperator::GreaterThan => write!(f, "{key}>{values}"),
            LabelOperator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// Conditions that must all hold, ordered by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
}

impl LabelSelector {
    /// Parses the text of a `labelSelector` parameter; the empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut requirements = label_parser::parse(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// The conditions.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &[(String, String)]) -> bool {
        self.matches_by(|key| labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()))
    }

    /// Whether an object is selected whose labels `value_of` tells.
    pub fn matches_by<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| r.matches_value(value_of(&r.key)))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn matching() {
        let object = labels(&[("app", "web"), ("tier", ""), ("n", "7"), ("in", "notin")]);
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,tier=", true),
            ("tier", true),
            ("app!=db", true),
            ("app!=web", false),
            ("none!=x", true),
            ("none=x", false),
            ("none", false),
            ("!none", true),
            ("! app", false),
            ("app in (db, web)", true),
            ("app in (db,)", false),
            ("tier in (db,)", true),
            ("tier in ()", true),
            ("app notin (db)", true),
            ("none notin (db)", true),
            ("app notin (web,db)", false),
            ("n>6", true),
            ("n<7", false),
            ("app>6", false),
            ("in in (in, notin)", true),
            ("in=notin", true),
        ];
        for (text, expected) in cases {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&object), expected, "{text:?}");
        }
    }

    #[test]
    fn is_shown_ordered() {
        let selector = LabelSelector::parse("z, b in (y,x,x) ,!c,a==1, d notin(p),e>3").unwrap();
        assert_eq!(selector.to_string(), "a==1,b in (x,y),!c,d notin (p),e>3,z");
    }

    #[test]
    fn refusals_are_worded_as_the_reference_words_them() {
        let shown = |text| LabelSelector::parse(text).unwrap_err().to_string();
        assert_eq!(shown("a,"), "found '', expected: identifier after ','");
        assert_eq!(shown("=a"), "found '=', expected: !, identifier, or 'end of string'");
        assert_eq!(
            shown("a b"),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, >, <"
        );
        assert_eq!(shown("a in b"), "unable to parse requirement: found 'b' expected: '('");
        assert_eq!(shown("a in (b"), "unable to parse requirement: found '', expected: ',' or ')'");
        assert_eq!(shown("a in (b c)"), "unable to parse requirement: found 'c', expected: ',' or ')'");
        assert_eq!(shown("a=b c"), "found 'c', expected: ',' or 'end of string'");
        assert_eq!(shown("!"), "unable to parse requirement: found '', expected: identifier");
        assert_eq!(shown("a=("), "unable to parse requirement: found '(', expected: identifier");
        assert_eq!(
            shown("n>x"),
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
        );
        assert!(shown("a=-").starts_with(
            "unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must be an empty string"
        ));
        assert!(shown("-a=b").starts_with(
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist"
        ));
        assert!(LabelSelector::parse("a=b\u{0},c").is_err());
    }

    proptest! {
        #[test]
        fn shown_and_parsed_again_is_the_same(text in "[ab!=(),<>1 ]{0,14}|a (in|notin) \\([ab, ]{0,9}\\)") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string());
                prop_assert_eq!(again.as_ref(), Ok(&selector), "{}", selector);
            }
        }

        #[test]
        fn never_panics(text in ".{0,60}") {
            let _ = LabelSelector::parse(&text);
        }
    }
}
