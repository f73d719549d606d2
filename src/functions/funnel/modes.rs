//! The mode words of a funnel, as in `'increase'` or `'strict, reuse'`.

use super::clickhouse;
use crate::algo::funnel::{Between, Order};
use crate::error::{Error, Result, suggest};

/// The mode words.
pub const MODES: [&str; 8] =
    ["ordered", "increase", "any_order", "strict", "strict_steps", "dedup", "dedup_first", "reuse"];

/// ClickHouse's names, and the words that come nearest where the word `clickhouse` is not given.
const CLICKHOUSE: [(&str, &str); 5] = [
    ("strict_increase", "increase"),
    ("strict_order", "strict_steps"),
    ("strict_deduplication", "dedup"),
    ("strict_once", "ordered"),
    ("allow_reentry", "strict_steps"),
];

/// What the mode words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mode {
    /// `ordered`, `increase` or `any_order`.
    pub order: Order,
    /// `strict`, `strict_steps`, `dedup` or `dedup_first`.
    pub between: Between,
    /// `reuse`.
    pub reuse: bool,
}

fn order_of(word: &str) -> Option<Order> {
    match word {
        "ordered" => Some(Order::Ordered),
        "increase" => Some(Order::Increase),
        "any_order" => Some(Order::AnyOrder),
        _ => None,
    }
}

fn between_of(word: &str) -> Option<Between> {
    match word {
        "strict" => Some(Between::Strict),
        "strict_steps" => Some(Between::StrictSteps),
        "dedup" => Some(Between::Dedup),
        "dedup_first" => Some(Between::DedupFirst),
        _ => None,
    }
}

impl Mode {
    /// Reads mode words separated by commas.
    pub fn parse(function: &str, words: &str) -> Result<Self> {
        let refuse = |text: String| Err(Error::user(format!("{function}: {text}")));
        let (mut order, mut between, mut reuse) = (None, None, false);
        let words: Vec<&str> = words.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
        for &word in &words {
            if word == "reuse" {
                reuse = true;
            } else if let Some(asked) = order_of(word) {
                if let Some((other, _)) = order.filter(|(_, o)| *o != asked) {
                    return refuse(format!("modes '{other}' and '{word}' exclude each other"));
                }
                order = Some((word, asked));
            } else if let Some(asked) = between_of(word) {
                if let Some((other, _)) = between.filter(|(_, b)| *b != asked) {
                    return refuse(format!("modes '{other}' and '{word}' exclude each other: one contains the other"));
                }
                between = Some((word, asked));
            } else if word == clickhouse::CLICKHOUSE {
                return refuse("mode 'clickhouse' is for the function window_funnel alone, in mode words".into());
            } else if let Some((_, ours)) = CLICKHOUSE.iter().find(|(theirs, _)| *theirs == word) {
                return refuse(format!(
                    "mode '{word}' is ClickHouse's: window_funnel answers as ClickHouse with the word 'clickhouse' beside it; \
                     the mode here that comes nearest is '{ours}'"
                ));
            } else {
                return refuse(format!("unknown mode '{word}'; {}", suggest(word, MODES)));
            }
        }
        let mode = Self {
            order: order.map(|(_, o)| o).unwrap_or_default(),
            between: between.map(|(_, b)| b).unwrap_or_default(),
            reuse,
        };
        match (mode.order, between) {
            (Order::Increase, _) if reuse => {
                refuse("mode 'reuse' cannot go with 'increase': one event has one time, which does not increase".into())
            }
            (Order::AnyOrder, _) if reuse => {
                refuse("mode 'reuse' cannot go with 'any_order', where each step has an event of its own".into())
            }
            (Order::AnyOrder, Some((word, _))) => {
                refuse(format!("mode '{word}' cannot go with 'any_order', where no step comes after another"))
            }
            _ => Ok(mode),
        }
    }

    /// The words that say so.
    pub fn words(&self) -> String {
        let order = match self.order {
            Order::Ordered => "ordered",
            Order::Increase => "increase",
            Order::AnyOrder => "any_order",
        };
        let between = match self.between {
            Between::Anything => None,
            Between::Strict => Some("strict"),
            Between::StrictSteps => Some("strict_steps"),
            Between::Dedup => Some("dedup"),
            Between::DedupFirst => Some("dedup_first"),
        };
        let words: Vec<&str> = [Some(order), between, self.reuse.then_some("reuse")].into_iter().flatten().collect();
        // 'ordered' goes without saying beside another word.
        if words.len() > 1 && self.order == Order::Ordered { words[1..].join(", ") } else { words.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_combine_where_they_make_sense() {
        let mode = |order, between, reuse| Mode { order, between, reuse };
        for (words, want) in [
            ("", Mode::default()),
            (" ordered , reuse", mode(Order::Ordered, Between::Anything, true)),
            ("increase", mode(Order::Increase, Between::Anything, false)),
            ("strict, increase", mode(Order::Increase, Between::Strict, false)),
            ("dedup,reuse", mode(Order::Ordered, Between::Dedup, true)),
            ("any_order", mode(Order::AnyOrder, Between::Anything, false)),
        ] {
            let got = Mode::parse("f", words).unwrap();
            assert_eq!(got, want, "{words}");
            assert_eq!(Mode::parse("f", &got.words()).unwrap(), want, "{words}");
        }
        for (words, says) in [
            ("increase,reuse", "cannot go with"),
            ("any_order,reuse", "cannot go with"),
            ("any_order,dedup", "'dedup' cannot go with"),
            ("ordered,increase", "exclude each other"),
            ("strict,dedup", "one contains the other"),
            ("increse", "did you mean 'increase'?"),
            ("strict_increase", "with the word 'clickhouse' beside it"),
            ("strict_deduplication", "'dedup'"),
            ("clickhouse", "window_funnel alone"),
        ] {
            let message = Mode::parse("f", words).unwrap_err().message().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
