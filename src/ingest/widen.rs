//! Types that are too narrow: those of a table that sources outgrow, and those of a load that values behind its sample outgrow.
//!
//! Deals with: which wider type holds both without loss. Does not deal with: writing a table's files anew (`store::retype`), or
//! beginning a load anew (`run`).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::columns::{Existing, Layout};
use super::drafts::Draft;
use super::mapping::Mapping;
use crate::files::reject::{Reject, shortened};
use crate::files::source::Source;
use crate::files::stored_types::common;

/// The type that a column of the table must get so that it holds what the sources show, where there is one without loss.
pub fn wider_than(draft: &Draft, table: &Existing) -> Option<Field> {
    let field = table.schema.field_with_name(&draft.name).ok()?;
    let roles = &table.roles;
    if [Some(&roles.user), Some(&roles.time), roles.event.as_ref()].contains(&Some(&draft.name)) {
        return None;
    }
    let suggested = draft.suggested().ok().filter(|_| draft.entry.data_type.is_none())?;
    let wider = widened(field.data_type(), &suggested)?;
    (wider != *field.data_type()).then(|| Field::new(field.name(), wider, true))
}

/// The least type that holds what both hold; `None` where there is none, or texts are involved.
fn widened(has: &DataType, comes: &DataType) -> Option<DataType> {
    use DataType as T;
    match (has, comes) {
        (has, comes) if has == comes || *comes == T::Null => Some(has.clone()),
        // Text shows no width: a number that a narrower column does not hold is its row's fault.
        (has, comes) if has.is_signed_integer() && comes.is_signed_integer() => Some(has.clone()),
        (has, T::Float32 | T::Float64) if has.is_signed_integer() || *has == T::Float32 => Some(T::Float64),
        (T::Decimal128(_, _), T::Decimal128(_, _)) => common(has, comes),
        (T::Struct(old), T::Struct(new)) => {
            let mut fields: Vec<Arc<Field>> = Vec::with_capacity(old.len());
            for field in old {
                let wider = match new.iter().find(|other| other.name() == field.name()) {
                    Some(other) => {
                        widened(field.data_type(), other.data_type()).unwrap_or_else(|| field.data_type().clone())
                    }
                    None => field.data_type().clone(),
                };
                fields.push(Arc::new(Field::new(field.name(), wider, true)));
            }
            let known = |name: &str| old.iter().any(|field| field.name() == name);
            fields.extend(new.iter().filter(|field| !known(field.name())).cloned());
            Some(T::Struct(fields.into()))
        }
        (T::List(old), T::List(new)) => {
            let item = widened(old.data_type(), new.data_type())?;
            Some(T::List(Arc::new(old.as_ref().clone().with_data_type(item))))
        }
        _ => None,
    }
}

impl Existing {
    /// The table with other types of some columns.
    pub fn with(&self, retyped: &[Field]) -> Self {
        let fields = self.schema.fields().iter().map(|field| match retyped.iter().find(|f| f.name() == field.name()) {
            Some(wider) => Arc::new(field.as_ref().clone().with_data_type(wider.data_type().clone())),
            None => Arc::clone(field),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { schema, ..self.clone() }
    }
}

impl Layout {
    /// Wider types for columns of which rejected rows have values that only a wider one holds: whole numbers then decimals, and
    /// identifiers that are no numbers. What the mapping says, and what a table has, stays.
    pub fn wider(
        &self,
        rejects: &[Reject],
        mapping: &Mapping,
        source: &Source,
    ) -> BTreeMap<String, (DataType, String)> {
        let mut wider = BTreeMap::new();
        for reject in rejects {
            let (Some(name), Some(value)) = (&reject.column, &reject.value) else { continue };
            let Some(at) = self.read.columns.iter().position(|c| c.name == *name) else { continue };
            let column = &self.read.columns[at];
            let said = mapping.columns.get(name).is_some_and(|entry| entry.data_type.is_some());
            if column.in_table || said || !column.data_type.is_integer() {
                continue;
            }
            let decimals = value.contains('.') && value.trim().parse::<f64>().is_ok_and(f64::is_finite);
            let data_type = match at == self.user {
                true => DataType::Utf8,
                false if decimals => DataType::Float64,
                false => continue,
            };
            let why =
                format!("because of '{}' in '{}' {} {}", shortened(value, 40), source.name, source.unit(), reject.line);
            wider.entry(name.clone()).or_insert((data_type, why));
        }
        wider
    }
}
