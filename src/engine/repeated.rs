//! Statements that begin anew where a file that they read has been replaced meanwhile.
//!
//! Deals with: managed tables whose old files `tenure vacuum` removes, and folders whose files change, between the planning of a
//! statement and its reading. Does not deal with: a statement that has given rows already, which cannot take them back, and one that asks
//! for an old version, which finds when it is planned anew that it is gone.

use datafusion::error::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use super::{Answer, Engine, Params};
use crate::error::{Error, Result, is_stale};

/// How often a statement begins.
const TIMES: usize = 5;

/// Runs a statement, and again where what it was to read is gone.
pub async fn run(engine: &Engine, statement: &str, params: &Params) -> Result<Answer> {
    let mut missed = Missed::default();
    let answer = loop {
        match engine.once(statement, params).await {
            Err(error) if error.is_stale() && missed.another(error.message()) => {}
            done => break done?,
        }
    };
    if !answer.repeatable {
        return Ok(answer);
    }
    let Answer { schema, mut stream, plan, repeatable } = answer;
    let (engine, statement, params, columns) = (engine.clone(), statement.to_string(), params.clone(), schema.clone());
    let begun = async move {
        loop {
            match stream.try_next().await {
                Err(error) if is_stale(&error) && missed.another(&error.to_string()) => {
                    let again = engine.once(&statement, &params).await?;
                    if again.schema != columns {
                        let changed = Error::data("a table got other columns while the statement began");
                        return Err(DataFusionError::from(changed.hint("run the statement again")));
                    }
                    stream = again.stream;
                }
                first => {
                    let first = first?.map(Ok);
                    return Ok(futures::stream::iter(first).chain(stream));
                }
            }
        }
    };
    let stream = RecordBatchStreamAdapter::new(schema.clone(), futures::stream::once(begun).try_flatten());
    Ok(Answer { schema, stream: Box::pin(stream), plan, repeatable })
}

/// What was gone, each time.
#[derive(Default)]
struct Missed {
    times: usize,
    last: String,
}

impl Missed {
    /// Notes it, and tells whether to begin again: the same file missing twice will not come back.
    fn another(&mut self, what: &str) -> bool {
        self.times += 1;
        let new = self.last != what;
        self.last = what.to_string();
        new && self.times < TIMES
    }
}
