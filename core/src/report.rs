//! Refused values as errors of the server, so that `?` makes the one of the other in the extension.

use crate::vote::element::Refusal;
use crate::{Error, Kind};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name};

impl Error {
    /// The SQLSTATE.
    #[must_use]
    pub const fn code(&self) -> PgSqlErrorCode {
        match self.kind() {
            Kind::Invalid => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            Kind::OutOfRange => PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        }
    }

    /// The error in other words than its own, with its SQLSTATE, DETAIL and HINT.
    #[track_caller]
    pub fn report(&self, message: String) -> ErrorReport {
        let report = ErrorReport::new(self.code(), message, function_name!()).set_hint(self.hint());
        match self.detail() {
            Some(detail) => report.set_detail(detail),
            None => report,
        }
    }
}

impl From<Error> for ErrorReport {
    #[track_caller]
    fn from(error: Error) -> Self {
        error.report(error.to_string())
    }
}

impl From<Refusal> for ErrorReport {
    #[track_caller]
    fn from(refusal: Refusal) -> Self {
        refusal.error.report(refusal.to_string())
    }
}
