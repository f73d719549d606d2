//! Ctrl-C and the request to end, as something that a running statement can wait for.

use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, Result};

/// Number of the signal that Ctrl-C sends.
const INTERRUPT: u8 = 2;

/// Number of the request to end.
#[cfg(unix)]
const TERMINATE: u8 = 15;

/// How long a stopped query may take to tidy up.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Ends the process some time after a signal, however it is stuck then: a script may be blocked in a write to a pipe that
/// nobody reads.
pub(super) fn end_in_any_case(queries: &Handle) -> Result<()> {
    let _on_its_threads = queries.enter();
    let mut signals = Signals::listen(true)?;
    queries.spawn(async move {
        let signal = signals.next().await;
        tokio::time::sleep(GRACE + GRACE).await;
        std::process::exit(i32::from(exit_code(signal)));
    });
    Ok(())
}

/// Exit code after a signal, as shells count it.
pub(super) fn exit_code(signal: u8) -> u8 {
    128_u8.saturating_add(signal)
}

/// From its making on, the signals that it listens to no longer end the process.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    /// The request to end is listened to only where something must be tidied up: a prompt should just end.
    pub fn listen(terminate: bool) -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |e: std::io::Error| Error::internal(format!("cannot listen for signals: {e}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: terminate.then(|| signal(SignalKind::terminate())).transpose().map_err(failed)?,
        })
    }

    /// Waits for a signal that came after [`Signals::listen`], and gives its number.
    pub async fn next(&mut self) -> u8 {
        let terminate = async {
            match &mut self.terminate {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            _ = terminate => TERMINATE,
        }
    }
}

/// From its making on, the signals no longer end the process.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn listen(_terminate: bool) -> Result<Self> {
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
