//! Events that are there twice: rows of one user with the same key.
//!
//! Deals with: which rows of a merge repeat an event, of the merge itself or of files that stay as they are.
//! Does not deal with: finding those files, or the order of rows.
//!
//! Of rows with the same key the first in the order of the merge stays; a NULL is not a key. Keys are compared by 128 bits:
//! integers as they are, texts by two hashes whose seeds each program draws for itself, so that nobody can prepare two
//! texts that are taken for the same, and chance needs some 10^16 events of one user for one in a million.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashTable;
use twox_hash::XxHash64;

use super::columns::{Columns, Rows};
use super::source::{Reader, Source, UserRange};
use crate::error::{Error, Result};
use crate::store::user_id::{UserId, UserRef, Users};

/// Whether a column of this type can tell events apart.
pub fn can_be_key(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => can_be_key(value),
        other => other.is_signed_integer(),
    }
}

/// Seeds of a program's fingerprints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeds(u64, u64);

impl Seeds {
    pub fn draw() -> Self {
        let (first, second) = (RandomState::new(), RandomState::new());
        Self(first.hash_one(1_u64), second.hash_one(2_u64))
    }

    fn text(self, text: &str) -> u128 {
        let [low, high] = [self.0, self.1].map(|seed| u128::from(XxHash64::oneshot(seed, text.as_bytes())));
        high << 64 | low
    }
}

/// The keys of some rows.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    keys: Vec<u128>,
    nulls: Option<NullBuffer>,
}

impl Fingerprints {
    fn new(column: &ArrayRef, seeds: Seeds) -> Result<Self> {
        let keys = match column.data_type() {
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                (0..texts.len()).map(|row| if texts.is_null(row) { 0 } else { seeds.text(texts.value(row)) }).collect()
            }
            _ => {
                let numbers = cast(column, &DataType::Int64)?;
                numbers.as_primitive::<Int64Type>().values().iter().map(|number| *number as u64 as u128).collect()
            }
        };
        Ok(Self { keys, nulls: column.nulls().cloned() })
    }

    fn get(&self, row: usize) -> Option<u128> {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then(|| self.keys[row])
    }
}

/// Keys of a set; a hash of their own bits finds them.
struct Keys(HashTable<u128>);

impl Keys {
    fn hash(key: u128) -> u64 {
        // Keys may be consecutive numbers.
        let folded = (key as u64) ^ ((key >> 64) as u64);
        let mixed = folded.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ (mixed >> 32)
    }

    /// Whether the key is new.
    fn insert(&mut self, key: u128) -> bool {
        let entry = self.0.entry(Self::hash(key), |other| *other == key, |other| Self::hash(*other));
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(key);
                true
            }
        }
    }

    fn clear(&mut self) {
        // Clearing costs the capacity: after a large user it would be paid for every small one.
        if self.0.capacity() > 1 << 10 { self.0 = HashTable::new() } else { self.0.clear() }
    }
}

/// Finds repeated events in a range of users. Rows come by user.
pub(super) struct Unique<'a> {
    column: usize,
    seeds: Seeds,
    /// The user whose keys these are.
    user: Option<UserId>,
    seen: Keys,
    most: usize,
    existing: Vec<Existing<'a>>,
    dropped: u64,
}

impl<'a> Unique<'a> {
    /// By a column, in at most `memory` bytes for one user. `existing` are files that stay, with their columns `(user, time, key)`.
    pub fn new(
        column: usize,
        seeds: Seeds,
        memory: usize,
        existing: &'a [&'a dyn Source],
        of_existing: &Columns,
        key: usize,
        range: &UserRange,
    ) -> Result<Self> {
        let existing = existing.iter().map(|source| Existing::new(*source, of_existing.clone(), key, range, seeds));
        let existing = existing.collect::<Result<Vec<_>>>()?;
        // An entry is 17 bytes at a load of 7/8 or less, and growing holds one and a half tables.
        let most = (memory / 64).max(1 << 16);
        Ok(Self { column, seeds, user: None, seen: Keys(HashTable::new()), most, existing, dropped: 0 })
    }

    pub fn fingerprints(&self, columns: &mut Columns, rows: &Rows) -> Result<Fingerprints> {
        let column = &rows.columns[self.column];
        match columns.coded_mut(self.column) {
            Some(coded) => Fingerprints::new(&coded.text(column)?, self.seeds),
            None => Fingerprints::new(column, self.seeds),
        }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Calls `keep` with the ranges of rows between `from` and `to` that repeat nothing.
    pub fn keep(
        &mut self,
        users: &Users,
        keys: &Fingerprints,
        from: usize,
        to: usize,
        mut keep: impl FnMut(usize, usize),
    ) -> Result<()> {
        let mut kept = from;
        for row in from..to {
            let user = users.at(row);
            if self.user.as_ref().is_none_or(|current| current.as_ref() != user) {
                self.begin(user)?;
            }
            let Some(key) = keys.get(row) else { continue };
            if !self.seen.insert(key) {
                keep(kept, row);
                kept = row + 1;
                self.dropped += 1;
            } else if self.seen.0.len() > self.most {
                return Err(too_many(user, self.seen.0.len()));
            }
        }
        keep(kept, to);
        Ok(())
    }

    /// A new user: the keys are those of the files that stay.
    fn begin(&mut self, user: UserRef<'_>) -> Result<()> {
        self.user = Some(user.to_owned());
        self.seen.clear();
        for existing in &mut self.existing {
            existing.keys_of(user, &mut self.seen, self.most)?;
        }
        Ok(())
    }
}

fn too_many(user: UserRef<'_>, events: usize) -> Error {
    Error::resources(format!(
        "out of memory: user {} has more than {events} events with different keys",
        user.to_owned()
    ))
    .hint("raise the limit with --memory")
}

/// The keys of a file that stays, user by user.
struct Existing<'a> {
    reader: Box<dyn Reader + 'a>,
    columns: Columns,
    key: usize,
    seeds: Seeds,
    users: Option<Users>,
    keys: Fingerprints,
    at: usize,
}

impl<'a> Existing<'a> {
    fn new(source: &'a dyn Source, columns: Columns, key: usize, range: &UserRange, seeds: Seeds) -> Result<Self> {
        let mut existing = Self {
            reader: source.read(range)?,
            columns,
            key,
            seeds,
            users: None,
            keys: Fingerprints::default(),
            at: 0,
        };
        existing.advance()?;
        Ok(existing)
    }

    fn advance(&mut self) -> Result<()> {
        self.at = 0;
        self.users = None;
        if let Some(rows) = self.reader.next(&mut self.columns)? {
            let column = &rows.columns[self.key];
            self.keys = match self.columns.coded_mut(self.key) {
                Some(coded) => Fingerprints::new(&coded.text(column)?, self.seeds)?,
                None => Fingerprints::new(column, self.seeds)?,
            };
            self.users = Some(self.columns.users(&rows)?);
        }
        Ok(())
    }

    fn keys_of(&mut self, user: UserRef<'_>, seen: &mut Keys, most: usize) -> Result<()> {
        while let Some(users) = &self.users {
            // Users are asked for in order: what lies before is not asked for again.
            if users.at(users.len() - 1) < user {
                self.advance()?;
                continue;
            }
            let mut at = self.at.max(users.lower_bound(user));
            while at < users.len() && users.at(at) == user {
                if let Some(key) = self.keys.get(at) {
                    seen.insert(key);
                }
                at += 1;
            }
            if seen.0.len() > most {
                return Err(too_many(user, seen.0.len()));
            }
            self.at = at;
            if at < users.len() {
                return Ok(());
            }
            self.advance()?;
        }
        Ok(())
    }
}
