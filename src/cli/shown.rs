//! A result on its way to who asked: kept as the last result, shown on the screen, in a pager or in a file.
//!
//! Deals with: holding a table back until its end, so that the line below it tells what it took and a pager gets it whole; showing as
//! it comes what is too large for that. Does not deal with: running the query (`session`), formats (`output`).

use std::io::BufWriter;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::pager::{Paged, Shown as Paging};
use super::progress::Progress;
use super::session::{Rows, Session};
use crate::engine::{Keeper, LastResult};
use crate::error::{Error, Result};
use crate::output::{Faults, Format, Sink, Style, Took, Watched, sink};

/// One result.
pub(super) struct Shown {
    schema: SchemaRef,
    /// Where it is written, once that has begun.
    sink: Option<Box<dyn Sink>>,
    /// The pager that may stand behind the sink.
    paged: Option<Paged>,
    keeper: Option<Keeper>,
    /// Whether it becomes the last result.
    keeps: bool,
    /// The last result, shown again.
    again: Vec<RecordBatch>,
}

/// Whether the reader has left, so that nothing more is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Yes,
    No,
}

impl Shown {
    /// A result with these columns.
    pub fn begin(session: &mut Session, schema: &SchemaRef, keeps: bool, faults: &Faults) -> Result<Self> {
        let holds = session.shows_tables();
        let keeper = (keeps || holds).then(|| session.engine.keeper(schema));
        let sink = if holds { None } else { Some(session.open_sink(schema, None, faults)?) };
        Ok(Self { schema: schema.clone(), sink, paged: None, keeper, keeps, again: Vec::new() })
    }

    /// The last result, which stays that.
    pub fn of_last(session: &mut Session, last: &LastResult, faults: &Faults) -> Result<Self> {
        let kept = last.kept()?;
        let mut shown = Self {
            schema: kept.schema.clone(),
            sink: None,
            paged: None,
            keeper: None,
            keeps: false,
            again: kept.batches.clone(),
        };
        if !session.shows_tables() {
            let mut sink = session.open_sink(&kept.schema, None, faults)?;
            shown.again.drain(..).try_for_each(|batch| sink.write(&batch))?;
            shown.sink = Some(sink);
        }
        Ok(shown)
    }

    /// Whether nothing is written yet.
    pub fn holds_back(&self) -> bool {
        self.sink.is_none()
    }

    /// Takes the next rows.
    pub fn take(
        &mut self,
        session: &mut Session,
        batch: &RecordBatch,
        progress: &mut Progress,
        faults: &Faults,
    ) -> Result<Left> {
        let kept = self.keeper.as_mut().is_some_and(|keeper| keeper.take(batch));
        if self.sink.is_none() && !kept {
            // Too much to hold: from here on it is shown as it comes.
            progress.end();
            let before = self.keeper.as_mut().map(Keeper::give_up).unwrap_or_default();
            self.open(session, None, true, faults)?;
            self.write(before.iter())?;
        }
        if self.sink.is_some() {
            self.write(std::iter::once(batch))?;
        }
        Ok(if self.is_left() { Left::Yes } else { Left::No })
    }

    /// Writes rows until there are no more, or nobody who reads them.
    fn write<'a>(&mut self, batches: impl Iterator<Item = &'a RecordBatch>) -> Result<()> {
        for batch in batches {
            if self.is_left() {
                break;
            }
            if let Some(sink) = &mut self.sink {
                sink.write(batch)?;
            }
        }
        Ok(())
    }

    fn is_left(&self) -> bool {
        self.paged.as_ref().is_some_and(Paged::is_left)
    }

    /// Shows what was held back, and keeps it. Gives whether the line below the result told what it took.
    pub fn finish(mut self, session: &mut Session, took: Option<Took>, faults: &Faults) -> Result<bool> {
        let held = self.sink.is_none();
        let shown = if held { self.show_held(session, took, faults) } else { self.end(session) };
        if let Some(keeper) = self.keeper.take().filter(|_| self.keeps) {
            session.engine.keep(keeper);
        }
        shown?;
        Ok(held && took.is_some() && !self.is_plan())
    }

    fn show_held(&mut self, session: &mut Session, took: Option<Took>, faults: &Faults) -> Result<()> {
        for with_pager in [true, false] {
            self.open(session, took, with_pager, faults)?;
            // Put back at once: the pager may turn out not to run.
            let keeper = self.keeper.take();
            let again = std::mem::take(&mut self.again);
            let written = self.write(keeper.as_ref().map_or(&again[..], Keeper::batches).iter());
            (self.keeper, self.again) = (keeper, again);
            written?;
            let Some(sink) = self.sink.take() else { break };
            sink.finish()?;
            let Some(paged) = self.paged.take() else { break };
            match paged.end().map_err(pager_failed)? {
                Paging::Whole | Paging::Left => break,
                Paging::NotRun => not_run(session),
            }
        }
        Ok(())
    }

    fn end(&mut self, session: &mut Session) -> Result<()> {
        if let Some(sink) = self.sink.take() {
            sink.finish()?;
        }
        match self.paged.take().map(|paged| paged.end()) {
            Some(Ok(Paging::NotRun)) => {
                not_run(session);
                Ok(())
            }
            Some(Err(e)) => Err(pager_failed(e)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Opens a sink for a table on the screen, where it fits, or in the pager.
    fn open(&mut self, session: &mut Session, took: Option<Took>, with_pager: bool, faults: &Faults) -> Result<()> {
        let pager = session.pager.clone().filter(|_| with_pager && session.shows_tables());
        let (Some(pager), Some(screen)) = (pager, session.terminal.screen()) else {
            self.sink = Some(session.open_sink(&self.schema, took, faults)?);
            return Ok(());
        };
        let paged = Paged::new(pager, screen);
        let style = session.style(&self.schema);
        let max_rows = style.max_rows.filter(|_| session.rows != Rows::ByScreen);
        // A picture is drawn to the width of the screen, a table that the pager moves sideways is not.
        let width = style.width.filter(|_| style.chart.is_some());
        let style = Style { width, max_rows, took, ..style };
        let writer = BufWriter::with_capacity(1 << 16, Watched::new(paged.clone(), faults));
        self.sink = Some(sink(Format::Table, &self.schema, style, writer)?);
        self.paged = Some(paged);
        Ok(())
    }

    /// Plans have no line below them.
    fn is_plan(&self) -> bool {
        self.schema.fields().first().is_some_and(|field| field.name() == "plan_type")
    }
}

fn not_run(session: &Session) {
    let name = session.pager.as_ref().map(|pager| pager.name()).unwrap_or_default();
    session.terminal.print_warning(&format!("the pager '{name}' cannot be run; TENURE_PAGER or PAGER names another"));
}

fn pager_failed(error: std::io::Error) -> Error {
    Error::user(format!("the pager cannot be run: {error}")).hint("\\pager off prints results as they are")
}
