//! The table that an ingest adds to, before anything is read.
//!
//! Deals with: whether its folder can hold one, what it says of itself, the name of the staging folder. Does not deal with: loads
//! that it has had (`loads`).

use std::path::Path;

use super::columns::Existing;
use super::order::Options;
use crate::error::{Error, Result, suggest};
use crate::files::source::Source;
use crate::store::layout::Period;
use crate::store::loads;
use crate::store::managed::log::{ORDER, TableLog};
use crate::store::write::{DEDUP_KEY, Ground, PERIOD, ground};

/// The newest version of the table, where there is one.
pub fn open_table(folder: &Path, runtime: &tokio::runtime::Runtime) -> Result<Option<TableLog>> {
    match runtime.block_on(ground(folder))? {
        Ground::Free => Ok(None),
        Ground::Table(log) => Ok(Some(*log)),
        Ground::Within(outer) => {
            let above = outer.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Err(Error::data(format!("'{}' is a managed table; none can lie within it", outer.display()))
                .hint(format!("to add to it: --into {}", above.display())))
        }
        Ground::Foreign => Err(Error::data(format!("'{}' holds files and is no managed table", folder.display()))
            .hint("choose another --table, or another folder with --into")),
    }
}

/// What a table says of its columns.
pub fn existing(log: &TableLog) -> Result<Existing> {
    let Some(roles) = log.roles() else {
        if log.setting(ORDER).is_some() {
            return Err(Error::data(format!("'{}' has no user and time columns", log.folder().display()))
                .hint("INSERT INTO adds rows to such a table; ingest adds events to one with both"));
        }
        return Err(Error::data(format!(
            "'{}' was not made by tenure: its user and time columns are not known",
            log.folder().display()
        )));
    };
    if let Some(why) = log.only_read() {
        return Err(Error::data(format!("'{}' {why}, and can be read only", log.folder().display())));
    }
    let dedup_key = log.setting(DEDUP_KEY).map(str::to_string);
    Ok(Existing { schema: log.schema().clone(), roles: roles.clone(), dedup_key })
}

/// The period of the table's time slices.
pub fn period(options: &Options, log: Option<&TableLog>) -> Result<Option<Period>> {
    let parse = |name: &str| {
        name.parse::<Period>()
            .map_err(|_| Error::usage(format!("unknown period '{name}'; {}", suggest(name, Period::NAMES))))
    };
    let asked = options.period.as_deref().map(parse).transpose()?;
    let Some(log) = log else { return Ok(asked) };
    let has = log.setting(PERIOD).map(parse).transpose()?;
    match (asked, has) {
        (Some(asked), has) if Some(asked) != has => {
            let has = has.map_or("none".to_string(), |p| p.to_string());
            Err(Error::data(format!("the table's period is {has}, not {asked}; it is fixed when the table is made")))
        }
        _ => Ok(has),
    }
}

/// The staging folder's name: the same for the same command.
pub fn key(options: &Options, sources: &[Source], mapping_text: &str) -> String {
    let mut told: Vec<String> = sources
        .iter()
        .map(|source| match &source.file {
            Some((_, identity)) => identity.path.clone(),
            None => uuid::Uuid::new_v4().to_string(),
        })
        .collect();
    told.push(format!(
        "{:?} {:?} {} {:?} {:?} {:?} {}",
        options.format, options.delimiter, options.header, options.wishes, options.period, options.sample, mapping_text
    ));
    loads::fingerprint(told.iter().map(String::as_str))
}
