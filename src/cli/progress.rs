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

/// Before, the time left is a guess.
const GUESSED: Duration = Duration::from_secs(2);

/// Signs of the bar.
const BAR: u64 = 20;

pub(super) struct Progress {
    started: Instant,
    meter: Option<ProgressMeter>,
    left: TimeLeft,
    shown: bool,
    wanted: bool,
    /// What stands before the line.
    label: String,
}

/// How long it takes to read the rest, by what was read so far. Nothing is told that would take back what was told before, and nothing
/// while no rows come: after the last row a query sorts and joins, and nobody knows for how long.
#[derive(Default)]
struct TimeLeft {
    /// Rows at the last look, and since when there are so many.
    rows: Option<(u64, Duration)>,
    /// The end that was told, from the start.
    end: Option<Duration>,
}

impl TimeLeft {
    fn look(&mut self, now: engine::Progress, elapsed: Duration) -> Option<Duration> {
        let total = now.rows_total?;
        let since = match self.rows {
            Some((rows, since)) if rows >= now.rows_read => since,
            _ => elapsed,
        };
        self.rows = Some((now.rows_read, since));
        let stands_still = elapsed - since >= GUESSED;
        if elapsed < GUESSED || stands_still || now.rows_read == 0 || now.rows_read >= total {
            return None;
        }
        let end = elapsed.mul_f64(total as f64 / now.rows_read as f64);
        // A second more is not taken back, but rounded.
        if self.end.is_some_and(|told| end > told + Duration::from_secs(1)) {
            return None;
        }
        self.end = Some(self.end.map_or(end, |told| told.min(end)));
        Some(end.saturating_sub(elapsed))
    }
}

impl Progress {
    /// `wanted` is false where nobody would see it.
    pub fn new(started: Instant, wanted: bool) -> Self {
        Self { started, meter: None, left: TimeLeft::default(), shown: false, wanted, label: String::new() }
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
        let left = self.left.look(now, elapsed);
        let _ = write!(std::io::stderr(), "\r{}{}\x1b[K", self.label, line(now, elapsed.as_secs(), left));
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
fn line(now: engine::Progress, seconds: u64, left: Option<Duration>) -> String {
    match (now.rows_read, now.rows_total) {
        (0, _) => format!("running, {seconds} s"),
        (read, Some(total)) if total > 0 => {
            // Statistics may be wrong; a bar is never more than full.
            let read = read.min(total);
            let full = (u128::from(read) * u128::from(BAR) / u128::from(total)) as usize;
            let percent = u128::from(read) * 100 / u128::from(total);
            let bar = format!("{}{}", "━".repeat(full), "─".repeat(BAR as usize - full));
            let left = left.map(|left| format!(", {} left", rounded(left))).unwrap_or_default();
            format!("{bar} {percent} %, {} of {} rows, {seconds} s{left}", thousands(read), thousands(total))
        }
        (read, _) => format!("{} rows read, {seconds} s", thousands(read)),
    }
}

/// `12 s`, `3 min`, `2 h`: no finer than it is known.
fn rounded(time: Duration) -> String {
    match time.as_secs() + u64::from(time.subsec_nanos() > 0) {
        seconds @ 0..=90 => format!("{seconds} s"),
        seconds @ 91..=5_400 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Progress as Rows;

    #[test]
    fn the_line_tells_what_is_known() {
        assert_eq!(line(Rows::default(), 2, None), "running, 2 s");
        assert_eq!(line(Rows { rows_read: 1500, rows_total: None }, 2, None), "1,500 rows read, 2 s");
        let half = line(Rows { rows_read: 1000, rows_total: Some(2000) }, 3, None);
        assert_eq!(half, "━━━━━━━━━━────────── 50 %, 1,000 of 2,000 rows, 3 s");
        let more = line(Rows { rows_read: 3000, rows_total: Some(2000) }, 3, None);
        assert!(more.contains(" 100 %, 2,000 of 2,000"), "{more}");
        let most = line(Rows { rows_read: 999_999_999_999, rows_total: Some(999_999_999_999) }, 9999, None);
        assert!(most.chars().count() <= 75, "{most}");
        let left = line(Rows { rows_read: 1000, rows_total: Some(2000) }, 3, Some(Duration::from_millis(2_100)));
        assert!(left.ends_with("2,000 rows, 3 s, 3 s left"), "{left}");
        let told = [0, 90, 91, 5_400, 5_401].map(|seconds| rounded(Duration::from_secs(seconds)));
        assert_eq!(told, ["0 s", "90 s", "2 min", "90 min", "2 h"]);
    }

    #[test]
    fn the_time_left_is_told_where_it_is_known() {
        let mut left = TimeLeft::default();
        let mut look = |read, total, seconds| {
            let told = left.look(Rows { rows_read: read, rows_total: total }, Duration::from_secs(seconds));
            told.map(|left| left.as_secs())
        };
        assert_eq!(look(100, Some(1_000), 1), None, "too early");
        assert_eq!(look(200, Some(1_000), 2), Some(8));
        assert_eq!(look(300, Some(1_000), 3), Some(7));
        assert_eq!(look(310, Some(1_000), 4), None, "it would be longer than was told");
        assert_eq!(look(700, Some(1_000), 6), Some(2), "as long as was told, or shorter");
        assert_eq!(look(700, Some(1_000), 7), None);
        assert_eq!(look(900, Some(1_000), 8), Some(0));
        assert_eq!(look(900, Some(1_000), 10), None, "it stands still");
        assert_eq!(look(1_000, Some(1_000), 11), None, "all is read");
        assert_eq!(look(1_100, None, 12), None, "nobody knows how much there is");
    }
}
