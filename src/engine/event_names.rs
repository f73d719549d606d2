//! The names of a table's events, for completion.
//!
//! Deals with: reading them within bounds of time and memory, and telling whether a table has changed since. Does not deal with: when
//! that is done (`cli`). Statements share no memory pool with it, and one thread reads.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::catalog::{MemoryCatalogProviderList, TableProvider};
use datafusion::common::{Column, TableReference};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{Expr, SessionContext};
use futures::StreamExt;

use super::Engine;
use crate::error::Result;
use crate::files::followed::Followed;
use crate::store::managed::provider::ManagedTable;
use crate::store::table::{CONVENTIONS, ROLE_KEY};

/// Names that are given, those of most events.
const MOST: usize = 20_000;

/// Names that are counted at once; with more, the rarer half is forgotten, and those as frequent as the most frequent of it.
const COUNTED: usize = 50_000;

/// Longer texts are not names.
const LONGEST: usize = 200;

/// Bytes that the read may reserve.
const MEMORY: usize = 64 << 20;

/// What a table held when its names were read.
#[derive(Clone)]
pub struct Stamp(Arc<dyn TableProvider>);

/// Names of events, those of most events first.
#[derive(Clone)]
pub struct EventNames {
    /// The names, each once.
    pub names: Arc<[String]>,
    /// What they were read of.
    pub stamp: Stamp,
}

impl Stamp {
    /// Whether the table holds the same.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.0.as_ref() as &dyn Any, other.0.as_ref() as &dyn Any);
        if let (Some(mine), Some(theirs)) = (mine.downcast_ref::<ManagedTable>(), theirs.downcast_ref()) {
            return mine.follows_the_same(theirs) && mine.log().version() == theirs.log().version();
        }
        if let (Some(mine), Some(theirs)) = (mine.downcast_ref::<Followed>(), theirs.downcast_ref()) {
            return mine.has_seen_the_same(theirs);
        }
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Engine {
    /// What a table holds now; nothing where there is no such table.
    pub async fn stamp(&self, table: &str) -> Option<Stamp> {
        self.context.table_provider(TableReference::bare(table)).await.ok().map(Stamp)
    }

    /// The names of a table's events, as far as they are found within `limit`; nothing where there is no such table or it has no
    /// column of events.
    pub async fn event_names(&self, table: &str, limit: Duration) -> Result<Option<EventNames>> {
        let Some(stamp) = self.stamp(table).await else { return Ok(None) };
        let schema = stamp.0.schema();
        let declared = schema.fields().iter().find(|f| f.metadata().get(ROLE_KEY).is_some_and(|role| role == "event"));
        let by_name = || {
            let names = CONVENTIONS.iter().find(|(role, _)| *role == "event").map_or(&[][..], |(_, names)| names);
            schema.fields().iter().find(|field| names.contains(&field.name().as_str()))
        };
        let Some(field) = declared.or_else(by_name) else { return Ok(None) };
        let state = self.context.state();
        let runtime = RuntimeEnvBuilder::from_runtime_env(state.runtime_env())
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(MEMORY)))
            .build_arc()?;
        let config = state.config().clone().with_target_partitions(1);
        // A state that is built puts an empty catalogue into its list: not into that of the session.
        let state = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_runtime_env(runtime)
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .build();
        let frame = SessionContext::new_with_state(state).read_table(Arc::clone(&stamp.0))?;
        let column = Expr::Column(Column::new_unqualified(field.name()));
        let mut rows = frame.select(vec![column])?.execute_stream().await?;
        let end = Instant::now() + limit;
        let mut counted = Counted::default();
        while let Ok(Some(batch)) = tokio::time::timeout_at(end.into(), rows.next()).await {
            counted.count(&batch?)?;
            if Instant::now() >= end {
                break;
            }
            // Whoever no longer wants the names is heard.
            tokio::task::yield_now().await;
        }
        Ok(Some(EventNames { names: counted.names(), stamp }))
    }
}

/// How often each name occurs.
#[derive(Default)]
struct Counted(HashMap<String, u64>);

impl Counted {
    fn count(&mut self, batch: &RecordBatch) -> Result<()> {
        let texts = cast(batch.column(0), &DataType::Utf8View)?;
        let texts = texts.as_string_view();
        for name in texts.iter().flatten().filter(|name| !name.is_empty() && name.len() <= LONGEST) {
            match self.0.get_mut(name) {
                Some(times) => *times += 1,
                None => {
                    if self.0.len() == COUNTED {
                        self.forget_the_rare();
                    }
                    self.0.insert(name.to_string(), 1);
                }
            }
        }
        Ok(())
    }

    fn forget_the_rare(&mut self) {
        let mut times: Vec<u64> = self.0.values().copied().collect();
        let (_, median, _) = times.select_nth_unstable(COUNTED / 2);
        let median = *median;
        self.0.retain(|_, times| *times > median);
    }

    /// By frequency; equals by the alphabet.
    fn names(self) -> Arc<[String]> {
        let mut names: Vec<(String, u64)> = self.0.into_iter().collect();
        names.sort_unstable_by(|(a, m), (b, n)| (Reverse(m), a).cmp(&(Reverse(n), b)));
        names.truncate(MOST);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;
    use crate::engine::{Params, Settings};

    const LIMIT: Duration = Duration::from_secs(60);

    async fn run(engine: &Engine, sql: &str) {
        let mut answer = engine.run(sql, &Params::new()).await.unwrap();
        while let Some(batch) = answer.stream.next().await {
            batch.unwrap();
        }
    }

    #[tokio::test]
    async fn names_come_by_frequency_and_are_read_anew_when_the_table_changes() {
        let engine = Engine::open(&Settings::default()).await.unwrap();
        run(
            &engine,
            "CREATE TABLE t AS SELECT * FROM (VALUES ('b'), ('a'), ('it''s'), ('b'), (NULL), ('')) AS v(event)",
        )
        .await;
        let found = engine.event_names("t", LIMIT).await.unwrap().unwrap();
        assert_eq!(found.names.as_ref(), ["b", "a", "it's"]);
        let now = engine.stamp("t").await.unwrap();
        assert!(found.stamp.is_of_the_same(&now));
        run(&engine, "CREATE OR REPLACE TABLE t AS SELECT 'c' AS event").await;
        let now = engine.stamp("t").await.unwrap();
        assert!(!found.stamp.is_of_the_same(&now));
        assert_eq!(engine.event_names("t", LIMIT).await.unwrap().unwrap().names.as_ref(), ["c"]);
        run(&engine, "CREATE TABLE numbers AS SELECT 1 AS n").await;
        assert!(engine.event_names("numbers", LIMIT).await.unwrap().is_none());
        assert!(engine.event_names("nobody", LIMIT).await.unwrap().is_none());
    }

    /// Far more names than are counted: those of many events stay, whatever comes between.
    #[test]
    fn the_most_frequent_stay() {
        let mut counted = Counted::default();
        let mut written = BTreeMap::new();
        for round in 0..40 {
            let rare = (0..COUNTED / 10).map(|at| format!("rare {round} {at}"));
            let frequent = (0..100).flat_map(|at| std::iter::repeat_n(format!("often {at:03}"), 3 + (100 - at)));
            let names: Vec<String> = rare.chain(frequent).collect();
            names.iter().filter(|n| n.starts_with("often")).for_each(|n| *written.entry(n.clone()).or_insert(0) += 1);
            let column: ArrayRef = Arc::new(StringArray::from(names));
            counted.count(&RecordBatch::try_from_iter([("event", column)]).unwrap()).unwrap();
            assert!(counted.0.len() <= COUNTED);
        }
        assert!(written.iter().all(|(name, times)| counted.0[name] == *times));
        let names = counted.names();
        assert!((100..=MOST).contains(&names.len()), "{}", names.len());
        assert!(names.iter().take(100).enumerate().all(|(at, name)| *name == format!("often {at:03}")));
    }
}
