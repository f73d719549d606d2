//! `tenure generate`: sample data of any size, with a progress bar.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::GenerateArgs;
use super::session::Stop;
use super::terminal::Terminal;
use crate::error::{Error, Result};
use crate::output::thousands;
use crate::sample::{GenerateOptions, Generated, Order, generate};

const TEMPLATE: &str =
    "{bar:24.cyan/dim} {percent:>3}%  {human_pos} of {human_len} events  {per_sec:.dim}  {elapsed}, {eta} left";

pub(super) async fn run(args: GenerateArgs, terminal: Terminal) -> Result<(), Stop> {
    let mut options = GenerateOptions::new(args.events, args.users, args.output);
    options.seed = args.seed;
    options.order = match args.order {
        super::args::EventOrder::Time => Order::Time,
        super::args::EventOrder::User => Order::User,
    };
    options.string_ids = args.string_ids;
    options.overwrite = args.overwrite;
    let made = on_a_thread(options, !args.quiet).await?;
    if !args.quiet {
        let [events, users, workspace] = made.files.each_ref().map(|f| f.display());
        terminal.print_note(&format!(
            "wrote {events} ({} rows), {users} ({} rows), {workspace}",
            thousands(made.events),
            thousands(made.users)
        ));
    }
    Ok(())
}

/// The generator computes for long stretches: it gets a thread that nothing else waits on.
pub(super) async fn on_a_thread(options: GenerateOptions, bar: bool) -> Result<Generated> {
    let work = tokio::task::spawn_blocking(move || {
        // indicatif hides a bar whose standard error is no terminal.
        let target = if bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(options.events), target);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("━━─"));
        }
        let made = generate(&options, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        made
    });
    match work.await {
        Ok(made) => made,
        Err(e) if e.is_panic() => Err(super::panic::as_error()),
        Err(e) => Err(Error::internal(format!("generate: {e}"))),
    }
}
