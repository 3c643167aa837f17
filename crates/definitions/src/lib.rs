//! Definitions as code: journeys, segments, templates and messaging settings in YAML, with conditions in CEL.
//!
//! Wanted properties:
//! - pure: texts in, definitions or diagnostics out; no file, clock, network or time zone of the machine;
//! - everything that is wrong is told at once, each with file, line, column and what to do;
//! - what a later version has is refused by name, never parsed halfway;
//! - a loaded document travels as its text ([`Document::body`]) and is read again by each service ([`parse_document`]).
//!
//! Folders are read by [`load`], single records by [`parse_document`]; [`changes`] says what applying a folder would write.

mod apply;
mod customer_fields;
mod dates;
mod diagnostic;
mod document;
mod expression;
mod fields;
mod journey;
mod load;
mod mapping;
mod messaging;
mod parse_event;
mod parse_journey;
mod parse_mapping;
mod parse_step;
mod row_mapping;
mod segment;
mod shape;
mod suggest;
mod template;
mod thresholds;
mod values;
mod yaml;

pub use apply::{Change, changes};
pub use customer_fields::{Ageing, CUSTOMER_FIELDS, CustomerField, FieldType, customer_field, is_score_name};
pub use dates::{CustomerDate, CustomerDay, ShopTimeZones};
pub use diagnostic::{Diagnostic, Origin, Position, Severity};
pub use document::{Definition, Document, Kind, digest, parse_document, parse_record_key, record_key};
pub use expression::{EvaluationError, Expression, Reads, Scope, serialize_json};
pub use journey::{
    Action, Awaited, Channel, DATE_REACHED, DateTrigger, EventPattern, Field, Goal, Journey, MessageStep,
    SEGMENT_ENTERED, SEGMENT_LEFT, SegmentName, Step, Trigger, Wait, WaitStep, WhenStep,
};
pub use load::{Definitions, Folder, MAX_DATES, MAX_EXISTING, PRESET_FILE, SourceFile, load};
pub use mapping::{Delivered, Encoding, Mapping, MappingError, Otherwise, SecretForm, Signature};
pub use messaging::{Category, Consent, Messaging};
pub use parse_mapping::{MAX_MAPPING_BYTES, parse_mapping};
pub use parse_step::{DEFAULT_CATEGORY, DEFAULT_EXPIRY};
pub use row_mapping::{RowMapping, RowNames, parse_row_mapping};
pub use segment::Segment;
pub use suggest::help as suggestion;
pub use template::{Template, TemplateText, Tracking};
pub use thresholds::Thresholds;
pub use values::{Percent, TimeOfDay, Zone, time_zone};
