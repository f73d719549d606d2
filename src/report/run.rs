//! One run of a report: each statement once, its rows to every output while they come.
//!
//! Deals with: sinks, the rows that the page and its pictures need, alerts, what an error names. Does not deal with: several runs, messages.
//! Only the first rows of a result are held, and what a picture takes; memory for the latter is asked of the session's pool.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::StreamExt;

use super::page::{self, Alert, Page, Table};
use super::staging::Staging;
use super::{Format, Given, Report, Section, Statement};
use crate::engine::{Condition, Engine, Params, ProgressMeter, Stop};
use crate::error::{Error, Result};
use crate::output::{
    self, Chart, Faults, Figure, ShownCell, Sink, Style, Watched, Workbook, flush_right, shown, sink, thousands,
};

/// Rows of a batch as files get them, however the query cuts them, so that the same rows give the same bytes.
const BATCH_ROWS: usize = 8192;

/// What a picture is made of at most.
const PICTURE_ROWS: usize = 20_000;
const PICTURE_BYTES: usize = 32 << 20;

/// What is to be done.
pub struct Job<'a> {
    /// The report.
    pub report: &'a Report,
    /// The values of its parameters.
    pub given: &'a Given,
    /// Where its statements run.
    pub engine: &'a Engine,
    /// The folder of the outputs.
    pub folder: PathBuf,
    /// What to write.
    pub formats: Vec<Format>,
    /// The page's template instead of the built-in one.
    pub template: Option<PathBuf>,
    /// A query of one BOOLEAN column that raises an alert where it answers true.
    pub condition: Option<String>,
}

/// How far a run is.
pub enum Step {
    /// A statement begins: its number and how many there are.
    Statement(usize, usize),
    /// Its rows can be counted.
    Running(ProgressMeter),
    /// What the answer wants said beside it.
    Note(String),
}

/// What a run did.
#[derive(Debug)]
pub struct Done {
    /// The files that it wrote.
    pub files: Vec<PathBuf>,
    /// The alerts that it raised, a sentence each.
    pub alerts: Vec<String>,
}

/// Runs a report once. Its outputs appear when all of it is done.
///
/// # Errors
/// A statement fails, a chart does not fit, an output cannot be written: nothing has changed then.
pub async fn run(job: Job<'_>, stop: &Stop, tell: &mut (dyn FnMut(Step) + Send)) -> Result<Done> {
    let Job { report, given, engine, .. } = &job;
    let template = page::Template::read(job.template.as_deref())?;
    let mut stem = report.stem();
    if let Some(run) = &given.run {
        stem = format!("{stem}_{run}");
    }
    let mut staging = Staging::create(&job.folder, &stem)?;
    let names = report.parameters.iter().map(|p| p.name.clone());
    let params: Params = names.zip(given.values.iter().map(|value| value.param.clone())).collect();
    let wants = |format: Format| job.formats.contains(&format);
    let mut outputs = Outputs {
        stem: &stem,
        formats: &job.formats,
        workbook: if wants(Format::Xlsx) { Some(Workbook::new(staging.hidden())?) } else { None },
    };
    let mut tables = Vec::new();
    let mut alerts = Vec::new();
    let of = report.statements.iter().filter(|s| s.section.is_some()).count();
    for statement in &report.statements {
        if statement.section.is_some() {
            tell(Step::Statement(tables.len() + 1, of));
        }
        let place = match &statement.section {
            Some(section) => format!("{}: '{}'", report.place(statement.line), section.name),
            None => report.place(statement.line),
        };
        let running = Running { report, engine, params: &params, place: &place, stop, number: tables.len() + 1 };
        let table = running.statement(statement, &mut outputs, &mut staging, tell).await?;
        let notes = engine.notes();
        for note in &notes {
            tell(Step::Note(format!("{place}: {note}")));
        }
        if let Some(mut table) = table {
            table.remarks.extend(notes);
            if let Some(alert) = table.alert.as_ref().filter(|alert| alert.rows > 0) {
                alerts.push(format!("{}: {} ({})", table.name, alert.condition, page::rows(alert.rows)));
            }
            tables.push(table);
        }
    }
    if let Some(condition) = &job.condition
        && holds(engine, condition, &params, stop).await?
    {
        alerts.push(condition.clone());
    }
    let page = Page::new(report, given, tables);
    if let Some(workbook) = outputs.workbook {
        let file = staging.open(&Report::file_name(&stem, None, Format::Xlsx))?;
        workbook.finish(&page.head(), BufWriter::new(file))?;
    }
    // Last, since it names the others.
    if wants(Format::Html) {
        let name = Report::file_name(&stem, None, Format::Html);
        let html = template.render(&page)?;
        let written = staging.open(&name)?.write_all(html.as_bytes());
        written.map_err(|e| Error::io("write", &job.folder.join(&name), &e))?;
    }
    Ok(Done { files: staging.commit()?, alerts })
}

/// Whether a query of one BOOLEAN column answers true in some row.
async fn holds(engine: &Engine, query: &str, params: &Params, stop: &Stop) -> Result<bool> {
    let wrong = || Error::usage(format!("--if takes a query of one BOOLEAN column, and '{query}' is not"));
    let mut answer = engine.run_until(stop, query, params).await.map_err(|e| e.at("--if"))?;
    let [field] = answer.schema.fields().as_ref() else { return Err(wrong()) };
    if field.data_type() != &arrow::datatypes::DataType::Boolean {
        return Err(wrong());
    }
    let mut true_rows = 0;
    while let Some(batch) = answer.stream.next().await {
        let batch = batch.map_err(|e| Error::from(e).at("--if"))?;
        true_rows +=
            batch.column(0).as_any().downcast_ref::<arrow::array::BooleanArray>().map_or(0, |c| c.true_count());
    }
    Ok(true_rows > 0)
}

/// What all statements write into.
struct Outputs<'a> {
    stem: &'a str,
    formats: &'a [Format],
    workbook: Option<Workbook>,
}

/// A file of one statement being written.
struct FileSink {
    name: String,
    sink: Box<dyn Sink>,
    faults: Faults,
}

struct Running<'a> {
    report: &'a Report,
    engine: &'a Engine,
    params: &'a Params,
    place: &'a str,
    stop: &'a Stop,
    /// Which table of the page it is, from 1.
    number: usize,
}

impl Running<'_> {
    fn at(&self, error: impl Into<Error>) -> Error {
        error.into().at(self.place)
    }

    async fn statement(
        &self,
        statement: &Statement,
        outputs: &mut Outputs<'_>,
        staging: &mut Staging,
        tell: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Option<Table>> {
        let mut answer =
            self.engine.run_until(self.stop, &statement.text, self.params).await.map_err(|e| self.at(e))?;
        let Some(section) = &statement.section else {
            while let Some(batch) = answer.stream.next().await {
                batch.map_err(|e| self.at(e))?;
            }
            return Ok(None);
        };
        if answer.schema.fields().is_empty() {
            return Err(self.at(Error::user("the statement returns no columns, and a report shows some")));
        }
        tell(Step::Running(answer.meter()));
        let schema = nullable(&answer.schema);
        let condition = self.condition(section, &schema)?;
        let mut held = self.held(section, &schema)?;
        let mut files = self.files(section, &schema, outputs, staging)?;
        if let Some(workbook) = &mut outputs.workbook {
            workbook.begin(&section.name, &schema).map_err(|e| self.at(e))?;
        }
        let mut even = BatchCoalescer::new(Arc::clone(&schema), BATCH_ROWS);
        let mut alert_rows = 0;
        let mut over = false;
        while !over {
            match answer.stream.next().await {
                Some(batch) => {
                    let batch = with_schema(&batch.map_err(|e| self.at(e))?, &schema).map_err(|e| self.at(e))?;
                    even.push_batch(batch).map_err(|e| self.at(e))?;
                }
                None => {
                    even.finish_buffered_batch().map_err(|e| self.at(e))?;
                    over = true;
                }
            }
            while let Some(batch) = even.next_completed_batch() {
                if let Some(condition) = &condition {
                    alert_rows += condition.rows(&batch).map_err(|e| self.at(e))?;
                }
                for file in &mut files {
                    file.sink.write(&batch).map_err(|e| self.explain(file, e))?;
                }
                if let Some(workbook) = &mut outputs.workbook {
                    workbook.write(&batch).map_err(|e| self.at(e))?;
                }
                held.take(batch).map_err(|e| self.at(e))?;
            }
        }
        if let Some(workbook) = &mut outputs.workbook {
            workbook.end().map_err(|e| self.at(e))?;
        }
        let mut names = Vec::new();
        for FileSink { name, sink, faults } in files {
            let done = sink.finish();
            if let Some(cause) = faults.take() {
                return Err(self.at(Error::io("write", std::path::Path::new(&name), &cause)));
            }
            done.map_err(|e| self.at(e))?;
            names.push(name);
        }
        let alert =
            section.alert.as_ref().map(|(condition, _)| Alert { condition: condition.clone(), rows: alert_rows });
        held.table(section, &schema, names, alert).map(Some).map_err(|e| self.at(e))
    }

    /// The alert as a condition over these columns.
    fn condition(&self, section: &Section, schema: &SchemaRef) -> Result<Option<Condition>> {
        let read = |(text, line): &(String, u64)| {
            self.engine
                .condition(text, schema, self.params)
                .map_err(|e| e.at(format!("{}: alert", self.report.place(*line))))
        };
        section.alert.as_ref().map(read).transpose()
    }

    /// Room for what the page shows; a chart that was asked for and does not fit is an error before any row.
    fn held(&self, section: &Section, schema: &SchemaRef) -> Result<Held> {
        let fits = |(chart, line): (Chart, u64)| match chart {
            Chart::Fitting => Ok(Some(chart).filter(|chart| chart.fits(schema))),
            Chart::Of(_) => match Figure::of(schema, &[], chart) {
                Ok(_) => Ok(Some(chart)),
                Err(e) => Err(e.at(format!("{}: '{}'", self.report.place(line), section.name))),
            },
        };
        let chart = section.chart.map_or(Ok(None), fits)?;
        let pool = &self.engine.context().runtime_env().memory_pool;
        Ok(Held {
            chart,
            pictured: Vec::new(),
            too_much: false,
            memory: MemoryConsumer::new("picture of a report").register(pool),
            number: self.number,
            shown: Vec::new(),
            most_shown: section.rows,
            rows: 0,
        })
    }

    fn files(
        &self,
        section: &Section,
        schema: &SchemaRef,
        outputs: &Outputs<'_>,
        staging: &mut Staging,
    ) -> Result<Vec<FileSink>> {
        let formats = [(Format::Parquet, output::Format::Parquet), (Format::Csv, output::Format::Csv)];
        let wanted = formats.into_iter().filter(|(format, _)| outputs.formats.contains(format));
        wanted
            .map(|(format, as_output)| {
                let name = Report::file_name(outputs.stem, Some(section), format);
                let faults = Faults::default();
                let writer = BufWriter::with_capacity(1 << 16, Watched::new(staging.open(&name)?, &faults));
                let sink = sink(as_output, schema, Style::default(), writer).map_err(|e| self.at(e))?;
                Ok(FileSink { name, sink, faults })
            })
            .collect()
    }

    fn explain(&self, file: &FileSink, error: Error) -> Error {
        let cause = file.faults.take();
        self.at(cause.map_or(error, |cause| Error::io("write", std::path::Path::new(&file.name), &cause)))
    }
}

/// What of a result stays in memory.
struct Held {
    chart: Option<Chart>,
    /// Rows for the picture.
    pictured: Vec<RecordBatch>,
    /// Whether there are more of them than a picture takes.
    too_much: bool,
    memory: MemoryReservation,
    /// For the picture's id: names of other alphabets are none.
    number: usize,
    /// Cells that the page shows.
    shown: Vec<Vec<ShownCell>>,
    most_shown: usize,
    rows: u64,
}

impl Held {
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let room = self.most_shown.saturating_sub(self.shown.len());
        if room > 0 {
            self.shown.extend(shown(&batch, room)?);
        }
        if self.chart.is_none() || self.too_much {
            return Ok(());
        }
        let bytes = batch.get_array_memory_size();
        if self.rows > PICTURE_ROWS as u64 || self.memory.size() + bytes > PICTURE_BYTES {
            self.too_much = true;
            self.pictured.clear();
            self.memory.free();
            return Ok(());
        }
        self.memory.try_grow(bytes)?;
        self.pictured.push(batch);
        Ok(())
    }

    fn table(self, section: &Section, schema: &SchemaRef, files: Vec<String>, alert: Option<Alert>) -> Result<Table> {
        let mut remarks = Vec::new();
        let picture = match self.chart {
            Some(_) if self.too_much => {
                let (rows, megabytes) = (thousands(PICTURE_ROWS as u64), PICTURE_BYTES >> 20);
                remarks.push(format!("No chart: it is made of {rows} rows and {megabytes} MiB at most"));
                None
            }
            Some(chart) if self.rows > 0 => {
                Some(Figure::of(schema, &self.pictured, chart)?.svg(&format!("figure-{}", self.number)))
            }
            _ => None,
        };
        Ok(Table {
            name: section.name.clone(),
            slug: section.slug.clone(),
            note: section.note.clone(),
            picture,
            columns: schema.fields().iter().map(|f| output::escape(f.name()).into_owned()).collect(),
            flush_right: flush_right(schema),
            shown: self.shown,
            rows: self.rows,
            files,
            alert,
            remarks,
        })
    }
}

/// The columns, any of which may hold NULL: a plan may call a column NOT NULL that is not.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)?)
}
