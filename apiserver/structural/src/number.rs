//! Numbers as Kubernetes decodes them, and what a schema may ask of one.
//!
//! A JSON number without fraction or exponent is an integer of 64 bits, anything else and anything beyond a float.
//! Source: `kube-openapi/pkg/validation/validate` (numberValidator). Departures: a bound with a fraction is compared as it
//! is with an integer too, where upstream cuts it first; and a quotient just below a whole number counts as whole.

use crate::constraints::{Bound, NumberRange};
use crate::formats::Format;
use crate::schema::{JsonType, Schema};
use hypermesh_api::printed;
use serde_json::{Number, Value};

/// Integers that a float holds exactly end here: 2^53 - 1.
const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Numeric {
    Integer(i64),
    Float(f64),
}

impl Numeric {
    pub fn of(number: &Number) -> Self {
        match number.as_i64() {
            Some(integer) => Self::Integer(integer),
            None => Self::Float(number.as_f64().unwrap_or_default()),
        }
    }

    /// Whether it passes for an integer: `1.0` does.
    pub fn is_integral(self) -> bool {
        match self {
            Self::Integer(_) => true,
            Self::Float(float) => float.fract() == 0.0 && float.abs() <= LARGEST_EXACT,
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }

    /// Whether the type and format of a schema can hold it.
    fn fits(self, kind: JsonType, format: Option<Format>) -> bool {
        match kind {
            JsonType::Integer => {
                let whole = match self {
                    Self::Integer(integer) => Some(integer),
                    Self::Float(float) => whole(float),
                };
                whole.is_some_and(|whole| format != Some(Format::Int32) || i32::try_from(whole).is_ok())
            }
            _ => format != Some(Format::Float) || self.float().abs() <= f64::from(f32::MAX),
        }
    }
}

/// A float as an integer, if it is one of 64 bits.
fn whole(float: f64) -> Option<i64> {
    // -2^63 is a float, 2^63 the first that is too large.
    let fits = float.fract() == 0.0 && float >= i64::MIN as f64 && float < -(i64::MIN as f64);
    fits.then_some(float as i64)
}

/// Whether two numbers are equal by value.
pub(crate) fn is_equal(a: &Number, b: &Number) -> bool {
    match (Numeric::of(a), Numeric::of(b)) {
        (Numeric::Integer(a), Numeric::Integer(b)) => a == b,
        (a, b) => a.float() == b.float(),
    }
}

/// A broken constraint on a number.
pub(crate) enum Complaint {
    /// Of the field: what follows `{path} in body `.
    Value(String),
    /// Of the schema and the type together; upstream words it without a field.
    Unfit(String),
    /// A factor that is not positive.
    Factor(String),
}

/// What a number breaks, in upstream's order.
pub(crate) fn complaints(schema: &Schema, number: &Number, mut tell: impl FnMut(Complaint)) {
    let value = Numeric::of(number);
    let format = schema.constraints.format;
    // With two types there is no one range.
    let kind = schema.kind.filter(|_| !schema.int_or_string);
    let mut check_fits = |what: &str, value: Numeric| {
        if let Some(kind @ (JsonType::Integer | JsonType::Number)) = kind
            && !value.fits(kind, format)
        {
            let name = kind.name();
            let format = match format {
                Some(format) => format!("with format {}", format.name()),
                None => "(default format)".to_owned(),
            };
            tell(Complaint::Unfit(format!("{what} value must be of type {name} {format}")));
        }
    };
    check_fits("Checked", value);
    let NumberRange { minimum, maximum, multiple_of } = &schema.constraints.number;
    if minimum.is_none() && maximum.is_none() && multiple_of.is_none() {
        return;
    }
    if let Some(factor) = *multiple_of {
        check_fits("MultipleOf", Numeric::Float(factor));
    }
    if let Some(bound) = minimum {
        check_fits("Minimum boundary", Numeric::Float(bound.value));
    }
    if let Some(bound) = maximum {
        check_fits("Maximum boundary", Numeric::Float(bound.value));
    }
    if let Some(factor) = *multiple_of {
        if factor <= 0.0 {
            tell(Complaint::Factor(printed::float(factor)));
        } else if !is_multiple(value, factor) {
            tell(Complaint::Value(format!("should be a multiple of {}", shown(value, factor))));
        }
    }
    if let Some(Bound { value: least, exclusive }) = *minimum
        && is_below(value, least, exclusive)
    {
        let words = if exclusive { "greater than" } else { "greater than or equal to" };
        tell(Complaint::Value(format!("should be {words} {}", shown(value, least))));
    }
    if let Some(Bound { value: most, exclusive }) = *maximum
        && is_above(value, most, exclusive)
    {
        let words = if exclusive { "less than" } else { "less than or equal to" };
        tell(Complaint::Value(format!("should be {words} {}", shown(value, most))));
    }
}

/// A bound as it is printed beside a value of this kind.
fn shown(value: Numeric, bound: f64) -> String {
    match (value, whole(bound)) {
        (Numeric::Integer(_), Some(bound)) => bound.to_string(),
        _ => printed::float(bound),
    }
}

fn is_below(value: Numeric, least: f64, exclusive: bool) -> bool {
    match (value, whole(least)) {
        (Numeric::Integer(value), Some(least)) => value < least || (exclusive && value == least),
        _ => value.float() < least || (exclusive && value.float() == least),
    }
}

fn is_above(value: Numeric, most: f64, exclusive: bool) -> bool {
    match (value, whole(most)) {
        (Numeric::Integer(value), Some(most)) => value > most || (exclusive && value == most),
        _ => value.float() > most || (exclusive && value.float() == most),
    }
}

/// `factor` is positive.
fn is_multiple(value: Numeric, factor: f64) -> bool {
    match (value, whole(factor)) {
        (Numeric::Integer(value), Some(factor)) => value % factor == 0,
        _ => {
            let quotient = if factor < 1.0 { 1.0 / factor * value.float() } else { value.float() / factor };
            is_nearly_whole(quotient)
        }
    }
}

/// 0.29 is a multiple of 0.01 although its quotient is 28.999999999999996.
fn is_nearly_whole(number: f64) -> bool {
    const RELATIVE_ERROR: f64 = 1e-9;
    if !number.is_finite() || number.abs() > LARGEST_EXACT {
        return false;
    }
    let nearest = number.round();
    let difference = (number - nearest).abs();
    difference == 0.0 || (nearest != 0.0 && difference / (number.abs() + nearest.abs()) < RELATIVE_ERROR)
}

/// The name by which type errors call the width of a number.
pub(crate) fn width_of(value: &Value) -> &'static str {
    match value {
        Value::Number(number) => match Numeric::of(number) {
            Numeric::Integer(_) => "int64",
            Numeric::Float(_) => "float64",
        },
        _ => "",
    }
}
