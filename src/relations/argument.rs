//! What is said of an argument, once: the parser, its messages, completion, `FUNCTIONS.md` and `\df` all read it here.
//!
//! A relation has one constant for each of its arguments and reads a call by it (`call.choice(&UNIT)`), so that nothing can be
//! accepted that the manual does not tell. Deals with: name, kind, allowed words and ranges, default, help. Does not deal with:
//! reading a value (`call`), or which arguments exclude each other: the relation knows.

use crate::functions::ArgumentDoc;

/// An argument of a relation.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name in `name => value`.
    pub name: &'static str,
    /// What may be given.
    pub kind: Kind,
    /// What holds where it is not given.
    pub absent: Absent,
    /// One sentence or two for the manual; words that are allowed are named in it.
    pub help: &'static str,
}

/// What may be given for an argument.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// The input: a table or a query. Always the first argument, without a name.
    Table,
    /// A managed table.
    ManagedTable,
    /// A column of the input, or anything computed from its columns.
    Column,
    /// The same, which must be a moment.
    MomentColumn,
    /// The same, which must be a number.
    NumberColumn,
    /// One column or a list of them.
    Columns,
    /// The name of an event, or a condition over the input's columns.
    Condition,
    /// A condition over the input's columns.
    Predicate,
    /// Users: a condition over the input's columns, or a query.
    Segment,
    /// Conditions, counts and sums over the rows of a user, each with a name.
    Measures,
    /// A constant, of the type of a column.
    Constant,
    /// The name of a node, or a condition.
    Node,
    /// Names of events and conditions, in order; they may be given names.
    Steps,
    /// Conditions over the answer's own columns, each with a name.
    NamedConditions,
    /// Events that exclude, each with the steps between which they do.
    Exclusions,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// Text.
    Text,
    /// One text or a list of them.
    Texts,
    /// TRUE or FALSE.
    Switch,
    /// A whole number between these two, both included.
    Whole(i64, i64),
    /// The number of a step, from 1.
    Step,
    /// Numbers of steps.
    StepNumbers,
    /// A number between these two, both included.
    Number(f64, f64),
    /// A list of exactly so many numbers.
    Numbers(usize),
    /// A list of at most so many numbers.
    UpToNumbers(usize),
    /// A list of pairs of whole numbers, the first of each not above the second, none within another.
    Ranges(i64, i64),
    /// An INTERVAL.
    Span,
    /// An INTERVAL of whole days.
    Days,
    /// A list of INTERVALs and NULLs.
    Spans,
    /// A constant TIMESTAMP or DATE.
    Moment,
}

/// What holds where an argument is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// It must be given.
    Refused,
    /// This value, as one would write it.
    Sql(&'static str),
    /// What the session is set to, which is this unless somebody sets it.
    Session(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// What may stand in an argument.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takes {
    /// One of these, in quotes.
    pub words: &'static [&'static str],
    /// One of these, as they are.
    pub literals: &'static [&'static str],
    /// Names of events, in quotes.
    pub events: bool,
    /// Columns of the input.
    pub columns: bool,
}

impl Argument {
    /// One that must be given.
    pub const fn needed(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, absent: Absent::Refused, help }
    }

    /// One with a default value, as one would write it.
    pub const fn with_default(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        Self { name, kind, absent: Absent::Sql(default), help }
    }

    /// One whose absence means something that is not a value: these words say what.
    pub const fn optional(name: &'static str, kind: Kind, absent: &'static str, help: &'static str) -> Self {
        Self { name, kind, absent: Absent::Words(absent), help }
    }

    /// The same argument where it means something of its own.
    pub const fn meaning(self, help: &'static str) -> Self {
        Self { name: self.name, kind: self.kind, absent: self.absent, help }
    }

    /// What may stand in it, for completion.
    pub fn takes(&self) -> Takes {
        match self.kind {
            Kind::Word(words) => Takes { words, ..Takes::default() },
            Kind::Switch => Takes { literals: &["true", "false"], ..Takes::default() },
            Kind::Span | Kind::Days => Takes { literals: &["INTERVAL"], ..Takes::default() },
            Kind::Steps | Kind::Condition | Kind::Exclusions | Kind::Node => {
                Takes { events: true, columns: true, ..Takes::default() }
            }
            Kind::Column
            | Kind::MomentColumn
            | Kind::NumberColumn
            | Kind::Columns
            | Kind::Predicate
            | Kind::Segment
            | Kind::Measures => Takes { columns: true, ..Takes::default() },
            _ => Takes::default(),
        }
    }

    /// As the manual has it.
    pub fn doc(&self) -> ArgumentDoc {
        let default = match self.absent {
            Absent::Refused => None,
            Absent::Sql(text) | Absent::Session(text) | Absent::Words(text) => Some(text),
        };
        ArgumentDoc { name: self.name, kind: self.kind.label(), default, text: self.help }
    }
}

/// Arguments as the manual has them.
pub fn docs(arguments: &[Argument]) -> Vec<ArgumentDoc> {
    arguments.iter().map(Argument::doc).collect()
}

impl Kind {
    /// The kind in the manual's words.
    const fn label(self) -> &'static str {
        match self {
            Self::Table => "table or (SELECT ..)",
            Self::ManagedTable => "table",
            Self::Column => "column",
            Self::MomentColumn => "TIMESTAMP or DATE column",
            Self::NumberColumn => "column of numbers",
            Self::Columns => "column or list",
            Self::Condition => "event name or condition",
            Self::Predicate => "condition",
            Self::Segment => "condition or (SELECT ..)",
            Self::Measures => "{'name': condition, count(..) or sum(..), ..}",
            Self::Constant => "constant",
            Self::Node => "node or condition",
            Self::Steps => "list",
            Self::NamedConditions => "{'name': condition, ..}",
            Self::Exclusions => "event, condition, STRUCT or list",
            Self::Word(_) | Self::Text => "TEXT",
            Self::Texts => "TEXT or list",
            Self::Switch => "BOOLEAN",
            Self::Whole(..) | Self::Step => "BIGINT",
            Self::StepNumbers => "list of BIGINT",
            Self::Number(..) => "DOUBLE",
            Self::Numbers(2) => "list of 2 numbers",
            Self::Numbers(3) => "list of 3 numbers",
            Self::Numbers(4) => "list of 4 numbers",
            Self::Numbers(_) | Self::UpToNumbers(_) => "list of numbers",
            Self::Ranges(..) => "list of pairs of BIGINT",
            Self::Span => "INTERVAL",
            Self::Days => "INTERVAL of whole days",
            Self::Spans => "list of INTERVAL",
            Self::Moment => "TIMESTAMP or DATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relations::RELATIONS;

    /// The manual names what the parser accepts, and every default is accepted.
    #[test]
    fn arguments_say_what_they_accept() {
        let mut seen = 0;
        for relation in RELATIONS {
            let (doc, arguments) = (relation.doc(), relation.arguments());
            assert_eq!(doc.arguments, docs(&arguments), "{}", doc.name);
            let mut names: Vec<&str> = arguments.iter().map(|argument| argument.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}: {names:?}", doc.name);
            for argument in &arguments {
                let place = format!("{}({} => ..)", doc.name, argument.name);
                assert!(argument.help.ends_with('.'), "{place}");
                if let Kind::Word(words) = argument.kind {
                    seen += 1;
                    let days = argument.name == "week_start";
                    let missing: Vec<_> =
                        words.iter().filter(|word| !argument.help.contains(&format!("`{word}`"))).collect();
                    assert!(days || missing.is_empty(), "{place}: {missing:?}");
                    if let Absent::Sql(default) = argument.absent {
                        assert!(words.iter().any(|word| default == format!("'{word}'")), "{place}: {default}");
                    }
                }
                if let (Kind::Whole(low, high), Absent::Sql(default)) = (argument.kind, argument.absent) {
                    assert!((low..=high).contains(&default.parse().unwrap()), "{place}: {default}");
                }
                if let (Kind::Number(low, high), Absent::Sql(default)) = (argument.kind, argument.absent) {
                    assert!((low..=high).contains(&default.parse().unwrap()), "{place}: {default}");
                }
            }
        }
        assert!(seen > 20, "{seen}");
    }
}
