//! `users_state(user)` and `users_merge(state)`: exact sets of users that can be stored.
//!
//! Deals with: growing a set for each group. Does not deal with: its bytes (`algo::states::users`), functions of a state
//! (`users_algebra`).
//!
//! Memory: of integers what a Roaring treemap takes, 2 bytes for each of many neighbours and about 150 for each that stands alone
//! in 4 billion; of texts each distinct one once, and 2 to 4 bytes for each group that has it.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, GroupsAccumulator};
use roaring::{RoaringBitmap, RoaringTreemap};

use super::arguments::{Users as Column, coerce_state, coerce_user, refused, unsigned_id};
use super::groups::{Fold, Groups, Held, StateGroups, state_field};
use super::user_texts::UserTexts;
use super::users_window::Window;
use crate::algo::states::users::{Users, write_texts};
use crate::error::Error;
use crate::functions::columns::passes;
use crate::functions::grouped::{GroupedFunction, aggregate};

/// The aggregate that makes a set.
pub const STATE: &str = "users_state";
const MERGE: &str = "users_merge";
/// Texts up to which it does not pay to look whether they are still needed.
const MANY_TEXTS: usize = 1 << 16;

/// The function.
pub fn users_state() -> AggregateUDF {
    aggregate(UsersFunction { name: STATE })
}

/// The function.
pub fn users_merge() -> AggregateUDF {
    aggregate(UsersFunction { name: MERGE })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UsersFunction {
    name: &'static str,
}

impl GroupedFunction for UsersFunction {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        match types {
            [state] if self.name == MERGE => Ok(vec![coerce_state(MERGE, 1, state, STATE)?]),
            [user] => Ok(vec![coerce_user(STATE, 1, user)?]),
            _ => Err(Error::user(format!("{}: needs one argument, got {}", self.name, types.len()))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Binary)
    }

    fn answer_is_nullable(&self) -> bool {
        self.name == MERGE
    }

    fn groups(&self, _args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let sets = Sets { name: self.name, texts: UserTexts::default() };
        Ok(Box::new(StateGroups::new(sets, self.name == MERGE)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_field(name))
    }

    fn sliding(&self) -> Option<Box<dyn Accumulator>> {
        (self.name == MERGE).then(|| Box::new(Window::new(MERGE)) as _)
    }
}

/// The set of a group.
enum Set {
    Nobody,
    Ids(Ids),
    /// Numbers of texts.
    Texts(RoaringBitmap, Measure),
}

#[derive(Default)]
struct Ids {
    ids: RoaringTreemap,
    measure: Measure,
}

/// How large a set is, which costs a walk over it: measured anew each time it has grown by an eighth.
#[derive(Default)]
struct Measure {
    members: u64,
    next: u64,
    bytes: usize,
}

impl Measure {
    #[inline]
    fn grown(&mut self, by: u64, bytes: impl FnOnce() -> usize) {
        self.members += by;
        if self.members >= self.next {
            self.renew(self.members, bytes());
        }
    }

    fn renew(&mut self, members: u64, bytes: usize) {
        *self = Self { members, next: members + members / 8 + 16, bytes };
    }
}

/// A part of a treemap with its place in the tree, and a container.
const PART: usize = 64;
const CONTAINER: usize = 48;

fn bitmap_bytes(bitmap: &RoaringBitmap) -> usize {
    let told = bitmap.statistics();
    let inside = told.n_bytes_array_containers + told.n_bytes_bitset_containers + told.n_bytes_run_containers;
    inside as usize + told.n_containers as usize * CONTAINER
}

/// Bytes that a set of integers holds.
pub fn treemap_bytes(ids: &RoaringTreemap) -> usize {
    ids.bitmaps().map(|(_, part)| PART + bitmap_bytes(part)).sum()
}

impl Held for Set {
    fn bytes(&self) -> usize {
        match self {
            Self::Nobody => 0,
            Self::Ids(Ids { measure, .. }) | Self::Texts(_, measure) => measure.bytes,
        }
    }
}

/// The error of a set of both kinds.
pub fn mixed(name: &str) -> Error {
    Error::data(format!("{name}: a set of users is of integers or of texts, not of both"))
}

/// Sets of users, and the texts that they share.
struct Sets {
    name: &'static str,
    texts: UserTexts,
}

impl Sets {
    fn ids<'a>(&self, set: &'a mut Set) -> Result<&'a mut Ids, Error> {
        if let Set::Nobody = set {
            *set = Set::Ids(Ids::default());
        }
        match set {
            Set::Ids(ids) => Ok(ids),
            _ => Err(mixed(self.name)),
        }
    }

    fn add_id(&self, set: &mut Set, id: u64) -> Result<(), Error> {
        let Ids { ids, measure } = self.ids(set)?;
        if ids.insert(id) {
            measure.grown(1, || treemap_bytes(ids));
        }
        Ok(())
    }

    fn add_text(&mut self, set: &mut Set, text: &str) -> Result<(), Error> {
        if let Set::Nobody = set {
            *set = Set::Texts(RoaringBitmap::new(), Measure::default());
        }
        let Set::Texts(numbers, measure) = set else { return Err(mixed(self.name)) };
        let number = self.texts.number(text).ok_or_else(|| {
            Error::resources(format!("{}: more than 4 billion users that are texts in one partition", self.name))
        })?;
        if numbers.insert(number) {
            measure.grown(1, || bitmap_bytes(numbers));
        }
        Ok(())
    }
}

impl Fold for Sets {
    type State = Set;

    fn name(&self) -> &'static str {
        self.name
    }

    fn twin(&self) -> Self {
        Self { name: self.name, texts: UserTexts::default() }
    }

    fn fresh(&self) -> Set {
        Set::Nobody
    }

    fn update(
        &mut self,
        groups: &mut Groups<Self>,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let users = Column::read(&values[0]);
        for (row, group) in group_indices.iter().enumerate() {
            if users.is_valid(row) && passes(filter, row) {
                groups.change(
                    *group,
                    || Set::Nobody,
                    |set| match &users {
                        Column::Ids(ids) => self.add_id(set, ids.value(row) as u64),
                        Column::Unsigned(ids) => self.add_id(set, unsigned_id(self.name, ids.value(row))?),
                        Column::Texts(texts) => self.add_text(set, texts.value(row)),
                    },
                )?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, set: &mut Set, bytes: &[u8]) -> Result<()> {
        match Users::read(bytes).map_err(|fault| refused(self.name, &fault))? {
            Users::Nobody => {}
            Users::Ids(more) => {
                let Ids { ids, measure } = self.ids(set)?;
                *ids |= more;
                measure.renew(ids.len(), treemap_bytes(ids));
            }
            Users::Texts(texts) => texts.iter().try_for_each(|text| self.add_text(set, text))?,
        }
        Ok(())
    }

    fn write(&mut self, set: Set) -> Result<Vec<u8>> {
        Ok(match set {
            Set::Nobody => Users::Nobody.write(),
            Set::Ids(Ids { ids, .. }) => Users::Ids(ids).write(),
            Set::Texts(numbers, _) => write_texts(&self.texts.sorted(&numbers)),
        })
    }

    fn gave_out(&mut self, left: &mut [Option<Set>]) -> Result<()> {
        if left.is_empty() {
            self.texts = UserTexts::default();
            return Ok(());
        }
        if self.texts.count() <= MANY_TEXTS {
            return Ok(());
        }
        // Over ordered input groups come and go, and so do their texts.
        let mut sets: Vec<&mut RoaringBitmap> = Vec::new();
        let mut needed = 0;
        for set in left.iter_mut().flatten() {
            if let Set::Texts(numbers, _) = set {
                needed += numbers.len() as usize;
                sets.push(numbers);
            }
        }
        if self.texts.count() / 4 > needed {
            self.texts.keep(sets.into_iter());
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.texts.size()
    }
}
