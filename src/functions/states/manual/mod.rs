//! What the manual says of states.

mod activity;
mod distinct;
mod events;
mod users;

use crate::functions::{ArgumentDoc, FunctionDoc};

/// What the manual says of this family.
pub fn docs() -> Vec<FunctionDoc> {
    [users::docs(), distinct::docs(), activity::docs(), events::docs()].concat()
}

fn argument(name: &'static str, kind: &'static str, default: Option<&'static str>, text: &'static str) -> ArgumentDoc {
    ArgumentDoc { name, kind, default, text }
}

/// A state as an argument.
fn state(text: &'static str) -> ArgumentDoc {
    argument("state", "BINARY", None, text)
}

/// Unit, time zone and week start.
fn words() -> [ArgumentDoc; 3] {
    [
        argument("unit", "TEXT", None, "`day`, `week`, `month`, `quarter` or `year`; a constant."),
        argument("tz", "TEXT", None, "IANA time zone of the calendar; a constant."),
        argument("week_start", "TEXT", None, "The day on which weeks start; a constant."),
    ]
}
