//! Names of sheets: at most 31 characters, none of `[]:*?/\`, no apostrophe at an end, unique without regard to case.

use std::collections::HashSet;

const LONGEST: usize = 31;

/// The names that are taken, in lower case.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// The name, or what is nearest to it and free.
    pub fn free(&mut self, wanted: &str) -> String {
        let forbidden = |c: char| c.is_control() || "[]:*?/\\\u{fffe}\u{ffff}".contains(c);
        let plain: String = wanted.chars().map(|c| if forbidden(c) { '-' } else { c }).collect();
        let trimmed = plain.trim().trim_matches('\'').trim();
        // Excel keeps a name of its own.
        let base = if trimmed.is_empty() || trimmed.eq_ignore_ascii_case("history") {
            format!("Sheet {trimmed}").trim().to_string()
        } else {
            trimmed.to_string()
        };
        let mut name = cut(&base, LONGEST);
        let mut number = 1;
        while !self.0.insert(name.to_lowercase()) {
            number += 1;
            let end = format!(" ({number})");
            name = format!("{}{end}", cut(&base, LONGEST - end.len()));
        }
        name
    }
}

/// The beginning of at most so many characters as Excel counts them, in UTF-16.
fn cut(text: &str, most: usize) -> String {
    let mut left = most;
    let fits = |c: &char| {
        let taken = left.checked_sub(c.len_utf16());
        left = taken.unwrap_or(0);
        taken.is_some()
    };
    text.chars().take_while(fits).collect::<String>().trim_end_matches([' ', '\'']).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_excel_takes() {
        let mut names = Names::default();
        assert_eq!(names.free("a/b:c"), "a-b-c");
        assert_eq!(names.free("A/B\\C"), "A-B-C (2)");
        assert_eq!(names.free("''"), "Sheet");
        assert_eq!(names.free("History"), "Sheet History");
        let long = "x".repeat(40);
        assert_eq!(names.free(&long), "x".repeat(31));
        assert_eq!(names.free(&long), format!("{} (2)", "x".repeat(27)));
        assert_eq!(names.free(&"😀".repeat(20)), "😀".repeat(15));
    }
}
