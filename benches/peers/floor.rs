//! The floor: a loop written by hand for one funnel over one Parquet file ordered by (user, time).
//!
//! ```text
//! funnel_floor FILE THREADS RUNS WINDOW_MICROSECONDS STEP STEP STEP
//! ```
//!
//! Prints one JSON line for each run: the users that reach each step, and the seconds from opening the file to the answer.
//! It knows what no engine knows beforehand: the columns and their types, that the order holds, that each step is one event
//! name, that there is nothing to report but three numbers. What it does is the least that any reader of the file has to
//! do: decode three columns and look at each row once. Ties count as in the engine: events of one instant are unordered.
//! Deals with: being a yardstick for `run.py`. Does not deal with: NULLs, other types, wrong input.

use std::fs::File;
use std::time::Instant;

use arrow::array::{Array, AsArray, DictionaryArray, downcast_dictionary_array};
use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::file::statistics::Statistics;

const COLUMNS: [&str; 3] = ["user_id", "ts", "event"];
const NEVER: i64 = i64::MIN;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, threads, runs, window, steps @ ..] = arguments.as_slice() else {
        eprintln!("usage: funnel_floor FILE THREADS RUNS WINDOW_MICROSECONDS STEP STEP STEP");
        std::process::exit(2);
    };
    let number = |text: &String| text.parse::<i64>().expect("a number");
    let (threads, runs, window) = (number(threads) as usize, number(runs), number(window));
    let steps: [String; 3] = steps.to_vec().try_into().expect("three steps");
    for _ in 0..runs {
        let begun = Instant::now();
        let users = funnel(file, threads, window, &steps);
        println!("{{\"users\": {users:?}, \"seconds\": {:.4}}}", begun.elapsed().as_secs_f64());
    }
}

fn funnel(file: &str, threads: usize, window: i64, steps: &[String; 3]) -> [u64; 3] {
    let opened = File::open(file).expect("the file");
    let metadata = ArrowReaderMetadata::load(&opened, Default::default()).expect("a Parquet file");
    let groups = metadata.metadata().num_row_groups();
    let reached = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (from, to) = (groups * thread / threads, groups * (thread + 1) / threads);
                let metadata = metadata.clone();
                scope.spawn(move || part(file, metadata, from, to, window, steps))
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    reached.iter().fold([0; 3], |sum, part| [0, 1, 2].map(|i| sum[i] + part[i]))
}

/// The users that begin in the row groups `from..to`, read to their end.
fn part(
    file: &str,
    metadata: ArrowReaderMetadata,
    from: usize,
    to: usize,
    window: i64,
    steps: &[String; 3],
) -> [u64; 3] {
    let largest = |group: usize| match metadata.metadata().row_group(group).column(0).statistics() {
        Some(Statistics::Int64(users)) => *users.max_opt().expect("the largest user"),
        _ => panic!("no statistics of {}", COLUMNS[0]),
    };
    if from == to {
        return [0; 3];
    }
    // Users of the group before belong to the part before; the last user here may go on in the groups after.
    let (skip, last) = (from.checked_sub(1).map(largest), largest(to - 1));
    let groups = metadata.metadata().num_row_groups();
    let opened = File::open(file).expect("the file");
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata);
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
    let reader = builder.with_projection(mask).with_row_groups((from..groups).collect()).with_batch_size(8_192);
    let mut user = User { window, ..User::default() };
    let mut reached = [0; 3];
    for batch in reader.build().expect("a reader") {
        let batch = batch.expect("a batch");
        if !rows(&batch, steps, skip, last, &mut user, &mut reached) {
            break;
        }
    }
    user.end(&mut reached);
    reached
}

/// Looks at the rows of a batch; false when the last user of the part is over.
fn rows(
    batch: &RecordBatch,
    steps: &[String; 3],
    skip: Option<i64>,
    last: i64,
    user: &mut User,
    reached: &mut [u64; 3],
) -> bool {
    let users = batch.column(0).as_primitive::<Int64Type>().values();
    let times = batch.column(1).as_primitive::<TimestampMicrosecondType>().values();
    let events = batch.column(2);
    downcast_dictionary_array!(
        events => {
            let step_of = table(events, steps);
            let keys = events.keys().values();
            for at in 0..users.len() {
                if users[at] != user.id {
                    if users[at] > last {
                        return false;
                    }
                    user.end(reached);
                    *user = User { id: users[at], window: user.window, ..User::default() };
                }
                let step = step_of[keys[at].as_usize()];
                if step > 0 && skip.is_none_or(|skip| users[at] > skip) {
                    user.take(times[at], step);
                }
            }
        },
        _ => panic!("{} is no dictionary", COLUMNS[2])
    );
    true
}

/// For each value of the dictionary its step as a bit, 0 for none.
fn table<K: ArrowDictionaryKeyType>(events: &DictionaryArray<K>, steps: &[String; 3]) -> Vec<u8> {
    let values = events.values().as_string::<i32>();
    let bit = |at| steps.iter().position(|s| s == values.value(at)).map_or(0, |step| 1 << step);
    (0..values.len()).map(bit).collect()
}

/// One user: for each length the latest start of a chain that long, and the steps seen at the present instant.
struct User {
    id: i64,
    window: i64,
    starts: [i64; 2],
    now: i64,
    seen: u8,
    level: usize,
}

impl Default for User {
    fn default() -> Self {
        Self { id: i64::MIN, window: 0, starts: [NEVER; 2], now: NEVER, seen: 0, level: 0 }
    }
}

impl User {
    #[inline]
    fn take(&mut self, time: i64, step: u8) {
        if time != self.now {
            self.commit();
            self.now = time;
        }
        self.seen |= step;
    }

    /// What the events of the present instant make of the chains, in the order of the steps.
    #[inline]
    fn commit(&mut self) {
        let within = |start: i64| start != NEVER && self.now - start <= self.window;
        if self.seen & 1 > 0 {
            self.starts[0] = self.now;
            self.level = self.level.max(1);
        }
        if self.seen & 2 > 0 && within(self.starts[0]) {
            self.starts[1] = self.starts[0];
            self.level = self.level.max(2);
        }
        if self.seen & 4 > 0 && within(self.starts[1]) {
            self.level = 3;
        }
        self.seen = 0;
    }

    fn end(&mut self, reached: &mut [u64; 3]) {
        self.commit();
        reached[..self.level].iter_mut().for_each(|users| *users += 1);
        self.level = 0;
    }
}
