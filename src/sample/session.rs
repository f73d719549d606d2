//! What a user does: visits spread over the user's life, and the events of each visit.
//!
//! Deals with: exactly as many events as asked, in time order, one at a time, from a state of fixed size.
//! Does not deal with: who the user is (`user`) or where the events go (`table`, `spill`).
//!
//! The length of a visit is drawn before and apart from what is bought in it, so cutting the last visit to the number of
//! events left does not move any rate.

use super::calendar::Calendar;
use super::draw::{Draw, Key, Purpose};
use super::user::{CAMPAIGNS, CHANNELS, COUNTRIES, PLATFORMS, User, whole_millis};

/// The events of the shop; the number of one is its position.
pub const EVENTS: [&str; 11] = [
    "page_view",
    "search",
    "view_item",
    "add_to_cart",
    "begin_checkout",
    "purchase",
    "login",
    "signup",
    "refund",
    "share",
    "support_ticket",
];
const PAGE_VIEW: u8 = 0;
const SEARCH: u8 = 1;
const VIEW_ITEM: u8 = 2;
const PURCHASE: u8 = 5;
const LOGIN: u8 = 6;
const SIGNUP: u8 = 7;
const REFUND: u8 = 8;
const SHARE: u8 = 9;
const SUPPORT: u8 = 10;

/// The pages of the shop.
pub const PAGES: [&str; 12] = [
    "/",
    "/category",
    "/help",
    "/account",
    "/search",
    "/item",
    "/cart",
    "/checkout",
    "/thanks",
    "/login",
    "/signup",
    "/orders",
];
/// The page of every event but page_view, which may be on any of the first four or on /item.
const PAGE_OF: [u8; 11] = [0, 4, 5, 6, 7, 8, 9, 10, 11, 5, 2];
const ITEM_PAGE: u8 = 5;

/// How many items the shop has; the number of one is 1..=ITEMS.
pub const ITEMS: u32 = 2_000;

/// Visits in which something is looked at, in per mille.
const SHOPPING: u32 = 400;
/// The fewest events of such a visit.
const SHOPPING_LENGTH: u64 = 8;
/// Visits after the first that come by another device than the user's own, and by another channel, as far as the shares of all
/// users give another; in per mille.
const OTHER_PLATFORM: u32 = 250;
const OTHER_CHANNEL: u32 = 300;
/// Visits with a campaign whose first event does not know it, and such that another campaign leads back to; in per mille.
const LATE_CAMPAIGN: u32 = 250;
const SECOND_CAMPAIGN: u32 = 50;
/// Orders that are given back, in per mille, if the user comes again.
const REFUNDED: u32 = 50;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// Two visits are further apart than this, unless a user has so many that they cannot be.
pub const GAP: i64 = 30 * MINUTE;

/// How a visit comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub platform: u8,
    pub channel: u8,
    /// From 1; 0 for none.
    pub campaign: u8,
}

/// One row, without what is the same for all rows of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since the epoch.
    pub ts: i64,
    pub kind: u8,
    pub page: u8,
    /// 0 for none.
    pub item: u32,
    /// The price in cents; 0 for none.
    pub cents: u32,
    /// The number of the order among those of the user, from 1; 0 for none.
    pub order: u32,
    pub way: Way,
}

/// What kind of visit it is.
#[derive(Debug, Clone, Copy)]
struct Visit {
    length: u64,
    shopping: bool,
    /// Steps after view_item: 0 none, 1 add_to_cart, 2 begin_checkout, 3 purchase.
    steps: u64,
    item: u32,
    route: Route,
}

/// The way of a visit, and the events that know its campaign.
#[derive(Debug, Clone, Copy)]
struct Route {
    way: Way,
    /// Position of the event that brings the campaign.
    known_at: u64,
    /// Another campaign, brought by the event at position 3.
    second: u8,
}

/// The events of one user, in time order.
pub struct Life<'a> {
    calendar: &'a Calendar,
    user: &'a User,
    plan: Draw,
    ways: Draw,
    detail: Draw,
    /// Events that are not in a visit yet.
    left: u64,
    visits: u64,
    /// The user's life, in busy time and (its end) in microseconds.
    busy: (i64, i64),
    end: i64,
    visit: Visit,
    /// The number of the visit after this one, and the position in this one.
    next_visit: u64,
    position: u64,
    /// The longest pause that lets the visit end in time.
    pause: i64,
    clock: i64,
    signed_up: bool,
    orders: u32,
    /// An order that the user will give back.
    unhappy: Option<Event>,
}

impl<'a> Life<'a> {
    /// The life of a user with that many events, at least 1 (the signup), in a shop open until `to`.
    pub fn new(key: &Key, user: &'a User, events: u64, calendar: &'a Calendar, to: i64) -> Self {
        let plan = key.stream(user.index, Purpose::Plan);
        // The plan is gone through twice: how many visits there are decides when they are.
        let ways = key.stream(user.index, Purpose::Way);
        let (mut ahead, mut left, mut visits) = ((plan.clone(), ways.clone()), events.saturating_sub(1), 0);
        while left > 0 {
            let route = Route::new(&mut ahead.1, user, visits);
            left -= Visit::new(&mut ahead.0, user, route, left).length;
            visits += 1;
        }
        let end = user.end(to);
        let mut ways_of_signup = ways.clone();
        Self {
            calendar,
            user,
            plan,
            ways,
            detail: key.stream(user.index, Purpose::Detail),
            left: events.saturating_sub(1),
            visits,
            busy: (calendar.busy(user.signup_at), calendar.busy(end)),
            end,
            // The signup comes as the user does.
            visit: Visit {
                length: 0,
                shopping: false,
                steps: 0,
                item: 0,
                route: Route::new(&mut ways_of_signup, user, 0),
            },
            next_visit: 0,
            position: 0,
            pause: 0,
            clock: user.signup_at,
            signed_up: events == 0,
            orders: 0,
            unhappy: None,
        }
    }

    /// The beginning of the n-th of `visits` equal parts of the life, in busy time.
    fn part(&self, n: u64) -> i64 {
        let (from, to) = self.busy;
        from + (i128::from(to - from) * i128::from(n) / i128::from(self.visits.max(1))) as i64
    }

    /// Opens the next visit: somewhere in its part of the life, the first one at the signup.
    fn open(&mut self) {
        let number = self.next_visit;
        let route = Route::new(&mut self.ways, self.user, number);
        self.visit = Visit::new(&mut self.plan, self.user, route, self.left);
        self.left -= self.visit.length;
        self.position = 0;
        self.next_visit += 1;
        let (from, to) = (self.part(number), self.part(number + 1));
        let start = match number {
            0 => self.user.signup_at,
            _ => self.calendar.instant(from + self.detail.below_long((to - from) / 10 * 9)),
        };
        let room = self.calendar.instant(to).min(self.end) - start;
        let room = if room > 2 * GAP { room - GAP - MINUTE } else { room.max(0) };
        self.pause = room / (self.visit.length as i64 + 2);
        if number > 0 {
            self.at(start);
        }
    }

    /// Moves the clock, never back and never to the end of the life.
    fn at(&mut self, instant: i64) {
        self.clock = whole_millis(instant).min(self.end - 1_000).max(self.clock);
    }

    /// Mostly seconds, at times many minutes, and below the gap that divides visits.
    fn wait(&mut self) {
        let unit = self.detail.unit();
        let mut pause = SECOND + (unit * unit * unit * 180.0) as i64 * SECOND + self.detail.below_long(SECOND);
        if self.detail.chance(20) {
            pause += 5 * MINUTE + self.detail.below_long(15 * MINUTE);
        }
        self.at(self.clock + pause.min(self.pause));
    }

    /// The way of the event at hand.
    fn way(&self) -> Way {
        let Route { way, known_at, second } = self.visit.route;
        let campaign = match self.position {
            at if at == known_at => way.campaign,
            3 => second,
            _ => 0,
        };
        Way { campaign, ..way }
    }

    fn event(&mut self, kind: u8, item: u32) -> Event {
        let priced = (VIEW_ITEM..=PURCHASE).contains(&kind);
        let cents = if priced { price(item) } else { 0 };
        let mut event =
            Event { ts: self.clock, kind, page: PAGE_OF[kind as usize], item, cents, order: 0, way: self.way() };
        if kind == PURCHASE {
            self.orders += 1;
            event.order = self.orders;
            if self.detail.chance(REFUNDED) {
                self.unhappy = Some(event);
            }
        }
        event
    }

    /// What happens at a position of a visit: a way in, the item, other items, the steps to the order, a way out.
    fn happens(&mut self) -> Event {
        let Visit { length, shopping, steps, item, .. } = self.visit;
        let free = length - if shopping { 1 + steps } else { 0 };
        let lead = if shopping { 1 + free / 3 } else { free };
        let others = if shopping { free / 4 } else { 0 };
        let position = self.position;
        if position == 0 {
            if let Some(order) = self.unhappy.take() {
                let way = self.way();
                return Event { ts: self.clock, kind: REFUND, page: PAGE_OF[REFUND as usize], way, ..order };
            }
            let kind = if self.detail.chance(300) { LOGIN } else { PAGE_VIEW };
            return self.event(kind, 0);
        }
        if position < lead {
            return self.around();
        }
        let after = position - lead;
        if after == 0 {
            return self.event(VIEW_ITEM, item);
        }
        if after <= others {
            let other = any_item(&mut self.detail);
            return self.event(VIEW_ITEM, other);
        }
        let step = after - others;
        if step <= steps {
            return self.event(VIEW_ITEM + step as u8, item);
        }
        match self.detail.below(100) {
            0..6 => self.event(SHARE, item),
            6..9 => self.event(SUPPORT, 0),
            _ => self.around(),
        }
    }

    /// Looking around: pages and searches.
    fn around(&mut self) -> Event {
        if self.detail.chance(250) {
            return self.event(SEARCH, 0);
        }
        let page = self.detail.pick(&[30, 40, 5, 10, 15]) as u8;
        let mut event = self.event(PAGE_VIEW, 0);
        event.page = if page == 4 { ITEM_PAGE } else { page };
        event
    }
}

impl Iterator for Life<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if !self.signed_up {
            self.signed_up = true;
            return Some(self.event(SIGNUP, 0));
        }
        if self.position == self.visit.length {
            if self.left == 0 {
                return None;
            }
            let first = self.next_visit == 0;
            self.open();
            if first {
                self.wait();
            }
        } else {
            self.wait();
        }
        let event = self.happens();
        self.position += 1;
        Some(event)
    }
}

impl Visit {
    /// The next visit of a plan, with `left` events for it and all later ones.
    fn new(plan: &mut Draw, user: &User, route: Route, left: u64) -> Self {
        let shopping = plan.chance(SHOPPING);
        let length =
            if shopping { SHOPPING_LENGTH + u64::from(plan.run(800, 40)) } else { 1 + u64::from(plan.run(700, 20)) };
        if !shopping || left < SHOPPING_LENGTH {
            return Self { length: length.min(left), shopping: false, steps: 0, item: 0, route };
        }
        let Way { platform, channel, .. } = route.way;
        let chances = [PLATFORMS[platform as usize].2, COUNTRIES[user.country].2, CHANNELS[channel as usize].pays];
        let steps = chances.into_iter().take_while(|chance| plan.chance(*chance)).count() as u64;
        Self { length: length.min(left), shopping, steps, item: any_item(plan), route }
    }
}

impl Route {
    /// The way of the visit with that number: the first one is the user's own. Always as many draws.
    fn new(draw: &mut Draw, user: &User, number: u64) -> Self {
        let (other_platform, other_channel) = (draw.chance(OTHER_PLATFORM), draw.chance(OTHER_CHANNEL));
        let platform = draw.pick(&PLATFORMS.map(|platform| platform.1));
        let channel = draw.pick(&[CHANNELS[0].share, CHANNELS[1].share]);
        let own = |other: bool, drawn: usize, own: usize| if other && number > 0 { drawn } else { own };
        let platform = own(other_platform, platform, user.platform);
        let channel = own(other_channel, channel, user.channel);
        let campaigns = CAMPAIGNS.map(|campaign| campaign.1);
        let (campaign, second) = (1 + draw.pick(&campaigns) as u8, 1 + draw.pick(&campaigns) as u8);
        let known_at = u64::from(draw.chance(LATE_CAMPAIGN));
        let comes_back = draw.chance(SECOND_CAMPAIGN);
        let by_ads = CHANNELS[channel].name == "ads";
        Self {
            way: Way { platform: platform as u8, channel: channel as u8, campaign: if by_ads { campaign } else { 0 } },
            known_at,
            second: if by_ads && comes_back { second } else { 0 },
        }
    }
}

/// An item; the first ones are the most popular.
fn any_item(draw: &mut Draw) -> u32 {
    let unit = draw.unit();
    1 + ((unit * unit * f64::from(ITEMS)) as u32).min(ITEMS - 1)
}

/// The price of an item in cents, 4.99 to 299.99, cheap ones more often.
pub fn price(item: u32) -> u32 {
    let mixed = item.wrapping_mul(2_654_435_769) >> 16;
    let part = (mixed * mixed) >> 16;
    499 + part * 295 / 65_536 * 100
}
