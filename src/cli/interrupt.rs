//! Ctrl-C and requests to end, as something that running work can wait for.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::terminal::Terminal;
use crate::error::{Error, Result};

/// Number of the signal that Ctrl-C sends.
pub(super) const INTERRUPT: u8 = 2;

/// Numbers of the other requests to end: the terminal has gone, the quit key, the request as such.
#[cfg(unix)]
const ENDS: [u8; 3] = [1, 3, 15];

/// How long a stopped query may take to tidy up.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Ends the process some time after a signal, however it is stuck then: a script may be blocked in a write to a pipe that
/// nobody reads. At a prompt Ctrl-C ends nothing.
pub(super) fn end_in_any_case(queries: &Handle, interactive: bool) -> Result<()> {
    let _on_its_threads = queries.enter();
    let mut signals = Signals::listen()?;
    queries.spawn(async move {
        let signal = loop {
            let signal = signals.next().await;
            if !(interactive && signal == INTERRUPT) {
                break signal;
            }
        };
        tokio::time::sleep(GRACE + GRACE).await;
        std::process::exit(i32::from(exit_code(signal)));
    });
    Ok(())
}

/// Ends the process some time after a limit has passed, unless what this gives is dropped before: the script may be blocked in a write.
pub(super) fn end_after(queries: &Handle, limit: Duration, error: Error, terminal: Terminal) -> Watch {
    let watch = queries.spawn(async move {
        tokio::time::sleep(limit + GRACE + GRACE).await;
        terminal.print_error(&error);
        std::process::exit(1);
    });
    Watch(watch.abort_handle())
}

/// What ends the process, as long as this lives.
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A limit of sizes is an error of the write that passes it, and not the end of the process, which would leave half a file.
#[cfg(unix)]
pub(super) fn write_errors_are_told() {
    /// `SIGXFSZ`.
    const TOO_LARGE: i32 = libc::SIGXFSZ;
    let kind = tokio::signal::unix::SignalKind::from_raw(TOO_LARGE);
    // From its making on, the signal does nothing.
    let _ = tokio::signal::unix::signal(kind);
}

#[cfg(not(unix))]
pub(super) fn write_errors_are_told() {}

/// Exit code after a signal, as shells count it.
pub(super) fn exit_code(signal: u8) -> u8 {
    128_u8.saturating_add(signal)
}

/// From its making on, the signals that it listens to no longer end the process.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    ends: Vec<(u8, tokio::signal::unix::Signal)>,
}

#[cfg(unix)]
impl Signals {
    pub fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e: std::io::Error| Error::internal(format!("cannot listen for signals: {e}"));
        let ends = ENDS.into_iter().filter(|number| !ignored(*number)).map(|number| {
            let kind = SignalKind::from_raw(i32::from(number));
            Ok((number, signal(kind).map_err(failed)?))
        });
        Ok(Self { interrupt: signal(SignalKind::interrupt()).map_err(failed)?, ends: ends.collect::<Result<_>>()? })
    }

    /// Waits for a signal that came after [`Signals::listen`], and gives its number.
    pub async fn next(&mut self) -> u8 {
        let ends = self.ends.iter_mut().map(|(number, signal)| {
            Box::pin(async move {
                signal.recv().await;
                *number
            })
        });
        let ends: Vec<_> = ends.collect();
        let ended = async {
            match ends.is_empty() {
                true => std::future::pending().await,
                false => futures::future::select_all(ends).await.0,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            number = ended => number,
        }
    }
}

/// Whether whoever started this program wants a signal to be ignored, as `nohup` does.
#[cfg(unix)]
fn ignored(number: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

/// Work that ends itself when it is asked to, and leaves things as they were.
pub(super) struct Stopping {
    /// The signal that came; 0 for none.
    asked: std::sync::Arc<std::sync::atomic::AtomicU8>,
}

impl Stopping {
    /// Listens from now on, for as long as the process lives. A second signal ends it at once.
    pub fn listen() -> Result<Self> {
        let mut signals = Signals::listen()?;
        let asked = std::sync::Arc::<std::sync::atomic::AtomicU8>::default();
        let told = std::sync::Arc::clone(&asked);
        tokio::spawn(async move {
            told.store(signals.next().await, std::sync::atomic::Ordering::Relaxed);
            let again = signals.next().await;
            std::process::exit(i32::from(exit_code(again)));
        });
        Ok(Self { asked })
    }

    /// What tells the work to end, from any thread.
    pub fn check(&self) -> impl Fn() -> Result<()> + Send + Sync + 'static {
        let asked = std::sync::Arc::clone(&self.asked);
        move || match asked.load(std::sync::atomic::Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(Error::resources("stopped; the table holds the rows that it held before")),
        }
    }

    /// The end of work: a signal that came explains its error.
    pub fn ended<T>(&self, done: Result<T>) -> Result<T, super::session::Stop> {
        match self.asked.load(std::sync::atomic::Ordering::Relaxed) {
            signal if signal > 0 && done.is_err() => Err(super::session::Stop::Interrupted(signal)),
            _ => Ok(done?),
        }
    }
}

/// From its making on, the signals no longer end the process.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn listen() -> Result<Self> {
        Ok(Self)
    }

    /// Waits for Ctrl-C.
    pub async fn next(&mut self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => INTERRUPT,
            Err(_) => std::future::pending().await,
        }
    }
}
