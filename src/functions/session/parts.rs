//! The values kept with each event of a session: order key, page, campaign and the property of the session.
//!
//! Deals with: which field of the kept struct is which, the order of each part, giving parts back as columns.
//! Does not deal with: what the order decides (`algo::session`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::error::Result;

use crate::algo::session::Ranks;
use crate::functions::kept_values::KeptValues;

/// Names of the fields that are not properties.
pub const ORDER: &str = "order";
/// The page of an event.
pub const PAGE: &str = "page";
/// The campaign of an event.
pub const CAMPAIGN: &str = "campaign";

/// The name of a property's field.
pub fn by_field(name: &str) -> String {
    format!("by {name}")
}

/// The name of the field of the value of the first event of a session that has one.
pub fn first_field(name: &str) -> String {
    format!("first {name}")
}

/// The same for the last.
pub fn last_field(name: &str) -> String {
    format!("last {name}")
}

fn is_by(field: &Field) -> bool {
    field.name().starts_with("by ")
}

fn is_known(field: &Field) -> bool {
    field.name().starts_with("first ") || field.name().starts_with("last ")
}

/// The type of a part as it comes back. Texts come as views, which share the text of the distinct values: written out for
/// each view of a page, long addresses would take more room than Arrow's offsets reach.
fn part_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// The fields of an answer that come from the page (once for each name), as they come back.
pub fn page_fields(kept: Option<&Fields>, names: &[&str]) -> Vec<FieldRef> {
    let Some((_, page)) = kept.and_then(|kept| kept.find(PAGE)) else { return Vec::new() };
    names.iter().map(|name| Arc::new(Field::new(*name, part_type(page.data_type()), true))).collect()
}

/// The fields of an answer that come from the session's properties: those at its start, then those known first and last.
pub fn by_fields(kept: Option<&Fields>) -> Vec<FieldRef> {
    let of = |is: fn(&Field) -> bool| kept.into_iter().flatten().filter(move |field| is(field));
    of(is_by)
        .chain(of(is_known))
        .map(|field| Arc::new(Field::new(field.name(), part_type(field.data_type()), true)))
        .collect()
}

/// The parts of all kept values, each with its order. Grows with the values.
#[derive(Debug, Default)]
pub struct Parts {
    values: usize,
    order: Vec<u32>,
    page: Vec<u32>,
    campaign: Vec<u32>,
    by: Vec<u32>,
    known: Vec<Known>,
}

/// The value of the first or the last event of a session that has one.
#[derive(Debug)]
pub struct Known {
    /// The order of kept values by it; 0 where it is NULL.
    pub ranks: Vec<u32>,
    /// Whether the last event tells it.
    pub last: bool,
}

impl Parts {
    /// Learns of values that came since the last call.
    pub fn refresh(&mut self, kept: Option<&KeptValues>) -> Result<()> {
        let Some(kept) = kept else { return Ok(()) };
        if kept.count() == self.values {
            return Ok(());
        }
        let columns = kept.columns(0..kept.count())?;
        let named = |name: &str| kept.fields().find(name).map(|(at, _)| Arc::clone(&columns[at]));
        let by: Vec<ArrayRef> =
            kept.fields().iter().zip(&columns).filter(|(f, _)| is_by(f)).map(|(_, c)| Arc::clone(c)).collect();
        let single = |name| named(name).map_or(Ok(Vec::new()), |column| ranks(&[column]));
        (self.order, self.page, self.by) = (single(ORDER)?, single(PAGE)?, ranks(&by)?);
        self.campaign = named(CAMPAIGN).map_or(Ok(Vec::new()), |column| campaign_ranks(&column))?;
        let known = kept.fields().iter().zip(&columns).filter(|(field, _)| is_known(field));
        self.known = known
            .map(|(field, column)| {
                Ok(Known { ranks: campaign_ranks(column)?, last: field.name().starts_with("last ") })
            })
            .collect::<Result<_>>()?;
        self.values = kept.count();
        Ok(())
    }

    /// The values of the first and the last event that has one, in the order of [`by_fields`].
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// As the kernel reads them.
    pub fn ranks(&self) -> Ranks<'_> {
        Ranks { order: &self.order, page: &self.page, campaign: &self.campaign, by: &self.by }
    }
}

/// The place of each row among the distinct rows, from 1; NULL is the least. Nothing without columns.
pub fn ranks(columns: &[ArrayRef]) -> Result<Vec<u32>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let converter = RowConverter::new(columns.iter().map(|c| SortField::new(c.data_type().clone())).collect())?;
    let rows = converter.convert_columns(columns)?;
    let mut sorted: Vec<u32> = (0..rows.num_rows() as u32).collect();
    sorted.sort_unstable_by_key(|at| rows.row(*at as usize));
    let mut ranks = vec![0; sorted.len()];
    let (mut rank, mut before) = (0, None);
    for at in sorted {
        let row = rows.row(at as usize);
        rank += u32::from(before != Some(row));
        ranks[at as usize] = rank;
        before = Some(row);
    }
    Ok(ranks)
}

/// The same of one column, with the kernel's mark of an unknown campaign for NULL.
pub fn campaign_ranks(campaign: &ArrayRef) -> Result<Vec<u32>> {
    let mut ranks = ranks(std::slice::from_ref(campaign))?;
    let nulls = campaign.logical_nulls();
    let unknown = nulls.iter().flat_map(|nulls| (0..nulls.len()).filter(|at| nulls.is_null(*at)));
    unknown.for_each(|at| ranks[at] = 0);
    Ok(ranks)
}

/// The columns of an answer that come from the page: one for each list of tags, in the order of [`page_fields`].
pub fn page_columns(kept: Option<&KeptValues>, tags: Vec<UInt32Array>) -> Result<Vec<ArrayRef>> {
    let Some(kept) = kept else { return Ok(Vec::new()) };
    let Some((at, _)) = kept.fields().find(PAGE) else { return Ok(Vec::new()) };
    let page = &kept.columns(0..kept.count())?[at];
    tags.iter().map(|tags| picked(page, tags)).collect()
}

/// The columns of an answer that come from the session's properties, in the order of [`by_fields`]; `known` has a list of tags
/// for each that a known value gives.
pub fn by_columns(kept: Option<&KeptValues>, tags: Vec<u32>, known: Vec<Vec<Option<u32>>>) -> Result<Vec<ArrayRef>> {
    let Some(kept) = kept else { return Ok(Vec::new()) };
    if !kept.fields().iter().any(|field| is_by(field) || is_known(field)) {
        return Ok(Vec::new());
    }
    let rows = tags.len();
    let tags = UInt32Array::from(tags);
    let columns = kept.columns(0..kept.count())?;
    let of = |is: fn(&Field) -> bool| kept.fields().iter().zip(&columns).filter(move |(field, _)| is(field));
    let mut properties = of(is_by).map(|(_, column)| picked(column, &tags)).collect::<Result<Vec<_>>>()?;
    // Where no user came, nobody knows how many there are.
    let mut known = known.into_iter();
    for (_, column) in of(is_known) {
        let tags = known.next().unwrap_or_else(|| vec![None; rows]);
        properties.push(picked(column, &UInt32Array::from(tags))?);
    }
    Ok(properties)
}

fn picked(values: &ArrayRef, tags: &UInt32Array) -> Result<ArrayRef> {
    let values = cast(values, &part_type(values.data_type()))?;
    if values.is_empty() {
        return Ok(arrow::array::new_null_array(values.data_type(), tags.len()));
    }
    Ok(take(&values, tags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray, StructArray};

    #[test]
    fn parts_are_ranked_each_for_itself() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (PAGE, Arc::new(StringArray::from(vec![Some("b"), Some("a"), Some("b"), None]))),
            (CAMPAIGN, Arc::new(Int64Array::from(vec![None, Some(5), Some(-1), Some(5)]))),
            ("by x", Arc::new(Int64Array::from(vec![1, 1, 0, 1]))),
            ("by y", Arc::new(Int64Array::from(vec![Some(2), None, Some(9), Some(2)]))),
        ];
        let fields: Fields = columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
        let columns = columns.into_iter().map(|(_, c)| c).collect();
        let column: ArrayRef = Arc::new(StructArray::new(fields.clone(), columns, None));
        let mut kept = KeptValues::new(&fields).unwrap();
        let mut tags = Vec::new();
        kept.number(&column, &[0, 1, 2, 3], &mut tags).unwrap();
        assert_eq!(tags, [0, 1, 2, 3]);
        let mut parts = Parts::default();
        parts.refresh(Some(&kept)).unwrap();
        let ranks = parts.ranks();
        assert_eq!(ranks.order, [0u32; 0]);
        assert_eq!(ranks.page, [3, 2, 3, 1]);
        assert_eq!(ranks.campaign, [0, 3, 2, 3]);
        assert_eq!(ranks.by, [3, 2, 1, 3]);
        let pages = page_columns(Some(&kept), vec![vec![Some(1), None, Some(3), Some(2)].into()]).unwrap();
        assert_eq!(pages[0].as_string_view().iter().collect::<Vec<_>>(), [Some("a"), None, None, Some("b")]);
        assert_eq!(by_columns(Some(&kept), vec![2], vec![]).unwrap().len(), 2);
    }
}
