//! Where values of which a median is wanted, and the edges of users, are kept until the last row has come: packed, in memory
//! or in a file.
//!
//! Deals with: one partition's store, and the stores of all partitions of a plan, which final states read by number: what was
//! put into one is never copied into a partial state. Does not deal with: packing (`algo::value_runs`), when a log goes to
//! disk (`room`).

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use parking_lot::{Mutex, RwLock};

use super::room::{Log, Room};
use crate::algo::value_runs::{Bounds, NO_ROW, Summary, Tail, percentiles, push_varint, take_varint};
use crate::error::Error;

/// Bytes of users in a block.
const BLOCK: usize = 1 << 16;

/// What one partition keeps.
pub struct Store {
    tail: Tail,
    values: Log,
    /// What is known of each owner's values.
    owners: Vec<Summary>,
    /// For each user: the flow, its edges, each more by one, and 0 at the end.
    users: Log,
    block: Vec<u8>,
    in_user: bool,
}

impl Store {
    fn new(room: &Room) -> Self {
        let (tail, owners, block) = Default::default();
        Self { tail, values: Log::new(room.clone()), owners, users: Log::new(room.clone()), block, in_user: false }
    }

    /// Another owner of values.
    pub fn owner(&mut self) -> u32 {
        self.owners.push(Summary::default());
        self.owners.len() as u32 - 1
    }

    /// Keeps a value.
    #[inline]
    pub fn value(&mut self, owner: u32, value: i64) -> Result<()> {
        if self.tail.push(owner, value) { self.pack() } else { Ok(()) }
    }

    /// The user at hand took an edge of a flow, for the first time.
    #[inline]
    pub fn edge_of_user(&mut self, flow: u32, edge: u32) {
        if !std::mem::replace(&mut self.in_user, true) {
            push_varint(&mut self.block, u64::from(flow));
        }
        push_varint(&mut self.block, u64::from(edge) + 1);
    }

    /// The user at hand has no more edges.
    pub fn end_user(&mut self) -> Result<()> {
        if std::mem::take(&mut self.in_user) {
            self.block.push(0);
            if self.block.len() >= BLOCK {
                self.users.append(std::mem::take(&mut self.block))?;
            }
        }
        Ok(())
    }

    fn pack(&mut self) -> Result<()> {
        let owners = &mut self.owners;
        let run = self.tail.pack(|owner, summary| owners[owner as usize].add(summary));
        self.values.append(run)
    }

    /// Makes all that was kept readable.
    pub fn seal(&mut self) -> Result<()> {
        if !self.tail.is_empty() {
            self.pack()?;
        }
        if !self.block.is_empty() {
            self.users.append(std::mem::take(&mut self.block))?;
        }
        self.tail = Tail::default();
        Ok(())
    }

    /// What is known of an owner's values.
    pub fn summary(&self, owner: u32) -> Summary {
        self.owners.get(owner as usize).copied().unwrap_or_default()
    }

    /// Hands over every run of values.
    pub fn each_run(&self, run: impl FnMut(&[u8])) -> Result<()> {
        self.values.each(run)
    }

    /// Hands over the flow and the edges of every user.
    pub fn each_user(&self, mut user: impl FnMut(u32, &[u32])) -> Result<()> {
        let mut edges: Vec<u32> = Vec::new();
        self.users.each(|mut block| {
            while let Some(flow) = take_varint(&mut block) {
                edges.clear();
                while let Some(edge @ 1..) = take_varint(&mut block) {
                    edges.push(edge as u32 - 1);
                }
                user(flow as u32, &edges);
            }
        })
    }

    /// Bytes held, but for what the room accounts for.
    pub fn size(&self) -> usize {
        self.tail.size()
            + self.values.size()
            + self.owners.capacity() * size_of::<Summary>()
            + self.users.size()
            + self.block.capacity()
    }
}

/// The stores of all partitions of one aggregate of a plan. They live as long as the plan does.
#[derive(Clone)]
pub struct Stores {
    room: Room,
    all: Arc<Mutex<Vec<Arc<RwLock<Store>>>>>,
}

impl Stores {
    /// None yet.
    pub fn new(room: Room) -> Self {
        Self { room, all: Arc::default() }
    }

    /// A new one and its number.
    pub fn open(&self) -> (u32, Arc<RwLock<Store>>) {
        let store = Arc::new(RwLock::new(Store::new(&self.room)));
        let mut all = self.all.lock();
        all.push(Arc::clone(&store));
        (all.len() as u32 - 1, store)
    }

    /// The one of this number.
    pub fn get(&self, number: u32) -> Result<Arc<RwLock<Store>>> {
        let found = self.all.lock().get(number as usize).cloned();
        Ok(found.ok_or_else(|| Error::internal(format!("no store {number}")))?)
    }

    /// What is known of the values of each row, and the two in the middle. `asked`: stores, and the row of each owner of theirs,
    /// [`NO_ROW`] where it is not asked for.
    pub fn measure(
        &self,
        rows: usize,
        asked: &[(Arc<RwLock<Store>>, Vec<u32>)],
    ) -> Result<(Vec<Summary>, Vec<Option<Bounds>>)> {
        self.percentiles(rows, asked, &[50])
    }

    /// The same with any percentiles, those of a row in turn.
    pub fn percentiles(
        &self,
        rows: usize,
        asked: &[(Arc<RwLock<Store>>, Vec<u32>)],
        percents: &[u8],
    ) -> Result<(Vec<Summary>, Vec<Option<Bounds>>)> {
        let mut all = vec![Summary::default(); rows];
        for (store, rows_of) in asked {
            let store = store.read();
            for (owner, row) in rows_of.iter().enumerate().filter(|(_, row)| **row != NO_ROW) {
                all[*row as usize].add(&store.summary(owner as u32));
            }
        }
        let rows_of: Vec<&[u32]> = asked.iter().map(|(_, rows_of)| rows_of.as_slice()).collect();
        let found = percentiles(&all, &rows_of, percents, self.room.for_a_pass(), |each| {
            for (at, (store, _)) in asked.iter().enumerate() {
                store.read().each_run(|run| each(at, run))?;
            }
            Ok::<_, DataFusionError>(())
        })?;
        Ok((all, found))
    }
}

/// Sets one of a list of rows, which grows as it must.
pub fn set_row(rows: &mut Vec<u32>, at: u32, row: u32) {
    if rows.len() <= at as usize {
        rows.resize(at as usize + 1, NO_ROW);
    }
    rows[at as usize] = row;
}
