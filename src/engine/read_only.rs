//! A session for statements that somebody else wrote: they read the registered tables and do nothing else.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{LogicalPlan, Statement};

use crate::error::{Error, Result};

/// Settings of the machine: its memory, its folders.
fn is_of_runtime(setting: &str) -> bool {
    setting.trim().to_ascii_lowercase().starts_with("datafusion.runtime")
}

/// Refuses a plan that writes, makes or drops something, at whatever depth (`EXPLAIN ANALYZE` carries out what it explains).
pub fn check(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        let what = match node {
            LogicalPlan::Copy(_) => "COPY",
            LogicalPlan::Dml(_) => "a change of data",
            LogicalPlan::Ddl(_) => "CREATE and DROP",
            LogicalPlan::Statement(Statement::SetVariable(set)) if is_of_runtime(&set.variable) => {
                "SET datafusion.runtime"
            }
            LogicalPlan::Statement(Statement::ResetVariable(set)) if is_of_runtime(&set.variable) => {
                "RESET datafusion.runtime"
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        refused = Some(what);
        Ok(TreeNodeRecursion::Stop)
    })?;
    match refused {
        Some(what) => {
            Err(Error::user(format!("{what} is not allowed: the session is read-only"))
                .hint("run it without --read-only"))
        }
        None => Ok(()),
    }
}
