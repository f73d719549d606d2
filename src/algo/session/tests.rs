use super::views::{View, Views};
use super::*;
use crate::algo::calendar::{Clock, Unit};

const MINUTE: i64 = 60;

fn rules(gap: u64) -> Rules {
    Rules { gap, max_length: None, midnight: None }
}

fn day(zone: &str) -> Option<Calendar> {
    Calendar::new(Unit::Day, zone, 0, Clock::Instants(1))
}

fn event(time: i64, mask: u64, tag: u32) -> Event {
    Event { time, mask, tag }
}

/// Views at these times.
fn at(times: &[i64]) -> Vec<Event> {
    times.iter().map(|time| event(*time, role::VIEW, 0)).collect()
}

fn cut_with(events: &[Event], mut rules: Rules, ranks: &Ranks) -> Vec<Session> {
    let mut found = Vec::new();
    sessions(events, &mut rules, Bounce::Depth, ranks, &mut found).unwrap();
    found
}

/// Start and duration of each session.
fn spans(events: &[Event], rules: Rules) -> Vec<(i64, u64)> {
    cut_with(events, rules, &Ranks::default()).iter().map(|s| (s.start, s.duration())).collect()
}

/// Seconds of a clock on one day.
fn clock(hour: i64, minute: i64) -> i64 {
    (hour * 60 + minute) * MINUTE
}

#[test]
fn a_longer_gap_opens_a_session() {
    let times = [clock(13, 0), clock(13, 10), clock(13, 50), clock(14, 10), clock(14, 25)];
    assert_eq!(spans(&at(&times), rules(30 * 60)), [(clock(13, 0), 600), (clock(13, 50), 2100)]);
    // Exactly the gap: the limit is the last difference that does not cut.
    assert_eq!(spans(&at(&[0, 30]), rules(30)), [(0, 30)]);
    assert_eq!(spans(&at(&[0, 30]), rules(29)), [(0, 0), (30, 0)]);
    assert_eq!(spans(&[], rules(30)), []);
}

#[test]
fn midnight_is_that_of_the_zone() {
    let times = [clock(23, 30), clock(23, 50), clock(24, 5), clock(24, 10)];
    let cut = |zone| spans(&at(&times), Rules { midnight: day(zone), ..rules(30 * 60) });
    assert_eq!(cut("UTC"), [(clock(23, 30), 1200), (clock(24, 5), 300)]);
    assert_eq!(cut("Europe/Berlin"), [(clock(23, 30), 2400)]);
    let beyond = [i64::MIN, i64::MIN + 1];
    let mut rules = Rules { midnight: day("Europe/Berlin"), ..rules(5) };
    let mut found = Vec::new();
    assert_eq!(
        sessions(&at(&beyond), &mut rules, Bounce::Depth, &Ranks::default(), &mut found),
        Err(BeyondCalendar(i64::MIN))
    );
}

#[test]
fn the_longest_session_counts_from_the_start_that_other_rules_gave() {
    let mut events = at(&[0, 10, 20, 30, 40]);
    let longest = |length| Rules { max_length: Some(length), ..rules(100) };
    assert_eq!(spans(&events, longest(20)), [(0, 20), (30, 10)]);
    assert_eq!(spans(&events, longest(0)), [(0, 0), (10, 0), (20, 0), (30, 0), (40, 0)]);
    events[1].mask |= role::START;
    assert_eq!(spans(&events, longest(20)), [(0, 0), (10, 20), (40, 0)]);
}

#[test]
fn events_start_and_end_sessions() {
    let mut events = at(&[0, 1, 2, 3]);
    events[1].mask |= role::END;
    events[3].mask |= role::START;
    assert_eq!(spans(&events, rules(100)), [(0, 1), (2, 0), (3, 0)]);
    // Tied events stay together, whichever comes first.
    for order in [[role::END, 0, role::START], [role::START, role::END, 0], [0, role::START, role::END]] {
        let tied: Vec<Event> = order.iter().map(|mask| event(5, *mask, 0)).collect();
        let events = [vec![event(4, 0, 0)], tied, vec![event(6, 0, 0)]].concat();
        assert_eq!(spans(&events, rules(100)), [(4, 0), (5, 0), (6, 0)]);
    }
}

#[test]
fn another_known_campaign_opens_a_session() {
    // Tag n has campaign n; 0 is unknown.
    let campaign = [0, 1, 2, 3];
    let ranks = Ranks { campaign: &campaign, ..Ranks::default() };
    let starts = |tags: &[(i64, u32)]| -> Vec<i64> {
        let events: Vec<Event> = tags.iter().map(|(time, tag)| event(*time, 0, *tag)).collect();
        cut_with(&events, rules(10), &ranks).iter().map(|s| s.start).collect()
    };
    // To a session that knows none yet, the first known is another; NULL after it is not.
    assert_eq!(starts(&[(0, 0), (1, 1), (2, 0), (3, 1), (4, 2), (5, 0), (6, 2), (7, 1)]), [0, 1, 4, 7]);
    // What was known in one session is not known in the next.
    assert_eq!(starts(&[(0, 1), (50, 0), (51, 1), (52, 0), (53, 2)]), [0, 50, 51, 53]);
    assert_eq!(starts(&[(0, 1), (50, 1), (51, 1)]), [0, 50]);
    // Of tied campaigns one that differs is enough, and the greatest is remembered.
    assert_eq!(starts(&[(0, 1), (1, 2), (1, 1), (2, 2), (3, 1)]), [0, 1, 3]);
    assert_eq!(starts(&[(0, 1), (0, 2), (1, 2)]), [0]);
    assert_eq!(starts(&[(0, 2), (0, 1), (1, 1)]), [0, 1]);
    // An order key decides what is remembered: tag 1 comes last.
    let order = [0, 9, 1, 1];
    let events = [event(0, 0, 1), event(0, 0, 2), event(1, 0, 1)];
    assert_eq!(cut_with(&events, rules(10), &Ranks { order: &order, ..ranks }).len(), 1);
}

#[test]
fn entry_and_exit_are_views_and_ties_have_an_order() {
    let page = [2, 0, 1];
    let ranks = Ranks { page: &page, ..Ranks::default() };
    let events = [
        event(0, 0, 0),
        event(1, role::VIEW, 0),
        event(1, role::VIEW, 2),
        event(2, role::VIEW, 1),
        event(2, role::VIEW, 2),
        event(3, role::CONVERSION, 0),
    ];
    let told = |ranks: &Ranks| {
        let session = &cut_with(&events, rules(9), ranks)[0];
        (session.entry, session.exit, session.views, session.converted, session.bounce)
    };
    assert_eq!(told(&ranks), (Some(2), Some(2), 4, true, false));
    let order = [0, 5, 1];
    assert_eq!(told(&Ranks { order: &order, ..ranks }), (Some(0), Some(1), 4, true, false));
    let early = [event(0, role::CONVERSION, 0), event(1, 0, 0)];
    assert!(cut_with(&early, rules(9), &ranks)[0].converted);
    let none = &cut_with(&[event(0, 0, 0)], rules(9), &ranks)[0];
    assert_eq!((none.entry, none.exit, none.views, none.bounce), (None, None, 0, true));
}

#[test]
fn engaged_sessions_are_no_bounces() {
    let bounces = |events: &[Event]| -> Vec<bool> {
        let mut found = Vec::new();
        sessions(events, &mut rules(50), Bounce::Engaged(10), &Ranks::default(), &mut found).unwrap();
        found.iter().map(|s| s.bounce).collect()
    };
    let view = role::VIEW;
    assert_eq!(bounces(&[event(0, view, 0), event(10, 0, 0)]), [true]);
    assert_eq!(bounces(&[event(0, view, 0), event(11, 0, 0)]), [false]);
    assert_eq!(bounces(&[event(0, view, 0), event(1, view, 0)]), [false]);
    // A key event speaks for its own session alone.
    assert_eq!(bounces(&[event(0, role::KEY, 0), event(100, view, 0), event(200, role::KEY, 0)]), [false, true, false]);
}

#[test]
fn a_session_has_the_least_property_of_its_first_instant() {
    let (by, order) = ([3, 1, 2, 0], [0, 7, 1, 0]);
    let events = [event(0, 0, 0), event(0, 0, 1), event(0, 0, 2), event(1, 0, 3)];
    let found = |ranks: Ranks| cut_with(&events, rules(9), &ranks)[0].by;
    assert_eq!(found(Ranks { by: &by, ..Ranks::default() }), 1);
    assert_eq!(found(Ranks { by: &by, order: &order, ..Ranks::default() }), 0);
}

#[test]
fn views_tell_dwell_and_firsts() {
    let page = [0, 1, 2];
    let ranks = Ranks { page: &page, ..Ranks::default() };
    let view = role::VIEW;
    let events =
        [event(0, view, 1), event(4, 0, 0), event(5, view, 2), event(5, view, 1), event(9, 0, 0), event(100, view, 1)];
    let mut found = Vec::new();
    Views::default().of_user(&events, &cut_with(&events, rules(50), &ranks), &[], &ranks, &mut found);
    let seen = |v: &View| (v.tag, v.session, v.dwell(), v.entry, v.first_of_session, v.first_of_user);
    assert_eq!(
        found.iter().map(seen).collect::<Vec<_>>(),
        [
            (1, 0, Some(5), true, true, true),
            (1, 0, Some(0), false, false, false),
            (2, 0, None, false, true, true),
            (1, 1, None, true, true, false)
        ]
    );
    assert!(found[2].exit && !found[1].exit);
    // A user is new to a page once for each property of the sessions.
    let events = [event(0, view, 0), event(100, view, 1), event(200, view, 0)];
    found.clear();
    let sessions = cut_with(&events, rules(50), &Ranks::default());
    Views::default().of_user(&events, &sessions, &[1, 2, 1], &Ranks::default(), &mut found);
    assert_eq!(found.iter().map(|v| v.first_of_user).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn extreme_times_do_not_overflow() {
    let events = at(&[i64::MIN, i64::MAX]);
    assert_eq!(spans(&events, rules(u64::MAX)), [(i64::MIN, u64::MAX)]);
    assert_eq!(spans(&events, rules(u64::MAX - 1)).len(), 2);
}
