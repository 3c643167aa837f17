//! Conditions, and what mappings compute, in CEL.
//!
//! Wanted properties:
//! - what is unknown (a variable, a field, a function, a step) is refused when the definition is loaded, at its place;
//! - an expression can't loop without bound or call out: no comprehension inside more than one other, a bounded length;
//! - evaluating one never panics and never tells a value: an error is one of a few words, so that it may be recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::{CelInt, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Value};
use domain::HumanDuration;
use serde::{Serialize, Serializer};

use crate::diagnostic::{Position, Report};
use crate::shape;
use crate::thresholds::Thresholds;
use crate::values::{inside, text};
use crate::yaml::Node;

const MAX_LENGTH: usize = 2_000;
const MAX_RECURSION: u16 = 40;

/// The functions of CEL's standard library that we offer, and one of our own: `millis("2d")`.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    let added = environment.add_overload("millis", "millis_string", vec![STRING_TYPE], millis);
    debug_assert!(added.is_ok(), "no function of the standard library has this name");
    Arc::new(environment)
});

/// A duration as people write it, in milliseconds: what `now - event.time` can be compared with.
#[allow(clippy::needless_pass_by_value, reason = "the environment's type of a function")]
fn millis<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = arguments.first().and_then(|argument| argument.downcast_ref::<CelString<'_>>()).map(CelString::inner);
    let duration = text.and_then(|text| text.parse::<HumanDuration>().ok());
    duration
        .map(|duration| CowVal::owned(CelInt::from(duration.as_millis())))
        .ok_or_else(|| ExecutionError::function_error("millis", "not a duration"))
}

/// What an expression looks at, so that only this has to be kept and built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The variables, such as `event` or `payload`.
    pub variables: BTreeSet<&'static str>,
    /// The names of `event.properties` that it reads.
    pub properties: BTreeSet<Arc<str>>,
    /// It reads a property whose name is only known at run time.
    pub any_property: bool,
    /// The steps of whose message it reads the outcome or the channel: it waits for these.
    pub outcomes: BTreeSet<Arc<str>>,
    /// The steps that it reads in any way.
    pub steps: BTreeSet<Arc<str>>,
    /// It goes through a list or a map.
    pub in_a_loop: bool,
    /// The fields of the customer that a segment's condition reads, by path (`cart.open`, `traits.plan`; `traits` where the name is
    /// only known at run time), each with the numbers at which its answer may change.
    pub customer: BTreeMap<Arc<str>, Thresholds>,
}

/// What an expression may name, and what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Vocabulary<'s> {
    /// A condition of a journey; these are the names of the steps before it.
    Journey(&'s [Arc<str>]),
    /// A condition of a segment.
    Segment,
    /// What a mapping computes: of the payload, of its headers, and of the element at hand where there is one.
    Mapping {
        /// Whether there is an element at hand.
        item: bool,
        /// Whether it is a condition, true or false.
        condition: bool,
    },
    /// What a mapping of rows computes of a row.
    Row {
        /// Whether it is a condition, true or false.
        condition: bool,
    },
}

impl Vocabulary<'_> {
    /// What is computed.
    const fn what(self) -> &'static str {
        if self.is_condition() { "condition" } else { "expression" }
    }

    /// Whether it has to be true or false.
    pub(crate) const fn is_condition(self) -> bool {
        matches!(
            self,
            Self::Journey(_) | Self::Segment | Self::Mapping { condition: true, .. } | Self::Row { condition: true }
        )
    }
}

/// A checked expression.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    syntax: Arc<IdedExpr>,
    reads: Arc<Reads>,
}

/// Why an expression has no value, or a condition no answer. Names no value, so that it may be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvaluationError {
    /// A key that is not there.
    MissingValue,
    /// A value of another type than the operator or function takes (mostly: it is missing).
    WrongType,
    /// The answer is neither true nor false.
    NotBoolean,
    /// Arithmetic: overflow, division by zero.
    Arithmetic,
    /// More than may be made of it.
    TooLarge,
    /// Anything else.
    Failed,
}

impl EvaluationError {
    /// A word for the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MissingValue => "missing_value",
            Self::WrongType => "wrong_type",
            Self::NotBoolean => "not_boolean",
            Self::Arithmetic => "arithmetic",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
        }
    }
}

/// The variables that an expression is evaluated with.
pub struct Scope(Context<'static, 'static>);

impl Scope {
    /// No variables yet.
    pub fn new() -> Self {
        Self(Context::with_env(Arc::clone(&ENVIRONMENT)))
    }

    /// Gives a variable its value.
    pub fn set(&mut self, name: &'static str, value: impl Serialize) {
        // A value that CEL can't hold is left out: reading it is then a missing value, which takes the default branch.
        if let Ok(value) = cel::to_value(value) {
            self.0.add_variable_from_value(name, value);
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Expression {
    /// As it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it looks at.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Whether it holds.
    pub fn evaluate(&self, scope: &Scope) -> Result<bool, EvaluationError> {
        match self.resolve(scope)? {
            Value::Bool(answer) => Ok(answer),
            _ => Err(EvaluationError::NotBoolean),
        }
    }

    /// Its value as JSON of at most so many bytes.
    pub(crate) fn value(&self, scope: &Scope, max_bytes: usize) -> Result<serde_json::Value, EvaluationError> {
        let mut bytes_left = max_bytes;
        json(&self.resolve(scope)?, &mut bytes_left)
    }

    fn resolve(&self, scope: &Scope) -> Result<Value, EvaluationError> {
        Value::resolve(&self.syntax, &scope.0).map_err(|error| match error {
            ExecutionError::NoSuchKey(_)
            | ExecutionError::UndeclaredReference(_)
            | ExecutionError::IndexOutOfBounds(_) => EvaluationError::MissingValue,
            ExecutionError::NoSuchOverload(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::NotSupportedAsMethod { .. }
            | ExecutionError::UnsupportedBinaryOperator(..) => EvaluationError::WrongType,
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) | ExecutionError::Overflow(..) => {
                EvaluationError::Arithmetic
            }
            _ => EvaluationError::Failed,
        })
    }

    /// The value of a header of a webhook.
    pub(crate) fn of_header(name: &str) -> Self {
        let source = format!("headers[\"{name}\"]");
        let syntax = ENVIRONMENT.parser().parse(&source).expect("a header's name is a text");
        Self { source: source.into(), syntax: Arc::new(syntax), reads: Arc::default() }
    }

    /// Reads and checks the expression in `node`.
    pub(crate) fn parse(node: &Node, vocabulary: Vocabulary<'_>, report: &mut Report<'_>) -> Option<Self> {
        let what = vocabulary.what();
        let article = if vocabulary.is_condition() { "a" } else { "an" };
        let source = text(node, &format!("{article} {what}"), report)?;
        if source.len() > MAX_LENGTH {
            report.error(node.at, format!("{article} {what} is at most {MAX_LENGTH} bytes long"));
            return None;
        }
        let parser = ENVIRONMENT.parser().max_recursion_depth(MAX_RECURSION);
        let (syntax, info) = match parser.parse_with_source_info(source) {
            Ok(parsed) => parsed,
            Err(errors) => {
                for error in errors.errors {
                    let line = usize::try_from(error.pos.0).unwrap_or(1);
                    let column = usize::try_from(error.pos.1).unwrap_or(1);
                    let at = inside(node, line, column);
                    report.error(at, format!("this is not a valid {what}: {}", plain(&error.msg)));
                }
                return None;
            }
        };
        let (reads, complaints) = shape::check(&syntax, vocabulary);
        let sound = complaints.is_empty();
        for complaint in complaints {
            let offset = info.offset_for(complaint.id).map_or(0, |(start, _)| start as usize);
            let Position { line, column } = place(source, offset);
            let at = inside(node, line, column);
            match complaint.help {
                Some(help) => report.error_with_help(at, complaint.message, help),
                None => report.error(at, complaint.message),
            }
        }
        sound.then(|| Self { source: source.into(), syntax: Arc::new(syntax), reads: Arc::new(reads) })
    }
}

/// A value as JSON. What JSON does not know (a function, bytes) has none.
fn json(value: &Value, bytes_left: &mut usize) -> Result<serde_json::Value, EvaluationError> {
    // A name or a text with its quotes, the longest of numbers and words, a bracket: each is at least so much.
    let bytes = if let Value::String(text) = value { text.len() + 3 } else { 8 };
    *bytes_left = bytes_left.checked_sub(bytes).ok_or(EvaluationError::TooLarge)?;
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) if !number.is_finite() => return Err(EvaluationError::Arithmetic),
        Value::Float(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => {
            serde_json::Value::Array(items.iter().map(|item| json(item, bytes_left)).collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let mut object = serde_json::Map::new();
            for (name, value) in map.map.iter() {
                let name = name.to_string();
                *bytes_left = bytes_left.checked_sub(name.len()).ok_or(EvaluationError::TooLarge)?;
                object.insert(name, json(value, bytes_left)?);
            }
            serde_json::Value::Object(object)
        }
        _ => return Err(EvaluationError::WrongType),
    })
}

/// JSON with whole numbers as CEL's `int`, or `uint` beyond it: JSON does not tell signed from unsigned.
pub fn serialize_json<S: Serializer>(value: &serde_json::Value, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        serde_json::Value::Null => serializer.serialize_unit(),
        serde_json::Value::Bool(value) => serializer.serialize_bool(*value),
        serde_json::Value::String(text) => serializer.serialize_str(text),
        serde_json::Value::Object(object) => {
            serializer.collect_map(object.iter().map(|(name, value)| (name, Json(value))))
        }
        serde_json::Value::Array(items) => serializer.collect_seq(items.iter().map(Json)),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => serializer.serialize_i64(whole),
            (None, Some(large)) => serializer.serialize_u64(large),
            (None, None) => serializer.serialize_f64(number.as_f64().unwrap_or(f64::NAN)),
        },
    }
}

struct Json<'a>(&'a serde_json::Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_json(self.0, serializer)
    }
}

/// The parser's message without its list of all the tokens that could have stood there.
fn plain(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message);
    let line = line.strip_prefix("Syntax error: ").unwrap_or(line);
    line.split(" expecting ").next().unwrap_or(line).replace("mismatched input '<EOF>'", "it ends too early")
}

fn place(source: &str, offset: usize) -> Position {
    let before = source.chars().take(offset);
    let (mut line, mut column) = (1, 1);
    for c in before {
        (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    Position { line, column }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}
