//! The progress line of a long query on standard error, erased when the query ends.
//!
//! Drawn by hand and not by indicatif, which fills the line to its end: there the terminal's own `^C` would wrap, and the
//! erasing would hit the next line.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::engine::{self, ProgressMeter};
use crate::output::thousands;

/// Queries that are done sooner show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Signs of the bar.
const BAR: u64 = 20;

pub(super) struct Progress {
    started: Instant,
    meter: Option<ProgressMeter>,
    shown: bool,
    wanted: bool,
    /// What stands before the line.
    label: String,
}

impl Progress {
    /// `wanted` is false where nobody would see it.
    pub fn new(started: Instant, wanted: bool) -> Self {
        Self { started, meter: None, shown: false, wanted, label: String::new() }
    }

    /// The same with a label before the line.
    pub fn labelled(mut self, label: String) -> Self {
        self.label = label;
        self
    }

    /// From now on rows can be counted.
    pub fn measure(&mut self, meter: ProgressMeter) {
        self.meter = Some(meter);
    }

    /// Draws the line anew, once the query has taken a second.
    pub fn tick(&mut self) {
        let elapsed = self.started.elapsed();
        if !self.wanted || elapsed < PATIENCE {
            return;
        }
        let now = self.meter.as_ref().map(ProgressMeter::now).unwrap_or_default();
        let _ = write!(std::io::stderr(), "\r{}{}\x1b[K", self.label, line(now, elapsed.as_secs()));
        self.shown = true;
    }

    /// Erases the line; it does not come back.
    pub fn end(&mut self) {
        self.wanted = false;
        self.erase();
    }

    /// Erases the line until the next tick.
    pub fn erase(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Short enough, so that it fits nearly every terminal.
fn line(now: engine::Progress, seconds: u64) -> String {
    match (now.rows_read, now.rows_total) {
        (0, _) => format!("running, {seconds} s"),
        (read, Some(total)) if total > 0 => {
            // Statistics may be wrong; a bar is never more than full.
            let read = read.min(total);
            let full = (u128::from(read) * u128::from(BAR) / u128::from(total)) as usize;
            let percent = u128::from(read) * 100 / u128::from(total);
            let bar = format!("{}{}", "━".repeat(full), "─".repeat(BAR as usize - full));
            format!("{bar} {percent} %, {} of {} rows, {seconds} s", thousands(read), thousands(total))
        }
        (read, _) => format!("{} rows read, {seconds} s", thousands(read)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Progress as Rows;

    #[test]
    fn the_line_tells_what_is_known() {
        assert_eq!(line(Rows::default(), 2), "running, 2 s");
        assert_eq!(line(Rows { rows_read: 1500, rows_total: None }, 2), "1,500 rows read, 2 s");
        let half = line(Rows { rows_read: 1000, rows_total: Some(2000) }, 3);
        assert_eq!(half, "━━━━━━━━━━────────── 50 %, 1,000 of 2,000 rows, 3 s");
        let more = line(Rows { rows_read: 3000, rows_total: Some(2000) }, 3);
        assert!(more.contains(" 100 %, 2,000 of 2,000"), "{more}");
        let most = line(Rows { rows_read: 999_999_999_999, rows_total: Some(999_999_999_999) }, 9999);
        assert!(most.chars().count() <= 75, "{most}");
    }
}
