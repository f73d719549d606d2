//! Names that are not known and arguments that do not fit, in words of our own: what was meant, what there is.
//!
//! Deals with: columns, and functions that take other types. Does not deal with: tables (`relations`), unknown functions (`engine`).

use datafusion::common::{Column, SchemaError};

use super::{Error, nearest};

/// A call of a function that takes no such types.
pub(super) fn wrong_arguments(message: &str) -> Option<Error> {
    let (_, rest) = message.split_once("failed to match any signature")?;
    let (_, rest) = rest.split_once("argument types '")?;
    let call = rest.split('\'').next()?;
    let (name, types) = call.split_once('(')?;
    let types = types.strip_suffix(')').unwrap_or(types);
    let mut shown = types.to_string();
    for (arrow, sql) in [
        ("LargeUtf8", "VARCHAR"),
        ("Utf8View", "VARCHAR"),
        ("Utf8", "VARCHAR"),
        ("Int64", "BIGINT"),
        ("Int32", "INTEGER"),
        ("Float64", "DOUBLE"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
        ("Timestamp(ns)", "TIMESTAMP"),
        ("Timestamp(µs)", "TIMESTAMP"),
    ] {
        shown = shown.replace(arrow, sql);
    }
    Some(
        Error::user(format!("{name} does not take {shown}"))
            .hint("CAST(x AS DOUBLE) makes a number of a text")
            .of_word(name),
    )
}

/// Columns that are listed where one is not found.
const COLUMNS_SHOWN: usize = 20;

/// A name that is none of the columns.
pub(super) fn unknown_column(error: &SchemaError) -> Option<Error> {
    let SchemaError::FieldNotFound { field, valid_fields } = error else { return None };
    let mut known: Vec<&Column> = Vec::new();
    for column in valid_fields {
        let again = |k: &&Column| {
            k.name == column.name
                && (k.relation == column.relation || k.relation.is_none() || column.relation.is_none())
        };
        if !known.iter().any(again) {
            known.push(column);
        }
    }
    // Of several tables, those that share a name say whose they are.
    let shown = |column: &Column| match &column.relation {
        Some(table) if known.iter().filter(|k| k.name == column.name).count() > 1 => {
            format!("{}.{}", table.table(), column.name)
        }
        _ => column.name.clone(),
    };
    let names: Vec<String> = known.iter().map(|column| shown(column)).collect();
    let wanted = field.flat_name().replace('"', "");
    let near = nearest(&field.name, names.iter().map(String::as_str));
    let mut listed = names.iter().take(COLUMNS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > COLUMNS_SHOWN {
        listed.push_str(&format!(" and {} more", names.len() - COLUMNS_SHOWN));
    }
    let suggestion = match near.as_slice() {
        [] if names.is_empty() => "; there are no columns here".to_string(),
        [] => format!("; columns: {listed}"),
        near => format!("; did you mean {}?", near.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(" or ")),
    };
    Some(Error::user(format!("no column is called '{wanted}'{suggestion}")).of_word(&field.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::common::DataFusionError;

    #[test]
    fn an_unknown_column_lists_the_others_once() {
        let columns = |table: Option<&str>, names: &[&str]| -> Vec<Column> {
            names.iter().map(|name| Column::new(table, *name)).collect()
        };
        let missing = |name: &str, valid_fields: Vec<Column>| {
            let field = Box::new(Column::new_unqualified(name));
            Error::from(DataFusionError::SchemaError(
                Box::new(SchemaError::FieldNotFound { field, valid_fields }),
                Box::new(None),
            ))
        };
        let twice =
            [columns(Some("t"), &["user_id", "ts"]), columns(Some("t"), &["user_id", "ts"]), columns(None, &["ts"])];
        let error = missing("usr_id", twice.concat());
        assert_eq!(error.message(), "no column is called 'usr_id'; did you mean 'user_id'?");
        assert_eq!(missing("x", twice.concat()).message(), "no column is called 'x'; columns: user_id, ts");
        let error = missing("x", [columns(Some("a"), &["k", "v"]), columns(Some("b"), &["k"])].concat());
        assert_eq!(error.message(), "no column is called 'x'; columns: a.k, v, b.k");
        let many: Vec<String> = (0..23).map(|n| format!("c{n}")).collect();
        let error = missing("zzz", many.iter().map(Column::new_unqualified).collect());
        assert!(error.message().ends_with("c18, c19 and 3 more"), "{error}");
        assert_eq!(missing("x", Vec::new()).message(), "no column is called 'x'; there are no columns here");
    }

    #[test]
    fn arguments_that_do_not_fit_are_told_by_their_types() {
        let message = "Function 'sum' failed to match any signature, errors: x. No function matches the given name and argument types \
                       'sum(Utf8View)'. You might need to add explicit type casts. Candidate functions: sum(Decimal)";
        let error = Error::from(DataFusionError::Plan(message.into()));
        assert_eq!((error.message(), error.word()), ("sum does not take VARCHAR", Some("sum")));
    }
}
