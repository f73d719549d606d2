//! Refuses the clauses of commands (CREATE, DROP, ..) that DataFusion's planner does not look at.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{CreateFunction, CreateView, DropFunction, Statement};

use super::refused;
use crate::error::Error;

/// Checks one statement, at whatever depth.
pub fn check(statement: &Statement) -> ControlFlow<Error> {
    match ignored(statement) {
        Some((clause, way_out)) => ControlFlow::Break(refused(clause, way_out)),
        None => ControlFlow::Continue(()),
    }
}

/// The first clause that the planner would not look at. Statements that are not here are refused by the planner as a whole, or it
/// takes them apart without `..` itself.
fn ignored(statement: &Statement) -> Option<(&'static str, &'static str)> {
    let found = |found: bool, clause: &'static str, way_out: &'static str| found.then_some((clause, way_out));
    match statement {
        Statement::CreateView(CreateView {
            or_alter,
            or_replace: _,
            materialized: _,
            secure,
            name: _,
            name_before_not_exists: _,
            columns: _,
            query: _,
            options: _,
            cluster_by: _,
            comment: _,
            with_no_schema_binding: _,
            if_not_exists: _,
            temporary: _,
            copy_grants: _,
            to: _,
            params,
        }) => found(*or_alter, "OR ALTER", "CREATE OR REPLACE VIEW")
            .or(found(*secure, "SECURE", "leave it out"))
            .or(found(params.is_some(), "ALGORITHM, DEFINER or SQL SECURITY of a view", "leave it out")),
        Statement::CreateSchema { schema_name: _, if_not_exists: _, with, options, default_collate_spec, clone } => {
            found(with.is_some() || options.is_some(), "options of a schema", "CREATE SCHEMA name")
                .or(found(default_collate_spec.is_some(), "DEFAULT COLLATE", "CREATE SCHEMA name"))
                .or(found(clone.is_some(), "CLONE", "CREATE TABLE name AS SELECT * FROM other"))
        }
        Statement::CreateDatabase {
            db_name: _,
            if_not_exists: _,
            location,
            managed_location,
            or_replace,
            transient,
            clone,
            data_retention_time_in_days,
            max_data_extension_time_in_days,
            external_volume,
            catalog,
            replace_invalid_characters,
            default_ddl_collation,
            storage_serialization_policy,
            comment,
            default_charset,
            default_collation,
            catalog_sync,
            catalog_sync_namespace_mode,
            catalog_sync_namespace_flatten_delimiter,
            with_tags,
            with_contacts,
        } => {
            let texts = [
                location,
                managed_location,
                external_volume,
                catalog,
                default_ddl_collation,
                comment,
                default_charset,
                default_collation,
                catalog_sync,
                catalog_sync_namespace_flatten_delimiter,
            ];
            let more = texts.iter().any(|text| text.is_some())
                || clone.is_some()
                || data_retention_time_in_days.is_some()
                || max_data_extension_time_in_days.is_some()
                || replace_invalid_characters.is_some()
                || storage_serialization_policy.is_some()
                || catalog_sync_namespace_mode.is_some()
                || with_tags.is_some()
                || with_contacts.is_some();
            found(*or_replace, "OR REPLACE of a database", "CREATE DATABASE IF NOT EXISTS name").or(found(
                *transient || more,
                "options of a database",
                "CREATE DATABASE name",
            ))
        }
        Statement::CreateFunction(CreateFunction {
            or_alter,
            or_replace: _,
            temporary: _,
            if_not_exists,
            name: _,
            args: _,
            return_type: _,
            function_body: _,
            behavior: _,
            called_on_null,
            parallel,
            security,
            set_params,
            using,
            language: _,
            determinism_specifier,
            options,
            remote_connection,
        }) => {
            let more = called_on_null.is_some()
                || parallel.is_some()
                || security.is_some()
                || !set_params.is_empty()
                || using.is_some()
                || determinism_specifier.is_some()
                || options.is_some()
                || remote_connection.is_some();
            found(*or_alter || *if_not_exists, "OR ALTER or IF NOT EXISTS of a function", "CREATE OR REPLACE FUNCTION")
                .or(found(more, "options of a function", "leave them out"))
        }
        Statement::DropFunction(DropFunction { if_exists: _, func_desc, drop_behavior: _ }) => {
            found(func_desc.len() > 1, "DROP FUNCTION of several", "one DROP FUNCTION for each")
        }
        Statement::Drop {
            object_type: _,
            if_exists: _,
            names: _,
            cascade,
            restrict: _,
            purge,
            temporary: _,
            table: _,
        } => {
            let is_schema = matches!(
                statement,
                Statement::Drop { object_type: datafusion::sql::sqlparser::ast::ObjectType::Schema, .. }
            );
            found(*cascade && !is_schema, "CASCADE", "drop the views first, then the table").or(found(
                *purge,
                "PURGE",
                "DROP TABLE name; files are removed by their owner",
            ))
        }
        _ => None,
    }
}
