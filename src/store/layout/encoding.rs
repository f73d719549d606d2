//! How each column of an ordered file is encoded.
//!
//! Deals with: Parquet writer properties by type and role. Does not deal with: where files are cut.
//!
//! Measured with 20 million generated events of ten columns (143 MB with zstd everywhere), seconds of one core to read a column:
//!
//! | column | encoding | bytes of all rows | seconds |
//! |---|---|---|---|
//! | time | differences, zstd | 102.7 MB | 0.12 |
//! | time | differences | 105.7 MB | 0.04 |
//! | user | dictionary | 5.6 MB | 0.01 to 0.02 |
//! | user | dictionary, zstd | 2.6 MB | 0.02 |
//! | user | differences | 1.7 MB | 0.01 |
//! | event | dictionary, zstd | 4.9 MB | 0.04 |
//! | event | dictionary | 9.9 MB | 0.03 |
//!
//! The three together: 0.18 with the times compressed, 0.08 as chosen here. Other columns are read less often, and are compressed.

use arrow::datatypes::{DataType, SchemaRef};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::store::managed::Roles;

/// Key of the file metadata by which an ordered file of this program is known.
pub const ORDERED_KEY: &str = "tenure.ordered_by";

/// Values of a dictionary whose page is still worth it; beyond, the column is written plainly.
const DICTIONARY_PAGE: usize = 1 << 20;

/// Rows of a page. Pages of 20,000 rows, the library's own choice, are read in 1.1 times the time, those of 200,000 in 0.9.
const PAGE_ROWS: usize = 50_000;

/// Properties of an ordered file. `dedup` names the column that tells events apart.
pub(super) fn properties(schema: &SchemaRef, roles: &Roles, dedup: Option<&str>) -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let position = |name: &str| schema.index_of(name).unwrap_or_default();
    let sorting = [&roles.user, &roles.time].map(|name| SortingColumn {
        // Positions of leaves: nested columns before it hold several.
        column_idx: schema.fields()[..position(name)].iter().map(|f| leaves(f.data_type())).sum(),
        descending: false,
        nulls_first: false,
    });
    let order = format!("{},{}", roles.user, roles.time);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("tenure version ", env!("CARGO_PKG_VERSION")).to_string())
        .set_compression(zstd)
        // Row groups end where `OrderedWriter` says: between users.
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_PAGE)
        // Ranges of users are read off the statistics and have to be exact.
        .set_statistics_truncate_length(None)
        .set_sorting_columns(Some(sorting.to_vec()))
        .set_key_value_metadata(Some(vec![KeyValue::new(ORDERED_KEY.to_string(), order)]));
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        let (user, time) = (*field.name() == roles.user, *field.name() == roles.time);
        match field.data_type() {
            // Times rise within a user, and hardly repeat: a dictionary would be built only to be thrown away.
            _ if time => {
                properties = differences(properties, column);
            }
            // Nearly all differences are zero.
            DataType::Int64 if user => {
                properties = differences(properties, column);
            }
            DataType::Int32 | DataType::Int64 => {
                properties = properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
            // Few values in few bits, which every question reads.
            DataType::Dictionary(..) if Some(field.name()) == roles.event.as_ref() => {
                properties = properties.set_column_compression(column, Compression::UNCOMPRESSED);
            }
            _ => {}
        }
        if dedup == Some(field.name().as_str()) {
            let column = ColumnPath::from(field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_bloom_filter_enabled(column.clone(), true)
                // Keys of events are all different and in no order: their pages cannot be distinguished.
                .set_column_statistics_enabled(column, EnabledStatistics::Chunk);
        }
    }
    properties.build()
}

/// Without a dictionary and without compression.
fn differences(properties: WriterPropertiesBuilder, column: ColumnPath) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
        .set_column_compression(column, Compression::UNCOMPRESSED)
}

/// Leaves of the Parquet schema below a type.
fn leaves(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|f| leaves(f.data_type())).sum(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => leaves(item.data_type()),
        DataType::Map(entries, _) => leaves(entries.data_type()),
        _ => 1,
    }
}
