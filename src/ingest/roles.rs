//! Which columns are user, time and event.
//!
//! Deals with: flags, the mapping, the table, conventional names; candidates where none is found. Does not deal with: types.

use arrow::datatypes::DataType;

use super::columns::{Existing, Wishes};
use super::drafts::Draft;
use super::mapping::Mapping;
use crate::error::{Error, Result, suggest};
use crate::files::stored_types::is_text;
use crate::store::managed::Roles;
use crate::store::table::CONVENTIONS;

/// Decides the roles.
pub fn roles(drafts: &[Draft], mapping: &Mapping, wishes: &Wishes, table: Option<&Existing>) -> Result<Roles> {
    let names: Vec<&str> = drafts.iter().map(|d| d.name.as_str()).collect();
    let resolve = |role: &str, flag: &Option<String>, mapped: &Option<String>, has: Option<&String>| {
        let asked = flag.as_ref().or(mapped.as_ref());
        // A name may be the table's, or that of the source.
        let column = match asked {
            Some(asked) => match drafts.iter().find(|d| d.name == *asked).or(drafts.iter().find(|d| d.from() == asked))
            {
                Some(draft) => Some(draft.name.clone()),
                None => {
                    let help = suggest(asked, names.iter().copied());
                    return Err(Error::data(format!("the {role} column '{asked}' is not among the columns; {help}")));
                }
            },
            None => None,
        };
        match (has, column) {
            (Some(has), Some(column)) if *has != column => {
                Err(Error::data(format!("the table's {role} column is '{has}', not '{column}'"))
                    .hint(format!("map it: [columns] {has} = \"{column}\"")))
            }
            (Some(has), _) => Ok(Some(has.clone())),
            (None, Some(column)) => Ok(Some(column)),
            (None, None) => conventional(role, drafts),
        }
    };
    let user = resolve("user", &wishes.user, &mapping.user, table.map(|t| &t.roles.user))?;
    let time = resolve("time", &wishes.time, &mapping.time, table.map(|t| &t.roles.time))?;
    let event = match table {
        Some(Existing { roles: Roles { event: None, .. }, .. }) => None,
        _ => resolve("event", &wishes.event, &mapping.event, table.and_then(|t| t.roles.event.as_ref()))?,
    };
    let missing = |role: &str| {
        let candidates: Vec<&str> = drafts.iter().filter(|d| could_be(role, d)).map(|d| d.name.as_str()).collect();
        let looked = CONVENTIONS.iter().find(|(r, _)| *r == role).map_or(String::new(), |(_, names)| names.join(", "));
        let list = if candidates.is_empty() { "none fits".into() } else { candidates.join(", ") };
        Error::data(format!(
            "no {role} column found (looked for {looked}); name it with --{role} COLUMN; candidates: {list}"
        ))
    };
    let user = user.ok_or_else(|| missing("user"))?;
    let time = time.ok_or_else(|| missing("time"))?;
    for (role, column) in [("user", &user), ("time", &time)] {
        if !names.contains(&column.as_str()) {
            let help = suggest(column, names.iter().copied());
            return Err(Error::data(format!(
                "the sources have no column for the table's {role} column '{column}'; {help}"
            ))
            .hint(format!("map one: [columns] {column} = \"its name in the source\"")));
        }
    }
    if user == time || Some(&user) == event.as_ref() || Some(&time) == event.as_ref() {
        return Err(Error::data(format!(
            "user, time and event must be three columns, got '{user}', '{time}' and '{}'",
            event.unwrap_or_default()
        )));
    }
    Ok(Roles { user, time, event })
}

fn conventional(role: &str, drafts: &[Draft]) -> Result<Option<String>> {
    let names = CONVENTIONS.iter().find(|(r, _)| *r == role).map_or(&[][..], |(_, names)| names);
    let found: Vec<&str> = drafts.iter().map(|d| d.name.as_str()).filter(|n| names.contains(n)).collect();
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some((*only).to_string())),
        several => Err(Error::data(format!(
            "more than one {role} column ({}); choose with --{role} COLUMN",
            several.join(", ")
        ))),
    }
}

/// Columns worth listing where a role has none.
fn could_be(role: &str, draft: &Draft) -> bool {
    let Ok(suggested) = draft.suggested() else { return false };
    match role {
        "time" => {
            matches!(suggested, DataType::Timestamp(_, _) | DataType::Date32)
                || ((suggested.is_numeric() || is_text(&suggested))
                    && draft.seen.time_format().is_ok()
                    && draft.seen.values() > 0)
        }
        "user" => suggested.is_integer() || is_text(&suggested),
        _ => is_text(&suggested),
    }
}
