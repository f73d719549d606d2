//! A made shop: events and users, the same on every machine for the same options.
//!
//! Deals with: sample data for first steps, tests and benches, whose answers are known because they are planted here.
//! Does not deal with: the command line, or reading the files.
//!
//! # The files
//! `events.parquet`: `user_id` (BIGINT from 1, or strings 'u0000001'), `ts` (microseconds, no zone, whole milliseconds),
//! `event`, `platform`, `country`, `channel`, `campaign` (NULL where the event knows none), `page` (dictionaries), `item_id` (INT, NULL where no item is meant),
//! `price` (DOUBLE, of the item, on view_item, add_to_cart, begin_checkout, purchase and refund, else NULL), `order_id`
//! (BIGINT, on purchase and refund, else NULL). Every user's first event is `signup`. No session is written down:
//! visits are what lies between gaps of more than 30 minutes.
//!
//! `users.parquet`: `user_id`, `signup_at`, `country`, `platform`, `channel`, `plan`, `birth_year`, `email` (at
//! example.com), and the truth: `churned_at` (NULL while the user has not left by the end of the data; no event is at or
//! after it), and counted while the events were made `sessions`, `events`, `orders`.
//!
//! `tenure.toml` names both and their columns.
//!
//! # What is planted
//! - **Churn.** By channel, a share leaves for good within 20 minutes to 6:20 hours of signing up (organic 20 %, ads 40 %), and of
//!   the others a share on each later day (organic 0.5 %, ads 1.5 %). So P(not left k days after signup) is
//!   0.80 x 0.995^(k-1) for organic and 0.60 x 0.985^(k-1) for ads, k >= 1.
//! - **Rhythm.** A living user's visits are spread evenly: one in each of as many equal parts of the life as there are visits,
//!   anywhere in the first 90 % of the part, the first one at the signup. A silence of twice the usual gap means that the
//!   user has left.
//! - **Ways change.** Country is the user's own; platform and channel are those of the visit: of each visit after the first the
//!   platform is drawn again once in four times and the channel three times in ten, else both are the user's own, which `users.parquet`
//!   and the first visit have. A visit by ads has a campaign (brand 50 %, spring 30 %, retargeting 20 %), which its first event
//!   knows, or once in four times only its second; other events know none, but in 5 % of these visits the fourth, which a
//!   campaign brought back.
//! - **Activity** has a heavy tail over users: Pareto with shape 4/3, cut at 400 times the least.
//! - **Funnel.** 40 % of visits (of those with at least 8 events left to the user) look at an item, and then, each
//!   step given the one before, by the way of the visit: add_to_cart by platform (web 30 %, android 25 %, ios 40 %), begin_checkout by
//!   country (from IN 40 % to NL 75 %), purchase by channel (organic 70 %, ads 50 %). All steps of a visit are of
//!   one item and in order. 5 % of orders are refunded at the start of the next visit, if there is one.
//! - **Hours and weekdays**: busiest at 20 o'clock UTC and on Saturdays, quietest at 3.
//!
//! The tables of shares are in `user.rs`, those of visits in `session.rs`.

mod calendar;
mod draw;
mod session;
mod spill;
mod table;
mod user;

use std::fs;
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use crate::error::{Error, Result};
use calendar::{Calendar, DAY};
use draw::Key;
use session::{GAP, Life};
use spill::Spill;
use table::{EventsFile, Row, UserRow, UsersFile};
use user::User;

/// The order of the rows in `events.parquet`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By `ts`, then `user_id`: as a log comes in.
    Time,
    /// By `user_id`, then `ts`.
    User,
}

/// What to generate.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// Rows of `events.parquet`, exactly; at least `users`, because everybody signs up.
    pub events: u64,
    /// Rows of `users.parquet`, 1 to 4,294,967,295.
    pub users: u64,
    /// Another seed, another shop.
    pub seed: u64,
    /// The order of the events.
    pub order: Order,
    /// Where the files go; made if it is not there.
    pub out_dir: PathBuf,
    /// Whether users are 'u0000001' instead of 1.
    pub string_ids: bool,
    /// The first day of the shop, in UTC.
    pub start: Date,
    /// For how many days it is open, 1 to 36,500.
    pub days: u32,
    /// Whether files of an earlier run in `out_dir` may be replaced.
    pub overwrite: bool,
}

impl GenerateOptions {
    /// 180 days from 2025-01-01, by time, users as integers, seed 1, nothing replaced.
    pub fn new(events: u64, users: u64, out_dir: impl Into<PathBuf>) -> Self {
        Self {
            events,
            users,
            seed: 1,
            order: Order::Time,
            out_dir: out_dir.into(),
            string_ids: false,
            start: Date::constant(2025, 1, 1),
            days: 180,
            overwrite: false,
        }
    }

    /// The opening hours in microseconds since the epoch, checked.
    fn span(&self) -> Result<(i64, i64)> {
        if self.users == 0 || self.users > u64::from(u32::MAX) {
            return Err(Error::usage(format!("generate: {} users; 1 to {} are possible", self.users, u32::MAX)));
        }
        if self.events < self.users {
            let (events, users) = (self.events, self.users);
            return Err(Error::usage(format!(
                "generate: {events} events for {users} users; at least as many as users are needed, because everybody signs up"
            )));
        }
        if self.days == 0 || self.days > 36_500 {
            return Err(Error::usage(format!("generate: {} days; 1 to 36500 are possible", self.days)));
        }
        if !(1900..=2200).contains(&self.start.year()) {
            return Err(Error::usage(format!("generate: start {}; the years 1900 to 2200 are possible", self.start)));
        }
        let since = self.start.since(Date::constant(1970, 1, 1)).map_err(|error| Error::internal(error.to_string()))?;
        let from = i64::from(since.get_days()) * DAY;
        Ok((from, from + i64::from(self.days) * DAY))
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Rows of the events.
    pub events: u64,
    /// Rows of the users.
    pub users: u64,
    /// `events.parquet`, `users.parquet`, `tenure.toml`.
    pub files: [PathBuf; 3],
}

const NAMES: [&str; 3] = ["events.parquet", "users.parquet", "tenure.toml"];

/// Generates a shop. `progress` is called now and then with (rows written, rows in all).
///
/// The files are written under another name in the output folder and renamed when all are whole; an error leaves nothing
/// behind. Memory does not grow with events or users: below 200 MB. By time, 34 bytes per event are put aside in
/// the output folder meanwhile. Errors: options out of range, files that are there already (see
/// [`GenerateOptions::overwrite`]), a folder that cannot be written, a full disk.
pub fn generate(options: &GenerateOptions, progress: &mut dyn FnMut(u64, u64)) -> Result<Generated> {
    let (from, to) = options.span()?;
    let files = NAMES.map(|name| options.out_dir.join(name));
    if let (false, Some(there)) = (options.overwrite, files.iter().find(|file| file.exists())) {
        return Err(Error::data(format!("generate: '{}' is there already; choose another folder", there.display())));
    }
    let folder = Folder::open(&options.out_dir)?;
    let work = tempfile::Builder::new().prefix(".generate-").tempdir_in(&options.out_dir);
    let work = work.map_err(|error| Error::io("write to", &options.out_dir, &error))?;
    let temporary = NAMES.map(|name| work.path().join(name));
    let shop = Shop { options, key: Key::new(options.seed), calendar: Calendar::new(), from, to };
    let mut events = EventsFile::create(temporary[0].clone(), options)?;
    let mut users = UsersFile::create(temporary[1].clone(), options)?;
    match options.order {
        Order::User => shop.by_user(&mut events, &mut users, progress)?,
        Order::Time => shop.by_time(work.path(), &mut events, &mut users, progress)?,
    }
    events.finish()?;
    users.finish()?;
    fs::write(&temporary[2], workspace(options)).map_err(|error| Error::io("write", &temporary[2], &error))?;
    for (temporary, file) in temporary.iter().zip(&files) {
        fs::rename(temporary, file).map_err(|error| Error::io("write", file, &error))?;
    }
    folder.keep();
    progress(options.events, options.events);
    Ok(Generated { events: options.events, users: options.users, files })
}

/// The output folder; one that was made for the purpose goes away again if nothing gets into it.
struct Folder {
    made: Option<PathBuf>,
}

impl Folder {
    fn open(path: &Path) -> Result<Self> {
        let made = (!path.exists()).then(|| path.to_owned());
        fs::create_dir_all(path).map_err(|error| Error::io("create", path, &error))?;
        Ok(Self { made })
    }

    fn keep(mut self) {
        self.made = None;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = &self.made {
            // Fails, as it should, if somebody else put a file there.
            let _ = fs::remove_dir(path);
        }
    }
}

/// A shop being made.
struct Shop<'a> {
    options: &'a GenerateOptions,
    key: Key,
    calendar: Calendar,
    from: i64,
    to: i64,
}

impl Shop<'_> {
    fn user(&self, index: u64) -> User {
        User::new(&self.key, index, &self.calendar, self.from, self.to)
    }

    fn by_user(
        &self,
        events: &mut EventsFile,
        users: &mut UsersFile,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let (mut done, all) = (0, self.options.events);
        self.live(users, |row, _| {
            done += 1;
            if events.push(row)? {
                progress(done, all);
            }
            Ok(())
        })
    }

    /// Half of the progress is making the rows, half is sorting and writing them.
    fn by_time(
        &self,
        folder: &Path,
        events: &mut EventsFile,
        users: &mut UsersFile,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<()> {
        let all = self.options.events;
        // Busy time fills the slices more evenly than time does.
        let mut spill = Spill::create(folder, all, self.calendar.busy(self.from), self.calendar.busy(self.to))?;
        let mut done = 0_u64;
        self.live(users, |row, sequence| {
            spill.push(self.calendar.busy(row.event.ts), sequence, row)?;
            done += 1;
            if done.is_multiple_of(table::BATCH as u64) {
                progress(done / 2, all);
            }
            Ok(())
        })?;
        let mut written = 0;
        spill.drain(|row| {
            written += 1;
            if events.push(row)? {
                progress(all / 2 + written / 2, all);
            }
            Ok(())
        })
    }

    /// Lets all users live one after the other; `take` gets each row and its number among those of its user.
    fn live(&self, users: &mut UsersFile, mut take: impl FnMut(Row, u32) -> Result<()>) -> Result<()> {
        // Two passes over the profiles, which are cheap to make again, instead of a table of all users.
        let total: u128 = (0..self.options.users).map(|index| u128::from(self.user(index).weight(self.to))).sum();
        let free = u128::from(self.options.events - self.options.users);
        let mut before = 0_u128;
        for index in 0..self.options.users {
            let user = self.user(index);
            let after = before + u128::from(user.weight(self.to));
            // Rounding the running sum, not each share, makes the shares add up.
            let share = (after * free / total - before * free / total) as u64;
            before = after;
            let mut row = UserRow { sessions: 0, events: 0, orders: 0, user: user.clone() };
            let mut last = i64::MIN / 2;
            for event in Life::new(&self.key, &user, 1 + share, &self.calendar, self.to) {
                row.sessions += i64::from(event.ts - last > GAP);
                row.orders += i64::from(session::EVENTS[event.kind as usize] == "purchase");
                last = event.ts;
                take(Row { user: index, country: user.country as u8, event }, row.events as u32)?;
                row.events += 1;
            }
            users.push(row)?;
        }
        Ok(())
    }
}

/// The text of `tenure.toml`. It names no time and no version: the same options give the same text.
fn workspace(options: &GenerateOptions) -> String {
    let GenerateOptions { events, users, seed, start, days, .. } = options;
    let (order, by) = match options.order {
        Order::User => ("order = [\"user_id\", \"ts\"]\n", "by user and time"),
        Order::Time => ("", "by time"),
    };
    format!(
        r#"# A made shop: {events} events of {users} users, {days} days from {start}, seed {seed}.

[tables.events]
location = "events.parquet"
user = "user_id"
time = "ts"
event = "event"
{order}description = "What the users of a made shop did, one row each, {by}"

[tables.users]
location = "users.parquet"
user = "user_id"
description = "Who they are, and the truth: when they left for good, how many sessions, events and orders they have"
"#
    )
}

#[cfg(test)]
mod tests;
