//! `FROM events VERSION AS OF 3`, `TIMESTAMP AS OF '..'`, `FOR SYSTEM_TIME AS OF ..`: a managed table as it was.
//!
//! Deals with: which table and which version are meant. Does not deal with: reading them (`store::managed`).

use std::any::Any;
use std::sync::Arc;

use datafusion::catalog::CatalogProviderList;
use datafusion::common::ScalarValue;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlannerContext};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, ObjectName, TableAlias, TableVersion};

use super::call::{as_instant, fold, plan_table, scan, shown, wait_for};
use crate::error::{Error, Result};
use crate::store::managed::log::At;
use crate::store::managed::provider::ManagedTable;
use crate::store::managed::schema::time_type;

/// The plan of a table at a version.
pub fn plan(
    name: ObjectName,
    version: TableVersion,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
    catalogs: &dyn CatalogProviderList,
) -> Result<PlannedRelation> {
    let at = match version {
        TableVersion::VersionAsOf(written) => version_number(&constant("VERSION AS OF", written, context)?)?,
        TableVersion::TimestampAsOf(written) => moment("TIMESTAMP AS OF", &written.to_string(), written, context)?,
        TableVersion::ForSystemTimeAsOf(written) => {
            moment("FOR SYSTEM_TIME AS OF", &written.to_string(), written, context)?
        }
        other => {
            return Err(Error::user(format!("{name} {other}: not a version that tenure reads"))
                .hint("write VERSION AS OF 3 or TIMESTAMP AS OF '2026-11-01 12:00:00'"));
        }
    };
    let reference = context.object_name_to_table_reference(name.clone())?;
    let plan = plan_table("AS OF", name, context, catalogs)?;
    let provider = match &plan {
        LogicalPlan::TableScan(found) => source_as_provider(&found.source).ok(),
        _ => None,
    };
    let Some(provider) = provider else {
        return Err(Error::user(format!("AS OF: '{reference}' is no table; only managed tables keep versions")));
    };
    let Some(managed) = (provider.as_ref() as &dyn Any).downcast_ref::<ManagedTable>() else {
        return Err(Error::user(format!("AS OF: table '{reference}' is not a managed table, it keeps no versions"))
            .hint("tenure ingest makes managed tables"));
    };
    let old = wait_for(async { Ok(managed.at(at).await?) })?;
    Ok(PlannedRelation::new(scan(reference, Arc::new(old))?, alias))
}

fn constant(clause: &str, written: SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<ScalarValue> {
    let not_constant = Error::user(format!("{clause} needs a constant, got {written}"));
    match fold(context, written.clone()) {
        Ok(Expr::Literal(value, _)) => Ok(value),
        Ok(Expr::Placeholder(p)) => {
            Err(Error::user(format!("{clause}: parameter {} has no value", p.id)).hint("give it with -p name=value"))
        }
        Ok(_) => Err(not_constant),
        Err(e) => match e.find_root() {
            DataFusionError::SchemaError(..) => Err(not_constant),
            _ => Err(Error::user(format!("{clause} {written}: {}", Error::from(e).message()))),
        },
    }
}

fn version_number(value: &ScalarValue) -> Result<At> {
    let number = match value {
        ScalarValue::Int64(Some(n)) => u64::try_from(*n).ok(),
        ScalarValue::UInt64(Some(n)) => Some(*n),
        _ => None,
    };
    number
        .map(At::Version)
        .ok_or_else(|| Error::user(format!("VERSION AS OF needs a whole number from 0, got {}", shown(value))))
}

/// Text without a zone is UTC, as everywhere in a relation's arguments.
fn moment(clause: &str, text: &str, written: SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<At> {
    let value = constant(clause, written, context)?;
    match as_instant(&value, &time_type()) {
        Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) if !value.data_type().is_numeric() => {
            Ok(At::Time(micros))
        }
        _ => Err(Error::user(format!("{clause} needs a moment such as '2026-11-01 12:00:00', got {text}"))),
    }
}
