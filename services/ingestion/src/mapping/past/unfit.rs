use definitions::{EvaluationError, MappingError};
use domain::Currency;

use crate::mapping::Refusal;

/// Why a row is not taken. It is told to who imports, beside the row, so it may name a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// What the door would say of the event.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The row, the order with all its rows, or what an event keeps of it.
    #[error(
        "there are {bytes} bytes; a row, or an order with all its rows, has at most {}, and half of that without a field of \
         its own",
        super::MAX_ROW_BYTES
    )]
    TooLarge {
        /// So large.
        bytes: usize,
    },
    /// An order that has no id could not be told from itself.
    #[error("`order_id` is empty: without it the order could not be told from a repeat")]
    NoOrderId,
    /// Nobody is named.
    #[error("nobody is named: `customer_id`, `anonymous_id` or an e-mail address in `email` is needed")]
    NoCustomer,
    /// Nothing says when it was.
    #[error("`{column}` is empty: what is past has a time")]
    NoTime {
        /// Where the time should be.
        column: &'static str,
    },
    /// Not a time.
    #[error("`{column}` is `{value}`, which is no time as RFC 3339 has it, nor a date, nor seconds since 1970")]
    BadTime {
        /// Where it is.
        column: &'static str,
        /// As it is written.
        value: String,
    },
    /// A time of no zone.
    #[error("`{column}` is `{value}`, which names no time zone: --time-zone says which it is")]
    NoZone {
        /// Where it is.
        column: &'static str,
        /// As it is written.
        value: String,
    },
    /// Before anything can have happened, or still to come.
    #[error(
        "`{column}` is `{value}`: before 1990 only clocks that were never set are, and what is past is not to come"
    )]
    NotPast {
        /// Where it is.
        column: &'static str,
        /// As it is written.
        value: String,
    },
    /// Not an amount.
    #[error(
        "`{column}` is `{value}`, which is no amount: a decimal number such as 1234.50 is (--decimal-comma reads 1.234,50)"
    )]
    BadAmount {
        /// Where it is.
        column: String,
        /// As it is written.
        value: String,
    },
    /// An amount with more digits than its currency has: a point between thousands may have been read as one before a fraction.
    #[error(
        "`{column}` is `{value}`, which has more digits behind its point or comma than {} has; is that one between thousands? \
         --decimal-comma reads 1.234,50, and without it 1234.50 is read; an amount that is none of thousands is written with {} \
         digits",
        currency.code(),
        currency.digits()
    )]
    TooFine {
        /// Where it is.
        column: String,
        /// As it is written.
        value: String,
        /// In this currency.
        currency: Currency,
    },
    /// A part of a call that is no object.
    #[error("`{column}` is `{value}`, which is no JSON object, nor a text that is one")]
    BadObject {
        /// Where it is.
        column: &'static str,
        /// As it is written.
        value: String,
    },
    /// A row that a mapping can't be applied to.
    #[error("the mapping can't be applied to the row: {error}{}", what_to_ask(error))]
    NotComputed {
        /// What of it.
        error: MappingError,
    },
    /// Not a currency.
    #[error("`currency` is `{value}`, which is no code of a currency; three letters such as EUR are")]
    BadCurrency {
        /// As it is written.
        value: String,
    },
    /// Not a whole number.
    #[error("`{column}` is `{value}`, which is no whole number")]
    BadNumber {
        /// Where it is.
        column: String,
        /// As it is written.
        value: String,
    },
    /// Neither yes nor no.
    #[error("`consent` is `{value}`; true or false is expected, 1 or 0, yes or no")]
    BadConsent {
        /// As it is written.
        value: String,
    },
    /// A list of products that is none.
    #[error("`{column}` is no list of objects")]
    BadProducts {
        /// Where it is.
        column: &'static str,
    },
    /// Rows of one order that do not agree.
    #[error(
        "the rows of the order differ in `{column}`; what is of a line begins with `item.`, which a mapping can see to"
    )]
    Differs {
        /// In which column.
        column: String,
    },
}

impl Unfit {
    /// A short word for reports.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::TooLarge { .. } => "too_large",
            Self::NoOrderId => "no_order_id",
            Self::NoCustomer => "no_id",
            Self::NoTime { .. } => "no_time",
            Self::BadTime { .. } => "bad_time",
            Self::NoZone { .. } => "no_time_zone",
            Self::NotPast { .. } => "not_past",
            Self::BadAmount { .. } => "bad_amount",
            Self::TooFine { .. } => "ambiguous_amount",
            Self::BadObject { .. } => "bad_object",
            Self::NotComputed { .. } => "not_computed",
            Self::BadCurrency { .. } => "bad_currency",
            Self::BadNumber { .. } => "bad_number",
            Self::BadConsent { .. } => "bad_consent",
            Self::BadProducts { .. } => "bad_products",
            Self::Differs { .. } => "rows_differ",
        }
    }
}

/// What to do where a condition reads what is not there.
fn what_to_ask(error: &MappingError) -> &'static str {
    if error.place == "when" && error.error == EvaluationError::MissingValue {
        "; it reads a column that is empty in this row, and has(row.…) asks whether it is there: `!has(row.state) || row.state != \
         \"void\"`"
    } else {
        ""
    }
}
