//! What conditions may name (the fields of `customer`, `event` and `run`, and the functions), and what mappings may; and the
//! walk that checks it. What segments may name of the customer stands in `customer_fields.rs`.

mod customer;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr};

use crate::customer_fields::{is_score_name, names_in};
use crate::expression::{Reads, Vocabulary};
use crate::fields::LATER;
use crate::suggest;
use crate::thresholds::Usage;

/// The shape of a value.
#[derive(Debug)]
enum Shape {
    Text,
    Number,
    Boolean,
    /// Free: whatever the shop sends.
    Free,
    List(&'static Shape),
    Map(&'static [(&'static str, Shape)]),
    /// By the names of scores.
    Scores(&'static Shape),
}

static PRODUCT: Shape = Shape::Map(&[
    ("product_id", Shape::Text),
    ("sku", Shape::Text),
    ("category", Shape::Text),
    ("name", Shape::Text),
    ("brand", Shape::Text),
    ("variant", Shape::Text),
    ("coupon", Shape::Text),
    ("url", Shape::Text),
    ("price_minor", Shape::Number),
    ("currency", Shape::Text),
    ("quantity", Shape::Number),
]);

static ORDER: Shape = Shape::Map(&[
    ("order_id", Shape::Text),
    ("checkout_id", Shape::Text),
    ("affiliation", Shape::Text),
    ("coupon", Shape::Text),
    ("currency", Shape::Text),
    ("total_minor", Shape::Number),
    ("revenue_minor", Shape::Number),
    ("subtotal_minor", Shape::Number),
    ("shipping_minor", Shape::Number),
    ("tax_minor", Shape::Number),
    ("discount_minor", Shape::Number),
]);

static CUSTOMER: Shape = Shape::Map(&[
    ("id", Shape::Text),
    ("first_name", Shape::Text),
    ("last_name", Shape::Text),
    ("locale", Shape::Text),
    ("time_zone", Shape::Text),
    ("has_email", Shape::Boolean),
    ("has_phone", Shape::Boolean),
    ("known", Shape::Boolean),
    ("segments", Shape::List(&Shape::Text)),
    ("consent_marketing", Shape::Boolean),
    ("age_days", Shape::Number),
    ("inactive_days", Shape::Number),
    ("recency_days", Shape::Number),
    ("frequency", Shape::Number),
    ("currency", Shape::Text),
    ("monetary_minor", Shape::Number),
    ("average_order_minor", Shape::Number),
    ("coupon_percent", Shape::Number),
    ("rfm", Shape::Map(&[("recency", Shape::Number), ("frequency", Shape::Number), ("monetary", Shape::Number)])),
    ("reachable", Shape::Map(&[("email", Shape::Boolean)])),
    ("lead_score", Shape::Number),
    ("tier", Shape::Text),
    ("scores", Shape::Scores(&Shape::Number)),
    ("favourite_categories", Shape::List(&Shape::Text)),
    ("favourite_brands", Shape::List(&Shape::Text)),
]);

static EVENT: Shape = Shape::Map(&[
    ("name", Shape::Text),
    ("time", Shape::Number),
    ("shop", Shape::Text),
    ("cart_id", Shape::Text),
    ("product", Shape::Free),
    ("products", Shape::List(&PRODUCT)),
    ("order", Shape::Free),
    ("properties", Shape::Free),
]);

static RUN: Shape = Shape::Map(&[("started_at", Shape::Number), ("key", Shape::Text), ("restarts", Shape::Number)]);

static STEP: Shape = Shape::Map(&[
    ("outcome", Shape::Text),
    ("channel", Shape::Text),
    ("clicked", Shape::Boolean),
    ("timed_out", Shape::Boolean),
]);

static NUMBER: Shape = Shape::Number;

/// What a mapping sees: the element at hand, which there may not be, and what there always is.
static MAPPING_VARIABLES: [(&str, Known<'static>); 4] = [
    ("item", Known::Shape(&Shape::Free)),
    ("payload", Known::Shape(&Shape::Free)),
    ("headers", Known::Shape(&Shape::Free)),
    ("now", Known::Shape(&NUMBER)),
];

/// What a mapping of rows sees.
static ROW_VARIABLES: [(&str, Known<'static>); 1] = [("row", Known::Shape(&Shape::Free))];

/// What a segment sees.
static SEGMENT_VARIABLES: [(&str, Known<'static>); 1] = [("customer", Known::Customer(None))];

/// Fields that the design names and a later version has.
const LATER_FIELDS: &[(&str, &[&str])] = &[("customer", &["points", "email", "phone"])];
const LATER_STEP_FIELDS: &[&str] = &["variant", "code"];

const OPERATORS: &[&str] = &[
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "_-_",
    "_+_",
    "_*_",
    "_/_",
    "_%_",
    "_==_",
    "_!=_",
    "_>=_",
    "_<=_",
    "_>_",
    "_<_",
    "-_",
    "_[_]",
    "@in",
    "@not_strictly_false",
];
const NOT_BOOLEAN: &[&str] = &["_-_", "_+_", "_*_", "_/_", "_%_", "-_", "size", "int", "double", "string", "millis"];
const FUNCTIONS: &[&str] = &["size", "contains", "startsWith", "endsWith", "int", "double", "string", "millis"];
const MACROS: &[&str] = &["has", "all", "exists", "exists_one", "map", "filter"];
const MAX_NESTED_LOOPS: usize = 2;

/// What is wrong with a node of the tree.
pub(crate) struct Complaint {
    pub(crate) id: u64,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// What is known of a part of an expression.
#[derive(Clone, Copy)]
enum Known<'e> {
    Shape(&'static Shape),
    Run,
    Step(&'e str),
    Properties,
    /// The customer that a segment sees, or a group of her fields.
    Customer(Option<&'static str>),
    Traits,
    Nothing,
}

/// What the expression reads, and what is wrong with it.
pub(crate) fn check(expression: &IdedExpr, vocabulary: Vocabulary<'_>) -> (Reads, Vec<Complaint>) {
    // What is computed for each element of a list is in a loop already.
    let loops = usize::from(matches!(vocabulary, Vocabulary::Mapping { item: true, .. }));
    let mut walk = Walk { vocabulary, reads: Reads::default(), complaints: Vec::new(), locals: Vec::new(), loops };
    let answer = walk.expression(expression);
    let not_boolean = match (&expression.expr, answer) {
        (Expr::Literal(literal), _) => !matches!(literal, LiteralValue::Boolean(_)),
        (Expr::List(_) | Expr::Map(_), _) => true,
        (Expr::Call(call), _) => NOT_BOOLEAN.contains(&call.func_name.as_str()),
        (_, Known::Shape(Shape::Boolean | Shape::Free) | Known::Nothing) => false,
        (_, Known::Shape(_) | Known::Run | Known::Step(_) | Known::Properties | Known::Customer(_) | Known::Traits) => {
            true
        }
    };
    if vocabulary.is_condition() && not_boolean && walk.complaints.is_empty() {
        walk.complain(expression.id, "a condition is true or false; this is neither".to_owned(), None);
    }
    (walk.reads, walk.complaints)
}

/// Where to look for what is a score wherever there is one.
fn is_a_score(field: &str) -> Option<String> {
    (field == "churn").then(|| "did you mean `customer.scores.churn`?".to_owned())
}

/// `event.product` as it is written.
fn path(expression: &Expr) -> String {
    match expression {
        Expr::Ident(name) => name.clone(),
        Expr::Select(select) => format!("{}.{}", path(&select.operand.expr), select.field),
        _ => "this".to_owned(),
    }
}

struct Walk<'e> {
    vocabulary: Vocabulary<'e>,
    reads: Reads,
    complaints: Vec<Complaint>,
    locals: Vec<(&'e str, Known<'e>)>,
    loops: usize,
}

impl<'e> Walk<'e> {
    fn complain(&mut self, id: u64, message: String, help: Option<String>) {
        self.complaints.push(Complaint { id, message, help });
    }

    /// A part whose value is used.
    fn expression(&mut self, node: &'e IdedExpr) -> Known<'e> {
        self.used(node, Usage::Value)
    }

    fn used(&mut self, node: &'e IdedExpr, usage: Usage) -> Known<'e> {
        let known = self.part(node, usage);
        match known {
            Known::Customer(group) => self.no_value(node.id, group),
            Known::Traits => self.all_traits(Usage::Value),
            _ => {}
        }
        known
    }

    /// A part of which a field is taken, or whose value is used.
    fn part(&mut self, node: &'e IdedExpr, usage: Usage) -> Known<'e> {
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => Known::Nothing,
            Expr::Ident(name) => self.identifier(node.id, name),
            Expr::Select(select) => self.select(node.id, select, usage),
            Expr::Call(call) => self.call(node.id, call),
            Expr::Comprehension(comprehension) => self.comprehension(node.id, comprehension),
            Expr::List(list) => {
                for element in &list.elements {
                    self.expression(element);
                }
                Known::Nothing
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.expression(&entry.key);
                        self.expression(&entry.value);
                    }
                }
                Known::Nothing
            }
            Expr::Struct(_) => {
                self.complain(node.id, "messages (`Type{…}`) can't be made here".to_owned(), None);
                Known::Nothing
            }
        }
    }

    fn identifier(&mut self, id: u64, name: &'e str) -> Known<'e> {
        if let Some((_, known)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return *known;
        }
        let variables: &[(&'static str, Known<'e>)] = match self.vocabulary {
            Vocabulary::Journey(_) => &[
                ("customer", Known::Shape(&CUSTOMER)),
                ("event", Known::Shape(&EVENT)),
                ("run", Known::Run),
                ("now", Known::Shape(&NUMBER)),
            ],
            Vocabulary::Segment => &SEGMENT_VARIABLES,
            Vocabulary::Mapping { item, .. } => &MAPPING_VARIABLES[usize::from(!item)..],
            Vocabulary::Row { .. } => &ROW_VARIABLES,
        };
        let Some((variable, known)) = variables.iter().find(|(variable, _)| *variable == name) else {
            let help = match (self.vocabulary, name) {
                (Vocabulary::Segment, "now" | "event" | "run") => Some(
                    "a segment sees the customer alone, and time by her fields, such as `customer.recency_days`"
                        .to_owned(),
                ),
                _ => suggest::help(name, variables.iter().map(|(variable, _)| *variable)),
            };
            self.complain(id, format!("`{name}` is unknown"), help);
            return Known::Nothing;
        };
        self.reads.variables.insert(variable);
        *known
    }

    fn select(&mut self, id: u64, select: &'e SelectExpr, usage: Usage) -> Known<'e> {
        let operand = self.part(&select.operand, Usage::Value);
        let field = select.field.as_str();
        let usage = if select.test { Usage::Presence } else { usage };
        let found = match operand {
            Known::Nothing => Known::Nothing,
            Known::Properties => {
                self.reads.properties.insert(field.into());
                Known::Nothing
            }
            Known::Run => self.run_field(id, field),
            Known::Step(step) => self.step_field(id, step, field),
            Known::Shape(shape) => self.shape_field(id, &select.operand.expr, shape, field),
            Known::Customer(group) => self.customer_field(id, group, field, usage),
            Known::Traits => self.customer_trait(field, usage),
        };
        match found {
            Known::Customer(group) if select.test => self.no_value(id, group),
            Known::Traits if select.test => self.all_traits(usage),
            _ => {}
        }
        if select.test { Known::Shape(&Shape::Boolean) } else { found }
    }

    fn run_field(&mut self, id: u64, field: &'e str) -> Known<'e> {
        let Vocabulary::Journey(steps) = self.vocabulary else { return Known::Nothing };
        if steps.iter().any(|step| &**step == field) {
            self.reads.steps.insert(field.into());
            return Known::Step(field);
        }
        let Shape::Map(fields) = &RUN else { return Known::Nothing };
        if let Some((_, shape)) = fields.iter().find(|(name, _)| *name == field) {
            return Known::Shape(shape);
        }
        let names = fields.iter().map(|(name, _)| *name).chain(steps.iter().map(|step| &**step));
        let help = suggest::help(field, names);
        self.complain(id, format!("no step before this one is named `{field}` by `as`"), help);
        Known::Nothing
    }

    fn step_field(&mut self, id: u64, step: &'e str, field: &str) -> Known<'e> {
        let Shape::Map(fields) = &STEP else { return Known::Nothing };
        if LATER_STEP_FIELDS.contains(&field) {
            self.complain(id, format!("`run.{step}.{field}` {LATER}"), None);
            return Known::Nothing;
        }
        let Some((_, shape)) = fields.iter().find(|(name, _)| *name == field) else {
            let help = suggest::help(field, fields.iter().map(|(name, _)| *name));
            self.complain(id, format!("`run.{step}` has no field `{field}`"), help);
            return Known::Nothing;
        };
        if matches!(field, "outcome" | "channel") {
            self.reads.outcomes.insert(step.into());
        }
        Known::Shape(shape)
    }

    fn shape_field(&mut self, id: u64, operand: &Expr, shape: &'static Shape, field: &str) -> Known<'e> {
        let fields = match shape {
            Shape::Map(fields) => *fields,
            Shape::Free => return Known::Nothing,
            Shape::Scores(score) => {
                self.check_score_name(id, field);
                return Known::Shape(score);
            }
            Shape::Text | Shape::Number | Shape::Boolean | Shape::List(_) => {
                self.complain(id, format!("there is no field `{field}` here: this is a single value or a list"), None);
                return Known::Nothing;
            }
        };
        if std::ptr::eq(shape, &raw const EVENT) {
            match field {
                "product" => return Known::Shape(&PRODUCT),
                "order" => return Known::Shape(&ORDER),
                "properties" => return Known::Properties,
                _ => {}
            }
        }
        if let Some((_, shape)) = fields.iter().find(|(name, _)| *name == field) {
            return Known::Shape(shape);
        }
        let variable = path(operand);
        // What a segment may read and a journey may not: it is known with the whole profile at hand alone.
        if std::ptr::eq(shape, &raw const CUSTOMER) && names_in(None).contains(&field) {
            let help = "make it a segment's condition, and ask `'…' in customer.segments`".to_owned();
            self.complain(id, format!("journeys don't see `customer.{field}`"), Some(help));
            return Known::Nothing;
        }
        if LATER_FIELDS.iter().any(|(owner, fields)| **owner == variable && fields.contains(&field)) {
            self.complain(id, format!("`{variable}.{field}` {LATER}"), None);
            return Known::Nothing;
        }
        let help = is_a_score(field).or_else(|| suggest::help(field, fields.iter().map(|(name, _)| *name)));
        self.complain(id, format!("`{variable}` has no field `{field}`"), help);
        Known::Nothing
    }

    /// Nobody scores under another name, so it would be missing for ever.
    fn check_score_name(&mut self, id: u64, name: &str) {
        if !is_score_name(name) {
            let help = "a lower-case letter, then lower-case letters, digits and underscores: at most 32".to_owned();
            self.complain(id, format!("no score is called `{name}`"), Some(help));
        }
    }

    fn call(&mut self, id: u64, call: &'e CallExpr) -> Known<'e> {
        let name = call.func_name.as_str();
        let complaints = self.complaints.len();
        let target = call.target.as_deref().map(|target| self.expression(target));
        let usages = Usage::of_arguments(call);
        let arguments = call.args.iter().enumerate().map(|(at, argument)| match (name, at) {
            // What is taken of it is told below.
            ("_[_]", 0) => self.part(argument, Usage::Value),
            _ => self.used(argument, usages.get(at).copied().unwrap_or(Usage::Value)),
        });
        let arguments: Vec<_> = arguments.collect();
        let is_null = |argument: &IdedExpr| matches!(argument.expr, Expr::Literal(LiteralValue::Null));
        if !matches!(self.vocabulary, Vocabulary::Journey(_))
            && matches!(name, "_==_" | "_!=_")
            && call.args.iter().any(is_null)
        {
            let root = match self.vocabulary {
                Vocabulary::Row { .. } => "row",
                Vocabulary::Mapping { .. } => "payload",
                Vocabulary::Segment | Vocabulary::Journey(_) => "customer",
            };
            let help = format!("ask `has({root}.x)` whether it is there, and so that it is not null");
            self.complain(id, "what is null is as what is not there, and equal to nothing".to_owned(), Some(help));
        }
        if let Vocabulary::Segment = self.vocabulary {
            self.check_types(id, call, &arguments);
        }
        // What is called on something unknown can't be known either.
        if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) && self.complaints.len() == complaints {
            let known = FUNCTIONS.iter().chain(MACROS).copied().filter(|known| *known != name);
            let help = match (name, target) {
                ("has" | "contains", Some(Known::Shape(Shape::List(_)))) => {
                    Some("`'x' in …` asks whether it is in the list".to_owned())
                }
                _ => suggest::help(name, known),
            };
            self.complain(id, format!("there is no function `{name}`"), help);
        }
        if target.is_some_and(|target| matches!(target, Known::Properties)) {
            self.reads.any_property = true;
        }
        if name != "_[_]" {
            if arguments.iter().any(|argument| matches!(argument, Known::Properties)) {
                self.reads.any_property = true;
            }
            return Known::Nothing;
        }
        match (arguments.first().copied(), call.args.get(1).map(|index| &index.expr)) {
            (Some(Known::Properties), Some(Expr::Literal(LiteralValue::String(property)))) => {
                self.reads.properties.insert(property.inner().into());
                Known::Nothing
            }
            (Some(Known::Properties), _) => {
                self.reads.any_property = true;
                Known::Nothing
            }
            (Some(Known::Traits), Some(Expr::Literal(LiteralValue::String(name)))) => {
                self.customer_trait(name.inner(), Usage::Value)
            }
            (Some(Known::Traits), _) => {
                self.all_traits(Usage::Value);
                Known::Nothing
            }
            (Some(Known::Customer(group)), _) => {
                self.no_value(id, group);
                Known::Nothing
            }
            (Some(Known::Shape(Shape::List(element))), _) => Known::Shape(element),
            (Some(Known::Shape(Shape::Map(_) | Shape::Scores(_)) | Known::Run | Known::Step(_)), _) => {
                self.complain(
                    id,
                    "name the field with a dot (`event.name`), so that it can be checked".to_owned(),
                    None,
                );
                Known::Nothing
            }
            _ => Known::Nothing,
        }
    }

    fn comprehension(&mut self, id: u64, comprehension: &'e ComprehensionExpr) -> Known<'e> {
        let range = self.expression(&comprehension.iter_range);
        let element = match range {
            Known::Shape(Shape::List(element)) => Known::Shape(element),
            Known::Properties => {
                self.reads.any_property = true;
                Known::Nothing
            }
            _ => Known::Nothing,
        };
        self.loops += 1;
        self.reads.in_a_loop = true;
        if self.loops > MAX_NESTED_LOOPS {
            self.complain(id, format!("loops are nested more than {MAX_NESTED_LOOPS} deep, `each` counted"), None);
        }
        self.expression(&comprehension.accu_init);
        let outer = self.locals.len();
        self.locals.push((&comprehension.iter_var, element));
        self.locals.extend(comprehension.iter_var2.iter().map(|name| (name.as_str(), Known::Nothing)));
        self.locals.push((&comprehension.accu_var, Known::Nothing));
        self.expression(&comprehension.loop_cond);
        self.expression(&comprehension.loop_step);
        self.expression(&comprehension.result);
        self.locals.truncate(outer);
        self.loops -= 1;
        Known::Nothing
    }
}
