//! The manual as DataFusion takes it, so that `information_schema` and tools on a wire show what `\df` shows.
//!
//! Deals with: the form. Does not deal with: the texts, which each family has (`docs()`).

use std::collections::HashMap;
use std::sync::OnceLock;

use datafusion::logical_expr::{DocSection, Documentation, DocumentationBuilder};

use super::{FunctionDoc, FunctionKind, docs};

const SECTION: &str = "Behaviour Functions";
const PIECES: &str = "Pieces of Plans";

/// What the manual says of a function. One that has no entry is a piece of what relations plan.
pub fn documentation(function: &str) -> &'static Documentation {
    static ALL: OnceLock<(HashMap<&str, Documentation>, Documentation)> = OnceLock::new();
    let (all, piece) = ALL.get_or_init(|| {
        let all = docs().into_iter().filter(|doc| doc.kind != FunctionKind::Relation);
        (all.map(|doc| (doc.name, entry(&doc))).collect(), piece())
    });
    all.get(function).unwrap_or(piece)
}

fn entry(doc: &FunctionDoc) -> Documentation {
    let section = DocSection { include: true, label: SECTION, description: None };
    let returns: Vec<String> = doc.returns.iter().map(|(what, meaning)| format!("{what}: {meaning}")).collect();
    let description = [doc.summary, &returns.join("\n"), doc.text].join("\n\n");
    let mut builder =
        DocumentationBuilder::new_with_details(section, description, doc.syntax).with_sql_example(doc.example);
    for argument in &doc.arguments {
        let default = argument.default.map_or(String::new(), |default| format!(" Default: {default}."));
        builder = builder.with_argument(argument.name, format!("{}. {}{default}", argument.kind, argument.text));
    }
    builder.build()
}

fn piece() -> Documentation {
    let section = DocSection { include: false, label: PIECES, description: None };
    let text = "A piece of what a relation of tenure plans, as EXPLAIN shows it; its arguments may change.";
    DocumentationBuilder::new_with_details(section, text, "FROM relation(..)").build()
}
