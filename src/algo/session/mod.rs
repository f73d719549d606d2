//! Sessions: a user's events cut into visits, and what each visit was.
//!
//! Deals with: the rules that open a session, its start, end, depth, bounce, entry and exit. The views of pages within
//! sessions are in [`views`].
//! Does not deal with: which events are excluded (the caller leaves them out), pages as values (ranks stand for them).
//!
//! **Instants.** Events at the same time are unordered, so a session never begins or ends between them: the events of an
//! instant stay together, and an instant opens a session where any of them says so. Hence the cuts depend on no order of
//! tied events, and the sessions of a user all begin at different times.
//!
//! **Order of the rules.** An instant opens a session where one of these holds: it is the first; the gap is too long; the
//! local date is another; a campaign is another; an event starts a session; an event of the instant before ended one. Where
//! none does, it still opens one if the session that the others left open would become too long. So the length is measured
//! from the start that all rules together gave, and no rule hides another.
//!
//! Cost: one pass over the events, sorted by time; tied events are looked at twice.

pub mod views;

use super::calendar::Calendar;
use super::event::{Event, tie_end};

/// Bits of an event's mask: what the event is to a session.
pub mod role {
    /// A page view: it counts for depth, entry and exit.
    pub const VIEW: u64 = 1;
    /// The session converted.
    pub const CONVERSION: u64 = 1 << 1;
    /// The session was engaged.
    pub const KEY: u64 = 1 << 2;
    /// The event opens a session.
    pub const START: u64 = 1 << 3;
    /// The session ends with the event's instant.
    pub const END: u64 = 1 << 4;
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// When an instant opens a session.
#[derive(Debug, Clone)]
pub struct Rules {
    /// More ticks than this since the instant before do.
    pub gap: u64,
    /// More ticks than this since the session's start do.
    pub max_length: Option<u64>,
    /// Another local date does; the calendar counts days.
    pub midnight: Option<Calendar>,
}

/// What makes a session a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounce {
    /// At most one view.
    Depth,
    /// At most one view, no key event, and not longer than this many ticks.
    Engaged(u64),
}

/// The order of kept values: `rank[tag]` is the place of the value among all values. An empty slice ranks all alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ranks<'a> {
    /// What breaks ties first.
    pub order: &'a [u32],
    /// The page.
    pub page: &'a [u32],
    /// The campaign; 0 where it is not known.
    pub campaign: &'a [u32],
    /// The property of a session.
    pub by: &'a [u32],
}

#[inline]
fn rank(ranks: &[u32], event: &Event) -> u32 {
    ranks.get(event.tag as usize).copied().unwrap_or(0)
}

/// A time that no calendar reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeyondCalendar(pub i64);

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Position of its first event.
    pub from: usize,
    /// Position after its last event.
    pub to: usize,
    /// Time of its first event.
    pub start: i64,
    /// Time of its last event.
    pub end: i64,
    /// Number of views.
    pub views: usize,
    /// Whether it left at once.
    pub bounce: bool,
    /// Whether it holds a conversion.
    pub converted: bool,
    /// Tag of the first view.
    pub entry: Option<u32>,
    /// Tag of the last view.
    pub exit: Option<u32>,
    /// Tag of the event at its start that tells its property: the least of tied ones.
    pub by: u32,
}

impl Session {
    /// Ticks from the first to the last event.
    pub fn duration(&self) -> u64 {
        self.end.abs_diff(self.start)
    }
}

/// Decides instant by instant, in the order of time, which of them open a session.
#[derive(Debug)]
pub struct Cutter<'a> {
    rules: &'a mut Rules,
    open: Option<Open>,
    /// The campaign known last in the session, 0 where none was.
    campaign: u32,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    start: i64,
    last: i64,
    ended: bool,
}

impl<'a> Cutter<'a> {
    /// Before the first instant of a user.
    pub fn new(rules: &'a mut Rules) -> Self {
        Self { rules, open: None, campaign: 0 }
    }

    /// Whether the next instant, given by all of its events, opens a session.
    #[inline]
    pub fn opens(&mut self, instant: &[Event], ranks: &Ranks) -> Result<bool, BeyondCalendar> {
        let time = instant[0].time;
        let marks = instant.iter().fold(0, |marks, event| marks | event.mask);
        let (campaign, other_campaign) =
            if ranks.campaign.is_empty() { (0, false) } else { self.campaign(instant, ranks) };
        let opens = match self.open {
            None => true,
            Some(open) => {
                open.ended
                    || marks & role::START != 0
                    || other_campaign
                    || time.abs_diff(open.last) > self.rules.gap
                    || self.date_changes(open.last, time)?
                    || self.rules.max_length.is_some_and(|longest| time.abs_diff(open.start) > longest)
            }
        };
        // A session knows no campaign but its own.
        if opens || campaign != 0 {
            self.campaign = campaign;
        }
        let start = self.open.filter(|_| !opens).map_or(time, |open| open.start);
        self.open = Some(Open { start, last: time, ended: marks & role::END != 0 });
        Ok(opens)
    }

    fn date_changes(&mut self, last: i64, time: i64) -> Result<bool, BeyondCalendar> {
        let Some(calendar) = &mut self.rules.midnight else { return Ok(false) };
        let mut date = |at| calendar.bucket(at).ok_or(BeyondCalendar(at));
        Ok(date(last)? != date(time)?)
    }

    /// The campaign that an instant leaves known (of several the last), and whether one of them is not that of the session. To
    /// a session without one, the first known is another.
    fn campaign(&self, instant: &[Event], ranks: &Ranks) -> (u32, bool) {
        let known = instant
            .iter()
            .map(|event| (rank(ranks.order, event), rank(ranks.campaign, event)))
            .filter(|(_, campaign)| *campaign != 0);
        let (mut last, mut differs) = ((0, 0), false);
        for next in known {
            differs |= next.1 != self.campaign;
            last = last.max(next);
        }
        (last.1, differs)
    }
}

/// The tag of the first event of a session with a known value, `known[tag]` being its rank and 0 where it is NULL; of tied
/// events the one of the least order, then value.
pub fn first_known(events: &[Event], ranks: &Ranks, known: &[u32]) -> Option<u32> {
    let first = events.iter().find(|event| rank(known, event) != 0)?;
    let tied = events.iter().filter(|event| event.time == first.time && rank(known, event) != 0);
    tied.min_by_key(|event| (rank(ranks.order, event), rank(known, event))).map(|event| event.tag)
}

/// The same of the last such event; of tied ones the greatest.
pub fn last_known(events: &[Event], ranks: &Ranks, known: &[u32]) -> Option<u32> {
    let last = events.iter().rfind(|event| rank(known, event) != 0)?;
    let tied = events.iter().filter(|event| event.time == last.time && rank(known, event) != 0);
    tied.max_by_key(|event| (rank(ranks.order, event), rank(known, event))).map(|event| event.tag)
}

/// Appends the sessions of a user, whose events are sorted by time, in order.
pub fn sessions(
    events: &[Event],
    rules: &mut Rules,
    bounce: Bounce,
    ranks: &Ranks,
    found: &mut Vec<Session>,
) -> Result<(), BeyondCalendar> {
    let first = found.len();
    let mut engaged = false;
    let mut cutter = Cutter::new(rules);
    let mut at = 0;
    while at < events.len() {
        let to = tie_end(events, at);
        let instant = &events[at..to];
        if cutter.opens(instant, ranks)? {
            settle(&mut found[first..], bounce, engaged);
            engaged = false;
            found.push(opened(at, instant, ranks));
        }
        if let Some(session) = found.last_mut() {
            engaged |= extend(session, to, instant, ranks);
        }
        at = to;
    }
    settle(&mut found[first..], bounce, engaged);
    Ok(())
}

/// A session that begins with an instant, which is not yet part of it.
fn opened(from: usize, instant: &[Event], ranks: &Ranks) -> Session {
    let by = instant.iter().min_by_key(|event| (rank(ranks.order, event), rank(ranks.by, event)));
    Session {
        from,
        to: from,
        start: instant[0].time,
        end: instant[0].time,
        views: 0,
        bounce: false,
        converted: false,
        entry: None,
        exit: None,
        by: by.map_or(0, |event| event.tag),
    }
}

/// Takes an instant into a session; whether it holds a key event.
fn extend(session: &mut Session, to: usize, instant: &[Event], ranks: &Ranks) -> bool {
    (session.to, session.end) = (to, instant[0].time);
    let place = |event: &Event| (rank(ranks.order, event), rank(ranks.page, event));
    let (mut first, mut last): (Option<&Event>, Option<&Event>) = (None, None);
    let mut marks = 0;
    for event in instant {
        marks |= event.mask;
        if event.mask & role::VIEW == 0 {
            continue;
        }
        session.views += 1;
        if first.is_none_or(|first| place(event) < place(first)) {
            first = Some(event);
        }
        if last.is_none_or(|last| place(event) > place(last)) {
            last = Some(event);
        }
    }
    session.converted |= marks & role::CONVERSION != 0;
    session.entry = session.entry.or(first.map(|event| event.tag));
    session.exit = last.map(|event| event.tag).or(session.exit);
    marks & role::KEY != 0
}

/// Tells whether the last session was a bounce, now that nothing comes after it.
fn settle(sessions: &mut [Session], bounce: Bounce, engaged: bool) {
    let Some(session) = sessions.last_mut() else { return };
    session.bounce = session.views <= 1
        && match bounce {
            Bounce::Depth => true,
            Bounce::Engaged(longest) => !engaged && session.duration() <= longest,
        };
}

#[cfg(test)]
mod tests;
