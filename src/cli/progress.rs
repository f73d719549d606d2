//! The progress line of a long query on standard error, erased when the query ends.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::ProgressMeter;

/// Queries that are done sooner show nothing.
const PATIENCE: Duration = Duration::from_secs(1);

const WITH_TOTAL: &str = "{bar:24.cyan/dim} {percent:>3}%  {human_pos} of {human_len} rows  {elapsed}";
const WITHOUT_TOTAL: &str = "{spinner:.cyan} {human_pos} rows read  {elapsed}";
const WITHOUT_ROWS: &str = "{spinner:.cyan} running  {elapsed}";

pub(super) struct Progress {
    started: Instant,
    meter: Option<ProgressMeter>,
    bar: Option<ProgressBar>,
    wanted: bool,
}

impl Progress {
    /// `wanted` is false where nobody would see it.
    pub fn new(started: Instant, wanted: bool) -> Self {
        Self { started, meter: None, bar: None, wanted }
    }

    /// From now on rows can be counted.
    pub fn measure(&mut self, meter: ProgressMeter) {
        self.meter = Some(meter);
    }

    /// Draws the line anew, once the query has taken a second.
    pub fn tick(&mut self) {
        if !self.wanted || self.started.elapsed() < PATIENCE {
            return;
        }
        let now = self.meter.as_ref().map(ProgressMeter::now).unwrap_or_default();
        let started = self.started;
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_elapsed(started.elapsed())
        });
        let template = match (now.rows_read, now.rows_total) {
            (0, _) => WITHOUT_ROWS,
            (_, None) => WITHOUT_TOTAL,
            (_, Some(_)) => WITH_TOTAL,
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        if let Some(total) = now.rows_total {
            bar.set_length(total.max(now.rows_read));
        }
        bar.set_position(now.rows_read);
        bar.tick();
    }

    /// Erases the line; it does not come back.
    pub fn end(&mut self) {
        self.wanted = false;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
