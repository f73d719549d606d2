//! Bounds of session options whose values would take all memory or never end.

use datafusion::common::config::ConfigOptions;

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

/// Checks a `SET` before it is carried out.
pub fn check_setting(options: &ConfigOptions, key: &str, value: &str) -> Result<()> {
    let mut changed = options.clone();
    // What is not an option, or not a value of one, is said when it is set.
    if changed.set(key, value).is_err() {
        return Ok(());
    }
    check(&changed)
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
