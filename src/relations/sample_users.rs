//! `FROM sample_users(...)`: the rows of a share of the users.
//!
//! Does not deal with: which users those are (`functions::plain_sql::in_sample`).

use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};

use super::Relation;
use super::argument::{Argument, Kind, docs};
use super::call::Call;
use super::roles::user_of;
use super::shared::{TABLE, USER};
use crate::error::Result;
use crate::functions::plain_sql::in_sample;
use crate::functions::{FunctionDoc, FunctionKind};

/// The relation.
#[derive(Debug)]
pub struct SampleUsers;

const SHARE: Argument = Argument::needed(
    "share",
    Kind::Number(0.0, 1.0),
    "The share of users, above 0: 0.1 is one in ten, 1 is everybody.",
);
const SEED: Argument = Argument::with_default("seed", Kind::Whole(0, i64::MAX), "0", "Another seed, other users.");

impl Relation for SampleUsers {
    fn arguments(&self) -> Vec<Argument> {
        vec![TABLE, SHARE, SEED, USER]
    }

    fn doc(&self) -> FunctionDoc {
        FunctionDoc {
            name: "sample_users",
            kind: FunctionKind::Relation,
            summary: "The rows of a share of the users, the same ones in every table and every run",
            syntax: "sample_users(table, share => 0.1 [, seed => 0])",
            arguments: docs(&self.arguments()),
            returns: vec![("the columns of the table", "As they are; rows whose user is NULL are left out.")],
            text: TEXT,
            example: "SELECT step, name, users\nFROM funnel((SELECT * FROM sample_users(events, share => 0.5)), steps => ['view_item', 'purchase'], within => INTERVAL '7 days')",
        }
    }

    fn plan(&self, call: &mut Call) -> Result<LogicalPlan> {
        let (user, _) = user_of(call)?;
        let share = call.number(&SHARE)?;
        if share == 0.0 {
            return Err(call.error("argument 'share' must be above 0, of which nobody would be left"));
        }
        let seed = call.whole(&SEED)?;
        let kept = in_sample().call(vec![user, lit(share), lit(seed)]);
        Ok(LogicalPlanBuilder::from(call.input().clone()).filter(kept)?.build()?)
    }
}

const TEXT: &str = "\
The same condition as `TABLESAMPLE (10 PERCENT)` and `in_sample(user, 0.1)`: users stay whole, a larger share holds every user of a \
smaller one, and nothing depends on files or threads. What is asked of a sample are estimates: shares are near those of all users, \
with the error of so many users, and counts are to be divided by the share. Over rows that are ordered by user they stay so.";
