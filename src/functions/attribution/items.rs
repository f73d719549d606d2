//! What users add up to, as rows: a kind, the channels it is about, how many, and for how much.
//!
//! Deals with: writing and reading these rows. They are made to be added: rows of one kind and channels add up whatever
//! their order, without rounding; a sum that needs several doubles is several rows.
//! Does not deal with: what is made of the sums (`credits`).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, ListArray, StringArray, StructArray, UInt8Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Float64Type, UInt8Type};
use datafusion::error::Result;

use crate::algo::attribution::Credit;
use crate::error::Error;
use crate::functions::columns::list_of;

/// What a row is about. The numbers stand in partial states.
pub mod kind {
    /// Conversions and their value; no channel.
    pub const TOTAL: u8 = 0;
    /// Values without their signs; no channel.
    pub const MAGNITUDE: u8 = 1;
    /// Touches of a channel.
    pub const TOUCHES: u8 = 2;
    /// Users with a conversion that claims a touch of a channel.
    pub const USERS: u8 = 3;
    /// Converting paths that begin with a channel, and their values above zero.
    pub const START: u8 = 4;
    /// Moves from a channel to another on such paths, and these values.
    pub const TO: u8 = 5;
    /// Paths that end with a channel and convert, and these values.
    pub const CONVERTED: u8 = 6;
    /// Paths that end with a channel and do not convert.
    pub const LOST: u8 = 7;
    /// Conversions of paths with exactly these channels.
    pub const COALITION: u8 = 8;
    /// Paths that do not convert and begin with a channel.
    pub const LOST_START: u8 = 9;
    /// Moves from a channel to another on such paths.
    pub const LOST_TO: u8 = 10;
    /// Above `START`, `TO` and `CONVERTED`: values below zero, without the sign.
    pub const TAKEN: u8 = 7;
    /// Conversions without a touch, and their value; no channel.
    pub const UNTOUCHED: u8 = 14;
    /// Values above zero of conversions with one; no channel.
    pub const GAINED: u8 = 15;
    /// Values below zero of these, without the sign; no channel.
    pub const LOSSES: u8 = 16;
    /// And above: credit of a channel by the first, second, .. of the rules asked for.
    pub const RULE: u8 = 32;
}

/// The type of counts.
pub const PARTS: DataType = DataType::Decimal128(38, 0);

/// The fields of a row.
pub fn item_fields() -> Fields {
    vec![
        Field::new("kind", DataType::UInt8, false),
        Field::new("channels", DataType::new_list(DataType::Utf8, true), false),
        Field::new("parts", PARTS, false),
        Field::new("value", DataType::Float64, false),
    ]
    .into()
}

/// Rows being written.
#[derive(Debug)]
pub struct Items {
    kinds: Vec<u8>,
    text: Vec<u8>,
    text_ends: Vec<i32>,
    channel_ends: Vec<i32>,
    parts: Vec<i128>,
    values: Vec<f64>,
}

impl Default for Items {
    fn default() -> Self {
        let (kinds, text, parts, values) = Default::default();
        Self { kinds, text, text_ends: vec![0], channel_ends: vec![0], parts, values }
    }
}

/// Positions in a column as offsets, which have 31 bits.
pub fn offset(position: usize) -> Result<i32> {
    i32::try_from(position).map_err(|_| {
        Error::resources("attribution: more than 2 GB of credits in one partition; use more partitions").into()
    })
}

impl Items {
    /// Rows so far.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Adds a count.
    pub fn count<'a>(&mut self, kind: u8, channels: impl Iterator<Item = &'a str> + Clone, count: i128) -> Result<()> {
        self.row(kind, channels, count, 0.0)
    }

    /// Adds a count and a value: a row, and more where one double does not hold the value.
    pub fn credit<'a>(
        &mut self,
        kind: u8,
        channels: impl Iterator<Item = &'a str> + Clone,
        credit: &Credit,
    ) -> Result<()> {
        let mut values = credit.value.parts().iter();
        self.row(kind, channels.clone(), credit.parts, values.next().copied().unwrap_or(0.0))?;
        for value in values {
            self.row(kind, channels.clone(), 0, *value)?;
        }
        Ok(())
    }

    fn row<'a>(&mut self, kind: u8, channels: impl Iterator<Item = &'a str>, parts: i128, value: f64) -> Result<()> {
        for channel in channels {
            self.text.extend_from_slice(channel.as_bytes());
            self.text_ends.push(offset(self.text.len())?);
        }
        self.channel_ends.push(offset(self.text_ends.len() - 1)?);
        self.kinds.push(kind);
        self.parts.push(parts);
        self.values.push(value);
        Ok(())
    }

    /// The rows as columns.
    pub fn columns(self) -> Result<Vec<ArrayRef>> {
        let text = StringArray::try_new(
            arrow::buffer::OffsetBuffer::new(self.text_ends.into()),
            arrow::buffer::Buffer::from_vec(self.text),
            None,
        )?;
        Ok(vec![
            Arc::new(UInt8Array::from(self.kinds)),
            list_of(Arc::new(text), self.channel_ends),
            Arc::new(Decimal128Array::from(self.parts).with_data_type(PARTS)),
            Arc::new(Float64Array::from(self.values)),
        ])
    }

    /// The rows as one struct column.
    pub fn structs(self) -> Result<ArrayRef> {
        Ok(Arc::new(StructArray::try_new(item_fields(), self.columns()?, None)?))
    }
}

/// Rows being read.
pub struct ItemRows<'a> {
    kinds: &'a [u8],
    channels: &'a ListArray,
    text: &'a StringArray,
    parts: &'a [i128],
    values: &'a [f64],
}

impl<'a> ItemRows<'a> {
    /// Over the four columns.
    pub fn read(columns: &'a [ArrayRef]) -> Result<Self> {
        let [kinds, channels, parts, values] = columns else {
            return Err(Error::internal("attribution: a row of credits has four columns").into());
        };
        let channels = channels.as_list::<i32>();
        Ok(Self {
            kinds: kinds.as_primitive::<UInt8Type>().values(),
            channels,
            text: channels.values().as_string::<i32>(),
            parts: parts.as_primitive::<Decimal128Type>().values(),
            values: values.as_primitive::<Float64Type>().values(),
        })
    }

    /// A row: kind, channels, parts, value.
    pub fn row(&self, row: usize) -> (u8, impl Iterator<Item = &'a str>, i128, f64) {
        let offsets = self.channels.value_offsets();
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        let text = self.text;
        (self.kinds[row], (from..to).map(move |at| text.value(at)), self.parts[row], self.values[row])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let mut items = Items::default();
        let mut credit = Credit { parts: 7, ..Credit::default() };
        credit.value.add(1e20);
        credit.value.add(1.0);
        items.count(kind::TOTAL, std::iter::empty(), 3).unwrap();
        items.credit(kind::COALITION, ["a", "", "ö"].into_iter(), &credit).unwrap();
        assert_eq!(items.len(), 3);
        let columns = items.columns().unwrap();
        let rows = ItemRows::read(&columns).unwrap();
        let row = |at| {
            let (kind, channels, parts, value) = rows.row(at);
            (kind, channels.collect::<Vec<_>>(), parts, value)
        };
        assert_eq!(row(0), (kind::TOTAL, vec![], 3, 0.0));
        assert_eq!(row(1).1, ["a", "", "ö"]);
        assert_eq!((row(1).2 + row(2).2, row(1).3, row(2).3), (7, 1.0, 1e20));
    }
}
