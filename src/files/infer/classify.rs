//! What a single text is: a number, a truth value, something else.
//!
//! Deals with: numbers that would not come back as they are written. Does not deal with: times, and columns.

/// What a text is.
pub enum Class {
    /// `true`, `false`.
    Bool,
    /// A whole number.
    Int(i64),
    /// Digits that no number is written with: leading zeros, or more than a BIGINT holds.
    Code,
    /// A number with a point.
    Float,
    /// A number with an exponent alone.
    Exponent,
    /// Anything else.
    Other,
}

/// Tells what a text is. The readers of `cells` take a text as a number only if it is one here.
pub fn classify(text: &str) -> Class {
    let bytes = text.as_bytes();
    if matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE") {
        return Class::Bool;
    }
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.first().is_none_or(|b| !b.is_ascii_digit() && *b != b'.') {
        return Class::Other;
    }
    // 007.5 is as much of an identifier as 007.
    let leading_zero = matches!(digits, [b'0', next, ..] if next.is_ascii_digit());
    if digits.iter().all(u8::is_ascii_digit) {
        return match text.parse() {
            Ok(value) if !leading_zero => Class::Int(value),
            _ => Class::Code,
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && leading_zero => Class::Code,
        Ok(value) if value.is_finite() && bytes.contains(&b'.') => Class::Float,
        Ok(value) if value.is_finite() => Class::Exponent,
        _ => Class::Other,
    }
}
