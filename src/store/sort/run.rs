//! Sorted runs in files.
//!
//! Deals with: writing rows that are in order to files that outlive the process, and reading ranges of users from them.
//! Does not deal with: which rows go into a run, or who remembers the names of its files.
//!
//! A run is one or several Arrow files ("pieces"), each with the users after those of the one before, so that several threads
//! can write one. Text of few values is numbered; the words that are new since the run before lie in a file of their own.
//! The footer of a piece lists the first user of each of its batches.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use serde::{Deserialize, Serialize};

use super::columns::{Columns, Rows};
use super::source::{Fence, Reader, Source, UserRange};
use crate::error::{Error, Result};
use crate::store::user_id::{UserId, UserRef, Users};

/// Key of the footer's list of fences.
const FENCES: &str = "tenure.fences";

/// A sorted run: the names of its files in the staging folder. A journal that keeps it can resume the sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Files of rows, in the order of their users.
    pub pieces: Vec<String>,
    /// The file of words, where there are new ones.
    pub words: Option<String>,
    /// Rows in all pieces.
    pub rows: u64,
    /// Earliest and latest time in microseconds since 1970.
    pub times: (i64, i64),
}

impl Run {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().chain(&self.words).map(String::as_str)
    }
}

fn unwritten(path: &Path, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, cause) => Error::io("write", path, &cause),
        other => Error::data(format!("cannot write '{}': {other}", path.display())),
    }
}

fn unread(path: &Path, error: ArrowError) -> Error {
    Error::data(format!("cannot read '{}': {error}", path.display()))
}

/// An Arrow file being written; dropped before its end, it is removed.
struct ArrowFile {
    path: PathBuf,
    writer: Option<FileWriter<BufWriter<File>>>,
}

impl ArrowFile {
    fn create(path: PathBuf, schema: &Schema) -> Result<Self> {
        let file = File::create_new(&path).map_err(|e| Error::io("create", &path, &e))?;
        let mut created = Self { path, writer: None };
        let writer = FileWriter::try_new(BufWriter::with_capacity(1 << 18, file), schema);
        created.writer = Some(writer.map_err(|e| unwritten(&created.path, e))?);
        Ok(created)
    }

    fn writer(&mut self) -> Result<&mut FileWriter<BufWriter<File>>> {
        self.writer.as_mut().ok_or_else(|| Error::internal("a run that has ended"))
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let path = self.path.clone();
        self.writer()?.write(batch).map_err(|e| unwritten(&path, e))
    }

    /// Ends the file and makes it durable.
    fn finish(mut self) -> Result<()> {
        let path = self.path.clone();
        self.writer()?.finish().map_err(|e| unwritten(&path, e))?;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let synced = match writer.into_inner() {
            Ok(buffer) => match buffer.into_inner() {
                Ok(file) => file.sync_all().map_err(|e| Error::io("write", &path, &e)),
                Err(error) => Err(Error::io("write", &path, error.error())),
            },
            Err(error) => Err(unwritten(&path, error)),
        };
        if synced.is_err() {
            let _ = std::fs::remove_file(&path);
        }
        synced
    }
}

impl Drop for ArrowFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a file of a run holds rows of one of these users; one that cannot be read may.
pub fn run_holds(path: &Path, column: &str, users: &[UserId]) -> bool {
    let found = || -> std::result::Result<bool, ArrowError> {
        let file = File::open(path)?;
        let at = FileReader::try_new(file.try_clone()?, None)?.schema().index_of(column)?;
        let wanted: HashSet<UserRef<'_>> = users.iter().map(UserId::as_ref).collect();
        for batch in FileReader::try_new(file, Some(vec![at]))? {
            let Ok(users) = Users::new(batch?.column(0)) else { return Ok(true) };
            let mut row = 0;
            while row < users.len() {
                if wanted.contains(&users.at(row)) {
                    return Ok(true);
                }
                row = users.run_end(row);
            }
        }
        Ok(false)
    };
    found().unwrap_or(true)
}

/// Writes a piece of a run; returns its name and how many rows it has. Without a row there is no piece.
pub(super) fn write_piece(
    staging: &Path,
    mut rows: impl FnMut(&mut Columns) -> Result<Option<Rows>>,
    columns: &mut Columns,
) -> Result<Option<(String, u64)>> {
    let name = format!("run-{}.arrow", uuid::Uuid::new_v4());
    let mut file: Option<(ArrowFile, Arc<Schema>)> = None;
    let mut fences: Vec<Fence> = Vec::new();
    while let Some(next) = rows(columns)? {
        if next.len == 0 {
            continue;
        }
        let (file, schema) = match &mut file {
            Some(file) => file,
            none => {
                let schema = Arc::new(columns.held_schema(&next));
                none.insert((ArrowFile::create(staging.join(&name), &schema)?, schema))
            }
        };
        fences.push((columns.users(&next)?.at(0).to_owned(), next.len as u64));
        // Rows in memory and of runs number no new words, so that the form of the columns stays what it was.
        file.write(&RecordBatch::try_new(Arc::clone(schema), next.columns)?)?;
    }
    let Some((mut file, _)) = file else { return Ok(None) };
    let text = serde_json::to_string(&fences).map_err(|e| Error::internal(e.to_string()))?;
    file.writer()?.write_metadata(FENCES, text);
    file.finish()?;
    Ok(Some((name, fences.iter().map(|(_, rows)| rows).sum())))
}

/// Writes the words that are new since `saved`, which counts those of each coded column; `None` where there is none.
pub(super) fn write_words(staging: &Path, columns: &Columns, saved: &[usize]) -> Result<Option<String>> {
    if columns.coded().zip(saved).all(|((_, coded), saved)| coded.words().len() <= *saved) {
        return Ok(None);
    }
    let name = format!("words-{}.arrow", uuid::Uuid::new_v4());
    let fields = [Field::new("column", DataType::Int32, false), Field::new("word", DataType::Utf8, false)];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let mut file = ArrowFile::create(staging.join(&name), &schema)?;
    for ((at, coded), saved) in columns.coded().zip(saved) {
        let words = coded.words().array(*saved)?;
        if words.is_empty() {
            continue;
        }
        let at = Int32Array::from_value(at as i32, words.len());
        file.write(&RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(at), Arc::new(words)])?)?;
    }
    file.finish()?;
    Ok(Some(name))
}

/// Adds the words of a run to those before.
pub(super) fn read_words(staging: &Path, name: &str, columns: &mut Columns) -> Result<()> {
    let path = staging.join(name);
    for batch in open(&path)? {
        let batch = batch.map_err(|e| unread(&path, e))?;
        let (Some(at), Some(words)) =
            (batch.column(0).as_primitive_opt::<Int32Type>(), batch.column(1).as_string_opt::<i32>())
        else {
            return Err(Error::data(format!("'{}' does not hold words", path.display())));
        };
        let coded = if at.is_empty() { None } else { columns.coded_mut(at.value(0) as usize) };
        let Some(coded) = coded else {
            return Err(Error::data(format!("'{}' holds words of another table", path.display())));
        };
        coded.restore(words)?;
    }
    Ok(())
}

fn open(path: &Path) -> Result<FileReader<File>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, &e))?;
    FileReader::try_new(file, None).map_err(|e| unread(path, e))
}

/// A run as an input of a merge.
pub(super) struct RunSource {
    pieces: Vec<PieceSource>,
}

struct PieceSource {
    path: PathBuf,
    fences: Vec<Fence>,
}

impl RunSource {
    /// Opens the files once, to read where users begin.
    pub fn open(staging: &Path, run: &Run) -> Result<Self> {
        let pieces = (run.pieces.iter())
            .map(|name| {
                let path = staging.join(name);
                let reader = open(&path)?;
                let fences = reader.custom_metadata().get(FENCES).and_then(|text| serde_json::from_str(text).ok());
                let fences: Vec<Fence> = fences.unwrap_or_default();
                if fences.is_empty() || fences.len() != reader.num_batches() {
                    return Err(Error::data(format!("'{}' is not a whole run", path.display())));
                }
                Ok(PieceSource { path, fences })
            })
            .collect::<Result<_>>()?;
        Ok(Self { pieces })
    }

    /// The forms of the columns in the run, to learn which words had become too many when it was written.
    pub fn texts(staging: &Path, run: &Run) -> Result<Vec<usize>> {
        let Some(name) = run.pieces.last() else { return Ok(Vec::new()) };
        let schema = open(&staging.join(name))?.schema();
        let texts = schema.fields().iter().enumerate().filter(|(_, f)| *f.data_type() == DataType::Utf8);
        Ok(texts.map(|(at, _)| at).collect())
    }
}

impl Source for RunSource {
    fn fences(&self) -> Result<Vec<Fence>> {
        Ok(self.pieces.iter().flat_map(|piece| piece.fences.iter().cloned()).collect())
    }

    fn piece(&self) -> usize {
        // The rows were cut by their bytes when they were written.
        let rows = self.pieces.iter().flat_map(|piece| &piece.fences).map(|(_, rows)| *rows);
        rows.max().unwrap_or(1) as usize
    }

    fn read<'a>(&'a self, range: &UserRange) -> Result<Box<dyn Reader + 'a>> {
        // A user never straddles two pieces, but may several batches.
        let mut batches = Vec::new();
        for (number, piece) in self.pieces.iter().enumerate() {
            for (batch, (first, _)) in piece.fences.iter().enumerate() {
                let next = piece.fences.get(batch + 1);
                let beyond = range.to.as_ref().is_some_and(|to| first >= to);
                let before = range.from.as_ref().zip(next).is_some_and(|(from, (next, _))| next < from);
                if !beyond && !before {
                    batches.push((number, batch));
                }
            }
        }
        Ok(Box::new(RunReader { source: self, range: range.clone(), batches: batches.into_iter(), open: None }))
    }
}

struct RunReader<'a> {
    source: &'a RunSource,
    range: UserRange,
    batches: std::vec::IntoIter<(usize, usize)>,
    open: Option<(usize, FileReader<File>)>,
}

impl Reader for RunReader<'_> {
    fn next(&mut self, columns: &mut Columns) -> Result<Option<Rows>> {
        loop {
            let Some((number, batch)) = self.batches.next() else { return Ok(None) };
            let path = &self.source.pieces[number].path;
            let reader = match &mut self.open {
                Some((open, reader)) if *open == number => reader,
                other => {
                    let (_, reader) = other.insert((number, open(path)?));
                    // Batches are read one after the other: only the first one has to be found.
                    reader.set_index(batch).map_err(|e| unread(path, e))?;
                    reader
                }
            };
            let rows = match reader.next() {
                Some(rows) => rows.map_err(|e| unread(path, e))?,
                None => return Err(Error::data(format!("'{}' is not a whole run", path.display()))),
            };
            let mut rows = Rows { len: rows.num_rows(), columns: rows.columns().to_vec() };
            let (from, to): (usize, usize) = self.range.within(&columns.users(&rows)?);
            if from == to {
                continue;
            }
            if to - from < rows.len {
                rows = rows.slice(from, to - from);
            }
            columns.settle(&mut rows)?;
            return Ok(Some(rows));
        }
    }
}
