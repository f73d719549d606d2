//! The types that a managed table has, and which source types fit them.
//!
//! Deals with: Parquet's types as stored ones, the common type of two sources, whether a source fits a table.
//! Does not deal with: values (`convert`, `cells`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::types::{dictionary, timestamp};

/// The stored type for a column of this type in a Parquet file; `None` where a table cannot hold it.
pub fn stored(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match data_type {
        T::Boolean | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Float32 | T::Float64 | T::Date32 | T::Utf8 => {
            data_type.clone()
        }
        T::UInt8 => T::Int16,
        T::UInt16 => T::Int32,
        T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 => T::Float32,
        T::LargeUtf8 | T::Utf8View | T::Null => T::Utf8,
        T::Date64 => T::Date32,
        T::Timestamp(_, _) => timestamp(),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) | T::Decimal256(p, s) if *p <= 38 && *s >= 0 => {
            T::Decimal128(*p, *s)
        }
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Dictionary(_, value) => match stored(value)? {
            T::Utf8 => dictionary(),
            other => other,
        },
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) | T::LargeListView(item) => {
            T::List(Field::new_list_field(inner(item.data_type())?, true).into())
        }
        T::Struct(fields) => {
            let fields: Option<Vec<Field>> =
                fields.iter().map(|f| Some(Field::new(f.name(), inner(f.data_type())?, true))).collect();
            match fields? {
                none if none.is_empty() => return None,
                fields => T::Struct(fields.into()),
            }
        }
        _ => return None,
    })
}

/// The same inside lists and structs, where texts have no dictionaries.
fn inner(data_type: &DataType) -> Option<DataType> {
    stored(data_type).map(|t| if is_text(&t) { DataType::Utf8 } else { t })
}

/// Whether values are texts, with or without a dictionary.
pub fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Whether values are one thing each, and no struct, list or bytes.
pub fn is_scalar(data_type: &DataType) -> bool {
    is_text(data_type)
        || data_type.is_numeric()
        || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Timestamp(_, _))
}

/// A stored type that holds the values of both, without loss except that of whole numbers beyond 2^53 among decimal ones. Texts
/// among values of another kind make a column of texts.
pub fn common(one: &DataType, other: &DataType) -> Option<DataType> {
    joined(one, other, true)
}

/// The same of two types that files say themselves: texts in one and numbers in the other are two columns of the same name.
pub fn agreed(one: &DataType, other: &DataType) -> Option<DataType> {
    joined(one, other, false)
}

fn joined(one: &DataType, other: &DataType, as_text: bool) -> Option<DataType> {
    use DataType as T;
    if one == other {
        return Some(one.clone());
    }
    Some(match (one, other) {
        (a, b) if is_text(a) && is_text(b) => T::Utf8,
        (a, b) if a.is_integer() && b.is_integer() => {
            if width(a) > width(b) {
                a.clone()
            } else {
                b.clone()
            }
        }
        (T::Decimal128(p, s), i) | (i, T::Decimal128(p, s)) if i.is_integer() => T::Decimal128((*p).max(38), *s),
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => {
            let whole = (i16::from(*p1) - i16::from(*s1)).max(i16::from(*p2) - i16::from(*s2));
            let scale = *s1.max(s2);
            let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|p| *p <= 38)?;
            T::Decimal128(precision, scale)
        }
        (a, b) if a.is_numeric() && b.is_numeric() => T::Float64,
        (T::Date32, T::Timestamp(_, _)) | (T::Timestamp(_, _), T::Date32) => timestamp(),
        (a, b) if as_text && ((is_text(a) && is_scalar(b)) || (is_scalar(a) && is_text(b))) => T::Utf8,
        (T::Struct(a), T::Struct(b)) => {
            let mut fields: Vec<Arc<Field>> = Vec::with_capacity(a.len());
            for field in a {
                let both = match b.iter().find(|other| other.name() == field.name()) {
                    Some(other) => joined(field.data_type(), other.data_type(), as_text)?,
                    None => field.data_type().clone(),
                };
                fields.push(Arc::new(Field::new(field.name(), both, true)));
            }
            let known = |name: &str| a.iter().any(|field| field.name() == name);
            fields.extend(b.iter().filter(|field| !known(field.name())).cloned());
            T::Struct(fields.into())
        }
        (T::List(a), T::List(b)) => {
            T::List(Field::new_list_field(joined(a.data_type(), b.data_type(), as_text)?, true).into())
        }
        _ => return None,
    })
}

fn width(integer: &DataType) -> usize {
    integer.primitive_width().unwrap_or(8)
}

/// Whether a column of type `source`, text being read where it is text, can go into one of type `target`, single values aside.
pub fn fits(source: &DataType, target: &DataType) -> bool {
    use DataType as T;
    match target {
        _ if source == target => true,
        t if is_text(t) => is_scalar(source),
        t if t.is_integer() => source.is_integer(),
        T::Float32 | T::Float64 | T::Decimal128(_, _) => source.is_numeric(),
        T::Timestamp(_, _) => matches!(source, T::Date32 | T::Timestamp(_, _)),
        T::Struct(to) => match source {
            T::Struct(from) => {
                from.iter().all(|f| to.iter().any(|t| t.name() == f.name() && fits(f.data_type(), t.data_type())))
            }
            _ => false,
        },
        T::List(to) => matches!(source, T::List(from) if fits(from.data_type(), to.data_type())),
        _ => false,
    }
}

/// Whether this library's own readers of text can make the type.
pub fn readable(data_type: &DataType) -> bool {
    use DataType as T;
    is_text(data_type)
        || data_type.is_signed_integer()
        || matches!(
            data_type,
            T::Float32 | T::Float64 | T::Boolean | T::Date32 | T::Timestamp(_, _) | T::Decimal128(_, _)
        )
}

/// The field of a struct, a step of the path for each level.
pub fn member(data_type: &DataType, path: &[&str]) -> Option<DataType> {
    let Some((first, rest)) = path.split_first() else { return Some(data_type.clone()) };
    let DataType::Struct(fields) = data_type else { return None };
    let field: &Arc<Field> = fields.iter().find(|f| f.name() == first)?;
    member(field.data_type(), rest)
}

/// The type without the field at the end of a path, inside lists too; `None` where nothing is left.
pub fn without(data_type: &DataType, path: &str) -> Option<DataType> {
    let rest_of = |field: &Field| path.strip_prefix(field.name().as_str())?.strip_prefix('.').map(str::to_string);
    let with = |field: &Arc<Field>, data_type| Arc::new(field.as_ref().clone().with_data_type(data_type));
    match data_type {
        DataType::Struct(fields) => {
            let left = fields.iter().filter(|field| field.name() != path).filter_map(|field| match rest_of(field) {
                Some(rest) => Some(with(field, without(field.data_type(), &rest)?)),
                None => Some(Arc::clone(field)),
            });
            let left: Vec<Arc<Field>> = left.collect();
            (!left.is_empty()).then(|| DataType::Struct(left.into()))
        }
        DataType::List(item) => Some(DataType::List(with(item, without(item.data_type(), path)?))),
        DataType::LargeList(item) => Some(DataType::LargeList(with(item, without(item.data_type(), path)?))),
        other => Some(other.clone()),
    }
}

/// The paths of all fields, behind the name of the column.
pub fn paths(name: &str, data_type: &DataType, all: &mut Vec<String>) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                let path = format!("{name}.{}", field.name());
                paths(&path, field.data_type(), all);
                all.push(path);
            }
        }
        DataType::List(item) | DataType::LargeList(item) => paths(name, item.data_type(), all),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn parquet_types_have_a_stored_one_or_none() {
        use DataType as T;
        assert_eq!(stored(&T::UInt8), Some(T::Int16));
        assert_eq!(stored(&T::UInt64), Some(T::Int64));
        assert_eq!(stored(&T::Timestamp(TimeUnit::Nanosecond, None)), Some(timestamp()));
        assert_eq!(stored(&T::Dictionary(Box::new(T::UInt8), Box::new(T::LargeUtf8))), Some(dictionary()));
        assert_eq!(stored(&T::Dictionary(Box::new(T::UInt8), Box::new(T::UInt8))), Some(T::Int16));
        assert_eq!(stored(&T::Time64(TimeUnit::Microsecond)), None);
        let list = T::LargeList(Field::new_list_field(T::Utf8View, true).into());
        assert_eq!(stored(&list), Some(T::List(Field::new_list_field(T::Utf8, true).into())));
        let bad = T::Struct(vec![Field::new("a", T::Duration(TimeUnit::Second), true)].into());
        assert_eq!(stored(&bad), None);
    }

    #[test]
    fn two_types_and_what_holds_both() {
        use DataType as T;
        assert_eq!(common(&T::Int16, &T::Int64), Some(T::Int64));
        assert_eq!(common(&T::Int64, &T::Float32), Some(T::Float64));
        assert_eq!(common(&dictionary(), &T::Int64), Some(T::Utf8));
        assert_eq!(common(&T::Decimal128(5, 2), &T::Decimal128(6, 0)), Some(T::Decimal128(8, 2)));
        assert_eq!(common(&T::Date32, &timestamp()), Some(timestamp()));
        assert_eq!(common(&T::Boolean, &T::Int64), None);
        assert_eq!(common(&T::Boolean, &T::Utf8), Some(T::Utf8));
        assert_eq!(agreed(&T::Boolean, &T::Utf8), None);
        let of = |fields: &[(&str, T)]| {
            T::Struct(fields.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect())
        };
        let (one, two) = (of(&[("a", T::Int64), ("b", T::Utf8)]), of(&[("c", T::Boolean), ("a", T::Float64)]));
        let both = of(&[("a", T::Float64), ("b", T::Utf8), ("c", T::Boolean)]);
        assert_eq!(agreed(&one, &two), Some(both.clone()));
        let list = |item: &T| T::List(Field::new_list_field(item.clone(), true).into());
        assert_eq!(agreed(&list(&one), &list(&two)), Some(list(&both)));
        assert_eq!(agreed(&of(&[("a", T::Int64)]), &of(&[("a", T::Utf8)])), None);
    }

    #[test]
    fn fields_are_taken_out_of_structs_and_lists() {
        use DataType as T;
        let of = |fields: Vec<Field>| T::Struct(fields.into());
        let inner = |names: &[&str]| of(names.iter().map(|name| Field::new(*name, T::Int64, true)).collect());
        let list = |item: T| T::List(Field::new("element", item, true).into());
        let whole = of(vec![Field::new("a", inner(&["x", "y.z"]), true), Field::new("l", list(inner(&["x"])), true)]);
        let mut all = Vec::new();
        paths("p", &whole, &mut all);
        assert_eq!(all, ["p.a.x", "p.a.y.z", "p.a", "p.l.x", "p.l"]);
        let less = without(&whole, "a.y.z").unwrap();
        assert_eq!(member(&less, &["a"]), Some(inner(&["x"])));
        assert_eq!(without(&less, "a.x"), without(&whole, "a"));
        assert_eq!(without(&without(&whole, "a").unwrap(), "l.x"), None);
        assert_eq!(without(&T::Utf8, "x"), Some(T::Utf8));
    }

    #[test]
    fn fitting_is_not_symmetric() {
        use DataType as T;
        assert!(fits(&T::Int64, &T::Float64) && !fits(&T::Float64, &T::Int64));
        assert!(fits(&T::Int64, &dictionary()) && !fits(&T::Utf8, &T::Int64));
        assert!(fits(&T::Date32, &timestamp()) && !fits(&timestamp(), &T::Date32));
        let one = T::Struct(vec![Field::new("a", T::Int64, true)].into());
        let two = T::Struct(vec![Field::new("a", T::Int64, true), Field::new("b", T::Utf8, true)].into());
        assert!(fits(&one, &two) && !fits(&two, &one));
    }
}
