//! Named windows: `sum(x) OVER w .. WINDOW w AS (PARTITION BY a)`.
//!
//! The planner knows them in the SELECT list alone, and only whole: in QUALIFY and ORDER BY `sum(x) OVER w` would be a plain aggregate, and
//! `OVER (w ORDER BY t)` would lose the partitions of `w`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderBy, OrderByKind, Query, Select, SelectItem, VisitMut,
    VisitorMut, WindowSpec, WindowType,
};

use crate::error::{Error, Result, suggest};

/// Puts the definition of each named window in the place of its name.
pub fn resolve(select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<()> {
    let mut known: Vec<(String, WindowSpec)> = Vec::new();
    for NamedWindowDefinition(name, definition) in &select.named_window {
        let name = key(name);
        if known.iter().any(|(other, _)| *other == name) {
            return Err(Error::user(format!("WINDOW {name} is defined twice")));
        }
        let spec = match definition {
            NamedWindowExpr::NamedWindow(other) => found(&known, other)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => whole(&known, spec)?,
        };
        known.push((name, spec));
    }
    let mut visitor = Resolver { known: &known, depth: 0 };
    let mut flow = ControlFlow::Continue(());
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
            && flow.is_continue()
        {
            flow = VisitMut::visit(expr, &mut visitor);
        }
    }
    if flow.is_continue() {
        flow = VisitMut::visit(&mut select.qualify, &mut visitor);
    }
    if let Some(OrderBy { kind: OrderByKind::Expressions(all), .. }) = order_by
        && flow.is_continue()
    {
        flow = VisitMut::visit(all, &mut visitor);
    }
    flow.break_value().map_or(Ok(()), Err)
}

/// Names without quotes are found in any case, as the planner finds them.
fn key(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn found<'a>(known: &'a [(String, WindowSpec)], name: &Ident) -> Result<&'a WindowSpec> {
    let wanted = key(name);
    known.iter().find(|(other, _)| *other == wanted).map(|(_, spec)| spec).ok_or_else(|| {
        let names = known.iter().map(|(name, _)| name.as_str());
        let help = if known.is_empty() { "add WINDOW name AS (..)".to_string() } else { suggest(&wanted, names) };
        Error::user(format!("no window is called '{wanted}'; {help}"))
    })
}

/// A definition that builds on another one: the other's partitions, and its order unless there is an own one.
fn whole(known: &[(String, WindowSpec)], spec: &WindowSpec) -> Result<WindowSpec> {
    let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
    let Some(name) = window_name else { return Ok(spec.clone()) };
    let base = found(known, name)?;
    if !partition_by.is_empty() {
        return Err(Error::user(format!("a window over {name} cannot have a PARTITION BY of its own")));
    }
    if !order_by.is_empty() && !base.order_by.is_empty() {
        return Err(Error::user(format!("window {name} has an ORDER BY, and this one would replace it")));
    }
    if base.window_frame.is_some() {
        return Err(Error::user(format!("window {name} has a frame; write OVER {name} without brackets")));
    }
    Ok(WindowSpec {
        window_name: None,
        partition_by: base.partition_by.clone(),
        order_by: if order_by.is_empty() { base.order_by.clone() } else { order_by.clone() },
        window_frame: window_frame.clone(),
    })
}

struct Resolver<'a> {
    known: &'a [(String, WindowSpec)],
    /// Names belong to their own SELECT, not to the queries inside it.
    depth: usize,
}

impl VisitorMut for Resolver<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let spec = match &function.over {
            Some(WindowType::NamedWindow(name)) => found(self.known, name).cloned(),
            Some(WindowType::WindowSpec(spec)) if spec.window_name.is_some() => whole(self.known, spec),
            _ => return ControlFlow::Continue(()),
        };
        match spec {
            Ok(spec) => {
                function.over = Some(WindowType::WindowSpec(spec));
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}
