//! The command line: arguments in, statements run, results and errors out.
//!
//! Deals with: arguments, scripts, the prompt, subcommands, the terminal, exit codes. Does not deal with: what SQL means
//! (`engine`) or what formats look like (`output`). This module and `main` are the only ones that print or read the environment.

mod args;
mod compact;
mod demo;
mod doctor;
mod erase;
mod functions;
mod generate;
mod highlight;
mod ingest;
mod init;
mod interrupt;
mod pager;
mod panic;
mod presets;
mod progress;
mod repl;
mod report;
mod script;
mod session;
mod shell;
mod shown;
mod terminal;
mod vacuum;
mod words;

use std::process::ExitCode;

use crate::engine::{Engine, Settings};
use crate::error::{Error, Kind, Result};
use crate::output::Format;

pub use args::{Cli, parse};
pub use functions::functions_markdown;
pub use panic::install as install_panic_hook;

use args::Command;
use session::{OutFile, Session, Stop};
use terminal::Terminal;
use tokio::runtime::Handle;

/// The exit code of a report that is done and raised an alert.
const ALERT: u8 = 3;

/// Runs what the command line asks for. Queries run on `queries`, which may be busy for long; this future's own runtime must
/// stay free to hear signals.
pub async fn run(cli: Cli, queries: Handle) -> ExitCode {
    let terminal = Terminal::detect();
    interrupt::write_errors_are_told();
    match dispatch(cli, terminal, queries).await {
        Ok(()) | Err(Stop::BrokenPipe) => ExitCode::SUCCESS,
        Err(Stop::Alert) => ExitCode::from(ALERT),
        Err(Stop::Interrupted(signal)) => ExitCode::from(interrupt::exit_code(signal)),
        Err(Stop::Failed(error)) => {
            terminal.print_error(&error);
            ExitCode::from(if error.kind() == Kind::Usage { 2 } else { 1 })
        }
    }
}

async fn dispatch(cli: Cli, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    match cli.command {
        Some(Command::Functions(ref wanted)) => functions::run(wanted, terminal, queries).await,
        Some(Command::Presets(ref wanted)) => presets::run(wanted, terminal, queries).await,
        Some(Command::Generate(wanted)) => generate::run(wanted, terminal).await,
        Some(Command::Compact(wanted)) => compact::run(wanted, terminal).await,
        Some(Command::Erase(wanted)) => erase::run(wanted, terminal).await,
        Some(Command::Ingest(wanted)) => ingest::run(*wanted, terminal).await,
        Some(Command::Vacuum(wanted)) => vacuum::run(wanted, terminal).await,
        Some(Command::Doctor(wanted)) => doctor::run(wanted, terminal, queries).await,
        Some(Command::Init(wanted)) => init::run(wanted, terminal).await,
        Some(Command::Demo(wanted)) => demo::run(wanted, terminal, queries).await,
        Some(Command::Report(wanted)) => report::run(*wanted, terminal, queries).await,
        Some(Command::Completions(wanted)) => shell::completions(wanted.shell),
        Some(Command::Man) => shell::manual(),
        None => statements(cli, terminal, queries).await,
    }
}

/// `tenure` without a subcommand: the prompt on a terminal, else a script.
async fn statements(cli: Cli, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    let interactive = cli.inputs.is_empty() && terminal.interactive();
    let out = match &cli.output.file {
        Some(_) if interactive => {
            return Err(Error::usage("-o needs statements: give -c, -f or a script on standard input")
                .hint("at the prompt, \\o FILE sends the next result to a file")
                .into());
        }
        Some(path) => Some(OutFile::for_script(path, cli.output.format)?),
        None => None,
    };
    let scripts = match interactive {
        true => Vec::new(),
        false => script::read(&cli.inputs)?,
    };
    let settings = Settings {
        workspace: cli.session.workspace,
        tables: cli.session.tables,
        memory: cli.session.memory,
        threads: cli.session.threads,
        local_files: true,
        read_only: cli.session.read_only,
        options: cli.session.options,
    };
    let engine = Engine::open(&settings).await?;
    let mut session = Session::new(engine, terminal, queries.clone(), interactive);
    session.params = cli.session.params.into_iter().map(|(name, typed)| (name, typed.into())).collect();
    session.format = cli.output.format.or(out.as_ref().map(OutFile::format)).unwrap_or(session.format);
    session.expanded = cli.output.expanded;
    session.chart = cli.output.chart;
    if session.chart.is_some() && !matches!(session.format, Format::Table | Format::Svg) {
        let name = session.format.name();
        return Err(Error::usage(format!("--chart draws a table or svg, and the format is {name}")).into());
    }
    session.timing = cli.output.timing;
    session.quiet = cli.output.quiet;
    session.timeout = cli.session.timeout;
    session.out = out;
    interrupt::end_in_any_case(&queries, interactive)?;
    if interactive {
        return repl::run(&mut session).await;
    }
    script::run(&mut session, scripts).await
}
