//! RecordBatches to files and terminals.
