//! Formats that are codes: identifiers, check digits, colours, encodings.

/// 8-4-4-4-12 hexadecimal digits, each hyphen optional. Versions 4 and 5 are of RFC 4122's variant.
pub(super) fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let mut digits = [0u8; 32];
    let mut rest = text.as_bytes();
    let mut at = 0;
    for (group, length) in [8usize, 4, 4, 4, 12].into_iter().enumerate() {
        if group > 0 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
        let Some((head, tail)) = rest.split_at_checked(length) else { return false };
        digits[at..at + length].copy_from_slice(head);
        (rest, at) = (tail, at + length);
    }
    let is_variant = |digit: u8| matches!(digit.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b');
    rest.is_empty()
        && digits.iter().all(u8::is_ascii_hexdigit)
        && version.is_none_or(|version| {
            digits[12] == version && (!matches!(version, b'4' | b'5') || is_variant(digits[16]))
        })
}

/// Without whitespace and hyphens.
fn bare(text: &str) -> Vec<u8> {
    text.bytes().filter(|b| !matches!(b, b'-' | b'\t' | b'\n' | 0x0c | b'\r' | b' ')).collect()
}

pub(super) fn is_isbn10(text: &str) -> bool {
    let code = bare(text);
    let Some((last, digits)) = code.split_last() else { return false };
    let check = match last {
        b'X' => 10,
        b'0'..=b'9' => u32::from(last - b'0'),
        _ => return false,
    };
    let sum: u32 =
        digits.iter().zip(1..).map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight).sum();
    digits.len() == 9 && digits.iter().all(u8::is_ascii_digit) && (sum + check * 10).is_multiple_of(11)
}

pub(super) fn is_isbn13(text: &str) -> bool {
    let code = bare(text);
    let sum: u32 = code
        .iter()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight)
        .sum();
    code.len() == 13 && code.iter().all(u8::is_ascii_digit) && sum.is_multiple_of(10)
}

/// A number of a known issuer with Luhn's check digit; anything that is no digit may stand between.
pub(super) fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    is_of_known_issuer(&digits) && luhn(&digits).is_multiple_of(10)
}

fn is_of_known_issuer(digits: &[u8]) -> bool {
    matches!(
        (digits, digits.len()),
        ([4, ..], 13 | 16)
            | ([5, 1..=5, ..], 16)
            | ([6, 0, 1, 1, ..] | [6, 5, ..], 16)
            | ([3, 4 | 7, ..], 15)
            | ([3, 0, 0..=5, ..] | [3, 6 | 8, ..], 14)
            | ([2, 1, 3, 1, ..] | [1, 8, 0, 0, ..], 15)
            | ([3, 5, ..], 16)
    )
}

fn luhn(digits: &[u8]) -> u32 {
    let doubled = |digit: u8| if digit >= 5 { digit * 2 - 9 } else { digit * 2 };
    digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &digit)| u32::from(if i % 2 == 1 { doubled(digit) } else { digit }))
        .sum()
}

/// `123-45-6789`, with hyphens or spaces.
pub(super) fn is_ssn(text: &str) -> bool {
    text.len() == 11
        && text.bytes().enumerate().all(|(i, b)| match i {
            3 | 6 => matches!(b, b'-' | b' '),
            _ => b.is_ascii_digit(),
        })
}

pub(super) fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `rgb(1, 2, 3)`, of numbers to 255 without leading zeros.
pub(super) fn is_rgb_color(text: &str) -> bool {
    let space = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ');
    let Some(inner) = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')')) else { return false };
    let mut count = 0;
    inner.split(',').all(|part| {
        count += 1;
        let part = part.trim_matches(space);
        part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
            && part.parse::<u8>().is_ok()
    }) && count == 3
}

/// Base64 of the standard alphabet with padding, of at least one byte.
pub(super) fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    !digits.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}
