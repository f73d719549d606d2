//! Who the users are: what they share with the shop, how active they are, and when they leave it for good.
//!
//! Deals with: the profile, a function of the seed and the user's number alone.
//! Does not deal with: what a user does (`session`), nor with how many events the whole shop shall have (`mod`).

use super::calendar::{Calendar, DAY, HOUR};
use super::draw::{Draw, Key, Purpose};

/// Countries with their share in per mille and, in per mille, how many of those who put something into the cart begin to
/// check out.
pub const COUNTRIES: [(&str, u32, u32); 12] = [
    ("US", 280, 700),
    ("DE", 160, 650),
    ("GB", 120, 680),
    ("FR", 100, 620),
    ("CN", 80, 550),
    ("JP", 70, 720),
    ("BR", 60, 420),
    ("IN", 50, 400),
    ("ES", 30, 600),
    ("IT", 25, 580),
    ("NL", 15, 750),
    ("SE", 10, 740),
];

/// Platforms with their share and, in per mille, how many shopping visits put something into the cart.
pub const PLATFORMS: [(&str, u32, u32); 3] = [("web", 450, 300), ("android", 350, 250), ("ios", 200, 400)];

/// A way by which users come to the shop, all in per mille.
#[derive(Debug)]
pub struct Channel {
    pub name: &'static str,
    pub share: u32,
    /// Users who leave for good within hours of signing up.
    pub lost_at_once: u32,
    /// Of those who are left, how many leave for good on each later day.
    pub lost_per_day: u32,
    /// How many of those who begin to check out pay.
    pub pays: u32,
}

/// The acquisition channels.
pub const CHANNELS: [Channel; 2] = [
    Channel { name: "organic", share: 600, lost_at_once: 200, lost_per_day: 5, pays: 700 },
    Channel { name: "ads", share: 400, lost_at_once: 400, lost_per_day: 15, pays: 500 },
];

/// The campaigns of visits that come by ads, with their share in per mille.
pub const CAMPAIGNS: [(&str, u32); 3] = [("brand", 500), ("spring", 300), ("retargeting", 200)];

/// Plans with their share in per mille.
pub const PLANS: [(&str, u32); 3] = [("free", 720), ("plus", 220), ("pro", 60)];

/// What is fixed about a user before the first event.
#[derive(Debug, Clone)]
pub struct User {
    /// From 0.
    pub index: u64,
    pub country: usize,
    pub platform: usize,
    pub channel: usize,
    pub plan: usize,
    pub birth_year: i32,
    /// Instants in microseconds since the epoch, whole milliseconds.
    pub signup_at: i64,
    /// When the user left for good, if that is before the end of the data.
    pub churned_at: Option<i64>,
    /// How active the user is while alive: the weight in sharing out the events is this times the lifetime.
    activity: u32,
}

impl User {
    /// The user with that number, for a shop that is open from `from` to `to` (microseconds).
    pub fn new(key: &Key, index: u64, calendar: &Calendar, from: i64, to: i64) -> Self {
        let mut draw = key.stream(index, Purpose::Profile);
        let country = draw.pick(&COUNTRIES.map(|country| country.1));
        let platform = draw.pick(&PLATFORMS.map(|platform| platform.1));
        let channel = draw.pick(&[CHANNELS[0].share, CHANNELS[1].share]);
        let plan = draw.pick(&PLANS.map(|plan| plan.1));
        let birth_year = 1945 + (draw.below(32) + draw.below(32)) as i32;
        // Nobody signs up in the last hour, so that everybody has time for a visit.
        let (first, last) = (calendar.busy(from), calendar.busy(to - HOUR));
        let signup_at = whole_millis(calendar.instant(first + draw.below_long(last - first))).max(from);
        // Pareto with shape 4/3: u^(-3/4), cut at 400 times the least active; the mean is about 3.6 of the least active.
        let root = draw.unit().sqrt();
        let activity = ((16.0 / (root * root.sqrt())) as u32).min(16 * 400);
        let left_at = whole_millis(signup_at + lifetime(&mut draw, &CHANNELS[channel], to - signup_at));
        let churned_at = (left_at < to).then_some(left_at);
        Self { index, country, platform, channel, plan, birth_year, signup_at, churned_at, activity }
    }

    /// The end of the user's life in the data: all events are before it.
    pub fn end(&self, to: i64) -> i64 {
        self.churned_at.unwrap_or(to)
    }

    /// The user's share of the events beyond the first, to be divided by the sum over all users.
    pub fn weight(&self, to: i64) -> u64 {
        // Two days more than the lifetime: those who leave at once had a closer look.
        u64::from(self.activity) * ((self.end(to) - self.signup_at + 2 * DAY) / HOUR) as u64
    }
}

/// How long after signing up the user leaves, or something longer than `most`.
fn lifetime(draw: &mut Draw, channel: &Channel, most: i64) -> i64 {
    if draw.chance(channel.lost_at_once) {
        return HOUR / 3 + draw.below_long(6 * HOUR);
    }
    let mut days = 1;
    while days * DAY < most && !draw.chance(channel.lost_per_day) {
        days += 1;
    }
    days * DAY + draw.below_long(DAY)
}

/// Times are whole milliseconds, so that tools with that unit lose nothing.
pub fn whole_millis(micros: i64) -> i64 {
    micros - micros.rem_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_complete() {
        assert_eq!(COUNTRIES.iter().map(|c| c.1).sum::<u32>(), 1_000);
        assert_eq!(PLATFORMS.iter().map(|p| p.1).sum::<u32>(), 1_000);
        assert_eq!(CHANNELS.iter().map(|c| c.share).sum::<u32>(), 1_000);
        assert_eq!(PLANS.iter().map(|p| p.1).sum::<u32>(), 1_000);
        assert_eq!(CAMPAIGNS.iter().map(|c| c.1).sum::<u32>(), 1_000);
    }

    /// P(life >= k days) = (1 - lost at once) (1 - lost per day)^(k-1), counted over users observed for that long.
    #[test]
    fn survival_is_as_planted() {
        let (key, calendar) = (Key::new(3), Calendar::new());
        let (from, to) = (20_089 * DAY, 20_269 * DAY);
        for (number, channel) in CHANNELS.iter().enumerate() {
            for days in [1, 7, 30, 90] {
                let (mut observed, mut alive) = (0.0, 0.0);
                for index in 0..60_000 {
                    let user = User::new(&key, index, &calendar, from, to);
                    if user.channel == number && user.signup_at + days * DAY <= to {
                        observed += 1.0;
                        alive += f64::from(u8::from(user.end(to) >= user.signup_at + days * DAY));
                    }
                }
                let at_once = 1.0 - f64::from(channel.lost_at_once) / 1e3;
                let daily = 1.0 - f64::from(channel.lost_per_day) / 1e3;
                let planted = at_once * daily.powi(days as i32 - 1);
                let error = 4.0 * (planted * (1.0 - planted) / observed).sqrt();
                assert!((alive / observed - planted).abs() < error, "{} {days}: {}", channel.name, alive / observed);
            }
        }
    }

    #[test]
    fn activity_has_a_heavy_tail() {
        let (key, calendar) = (Key::new(3), Calendar::new());
        let activity = |index| User::new(&key, index, &calendar, 0, 100 * DAY).activity;
        let mut all: Vec<u32> = (0..20_000).map(activity).collect();
        all.sort_unstable();
        let total: u64 = all.iter().map(|a| u64::from(*a)).sum();
        let top: u64 = all[19_800..].iter().map(|a| u64::from(*a)).sum();
        assert!(top * 100 / total >= 15, "the most active 1 % have {} % of the activity", top * 100 / total);
        assert!(all[10_000] < 32);
    }
}
