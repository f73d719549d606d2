//! What a defect of tenure looks like to a user: one line instead of a stack of frames.

use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use crate::error::Error;

static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Replaces the default report. A panic on the main thread is told at once; one inside a query is kept for
/// the session that ran the query, because it goes on. With `RUST_BACKTRACE` set the default report comes too, unless what panicked
/// decodes files: that is the file's fault.
pub fn install() {
    let default = std::panic::take_hook();
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0");
    std::panic::set_hook(Box::new(move |info| {
        if crate::error::is_quiet() {
            return;
        }
        let text = describe(info);
        if backtrace && !decodes(&text) {
            default(info);
        }
        if std::thread::current().name() == Some("main") {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "error: {}", crate::output::escape(&text));
        }
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
}

/// The last panic as an error.
pub(super) fn as_error() -> Error {
    let text = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    match text {
        // That crate only decodes what is in files, and takes some nonsense there for granted.
        Some(text) if decodes(&text) => {
            Error::data(format!("a Parquet file is damaged, its contents make no sense: {}", cause(&text)))
                .hint("tenure doctor DIR --verify finds the file in a managed table")
        }
        text => Error::internal(text.unwrap_or_else(|| "internal error; please report it".into())),
    }
}

/// The libraries that decode Parquet, in the place of a panic.
const DECODERS: [&str; 6] = ["(parquet-", "(brotli-", "(snap-", "(lz4_flex-", "(flate2-", "(miniz_oxide-"];

/// Whether a panic came from a library that decodes files.
fn decodes(text: &str) -> bool {
    DECODERS.iter().any(|library| text.contains(library))
}

/// What a panic said, without its place.
fn cause(text: &str) -> &str {
    let text = text.strip_prefix("internal error: ").unwrap_or(text);
    text.rsplit_once(" (").map_or(text, |(cause, _)| cause)
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("unknown cause");
    let place = info.location().map(|l| format!(" ({}:{})", source(l.file()), l.line())).unwrap_or_default();
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("internal error: {message}{place}; please report it")
}

/// A source file without the folders in which it lay when the program was built, which are nobody's business.
fn source(file: &str) -> &str {
    match file.split_once("/registry/src/") {
        Some((_, of_crate)) => of_crate.split_once('/').map_or(of_crate, |(_, rest)| rest),
        None => file.rsplit_once("/library/").map_or(file, |(_, rest)| rest),
    }
}
