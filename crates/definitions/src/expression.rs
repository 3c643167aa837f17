//! Conditions in CEL.
//!
//! Wanted properties:
//! - what is unknown (a variable, a field, a function, a step) is refused when the definition is loaded, at its place;
//! - an expression can't loop without bound or call out: no comprehension inside more than one other, a bounded length;
//! - evaluating one never panics and never tells a value: an error is one of a few words, so that it may be recorded.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::{CelInt, CelString, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{Context, Env, ExecutionError, Value};
use domain::HumanDuration;
use serde::Serialize;

use crate::diagnostic::{Position, Report};
use crate::shape;
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
    /// The variables: `customer`, `event`, `run`, `now`.
    pub variables: BTreeSet<&'static str>,
    /// The names of `event.properties` that it reads.
    pub properties: BTreeSet<Arc<str>>,
    /// It reads a property whose name is only known at run time.
    pub any_property: bool,
    /// The steps of whose message it reads the outcome or the channel: it waits for these.
    pub outcomes: BTreeSet<Arc<str>>,
    /// The steps that it reads in any way.
    pub steps: BTreeSet<Arc<str>>,
}

/// A checked condition.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    syntax: Arc<IdedExpr>,
    reads: Arc<Reads>,
}

/// Why a condition has no answer. Names no value, so that it may be recorded.
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
            Self::Failed => "failed",
        }
    }
}

/// The variables that a condition is evaluated with.
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
        match Value::resolve(&self.syntax, &scope.0) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(_) => Err(EvaluationError::NotBoolean),
            Err(error) => Err(match error {
                ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_) => EvaluationError::MissingValue,
                ExecutionError::NoSuchOverload(_)
                | ExecutionError::UnexpectedType { .. }
                | ExecutionError::ValuesNotComparable(..)
                | ExecutionError::UnsupportedTargetType { .. }
                | ExecutionError::NotSupportedAsMethod { .. }
                | ExecutionError::UnsupportedBinaryOperator(..) => EvaluationError::WrongType,
                ExecutionError::DivisionByZero(_)
                | ExecutionError::RemainderByZero(_)
                | ExecutionError::Overflow(..) => EvaluationError::Arithmetic,
                _ => EvaluationError::Failed,
            }),
        }
    }

    /// Reads and checks the condition in `node`; `steps` are the names of the steps before it.
    pub(crate) fn parse(node: &Node, steps: &[Arc<str>], report: &mut Report<'_>) -> Option<Self> {
        let source = text(node, "a condition", report)?;
        if source.len() > MAX_LENGTH {
            report.error(node.at, format!("a condition is at most {MAX_LENGTH} bytes long"));
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
                    report.error(at, format!("this is not a valid condition: {}", plain(&error.msg)));
                }
                return None;
            }
        };
        let (reads, complaints) = shape::check(&syntax, steps);
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
