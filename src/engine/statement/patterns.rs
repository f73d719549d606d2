//! Patterns of times as Postgres, Oracle and Snowflake write them (`YYYY-MM-DD HH24:MI`), as strftime patterns.
//!
//! DataFusion formats by strftime, where a text without `%` stands for itself: `to_char(ts, 'YYYY-MM')` would be the text `YYYY-MM` for
//! every row.

use crate::error::{Error, Result};

/// Longest first, so that `YYYY` is not two `YY`. `FM` takes padding away, which strftime's words do not have.
const PATTERNS: &[(&str, &str)] = &[
    ("FMMONTH", "%B"),
    ("FMDAY", "%A"),
    ("FMDD", "%-d"),
    ("FMMM", "%-m"),
    ("FMHH24", "%-H"),
    ("FMHH12", "%-I"),
    ("IYYY", "%G"),
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MONTH", "%B"),
    ("MON", "%b"),
    ("MM", "%m"),
    ("MI", "%M"),
    ("MS", "%3f"),
    ("DDD", "%j"),
    ("DD", "%d"),
    ("DAY", "%A"),
    ("DY", "%a"),
    ("ID", "%u"),
    ("IW", "%V"),
    ("HH24", "%H"),
    ("HH12", "%I"),
    ("HH", "%I"),
    ("SS", "%S"),
    ("US", "%6f"),
    ("FF3", "%3f"),
    ("FF6", "%6f"),
    ("FF9", "%9f"),
    ("AM", "%p"),
    ("PM", "%p"),
    ("TZH", "%z"),
];

/// The strftime pattern; `None` where the text is one already.
pub fn strftime(function: &str, written: &str) -> Result<Option<String>> {
    let wrong = |part: &str| {
        Error::user(format!("{function}: pattern '{written}' has no meaning for '{part}'"))
            .hint("patterns are strftime's, as in '%Y-%m-%d %H:%M:%S', or Postgres's, as in 'YYYY-MM-DD HH24:MI:SS'")
    };
    let duration = written.eq_ignore_ascii_case("ISO8601") || written.eq_ignore_ascii_case("pretty");
    if written.contains('%') || duration {
        return Ok(None);
    }
    // These two read differently in MySQL, Spark and Java: 'mm' is minutes there.
    if function == "date_format" {
        return Err(wrong(written));
    }
    let mut pattern = String::new();
    let mut rest = written;
    let mut any = false;
    while let Some(next) = rest.chars().next() {
        if let Some((quoted, after)) = rest.strip_prefix('"').and_then(|inner| inner.split_once('"')) {
            pattern.push_str(quoted);
            rest = after;
        } else if next == 'T' && !rest[1..].starts_with(|c: char| c.is_alphabetic() && !c.eq_ignore_ascii_case(&'H')) {
            // The T of ISO 8601, between date and time.
            pattern.push('T');
            rest = &rest[1..];
        } else if next.is_alphabetic() {
            let upper = rest.to_ascii_uppercase();
            let known = PATTERNS.iter().find(|(name, _)| upper.starts_with(name));
            let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(rest);
            let Some((name, meaning)) = known else { return Err(wrong(word)) };
            pattern.push_str(meaning);
            any = true;
            rest = &rest[name.len()..];
        } else {
            pattern.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    if any { Ok(Some(pattern)) } else { Err(wrong(written)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Option<String> {
        strftime("to_char", written).unwrap()
    }

    #[test]
    fn postgres_patterns_become_strftime() {
        for (written, meant) in [
            ("YYYY-MM", "%Y-%m"),
            ("yyyy-mm-dd", "%Y-%m-%d"),
            ("YYYY-MM-DD HH24:MI:SS.MS", "%Y-%m-%d %H:%M:%S.%3f"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS", "%Y-%m-%dT%H:%M:%S"),
            ("YYYY-MM-DDTHH24:MI", "%Y-%m-%dT%H:%M"),
            ("DD Mon YYYY", "%d %b %Y"),
            ("IYYY-IW", "%G-%V"),
            ("HH:MI AM", "%I:%M %p"),
            ("\"week\" IW", "week %V"),
        ] {
            assert_eq!(read(written).as_deref(), Some(meant), "{written}");
        }
        assert_eq!(read("%Y"), None);
        assert_eq!(read("ISO8601"), None);
    }

    #[test]
    fn what_has_no_meaning_is_an_error_that_names_both_kinds() {
        for written in ["quarter Q", "x", "", "--", "YYYY Q"] {
            let error = strftime("to_char", written).unwrap_err();
            assert!(error.hints()[0].contains("%Y"), "{written}");
        }
        assert!(strftime("date_format", "yyyy-MM-dd HH:mm").is_err());
    }
}
