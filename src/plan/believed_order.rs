//! Orders of files that their own statistics contradict are not believed.
//!
//! ```text
//! SELECT user_id, count(*) FROM events GROUP BY user_id      -- the file names sorting columns, but its row groups go back
//!
//! before: DataSourceExec: .., output_ordering=[user_id ASC]      after: DataSourceExec: ..
//! ```
//!
//! A file that names sorting columns may mean each row group alone: then it is read as unordered. An order that was declared
//! for a table is a promise, and a file that breaks it an error, which names the file and the row group.
//! Deals with: which is which, before any other rule has relied on an order. Does not deal with: what statistics say
//! (`store::file_order`), or rows within a row group, which are checked while they are read.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::Error;
use crate::exec::user_runs::DISBELIEVE;
use crate::files::parquet::parquet_scan;
use crate::store::file_order::StepBack;
use crate::store::footers::Footers;

/// The rule.
#[derive(Debug)]
pub struct BelievedOrder(pub Footers);

impl PhysicalOptimizerRule for BelievedOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let scan = plan.downcast_ref::<DataSourceExec>().and_then(parquet_scan);
            Ok(match scan.map(|scan| believed(scan, &self.0)).transpose()?.flatten() {
                Some(scan) => Transformed::yes(DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "believed_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan without the orders that do not hold; `None` where all may hold.
fn believed(scan: &FileScanConfig, footers: &Footers) -> Result<Option<FileScanConfig>> {
    let files = || scan.file_groups.iter().flat_map(FileGroup::iter);
    let promised = scan.output_ordering.first().filter(|order| !files().all(|file| names_itself(file, order)));
    let mut broken = false;
    for file in files() {
        if let Some(order) = promised
            && let Some(step) = step_back(scan, file, order, footers)
        {
            return Err(broken_promise(file, order.first(), &step).into());
        }
        broken |= breaks_its_own(scan, file, footers);
    }
    if !broken {
        return Ok(None);
    }
    let disbelieve = |file: &PartitionedFile| match breaks_its_own(scan, file, footers) {
        true => PartitionedFile { ordering: None, ..file.clone() },
        false => file.clone(),
    };
    let groups = scan.file_groups.iter().map(|group| FileGroup::new(group.iter().map(disbelieve).collect())).collect();
    let orders = if promised.is_some() { scan.output_ordering.clone() } else { Vec::new() };
    Ok(Some(FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).with_output_ordering(orders).build()))
}

fn breaks_its_own(scan: &FileScanConfig, file: &PartitionedFile, footers: &Footers) -> bool {
    file.ordering.as_ref().is_some_and(|order| step_back(scan, file, order, footers).is_some())
}

/// Whether the order is one that the file names itself.
fn names_itself(file: &PartitionedFile, order: &LexOrdering) -> bool {
    file.ordering
        .as_ref()
        .is_some_and(|own| own.len() >= order.len() && own.iter().zip(order.iter()).all(|(a, b)| a == b))
}

fn step_back(
    scan: &FileScanConfig,
    file: &PartitionedFile,
    order: &LexOrdering,
    footers: &Footers,
) -> Option<StepBack> {
    let first = order.first();
    let column = first.expr.downcast_ref::<Column>()?;
    let schema = scan.file_source().table_schema().table_schema();
    let field = schema.field_with_name(column.name()).ok()?;
    footers.step_back(scan.object_store_url.as_str(), &file.object_meta, field, first.options)
}

fn broken_promise(file: &PartitionedFile, order: &PhysicalSortExpr, step: &StepBack) -> Error {
    let column = order.expr.downcast_ref::<Column>().map_or("", Column::name);
    Error::data(format!(
        "file '{}': declared to be ordered by {column}, but {} in row group {} comes after {}",
        file.object_meta.location.filename().unwrap_or_default(),
        step.value,
        step.row_group,
        step.before,
    ))
    .hint(DISBELIEVE)
}
