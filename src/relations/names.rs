//! Columns of a relation's table in its arguments, without regard to case where only one fits; an exact spelling comes first.

use std::ops::ControlFlow;

use datafusion::common::DFSchema;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, VisitMut, VisitorMut};

/// Quotes the names without quotes that the planner would not find as they are.
pub fn fitted(mut written: Expr, schema: &DFSchema) -> Expr {
    let _ = VisitMut::visit(&mut written, &mut Fitter { schema, depth: 0 });
    written
}

struct Fitter<'a> {
    schema: &'a DFSchema,
    /// Names in a query of its own are that query's.
    depth: usize,
}

impl Fitter<'_> {
    fn fit(&self, name: &mut Ident) {
        if name.quote_style.is_some() {
            return;
        }
        let columns = || self.schema.fields().iter().map(|field| field.name());
        let lower = name.value.to_lowercase();
        let exact = name.value != lower && columns().any(|column| *column == name.value);
        if !exact && columns().any(|column| *column == lower) {
            return;
        }
        let mut fitting = columns().filter(|column| column.eq_ignore_ascii_case(&name.value));
        let found = if exact { Some(name.value.clone()) } else { fitting.next().cloned() };
        if let Some(found) = found
            && (exact || fitting.all(|other| *other == found))
        {
            *name = Ident::with_quote('"', found);
        }
    }
}

impl VisitorMut for Fitter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) if self.depth == 0 => self.fit(name),
            Expr::CompoundIdentifier(names) if self.depth == 0 => names.iter_mut().for_each(|name| self.fit(name)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
