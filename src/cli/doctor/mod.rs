//! `tenure doctor`: what is wrong with the data, before somebody counts on it.
//!
//! With a managed table's folder: what of it is damaged ([`damage`]). Without: what the tables of the session hold that makes answers wrong
//! or small ([`checks`]), each with what to do.

mod checks;
mod damage;
mod data;

use tokio::runtime::Handle;

use super::args::DoctorArgs;
use super::session::Stop;
use super::terminal::Terminal;
use crate::error::Error;

pub(super) async fn run(args: DoctorArgs, terminal: Terminal, queries: Handle) -> Result<(), Stop> {
    match &args.folder {
        Some(_) if args.workspace.is_some() || !args.tables.is_empty() || args.as_of.is_some() => {
            let message =
                "doctor looks for damage in a managed table's folder, or at what tables hold (-w, -t), not both";
            Err(Error::usage(message).hint("tenure doctor data/events, tenure doctor -t events=data/events").into())
        }
        Some(folder) => damage::run(folder, &args, terminal).await,
        None if args.verify => Err(Error::usage("--verify reads the files of a managed table: name its folder").into()),
        None => data::run(args, terminal, queries).await,
    }
}
