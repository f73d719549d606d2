//! Names of events that completion offers, read in the background.
//!
//! Deals with: when they are read, and that this holds up neither who types nor a statement. Does not deal with: reading
//! (`engine`), or where they fit (`completion`).
//!
//! The names of a table are read when they are first asked for. Later they are given at once, and looked after meanwhile: where the
//! table has changed they are read anew. A statement that starts ends what is being read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::engine::{Engine, EventNames};

/// How long a table is read; names that are not found until then are rare, or at its end.
const LIMIT: Duration = Duration::from_secs(5);

/// How long names are given without another look at the table.
const TRUSTED: Duration = Duration::from_secs(2);

/// The names of each table's events.
#[derive(Clone)]
pub(super) struct Events {
    engine: Engine,
    queries: Handle,
    tables: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Default)]
struct Known {
    names: Option<EventNames>,
    /// When the table was last looked at.
    looked: Option<Instant>,
    reading: Option<AbortHandle>,
}

impl Known {
    fn is_read(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| !reading.is_finished())
    }
}

impl Events {
    pub fn new(engine: Engine, queries: Handle) -> Self {
        Self { engine, queries, tables: Arc::default() }
    }

    /// The names of a table, those of most events first; nothing while they are being read.
    pub fn of(&self, table: &str) -> Option<Arc<[String]>> {
        let mut tables = self.tables.lock();
        let known = tables.entry(table.to_string()).or_default();
        let trusted = known.looked.is_some_and(|looked| looked.elapsed() < TRUSTED);
        if !trusted && !known.is_read() {
            let reading = self.queries.spawn(self.clone().look(table.to_string(), known.names.clone()));
            known.reading = Some(reading.abort_handle());
        }
        match &known.names {
            Some(names) => Some(Arc::clone(&names.names)),
            None if known.is_read() => None,
            None => Some(Arc::default()),
        }
    }

    /// Whether any table is being read.
    pub fn are_read(&self) -> bool {
        self.tables.lock().values().any(Known::is_read)
    }

    /// Ends what is being read.
    pub fn stop(&self) {
        for known in self.tables.lock().values_mut() {
            if let Some(reading) = known.reading.take() {
                reading.abort();
            }
        }
    }

    async fn look(self, table: String, known: Option<EventNames>) {
        let unchanged = match &known {
            Some(known) => {
                let now = self.engine.stamp(&table).await;
                now.is_some_and(|now| now.is_of_the_same(&known.stamp))
            }
            None => false,
        };
        // A table that cannot be read is an error when a statement reads it.
        let names = if unchanged { known } else { self.engine.event_names(&table, LIMIT).await.ok().flatten() };
        let mut tables = self.tables.lock();
        let entry = tables.entry(table).or_default();
        (entry.names, entry.looked) = (names, Some(Instant::now()));
        entry.reading = None;
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;
    use crate::engine::{Params, Settings};

    async fn run(engine: &Engine, sql: &str) {
        let mut answer = engine.run(sql, &Params::new()).await.unwrap();
        while let Some(batch) = answer.stream.next().await {
            batch.unwrap();
        }
    }

    async fn read(events: &Events, table: &str) -> Vec<String> {
        events.of(table);
        while events.are_read() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        events.of(table).unwrap().to_vec()
    }

    #[tokio::test]
    async fn names_are_read_once_and_anew_when_the_table_has_changed() {
        let engine = Engine::open(&Settings::default()).await.unwrap();
        run(&engine, "CREATE TABLE t AS SELECT 'a' AS event").await;
        let events = Events::new(engine.clone(), Handle::current());
        assert!(events.of("t").is_none(), "the first time they are still being read");
        assert_eq!(read(&events, "t").await, ["a"]);
        assert!(read(&events, "nobody").await.is_empty());
        run(&engine, "CREATE OR REPLACE TABLE t AS SELECT 'b' AS event").await;
        assert_eq!(read(&events, "t").await, ["a"], "trusted for a moment");
        events.tables.lock().get_mut("t").unwrap().looked = None;
        assert_eq!(events.of("t").unwrap().as_ref(), ["a"], "nobody waits for what is looked after");
        assert_eq!(read(&events, "t").await, ["b"]);
    }

    #[tokio::test]
    async fn a_statement_ends_what_is_being_read() {
        let engine = Engine::open(&Settings::default()).await.unwrap();
        run(&engine, "CREATE TABLE t AS SELECT 'a' AS event").await;
        let events = Events::new(engine, Handle::current());
        assert!(events.of("t").is_none());
        events.stop();
        assert!(!events.are_read());
        assert_eq!(read(&events, "t").await, ["a"], "the next one who asks has it read");
    }
}
