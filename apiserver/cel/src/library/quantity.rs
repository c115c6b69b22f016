//! Resource quantities. Source: Kubernetes' `library/quantity.go` and `apimachinery/pkg/api/resource`.
//!
//! A quantity is held in billionths, the finest grain there is: finer digits round away from zero, and
//! what a source may write is capped at 2⁶³ − 1, as upstream.

use std::cmp::Ordering;
use std::fmt;

use super::{Context, text};
use crate::error::EvalError;
use crate::time::clip;
use crate::value::{Extension, Value};

const NANOS: i128 = 1_000_000_000;
const MAX: i128 = i64::MAX as i128 * NANOS;
/// Digits a source may have: more than the cap needs.
const MAX_DIGITS: usize = 64;

/// An amount with the text it was read from, if it was read.
#[derive(Clone, Debug)]
pub struct Quantity {
    nanos: i128,
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Quantity {
    fn parse(source: &str) -> Option<Self> {
        let (negative, rest) = match source.as_bytes().first()? {
            b'-' => (true, source.get(1..)?),
            b'+' => (false, source.get(1..)?),
            _ => (false, source),
        };
        let whole_length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, tail) = rest.split_at_checked(whole_length)?;
        let (fraction, suffix) = match tail.strip_prefix('.') {
            Some(tail) => tail.split_at_checked(tail.bytes().take_while(u8::is_ascii_digit).count())?,
            None => ("", tail),
        };
        if (whole.is_empty() && fraction.is_empty()) || source.len() > MAX_DIGITS {
            return None;
        }
        let magnitude = scale(whole, fraction, Scale::parse(suffix)?);
        Some(Self { nanos: if negative { -magnitude } else { magnitude } })
    }

    fn integer(&self) -> Option<i64> {
        if self.nanos % NANOS == 0 { i64::try_from(self.nanos / NANOS).ok() } else { None }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let magnitude = self.nanos.unsigned_abs();
        let (whole, fraction) = (magnitude / NANOS.unsigned_abs(), magnitude % NANOS.unsigned_abs());
        write!(f, "{sign}{whole}")?;
        if fraction > 0 {
            write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0'))?;
        }
        Ok(())
    }
}

/// What a suffix multiplies by.
#[derive(Clone, Copy)]
enum Scale {
    Decimal(i32),
    Binary(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            other => {
                let exponent = other.strip_prefix(['e', 'E'])?;
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                // An exponent past these is past the cap or below the grain in any case.
                Self::Decimal(
                    exponent
                        .parse::<i64>()
                        .map_or(1000, |e| i32::try_from(e.clamp(-1000, 1000)).unwrap_or(0)),
                )
            }
        })
    }
}

/// `whole.fraction` scaled, in billionths, rounded up in magnitude and capped.
fn scale(whole: &str, fraction: &str, scale: Scale) -> i128 {
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    let fraction_digits = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let (power, shift) = match scale {
        Scale::Decimal(exponent) => (exponent, 0),
        Scale::Binary(bits) => (0, bits),
    };
    // The value is digits × 10^(power - fraction_digits) × 2^shift; in billionths nine powers more.
    let mut exponent = power.saturating_sub(fraction_digits).saturating_add(9);
    if digits.iter().all(|digit| *digit == 0) {
        return 0;
    }
    let mut lost = false;
    // With a binary factor digits below the grain still count, so they are dropped after the shift.
    let guard = if shift > 0 { 18 } else { 0 };
    while exponent < -guard {
        match digits.pop() {
            Some(digit) => lost |= digit != 0,
            None => break,
        }
        exponent += 1;
    }
    let mut value: i128 = 0;
    for digit in digits {
        value = value.saturating_mul(10).saturating_add(i128::from(digit));
    }
    value = value.saturating_mul(1_i128.checked_shl(shift).unwrap_or(i128::MAX));
    while exponent > 0 && value <= MAX {
        value = value.saturating_mul(10);
        exponent -= 1;
    }
    while exponent < 0 {
        lost |= value % 10 != 0;
        value /= 10;
        exponent += 1;
    }
    value.saturating_add(i128::from(lost)).min(MAX)
}

pub(super) fn compare(a: &Quantity, b: &Quantity) -> Ordering {
    a.nanos.cmp(&b.nanos)
}

fn wrap<'a>(nanos: Option<i128>) -> Result<Value<'a>, EvalError> {
    nanos
        .map(|nanos| Value::Extension(Extension::Quantity(Quantity { nanos })))
        .ok_or(EvalError::Overflow("quantity"))
}

fn receiver<'v>(args: &'v [Value<'_>]) -> Result<&'v Quantity, EvalError> {
    match args.first() {
        Some(Value::Extension(Extension::Quantity(quantity))) => Ok(quantity),
        _ => Err(EvalError::NoSuchOverload),
    }
}

/// The right operand of `add` and `sub`, in billionths: a quantity or an integer.
fn operand(args: &[Value<'_>]) -> Result<i128, EvalError> {
    match args.get(1) {
        Some(Value::Extension(Extension::Quantity(quantity))) => Ok(quantity.nanos),
        Some(Value::Int(value)) => Ok(i128::from(*value) * NANOS),
        _ => Err(EvalError::NoSuchOverload),
    }
}

pub(crate) fn quantity<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    match Quantity::parse(subject) {
        Some(quantity) => Ok(Value::Extension(Extension::Quantity(quantity))),
        None => {
            Err(EvalError::argument(format!("quantities must match the quantity format: {}", clip(subject))))
        }
    }
}

pub(crate) fn is_quantity<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    Ok(Value::Bool(Quantity::parse(subject).is_some()))
}

/// -1, 0 or 1.
pub(crate) fn sign<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Int(compare(receiver(args)?, &Quantity { nanos: 0 }) as i64))
}

pub(crate) fn is_integer<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(receiver(args)?.integer().is_some()))
}

pub(crate) fn as_integer<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let integer = receiver(args)?.integer();
    integer.map(Value::Int).ok_or_else(|| EvalError::conversion("cannot convert value to integer"))
}

#[expect(clippy::cast_precision_loss, reason = "the function promises an approximation")]
pub(crate) fn as_approximate_float<'a>(
    _: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    Ok(Value::Double(receiver(args)?.nanos as f64 / NANOS as f64))
}

pub(crate) fn add<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    wrap(receiver(args)?.nanos.checked_add(operand(args)?))
}

pub(crate) fn sub<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    wrap(receiver(args)?.nanos.checked_sub(operand(args)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_to_a_billionth() {
        for (source, value) in [
            ("0", "0"),
            ("1.5Gi", "1610612736"),
            ("100m", "0.1"),
            ("-1.5k", "-1500"),
            ("1e3", "1000"),
            ("1E3", "1000"),
            ("1E", "1000000000000000000"),
            ("1e-3", "0.001"),
            ("1n", "0.000000001"),
            ("0.1n", "0.000000001"),
            (".5", "0.5"),
            ("5.", "5"),
            ("100E", "9223372036854775807"),
            ("1e500", "9223372036854775807"),
            ("0.001Ki", "1.024"),
        ] {
            assert_eq!(Quantity::parse(source).map(|q| q.to_string()).as_deref(), Some(value), "{source}");
        }
        for source in ["", "-", ".", "1 Gi", "1gi", "1e", "1ee3", "0x1", "1KI", "++1", "é"] {
            assert!(Quantity::parse(source).is_none(), "{source}");
        }
    }
}
