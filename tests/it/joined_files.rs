//! Filters that joins, limits and groups make while a query runs leave out parts of files: never one that they need, whichever columns
//! have the same name.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::ask::{Asked, rows};
use crate::oracle::seed;
use crate::program::Place;

/// Puts a file of many small row groups, ordered by its first column, in place of a table.
pub fn as_small_row_groups(asked: &Asked, place: &Place, name: &str) {
    let batches = asked.batches(&format!("SELECT * FROM {name}")).unwrap();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let sorted = take_record_batch(&all, &sort_to_indices(all.column(0), None, None).unwrap()).unwrap();
    let path = place.path(&format!("{name}.parquet"));
    write(&path, &sorted);
    asked.batches(&format!("DROP TABLE {name}")).unwrap();
    asked.batches(&format!("CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '{}'", path.display())).unwrap();
}

fn write(path: &std::path::Path, rows: &RecordBatch) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(4)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// DataFusion without the rules that push filters down.
fn without_pushdown() -> SessionContext {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
    let state = SessionStateBuilder::new().with_default_features().with_physical_optimizer_rules(rules).build();
    SessionContext::new_with_state(state)
}

fn one<'a>(random: &mut ChaCha8Rng, of: &[&'a str]) -> &'a str {
    of.choose(random).unwrap()
}

/// A statement whose rows have one order.
fn statement(random: &mut ChaCha8Rng) -> String {
    let random = &mut *random;
    let limit = one(random, &["", " LIMIT 3", " LIMIT 7"]);
    let down = one(random, &["", " DESC"]);
    let key = |random: &mut ChaCha8Rng| one(random, &["id", "u", "x"]);
    match random.random_range(0..8) {
        0 => {
            let (outer, inner) = (key(random), key(random));
            let exists = one(random, &["EXISTS", "NOT EXISTS"]);
            format!(
                "SELECT id, u, x FROM a WHERE {exists} (SELECT 1 FROM b WHERE b.{inner} = a.{outer}) ORDER BY u{down}, x, id{limit}"
            )
        }
        1 => {
            let all = one(random, &["UNION ALL", "UNION"]);
            let flipped = one(random, &["x, u", "u, x", "id, x"]);
            format!(
                "SELECT q.u, q.x, c.id FROM (SELECT u, x FROM a {all} SELECT {flipped} FROM b) AS q JOIN c ON c.{} = q.{} ORDER BY 1{down}, 2, 3{limit}",
                key(random),
                one(random, &["u", "x"])
            )
        }
        2 => {
            let by = one(random, &["x AS u, u AS x", "u, x", "id AS u, x"]);
            let keys = one(random, &["u", "x"]);
            let columns = by.split(", ").map(|c| c.split(' ').next().unwrap()).collect::<Vec<_>>().join(", ");
            format!(
                "SELECT q.u, q.x, q.n, c.id FROM (SELECT {by}, count(*) AS n FROM a GROUP BY {columns}) AS q JOIN c ON c.u = q.{keys} ORDER BY 1{down}, 2, 3, 4{limit}"
            )
        }
        _ => {
            let joins = ["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"];
            let (first, second) = (one(random, &joins), one(random, &joins));
            let more = one(random, &["", "", " AND a.u <> b.u", " AND a.x > b.x"]);
            let filter = one(
                random,
                &[
                    "",
                    "",
                    " WHERE coalesce(b.x, a.x) + coalesce(a.id, 0) > 9",
                    " WHERE a.u IS NOT DISTINCT FROM 4",
                    " WHERE b.u IS NOT DISTINCT FROM 4",
                    " WHERE b.u IS NULL",
                    " WHERE coalesce(c.u, 3) = 3",
                    " WHERE a.u = 4 OR b.u IS NULL",
                ],
            );
            format!(
                "SELECT a.id AS i, a.u, b.id, b.u, c.id, c.u FROM a {first} b ON a.{} = b.{}{more} {second} c ON c.{} = {}.{}{filter} ORDER BY 4{down}, 3, 2, 1, 5, 6{limit}",
                key(random),
                key(random),
                key(random),
                one(random, &["a", "b"]),
                key(random),
            )
        }
    }
}

#[test]
fn no_row_is_left_out_by_the_bounds_of_another_column() {
    let cases = std::env::var("TENURE_CASES").map_or(300, |n| n.parse().unwrap());
    let mut random = ChaCha8Rng::seed_from_u64(seed() ^ 0x4a4f);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut compared, mut found) = (0, 0);
    for round in 0..=cases / 100 {
        let place = Place::new();
        let (asked, plain) = (Asked::new(2), without_pushdown());
        for (name, count) in [("a", 60), ("b", 40), ("c", 6)] {
            let column = |random: &mut ChaCha8Rng, spread: i64| -> ArrayRef {
                let mut values: Vec<i64> = (0..count).map(|_| random.random_range(0..spread)).collect();
                // Bounds of row groups tell something only where values come in order.
                if random.random_bool(0.6) {
                    values.sort_unstable();
                }
                let value = |value: i64| (!random.random_bool(0.05)).then_some(value);
                Arc::new(values.into_iter().map(value).collect::<Int64Array>())
            };
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("id", Arc::new(Int64Array::from_iter_values(0..count))),
                ("u", column(&mut random, 12)),
                ("x", column(&mut random, 30)),
            ];
            let batch =
                RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
            let path = place.path(&format!("{name}.parquet"));
            write(&path, &batch);
            asked
                .batches(&format!("CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '{}'", path.display()))
                .unwrap();
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
            plain.register_table(name, Arc::new(table)).unwrap();
        }
        for _ in 0..100 {
            let sql = statement(&mut random);
            let want = runtime.block_on(async { plain.sql(&sql).await?.collect().await });
            let want = rows(&want.unwrap_or_else(|error| panic!("round {round}: {sql}: {error}")));
            let got = asked.rows(&sql);
            assert_eq!(got, want, "seed {}, round {round}: {sql}", seed());
            (compared, found) = (compared + 1, found + want.len());
        }
    }
    assert!(found > 5 * compared, "the statements hardly find anything: {found} rows of {compared}");
}

#[test]
fn a_condition_above_an_outer_join_stays_with_its_table() {
    let asked = Asked::new(2);
    asked
        .batches("CREATE TABLE s AS SELECT * FROM (VALUES (1, 'b', 5), (2, 'a', 1), (3, NULL, 2)) AS s(id, u, x)")
        .unwrap();
    asked
        .batches("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'b', 1), (20, 'b', 9), (30, 'c', 1)) AS t(id, u, x)")
        .unwrap();
    let sql =
        "SELECT a.id, c.id FROM s AS a RIGHT JOIN t AS c ON a.u = c.u AND a.x > c.x WHERE a.u IS NOT DISTINCT FROM 'b'";
    assert_eq!(asked.rows(sql), [["1", "1"]]);
}
