//! Bounds of session options whose values would take all memory or never end.

use datafusion::common::config::ConfigOptions;

use crate::config::TenureOptions;
use crate::error::{Error, Result};

/// Partitions, each with tasks and buffers of its own.
const MOST_PARTITIONS: usize = 4_096;

/// Rows of a batch, of which operators hold several for each partition.
const MOST_ROWS: usize = 1 << 20;

/// Checks the options as they are set.
pub fn check(options: &ConfigOptions) -> Result<()> {
    let execution = &options.execution;
    for (name, value, most) in [
        ("target_partitions", execution.target_partitions, MOST_PARTITIONS),
        ("planning_concurrency", execution.planning_concurrency, MOST_PARTITIONS),
        ("meta_fetch_concurrency", execution.meta_fetch_concurrency.get(), MOST_PARTITIONS),
        ("batch_size", execution.batch_size.get(), MOST_ROWS),
    ] {
        if value == 0 || value > most {
            return Err(Error::user(format!("datafusion.execution.{name} must be from 1 to {most}, got {value}")));
        }
    }
    Ok(())
}

/// Name of the option for the session's time zone.
pub const TIME_ZONE: &str = "tenure.time_zone";

/// `now()` and `current_date` follow the session's time zone, which must be one.
pub fn follow_time_zone(options: &mut ConfigOptions) -> Result<()> {
    let zone = options
        .extensions
        .get::<TenureOptions>()
        .map_or_else(|| "UTC".to_string(), |options| options.time_zone.clone());
    if jiff::tz::TimeZone::get(&zone).is_err() {
        return Err(Error::user(format!("{TIME_ZONE}: unknown time zone '{zone}'"))
            .hint("an IANA name, such as 'Europe/Berlin'"));
    }
    let is_utc = zone.eq_ignore_ascii_case("utc") || zone == "Z";
    options.execution.time_zone = match (is_utc, &options.execution.time_zone) {
        (true, None) => None,
        (true, Some(_)) => Some("+00:00".into()),
        (false, _) => Some(zone),
    };
    Ok(())
}

/// Checks a `SET` before it is carried out.
pub fn check_setting(options: &ConfigOptions, key: &str, value: &str) -> Result<()> {
    let mut changed = options.clone();
    // What is not an option, or not a value of one, is said when it is set.
    if changed.set(key, value).is_err() {
        return Ok(());
    }
    check(&changed)?;
    if key == TIME_ZONE { follow_time_zone(&mut changed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_take_all_memory_are_refused() {
        let options = ConfigOptions::new();
        for (key, value) in [
            ("datafusion.execution.target_partitions", "1000000000"),
            ("datafusion.execution.batch_size", "9223372036854775807"),
        ] {
            assert!(check_setting(&options, key, value).unwrap_err().message().contains(key), "{key}");
        }
        assert!(check_setting(&options, "datafusion.execution.batch_size", "100").is_ok());
        assert!(check_setting(&options, "no.such.option", "100").is_ok());
    }
}
