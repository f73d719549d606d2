//! The program: a runtime around `tenure::cli`.

use std::process::ExitCode;
use std::time::Duration;

use tenure::cli;

// Keeping freed pages longer (`mi_option_purge_delay`, 2 s in place of 10 ms) was tried: kernel time fell in some runs, the
// seconds of a query did not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// mimalloc's own, which the crate declares only with a feature that costs another build of it.
    fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// `mi_option_purge_delay` of mimalloc 3.
const PURGE_DELAY: std::ffi::c_int = 15;

/// Gives freed pages back within 10 ms, not a second: what an operator has spilled or handed on would else count beside what
/// the next one takes. And takes pages as they are: the allocator asks for huge ones, of which 2 MB are there when a byte is touched, and
/// again when most of one was given back; a query in 64 MB took 60 MB more for that.
fn keep_no_freed_pages() {
    // SAFETY: it stores a number in a table of options, whose bounds it checks, and no query has begun.
    unsafe { mi_option_set(PURGE_DELAY, 10) }
    #[cfg(target_os = "linux")]
    {
        let (on, unused): (std::ffi::c_ulong, std::ffi::c_ulong) = (1, 0);
        // SAFETY: it sets a flag of this process and takes no pointer. A kernel that does not know it changes nothing.
        unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, unused, unused, unused) };
    }
}

/// Evaluating deeply nested expressions recurses; pages that are not touched cost nothing.
const STACK: usize = 256 << 20;

fn main() -> ExitCode {
    cli::install_panic_hook();
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if cli.session.memory.is_some() {
        keep_no_freed_pages();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name("tenure").thread_stack_size(STACK);
    if let Some(threads) = cli.session.threads {
        runtime.worker_threads(threads);
    }
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start threads: {e}");
            return ExitCode::FAILURE;
        }
    };
    // Signals, timers and the prompt have a runtime of their own: a query that keeps every thread busy for a long step (a
    // join that explodes) would otherwise hold up Ctrl-C too.
    let control = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(control) => control,
        Err(e) => {
            eprintln!("error: cannot start a runtime: {e}");
            return ExitCode::FAILURE;
        }
    };
    let queries = runtime.handle().clone();
    // The panic hook has said what there is to say.
    let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| control.block_on(cli::run(cli, queries))));
    // Threads that are removing a file may end; a query that was stopped inside a long step is not waited for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code.unwrap_or(ExitCode::FAILURE)
}
