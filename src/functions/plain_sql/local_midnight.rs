//! `local_midnight(date, zone)`: the instant at which a day begins in a time zone, also where the clocks skip midnight then.
//!
//! A piece of plans (`plan/local_calendar`): a CAST fails on the days that have no midnight, as in Havana or Beirut in spring.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::algo::calendar::{Calendar, Clock, Unit};
use crate::error::Error;

/// The function of a zone.
pub fn local_midnight(zone: &Arc<str>) -> ScalarUDF {
    LocalMidnight { zone: Arc::clone(zone), signature: Signature::any(1, Volatility::Immutable) }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LocalMidnight {
    zone: Arc<str>,
    signature: Signature,
}

impl ScalarUDFImpl for LocalMidnight {
    fn name(&self) -> &str {
        "local_midnight"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::clone(&self.zone))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_scalar = matches!(args.args[0], ColumnarValue::Scalar(_));
        let dates = cast(&args.args[0].to_array(if is_scalar { 1 } else { args.number_rows })?, &DataType::Date32)?;
        let calendar = Calendar::new(Unit::Day, &self.zone, 0, Clock::Instants(1_000_000))
            .ok_or_else(|| Error::user(format!("unknown time zone '{}'", self.zone)))?;
        let midnights: TimestampMicrosecondArray = dates
            .as_primitive::<Date32Type>()
            .iter()
            .map(|day| day.and_then(|day| calendar.starts_at(day.into())))
            .collect();
        let midnights: ArrayRef = Arc::new(midnights.with_timezone(Arc::clone(&self.zone)));
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&midnights, 0)?));
        }
        Ok(ColumnarValue::Array(midnights))
    }
}
