//! When a chain must be over, and where it may start.
//!
//! Deals with: the last tick of a window, fixed or of the calendar. Does not deal with: limits between steps.

use super::spec::Window;

/// The instants at which a chain may start, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Starts {
    /// The first.
    pub from: i64,
    /// The last.
    pub last: i64,
}

impl Starts {
    /// All of them.
    pub const ANY: Self = Self { from: i64::MIN, last: i64::MAX };

    /// Whether a chain may start then.
    #[inline]
    pub fn contain(&self, time: i64) -> bool {
        self.from <= time && time <= self.last
    }
}

/// The last tick at which an event may belong to a chain. Never decreases with the start, so the latest start is the best.
pub trait Deadline {
    /// For a chain that starts then.
    fn of(&mut self, start: i64) -> i64;
}

/// A window of fixed length.
#[derive(Debug, Clone, Copy)]
pub struct Ticks(pub i64);

impl Deadline for Ticks {
    #[inline]
    fn of(&mut self, start: i64) -> i64 {
        start.saturating_add(self.0)
    }
}

/// Any window.
#[derive(Debug, Clone)]
pub struct Deadlines {
    window: Window,
    /// Starts `from..until` whose deadline is known: those of one calendar period.
    known: (i64, i64, i64),
}

impl Deadlines {
    /// For a window.
    pub fn new(window: Window) -> Self {
        Self { window, known: (0, 0, 0) }
    }

    /// The length of a fixed window.
    pub fn ticks(&self) -> Option<Ticks> {
        match self.window {
            Window::Ticks(ticks) => Some(Ticks(ticks)),
            Window::Calendar(..) => None,
        }
    }
}

impl Deadline for Deadlines {
    #[inline]
    fn of(&mut self, start: i64) -> i64 {
        let (calendar, periods) = match &mut self.window {
            Window::Ticks(ticks) => return start.saturating_add(*ticks),
            Window::Calendar(calendar, periods) => (calendar, *periods),
        };
        let (from, until, deadline) = self.known;
        if from <= start && start < until {
            return deadline;
        }
        // Beyond the calendar (thousands of years away) nothing says where a period ends: the start is alone.
        let end = calendar.bucket(start).and_then(|bucket| calendar.starts_at(bucket.checked_add(periods)?));
        let (Some(end), Some((from, until))) = (end, calendar.stretch(start)) else { return start };
        self.known = (from, until, end - 1);
        end - 1
    }
}
