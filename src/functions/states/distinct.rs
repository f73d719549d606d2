//! `distinct_hll_state`, `distinct_theta_state` and their merges: sketches that count distinct values and can be stored.
//!
//! Deals with: rows and stored sketches into a sketch for each group. Does not deal with: the sketches (`model::sketches`), functions
//! of a stored one (`distinct_readers`).
//!
//! Memory: what the sketches take, at most 2^lg_k bytes a group (HLL) or 16 times 2^lg_k (theta).

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{AggregateUDF, Expr, GroupsAccumulator};

use super::arguments::{Users as Column, coerce_state, integer_or_text, refused, unsigned_id};
use super::groups::{Fold, Groups, Held, StateGroups, state_field};
use crate::error::Error;
use crate::functions::columns::{literal_integer, passes};
use crate::functions::grouped::{GroupedFunction, aggregate};
use crate::model::sketches::hll::{self, Hll};
use crate::model::sketches::theta::{self, Theta};
use crate::model::sketches::{Read, Value};

/// Which sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sketch {
    /// HyperLogLog.
    Hll,
    /// Theta.
    Theta,
}

impl Sketch {
    /// The function that makes it.
    pub fn maker(self) -> &'static str {
        match self {
            Self::Hll => "distinct_hll_state",
            Self::Theta => "distinct_theta_state",
        }
    }

    fn lg_k(self) -> (u8, u8, u8) {
        match self {
            Self::Hll => hll::LG_K,
            Self::Theta => theta::LG_K,
        }
    }
}

/// The function.
pub fn distinct_hll_state() -> AggregateUDF {
    aggregate(Distinct { name: Sketch::Hll.maker(), sketch: Sketch::Hll, merges: false })
}

/// The function.
pub fn distinct_hll_merge() -> AggregateUDF {
    aggregate(Distinct { name: "distinct_hll_merge", sketch: Sketch::Hll, merges: true })
}

/// The function.
pub fn distinct_theta_state() -> AggregateUDF {
    aggregate(Distinct { name: Sketch::Theta.maker(), sketch: Sketch::Theta, merges: false })
}

/// The function.
pub fn distinct_theta_merge() -> AggregateUDF {
    aggregate(Distinct { name: "distinct_theta_merge", sketch: Sketch::Theta, merges: true })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Distinct {
    name: &'static str,
    sketch: Sketch,
    merges: bool,
}

impl Distinct {
    fn checked(&self, given: i64) -> Result<u8, Error> {
        let (least, usual, most) = self.sketch.lg_k();
        u8::try_from(given).ok().filter(|lg_k| (least..=most).contains(lg_k)).ok_or_else(|| {
            Error::user(format!("{}: lg_k must be from {least} to {most} (usually {usual}), got {given}", self.name))
        })
    }
}

impl GroupedFunction for Distinct {
    fn name(&self) -> &'static str {
        self.name
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error> {
        let name = self.name;
        let (first, rest) = match types {
            [first, rest @ ..] if rest.len() < 2 => (first, rest),
            _ => return Err(Error::user(format!("{name}: needs (value [, lg_k]), got {} arguments", types.len()))),
        };
        let value = if self.merges {
            coerce_state(name, 1, first, self.sketch.maker())?
        } else if first.is_floating() {
            DataType::Float64
        } else {
            integer_or_text(first).ok_or_else(|| {
                Error::user(format!("{name}: argument 1 (value) must be an integer, a text or a DOUBLE, got {first}"))
                    .hint("other values become texts with CAST(value AS TEXT)")
            })?
        };
        match rest {
            [] => Ok(vec![value]),
            [lg_k] if lg_k.is_integer() => Ok(vec![value, DataType::Int64]),
            [other] => Err(Error::user(format!("{name}: lg_k must be a whole number, got {other}"))),
            _ => Err(Error::user(format!("{name}: needs (value [, lg_k])"))),
        }
    }

    fn answer_type(&self, _types: &[DataType]) -> Result<DataType, Error> {
        Ok(DataType::Binary)
    }

    fn answer_is_nullable(&self) -> bool {
        self.merges
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let lg_k = match args.exprs.get(1) {
            Some(_) => Some(self.checked(literal_integer(self.name, "lg_k", args.exprs, 1)?)?),
            None => None,
        };
        let name = self.name;
        // Merged sketches of HyperLogLog take the size of the smallest, if no other is asked for.
        let sketches = Sketches { name, sketch: self.sketch, lg_k: lg_k.unwrap_or(self.usual()) };
        Ok(Box::new(StateGroups::new(sketches, self.merges)))
    }

    fn state_fields(&self, name: &str, _types: &[DataType]) -> Result<Vec<FieldRef>, Error> {
        Ok(state_field(name))
    }

    fn check(&self, arguments: &[Expr]) -> Result<(), Error> {
        match arguments.get(1) {
            Some(Expr::Literal(ScalarValue::Int64(Some(given)), _)) => self.checked(*given).map(drop),
            _ => Ok(()),
        }
    }
}

impl Distinct {
    fn usual(&self) -> u8 {
        match (self.sketch, self.merges) {
            (Sketch::Hll, true) => hll::LG_K.2,
            _ => self.sketch.lg_k().1,
        }
    }
}

/// A sketch of a group.
enum Growing {
    Hll(Hll),
    Theta(Theta),
}

impl Held for Growing {
    fn bytes(&self) -> usize {
        match self {
            Self::Hll(sketch) => sketch.size(),
            Self::Theta(sketch) => sketch.size(),
        }
    }
}

impl Growing {
    #[inline]
    fn add(&mut self, value: Value) -> Read<()> {
        match self {
            Self::Hll(sketch) => sketch.add(value),
            Self::Theta(sketch) => sketch.add(value),
        }
    }
}

struct Sketches {
    name: &'static str,
    sketch: Sketch,
    lg_k: u8,
}

impl Fold for Sketches {
    type State = Growing;

    fn name(&self) -> &'static str {
        self.name
    }

    fn twin(&self) -> Self {
        Self { ..*self }
    }

    fn fresh(&self) -> Growing {
        match self.sketch {
            Sketch::Hll => Growing::Hll(Hll::new(self.lg_k)),
            Sketch::Theta => Growing::Theta(Theta::new(self.lg_k)),
        }
    }

    fn update(
        &mut self,
        groups: &mut Groups<Self>,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let doubles = values[0].as_primitive_opt::<Float64Type>();
        let column = doubles.is_none().then(|| Column::read(&values[0]));
        for (row, group) in group_indices.iter().enumerate() {
            if values[0].is_null(row) || !passes(filter, row) {
                continue;
            }
            let value = match (doubles, &column) {
                (Some(doubles), _) => Value::Double(doubles.value(row)),
                (_, Some(Column::Ids(ids))) => Value::Integer(ids.value(row)),
                (_, Some(Column::Unsigned(ids))) => Value::Integer(unsigned_id(self.name, ids.value(row))? as i64),
                (_, Some(Column::Texts(texts))) => Value::Text(texts.value(row)),
                (None, None) => continue,
            };
            let added = groups.change(*group, || self.fresh(), |sketch| sketch.add(value));
            added.map_err(|fault| refused(self.name, &fault))?;
        }
        Ok(())
    }

    fn merge(&mut self, sketch: &mut Growing, bytes: &[u8]) -> Result<()> {
        let merged = match sketch {
            Growing::Hll(sketch) => sketch.merge(bytes),
            Growing::Theta(sketch) => sketch.merge(bytes),
        };
        Ok(merged.map_err(|fault| refused(self.name, &fault))?)
    }

    fn write(&mut self, sketch: Growing) -> Result<Vec<u8>> {
        let written = match sketch {
            Growing::Hll(mut sketch) => sketch.write(),
            Growing::Theta(mut sketch) => sketch.write(),
        };
        Ok(written.map_err(|fault| refused(self.name, &fault))?)
    }
}
