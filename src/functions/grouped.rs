//! An aggregate defined by its grouped state alone.
//!
//! Deals with: what every aggregate of tenure says to DataFusion in the same way. The row accumulator is the grouped one
//! with a single group; constants are checked while the query is planned.
//! Does not deal with: any one aggregate's arguments or state.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Signature, Volatility,
};

use super::documentation::documentation;
use super::single_group::SingleGroup;
use crate::error::Error;

/// What one aggregate adds to the common part.
pub trait GroupedFunction: Debug + Clone + PartialEq + Eq + Send + Sync + 'static {
    /// Name in SQL.
    fn name(&self) -> &'static str;
    /// The types the arguments are coerced to.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>, Error>;
    /// The answer's type, given coerced arguments.
    fn answer_type(&self, types: &[DataType]) -> Result<DataType, Error>;
    /// Whether an answer may be NULL.
    fn answer_is_nullable(&self) -> bool {
        false
    }
    /// A fresh state.
    fn groups(&self, args: &AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>>;
    /// The fields of a partial state; `name` tells one use of the aggregate from others.
    fn state_fields(&self, name: &str, types: &[DataType]) -> Result<Vec<FieldRef>, Error>;
    /// Checks the constants among the arguments, so that EXPLAIN and a query over no rows refuse them too. A piece of a
    /// relation's plan has none of its own: the relation checks.
    fn check(&self, _arguments: &[Expr]) -> Result<(), Error> {
        Ok(())
    }
    /// Whether it is never used as a window, so that a single group need not keep its state for another answer.
    fn answers_once(&self) -> bool {
        false
    }
    /// What answers over a frame whose start moves; none where rows cannot leave.
    fn sliding(&self) -> Option<Box<dyn Accumulator>> {
        None
    }
}

/// The aggregate as DataFusion takes it.
pub fn aggregate(function: impl GroupedFunction) -> AggregateUDF {
    Aggregate { function, signature: Signature::user_defined(Volatility::Immutable) }.into()
}

/// Types of an aggregate's arguments, as its state sees them.
pub fn argument_types(args: &AccumulatorArgs) -> Vec<DataType> {
    args.expr_fields.iter().map(|f| f.data_type().clone()).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Aggregate<F> {
    function: F,
    signature: Signature,
}

impl<F: GroupedFunction> Hash for Aggregate<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl<F: GroupedFunction> AggregateUDFImpl for Aggregate<F> {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.function.coerce(types)?)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.function.answer_type(types)?)
    }

    fn is_nullable(&self) -> bool {
        self.function.answer_is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let single = SingleGroup::new(self.function.groups(&args)?, args.expr_fields);
        Ok(Box::new(if self.function.answers_once() { single.answering_once() } else { single }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.function.sliding() {
            Some(sliding) => Ok(sliding),
            None => self.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.function.groups(&args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(self.function.state_fields(args.name, &types)?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(documentation(self.function.name()))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let function = self.function.clone();
        Some(Box::new(move |call, _| {
            function.check(&call.params.args)?;
            Ok(Expr::AggregateFunction(call))
        }))
    }
}
