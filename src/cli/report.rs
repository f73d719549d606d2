//! `tenure report`: runs a `.sql` report, once or for each value of a range, with progress, and says what crossed its line.
//!
//! Deals with: arguments, signals, progress, the summary of a range, `--list`. Does not deal with: what a report is (`report`).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::args::ReportArgs;
use super::interrupt::Signals;
use super::progress::Progress;
use super::session::{Stop, Task, print};
use super::terminal::Terminal;
use crate::config::{TenureOptions, Workspace};
use crate::engine::{Engine, Settings, Stop as StopPlanning};
use crate::error::{Error, Result};
use crate::output::thousands;
use crate::report::{Done, Format, Given, Job, Report, Step, given, run as run_once};

/// What a run's task sends.
enum Event {
    Step(Step),
    Done(Done),
}

pub(super) async fn run(args: ReportArgs, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    if args.list {
        return list(args.report.as_deref().unwrap_or(Path::new(".")), terminal);
    }
    let Some(path) = &args.report else { return Err(Error::usage("which report? name its .sql file").into()) };
    let report = Report::read(path)?;
    let mut formats = Vec::new();
    for name in &args.format {
        let format = Format::from_name(name)?;
        if formats.contains(&format) {
            return Err(Error::usage(format!("format '{name}' is named twice")).into());
        }
        formats.push(format);
    }
    let settings = Settings {
        workspace: args.session.workspace.clone(),
        tables: args.session.tables.clone(),
        memory: args.session.memory,
        threads: args.session.threads,
        local_files: true,
        read_only: args.session.read_only,
        options: args.session.options.clone(),
    };
    let engine = Engine::open(&settings).await?;
    let runs = given(&report, &args.session.params, today(&engine)?)?;
    let template = template(&args)?;
    let mut first = Some(engine);
    let ranged = runs.first().is_some_and(|run| run.run.is_some());
    let (mut failed, mut raised) = (Vec::new(), 0);
    for (at, given) in runs.iter().enumerate() {
        let named = given.run.as_deref().unwrap_or_default();
        if ranged && !args.quiet {
            terminal.print_note(&format!("{} of {}: {named}", at + 1, runs.len()));
        }
        let outcome = async {
            // Each run has a session of its own: views and settings of one are not those of the next.
            let engine = match first.take() {
                Some(engine) => engine,
                None => Engine::open(&settings).await?,
            };
            let work =
                Work { report: &report, given, engine, formats: &formats, template: template.as_deref(), args: &args };
            work.run(terminal, &queries).await
        };
        match outcome.await {
            Ok(done) => {
                for alert in &done.alerts {
                    terminal.print_warning(&format!("alert: {alert}"));
                }
                raised += usize::from(!done.alerts.is_empty());
                if !args.quiet {
                    done.files.iter().for_each(|file| terminal.print_note(&format!("wrote {}", file.display())));
                }
            }
            Err(Stop::Failed(error)) if ranged => {
                terminal.print_error(&error);
                failed.push(named.to_string());
            }
            Err(stop) => return Err(stop),
        }
    }
    if !failed.is_empty() {
        let (all, bad) = (thousands(runs.len() as u64), thousands(failed.len() as u64));
        let error = Error::data(format!("{bad} of {all} runs failed: {}", failed.join(", ")));
        return Err(Stop::Failed(error.hint("the others are written")));
    }
    if raised > 0 { Err(Stop::Alert) } else { Ok(()) }
}

/// One run.
struct Work<'a> {
    report: &'a Report,
    given: &'a Given,
    engine: Engine,
    formats: &'a [Format],
    template: Option<&'a Path>,
    args: &'a ReportArgs,
}

impl Work<'_> {
    async fn run(self, terminal: Terminal, queries: &Handle) -> Result<Done, Stop> {
        let mut signals = Signals::listen()?;
        let (sender, mut events) = mpsc::unbounded_channel();
        let stop = StopPlanning::default();
        let heard = stop.clone();
        let (report, given, engine) = (self.report.clone(), self.given.clone(), self.engine);
        let (folder, formats) = (self.args.output.clone(), self.formats.to_vec());
        let (template, condition) = (self.template.map(Path::to_path_buf), self.args.condition.clone());
        let task = Task::spawn(queries, stop, async move {
            let job = Job { report: &report, given: &given, engine: &engine, folder, formats, template, condition };
            // A send fails only when nobody listens any more.
            let mut tell = |step: Step| drop(sender.send(Event::Step(step)));
            let done = run_once(job, &heard, &mut tell).await?;
            let _ = sender.send(Event::Done(done));
            Ok(())
        });
        let wanted = terminal.stderr && !self.args.quiet;
        let mut progress = Progress::new(Instant::now(), wanted);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut began = Instant::now();
        let mut done = None;
        loop {
            let event = tokio::select! {
                biased;
                signal = signals.next() => {
                    task.stop().await;
                    return Err(Stop::Interrupted(signal));
                }
                event = events.recv() => event,
                _ = ticks.tick() => {
                    if let Some(limit) = self.args.session.timeout.filter(|limit| began.elapsed() > *limit) {
                        task.stop().await;
                        let error = Error::resources(format!("a statement was stopped after {} s", limit.as_secs()));
                        return Err(error.hint("--timeout sets the limit").into());
                    }
                    progress.tick();
                    continue;
                }
            };
            match event {
                Some(Event::Step(Step::Statement(number, of))) => {
                    progress.end();
                    began = Instant::now();
                    progress = Progress::new(began, wanted).labelled(format!("{number}/{of} "));
                }
                Some(Event::Step(Step::Running(meter))) => progress.measure(meter),
                Some(Event::Step(Step::Note(note))) => {
                    progress.erase();
                    terminal.print_warning(&note);
                }
                Some(Event::Done(what)) => done = Some(what),
                None => break,
            }
        }
        progress.end();
        task.finish().await?;
        done.ok_or_else(|| Stop::Failed(Error::internal("a report ended without a word")))
    }
}

/// Today in the time zone of the session.
fn today(engine: &Engine) -> Result<jiff::civil::Date> {
    let state = engine.context().state();
    let options = state.config_options().extensions.get::<TenureOptions>().cloned().unwrap_or_default();
    let zone = jiff::tz::TimeZone::get(&options.time_zone)
        .map_err(|e| Error::user(format!("tenure.time_zone is '{}': {e}", options.time_zone)))?;
    Ok(jiff::Timestamp::now().to_zoned(zone).date())
}

/// The template of the command line, or that of the workspace.
fn template(args: &ReportArgs) -> Result<Option<PathBuf>> {
    if args.template.is_some() {
        return Ok(args.template.clone());
    }
    let folder = args.session.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
    let (workspace, _) = Workspace::read(&folder, false)?;
    Ok(workspace.report.template.map(|template| folder.join(template)))
}

/// Reports in a folder and those below it, or one report: titles, parameters, statements.
fn list(place: &Path, terminal: Terminal) -> Result<(), Stop> {
    let mut files = Vec::new();
    find(place, &mut files)?;
    files.sort();
    let mut text = String::new();
    let mut broken = 0;
    for path in &files {
        let report = match Report::read(path) {
            Ok(report) => report,
            Err(error) => {
                terminal.print_error(&error);
                broken += 1;
                continue;
            }
        };
        text.push_str(&format!("{}  {}\n", terminal.name(&path.display().to_string()), terminal.name(&report.title)));
        for parameter in &report.parameters {
            let default = match &parameter.default {
                Some(default) => format!(" = {default}"),
                None => " (must be given)".into(),
            };
            let note = parameter.note.as_ref().map(|note| format!("  {note}")).unwrap_or_default();
            let line = format!("-p {} {}{default}{note}", parameter.name, parameter.data_type.name());
            text.push_str(&format!("    {}\n", terminal.name(&line)));
        }
        let names: Vec<&str> =
            report.statements.iter().filter_map(|s| s.section.as_ref().map(|s| s.name.as_str())).collect();
        text.push_str(&format!("    {}\n", terminal.name(&names.join(" · "))));
    }
    print(&text)?;
    match (broken, files.len()) {
        (0, 0) => Err(Error::data(format!("there is no .sql file in '{}'", place.display())).into()),
        (0, _) => Ok(()),
        (broken, all) => Err(Error::data(format!("{broken} of {all} reports cannot be read")).into()),
    }
}

fn find(place: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e: std::io::Error| Error::io("read", place, &e);
    if !std::fs::metadata(place).map_err(failed)?.is_dir() {
        files.push(place.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        // A link could lead back up.
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !hidden {
            find(&path, files)?;
        } else if !hidden && path.extension().is_some_and(|e| e == "sql") {
            files.push(path);
        }
    }
    Ok(())
}
