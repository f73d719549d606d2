//! How each column of an ordered file is encoded.
//!
//! Deals with: Parquet writer properties by type and role. Does not deal with: where files are cut.

use arrow::datatypes::{DataType, SchemaRef};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::store::managed::Roles;

/// Key of the file metadata by which an ordered file of this program is known.
pub const ORDERED_KEY: &str = "tenure.ordered_by";

/// Values of a dictionary whose page is still worth it; beyond, the column is written plainly.
const DICTIONARY_PAGE: usize = 1 << 20;

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
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
            // Runs of one value: a dictionary's best case; where users are too many for one, their differences are small.
            DataType::Int64 if user => {
                properties = properties
                    .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
                    .set_column_compression(column, Compression::UNCOMPRESSED);
            }
            DataType::Int32 | DataType::Int64 => {
                properties = properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
            // Few values in few bits: compressing them costs more than it saves.
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
                // Keys of events are all different and in no order: pages of them cannot be told apart.
                .set_column_statistics_enabled(column, EnabledStatistics::Chunk);
        }
    }
    properties.build()
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
