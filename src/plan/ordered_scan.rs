//! A scan cut for the one-pass aggregation: into consecutive ranges of rows, or of users where files overlap.
//!
//! Deals with: finding the Parquet scan below filters and projections, whether its files are in order, and cutting them into
//! ranges of about equal size. Does not deal with: verifying the order of rows (`exec` does, while it reads), where they
//! are cut (`row_cuts`, `user_cuts`).
//!
//! **When it applies.** The scan declares an order that begins with the user (`WITH ORDER`, `order = [..]` in the
//! workspace file, or the sorting columns that the files themselves name). One file, or several of which exact statistics
//! show that no user range reaches into another file except at its end, are ranges of rows; cuts may fall anywhere. Files that overlap, as a table has after daily appends, are ranges of users: their footers must be at hand.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::compute::SortOptions;
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning, PhysicalExpr};
use object_store::ObjectMeta;

use super::ordered_join::ordered_join;
use super::row_cuts;
use super::user_cuts::{self, UserCuts};
use crate::exec::by_value::by_value;
use crate::exec::files::Files;
use crate::exec::merge::Keys;
use crate::exec::order_check::OrderCheckExec;
use crate::exec::user_aggregate::Cut;
use crate::files::parquet::parquet_scan;
use crate::store::file_order::first_out_of_order;
use crate::store::footers::{self, Footers};

/// What the cuts depend on beside the plan.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub config: &'a ConfigOptions,
    pub footers: &'a Footers,
    /// Goes through a part of the plan in which nothing relies on the order, as the side of a join that is collected.
    pub beside: &'a dyn Fn(Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>,
}

/// An input rebuilt over ordered ranges.
pub struct OrderedInput {
    pub plan: Arc<dyn ExecutionPlan>,
    /// How its partitions hold the users.
    pub cut: Cut,
    /// How it is ordered by the user.
    pub order: SortOptions,
    /// The files, for messages.
    pub files: Files,
}

/// Rebuilds `plan` so that its partitions are ranges ordered by `column`; `None` where that cannot be.
pub fn ordered_input(plan: &Arc<dyn ExecutionPlan>, column: usize, known: Known) -> Result<Option<OrderedInput>> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        if filter.fetch().is_some() {
            return Ok(None);
        }
        let below = filter.projection().as_ref().map_or(Some(column), |p| p.get(column).copied());
        let condition = by_value(Arc::clone(filter.predicate()), &filter.input().schema())?;
        let plan: Arc<dyn ExecutionPlan> = Arc::new(FilterExecBuilder::from(filter).with_predicate(condition).build()?);
        return above(&plan, filter.input(), below, known);
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let below = projection.expr().get(column).and_then(|e| index_of(&e.expr));
        return above(plan, projection.input(), below, known);
    }
    if let Some(repartition) = plan.downcast_ref::<RepartitionExec>() {
        // It was put there to spread a scan of few partitions over the cores; the ranges do that.
        return match repartition.partitioning() {
            Partitioning::RoundRobinBatch(_) => ordered_input(repartition.input(), column, known),
            _ => Ok(None),
        };
    }
    if let Some(check) = plan.downcast_ref::<OrderCheckExec>() {
        // The aggregation checks for itself.
        return ordered_input(check.input(), column, known);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return ordered_join(join, column, known);
    }
    let Some(exec) = plan.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let Some(scan) = parquet_scan(exec) else { return Ok(None) };
    Ok(ranges(scan, column, known))
}

/// The operator `plan` over its rebuilt input.
fn above(
    plan: &Arc<dyn ExecutionPlan>,
    input: &Arc<dyn ExecutionPlan>,
    column: Option<usize>,
    known: Known,
) -> Result<Option<OrderedInput>> {
    let Some(column) = column else { return Ok(None) };
    let Some(below) = ordered_input(input, column, known)? else { return Ok(None) };
    let plan = replace_children_if_necessary(Arc::clone(plan), vec![below.plan])?;
    Ok(Some(OrderedInput { plan, ..below }))
}

fn index_of(expression: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    expression.downcast_ref::<Column>().map(Column::index)
}

/// The scan cut into ranges.
fn ranges(scan: &FileScanConfig, column: usize, known: Known) -> Option<OrderedInput> {
    if scan.limit.is_some() {
        return None;
    }
    let user = match scan.file_source().projection() {
        Some(projection) => index_of(&projection.as_ref().get(column)?.expr)?,
        None => column,
    };
    let files = whole_files(scan);
    let declared = |ordering: &LexOrdering| {
        let first = ordering.first();
        (index_of(&first.expr) == Some(user)).then_some(first.options)
    };
    let order = scan.output_ordering.iter().find_map(declared).or_else(|| {
        // Where the groups of files do not keep the order, the scan declares none, but each file still may.
        let mut orders = files.iter().map(|f| f.ordering.as_ref().and_then(declared));
        let first = orders.next()??;
        orders.all(|o| o == Some(first)).then_some(first)
    })?;
    if order.descending {
        return None;
    }
    let partitions = partitions(&files, known.config);
    let schema = scan.file_source().table_schema().table_schema();
    let column = Arc::new(Column::new(schema.fields().get(user)?.name(), user));
    let by = LexOrdering::new([PhysicalSortExpr::new(column, order)])?;
    let (names, groups, cut) = match consecutive(&files, user, order) {
        Some(files) => {
            let names = named_files(scan, files.iter(), &by);
            (names, row_cuts::cut(files, partitions, |file| row_groups(scan, file, known.footers)), Cut::Rows)
        }
        None => {
            let files = earliest_first(scan, files);
            let UserCuts { inputs, shares } = by_users(scan, &files, user, order, partitions, known.footers)?;
            (named_files(scan, files.iter(), &by), inputs, Cut::Users { shares: shares.into(), files: files.len() })
        }
    };
    let scan = FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(groups)
        .with_output_partitioning(None)
        .with_preserve_order(true)
        .build();
    Some(OrderedInput { plan: DataSourceExec::from_data_source(scan), cut, order, files: names })
}

/// The rows of a file's row groups; `None` where some of its rows are left out already, or its footer is not at hand.
fn row_groups(scan: &FileScanConfig, file: &PartitionedFile, footers: &Footers) -> Option<Vec<usize>> {
    if file.extension::<ParquetAccessPlan>().is_some() || file.extension::<ParquetRowSelection>().is_some() {
        return None;
    }
    let footer = footers.of(scan.object_store_url.as_str(), &file.object_meta)?;
    footer.row_groups().iter().map(|group| usize::try_from(group.num_rows()).ok()).collect()
}

/// Files in the order of what they are ordered by within a user, as of time, where statistics tell. Nothing depends on it, but
/// a user's events that come in the order of time need not be sorted.
fn earliest_first(scan: &FileScanConfig, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
    let mut orders = scan.output_ordering.iter().chain(files.iter().filter_map(|file| file.ordering.as_ref()));
    let within = orders.find_map(|order| order.get(1)).and_then(|by| index_of(&by.expr));
    let least = |file: &PartitionedFile| {
        let column = file.statistics.as_ref()?.column_statistics.get(within?)?;
        column.min_value.get_value().cloned()
    };
    let mut files: Vec<(Option<ScalarValue>, PartitionedFile)> = files.into_iter().map(|f| (least(&f), f)).collect();
    files.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
    files.into_iter().map(|(_, file)| file).collect()
}

/// Overlapping files cut into ranges of users.
fn by_users(
    scan: &FileScanConfig,
    files: &[PartitionedFile],
    user: usize,
    order: SortOptions,
    partitions: usize,
    footers: &Footers,
) -> Option<UserCuts> {
    let schema = scan.file_source().table_schema().table_schema();
    let field = schema.fields().get(user)?;
    Keys::new(field.data_type(), order).ok()??;
    let store = scan.object_store_url.as_str();
    let mut pieces = Vec::with_capacity(files.len());
    for file in files {
        if file.extension::<ParquetAccessPlan>().is_some() || file.extension::<ParquetRowSelection>().is_some() {
            return None;
        }
        let footer = footers.of(store, &file.object_meta)?;
        pieces.push((file.clone(), footers::pieces(&footer, field, order)?));
    }
    user_cuts::cut(&pieces, partitions)
}

/// How messages name the files of a scan, and the row of them that is not in this order.
pub fn named_files<'a>(
    scan: &FileScanConfig,
    files: impl Iterator<Item = &'a PartitionedFile>,
    order: &LexOrdering,
) -> Files {
    let mut files: Vec<ObjectMeta> = files.map(|f| f.object_meta.clone()).collect();
    files.dedup_by(|a, b| a.location == b.location);
    let name = |file: &ObjectMeta| file.location.filename().unwrap_or_default().to_string();
    let names = match files.as_slice() {
        [first, _, .., last] => format!("files '{}' to '{}'", name(first), name(last)),
        some => format!("file '{}'", some.iter().map(name).collect::<Vec<_>>().join("', '")),
    };
    let columns = order.iter().map(|by| Some((by.expr.downcast_ref::<Column>()?.name().to_string(), by.options)));
    let columns: Vec<(String, SortOptions)> = columns.map_while(|column| column).collect();
    let local = scan.object_store_url.as_str().starts_with("file:");
    Files::new(names, move || {
        let mut places = files.iter().filter(|_| local).map(|file| (file, first_out_of_order(file, &columns)));
        places.find_map(|(file, place)| {
            let place = place?;
            Some(format!("file '{}', row {} (row group {})", name(file), place.row, place.row_group))
        })
    })
}

/// The files of all groups, each once and whole.
fn whole_files(scan: &FileScanConfig) -> Vec<PartitionedFile> {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for file in scan.file_groups.iter().flat_map(FileGroup::iter) {
        if seen.insert(file.object_meta.location.to_string()) {
            files.push(PartitionedFile { range: None, ..file.clone() });
        }
    }
    files
}

/// The files in the order of their users, if their ranges do not overlap. NULL users stand at one end of the order, so only
/// the file at that end may hold some.
fn consecutive(files: &[PartitionedFile], user: usize, order: SortOptions) -> Option<Vec<PartitionedFile>> {
    if files.len() < 2 {
        return Some(files.to_vec());
    }
    let mut spans = Vec::with_capacity(files.len());
    for file in files {
        let statistics = file.statistics.as_ref()?;
        if statistics.num_rows == Precision::Exact(0) {
            continue;
        }
        let column = statistics.column_statistics.get(user)?;
        let (Precision::Exact(low), Precision::Exact(high), Precision::Exact(nulls)) =
            (&column.min_value, &column.max_value, &column.null_count)
        else {
            return None;
        };
        spans.push((low.clone(), high.clone(), *nulls > 0, file));
    }
    let compare = |a: &ScalarValue, b: &ScalarValue| a.partial_cmp(b).unwrap_or(Ordering::Equal);
    spans.sort_by(|a, b| compare(&a.0, &b.0).then_with(|| compare(&a.1, &b.1)));
    let in_order = spans.windows(2).all(|w| {
        let apart = w[0].1.partial_cmp(&w[1].0).is_some_and(Ordering::is_le);
        apart && !if order.nulls_first { w[1].2 } else { w[0].2 }
    });
    in_order.then(|| spans.into_iter().map(|(.., file)| file.clone()).collect())
}

/// How many partitions files of this size are worth, by DataFusion's own options.
fn partitions(files: &[PartitionedFile], config: &ConfigOptions) -> usize {
    let total: u64 = files.iter().map(|f| f.object_meta.size).sum();
    let wanted = config.optimizer.repartition_file_scans && total >= config.optimizer.repartition_file_min_size as u64;
    if wanted { config.execution.target_partitions.max(1) } else { 1 }
}
