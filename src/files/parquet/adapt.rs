//! Expressions over the table's columns as expressions over a file's.
//!
//! Deals with: columns by name, columns that the file lacks (NULL), columns of another type there. Does not deal with: the conversion
//! itself (`convert`), or columns that stand in the file's path (the scan puts their values in place before).

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};
use datafusion::physical_plan::PhysicalExpr;

use super::convert::{Misfit, always, convert, relabelled};
use crate::error::Error;

/// Makes the adapter of a file.
#[derive(Debug, Default)]
pub struct ByName {
    /// Columns that the files call otherwise.
    pub renamed: Option<Arc<Renamed>>,
}

/// What files call columns, by what the table calls them, with the table's type in which fields of structs are called as in files.
pub type Renamed = HashMap<String, (String, DataType)>;

#[derive(Debug)]
struct Adapter {
    table: SchemaRef,
    file: SchemaRef,
    renamed: Option<Arc<Renamed>>,
}

impl PhysicalExprAdapterFactory for ByName {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(Adapter { table, file, renamed: self.renamed.clone() }))
    }
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => Ok(Transformed::yes(self.column(column)?)),
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

impl Adapter {
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let name = column.name();
        let wanted = self.table.field_with_name(name);
        let renamed = self.renamed.as_ref().and_then(|renamed| renamed.get(name));
        let in_file = renamed.map_or(name, |(in_file, _)| in_file.as_str());
        let Ok(at) = self.file.index_of(in_file) else {
            let null = ScalarValue::try_from(wanted?.data_type())?;
            return Ok(Arc::new(Literal::new(null)));
        };
        let here: Arc<dyn PhysicalExpr> = Arc::new(Column::new(in_file, at));
        let from = self.file.field(at).data_type();
        let Ok(wanted) = wanted else { return Ok(here) };
        let to = wanted.data_type();
        if from == to {
            return Ok(here);
        }
        // The engine reasons through such a cast: row groups and pages are left out as if the types were the same.
        if always(from, to) && !from.is_nested() {
            return Ok(Arc::new(CastExpr::new(here, to.clone(), None)));
        }
        let field = Arc::new(wanted.clone().with_nullable(true).with_metadata(Default::default()));
        let named = renamed.map(|(_, data_type)| data_type).filter(|_| to.is_nested()).cloned();
        Ok(Arc::new(Widened { column: here, field, named }))
    }
}

/// An expression with the values of a field's type, and what else the field says of itself.
pub fn as_field(expr: Arc<dyn PhysicalExpr>, field: FieldRef) -> Arc<dyn PhysicalExpr> {
    Arc::new(Widened { column: expr, field, named: None })
}

/// A column of a file with the values of the table's type.
#[derive(Debug, Eq)]
struct Widened {
    column: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    /// The same type with the names of the file, where these are others.
    named: Option<DataType>,
}

impl PartialEq for Widened {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.field == other.field && self.named == other.named
    }
}

impl Hash for Widened {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.field.hash(state);
    }
}

impl fmt::Display for Widened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.column, self.field.data_type())
    }
}

impl PhysicalExpr for Widened {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(true)
    }

    fn return_field(&self, _: &Schema) -> Result<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let to = self.field.data_type();
        let converted = match &self.named {
            Some(named) => convert(&array, named).and_then(|array| relabelled(&array, to)),
            None => convert(&array, to),
        };
        let converted = converted.map_err(|misfit| {
            let name = self.field.name();
            let error = match misfit {
                Misfit::Value(value) => Error::data(format!(
                    "column '{name}': {value} does not fit {to}, the type of the column in all files"
                )),
                Misfit::Types(why) => {
                    Error::data(format!("column '{name}': {} cannot be read as {to}: {why}", array.data_type()))
                }
            };
            DataFusionError::from(error)
        })?;
        Ok(ColumnarValue::Array(converted))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let column = children.pop().unwrap_or_else(|| Arc::clone(&self.column));
        Ok(Arc::new(Self { column, field: Arc::clone(&self.field), named: self.named.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
