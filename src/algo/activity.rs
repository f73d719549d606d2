//! What a user's days of activity say about whether they are leaving.
//!
//! Deals with: features at a date from the days a user was active, and a transparent points score over them.
//! Does not deal with: fitted models (`model`), SQL, or where the days come from.
//!
//! Every feature looks only at days up to `as_of`, so later events change nothing.

/// One active day of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveDay {
    /// Local date, days since 1970-01-01.
    pub day: i64,
    /// Events on that day.
    pub events: i64,
    /// Transactions among them.
    pub transactions: i64,
}

/// What the score is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Features {
    /// Whole days since the last active day.
    pub recency_days: i64,
    /// Whole days since the first active day.
    pub tenure_days: i64,
    /// Active days in the last `horizon` days.
    pub active_days: i64,
    /// Active days in the `horizon` days before those.
    pub active_days_before: i64,
    /// Events in the last `horizon` days.
    pub events: i64,
    /// Events in the `horizon` days before those.
    pub events_before: i64,
    /// Repeat transactions: distinct days with a transaction minus one; -1 without any.
    pub repeats: i64,
    /// Days from the first to the last transaction day.
    pub transaction_span: i64,
    /// Days from the first transaction day to `as_of`.
    pub transaction_age: i64,
}

/// Features at `as_of` (a local date) from a user's active days in any order, one entry or more for each date.
/// `None` where the user was not active up to then.
pub fn features(days: &[ActiveDay], as_of: i64, horizon: i64) -> Option<Features> {
    let mut seen: Vec<ActiveDay> = days.iter().copied().filter(|d| d.day <= as_of).collect();
    seen.sort_unstable_by_key(|d| d.day);
    seen.dedup_by(|next, kept| {
        let same = next.day == kept.day;
        if same {
            kept.events += next.events;
            kept.transactions += next.transactions;
        }
        same
    });
    let (first, last) = (seen.first()?.day, seen.last()?.day);
    let mut f = Features { recency_days: as_of - last, tenure_days: as_of - first, ..Features::default() };
    for d in &seen {
        let age = as_of - d.day;
        if age < horizon {
            f.active_days += 1;
            f.events += d.events;
        } else if age < 2 * horizon {
            f.active_days_before += 1;
            f.events_before += d.events;
        }
    }
    let mut bought = seen.iter().filter(|d| d.transactions > 0).map(|d| d.day);
    f.repeats = -1;
    if let Some(first) = bought.next() {
        let (mut repeats, mut last) = (0, first);
        for day in bought {
            repeats += 1;
            last = day;
        }
        (f.repeats, f.transaction_span, f.transaction_age) = (repeats, last - first, as_of - first);
    }
    Some(f)
}

/// Thresholds of the points score; [`Points::for_horizon`] gives the default.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// Days of inactivity at which 15, 30, 45 and 60 points are given.
    pub recency: [i64; 4],
    /// Fewer active days than this in the last horizon give 10, then 20 points: `[10 points below, 20 points below]`.
    pub frequency: [i64; 2],
    /// A fall in events against the horizon before, as a share, that gives 10, then 20 points.
    pub trend: [f64; 2],
}

impl Points {
    /// A quarter, a half, once and twice the horizon for recency; fewer than 4 and 2 active days; a fall by 30 % and 60 %.
    pub fn for_horizon(horizon: i64) -> Self {
        let part = |numerator: i64, denominator: i64| (horizon * numerator / denominator).max(1);
        Self {
            recency: [part(1, 4), part(1, 2), horizon, horizon.saturating_mul(2)],
            frequency: [4, 2],
            trend: [0.3, 0.6],
        }
    }
}

/// A score of 0..=100 points with the reasons for them; more points, more likely to leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Points, the sum of the parts.
    pub points: u32,
    /// One sentence for each part that gave points, the heaviest first.
    pub reasons: Vec<String>,
}

/// By which share events fell, where there were some before.
fn fall(f: &Features) -> f64 {
    1.0 - f.events as f64 / f.events_before as f64
}

/// The points for recency, frequency and trend.
fn parts(f: &Features, points: &Points) -> [u32; 3] {
    let passed = points.recency.iter().filter(|t| f.recency_days >= **t).count();
    let below = points.frequency.iter().filter(|t| f.active_days < **t).count();
    let trend = match (f.events_before, f.events) {
        // Whoever left long ago must not score below somebody who left last month.
        (0, 0) => 20,
        (1.., _) => 10 * points.trend.iter().filter(|t| fall(f) >= **t).count() as u32,
        _ => 0,
    };
    [15 * passed as u32, 10 * below as u32, trend]
}

/// The points of [`score`] alone.
pub fn points(f: &Features, points: &Points) -> u32 {
    parts(f, points).iter().sum()
}

/// The points score of one user.
///
/// Recency up to 60 points, frequency up to 20, trend up to 20. A user without events in the horizon before the last has no
/// trend: 20 points where there are none in the last horizon either, else none.
pub fn score(f: &Features, points: &Points, horizon: i64) -> Score {
    let [recency, frequency, trend] = parts(f, points);
    let mut parts: Vec<(u32, String)> = Vec::new();
    let passed = recency as usize / 15;
    if passed > 0 {
        parts.push((
            recency,
            format!("inactive for {} days (threshold {})", f.recency_days, points.recency[passed - 1]),
        ));
    }
    let below = frequency as usize / 10;
    if below > 0 {
        parts.push((
            frequency,
            format!(
                "active on {} of the last {horizon} days (fewer than {})",
                f.active_days,
                points.frequency[below - 1]
            ),
        ));
    }
    if f.events_before == 0 && f.events == 0 {
        parts.push((trend, format!("no events in the last {} days", horizon.saturating_mul(2))));
    } else if trend > 0 {
        parts.push((
            trend,
            format!(
                "events fell by {:.0} % ({} after {} in the {horizon} days before)",
                fall(f) * 100.0,
                f.events,
                f.events_before
            ),
        ));
    }
    parts.sort_by_key(|part| std::cmp::Reverse(part.0));
    Score { points: parts.iter().map(|p| p.0).sum(), reasons: parts.into_iter().map(|p| p.1).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64, events: i64, transactions: i64) -> ActiveDay {
        ActiveDay { day, events, transactions }
    }

    #[test]
    fn later_events_change_nothing() {
        let past = [day(10, 3, 1), day(40, 2, 1), day(55, 1, 0), day(40, 1, 0)];
        let mut all = past.to_vec();
        all.extend([day(61, 9, 9), day(100, 9, 9)]);
        assert_eq!(features(&past, 60, 30), features(&all, 60, 30));
        let f = features(&past, 60, 30).unwrap();
        assert_eq!((f.recency_days, f.tenure_days, f.active_days, f.events), (5, 50, 2, 4));
        assert_eq!((f.active_days_before, f.events_before), (1, 3));
        assert_eq!((f.repeats, f.transaction_span, f.transaction_age), (1, 30, 50));
        assert_eq!(features(&all, 9, 30), None);
    }

    #[test]
    fn points_add_up_and_name_their_reasons() {
        let f = Features { recency_days: 31, active_days: 0, events: 0, events_before: 8, ..Features::default() };
        let s = score(&f, &Points::for_horizon(30), 30);
        assert_eq!(s.points, 45 + 20 + 20);
        assert_eq!(points(&f, &Points::for_horizon(30)), s.points);
        assert_eq!(s.reasons.len(), 3);
        assert!(s.reasons[0].starts_with("inactive for 31 days"));
        let lively =
            Features { recency_days: 0, active_days: 12, events: 40, events_before: 38, ..Features::default() };
        assert_eq!(score(&lively, &Points::for_horizon(30), 30), Score { points: 0, reasons: vec![] });
    }

    #[test]
    fn the_worst_is_a_hundred() {
        let gone = Features { recency_days: 365, ..Features::default() };
        assert_eq!(score(&gone, &Points::for_horizon(30), 30).points, 100);
        let new = Features { recency_days: 2, active_days: 5, events: 9, ..Features::default() };
        assert_eq!(score(&new, &Points::for_horizon(30), 30).points, 0);
    }
}
