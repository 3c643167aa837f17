//! From a template and a customer's context to a message: Liquid, then MJML, then text. Pure.
//!
//! Wanted properties:
//! - the same template and context give the same message;
//! - nothing in the context, whatever its text, becomes markup, a template or a second header line;
//! - no template and no context takes more than a bounded amount of work, memory and stack;
//! - what goes wrong is told without anything that the context says.
//!
//! A template sees what the request's context has (`customer`, `cart`, `product`, `products`, `order`, `run`, …), and:
//! `shop` (`id`, `name`, `url`), `locale`, `unsubscribe_url`, `preferences_url`, `message_id`; what is not known is empty.

mod blocks;
mod compile;
mod escape;
mod filters;
mod html;
mod language;
mod links;
mod markup;
mod scope;
mod tags;
mod values;
mod weight;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::Locale;
use liquid_core::Renderable as _;
use liquid_core::runtime::Template as Liquid;
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};

pub use compile::{Problem, Text};
pub use escape::escape_html;
pub use links::{with_links, with_picture};

use crate::template::Template;
use compile::Compiled;
use escape::Part;
use scope::{Bounded, Scope};
use values::Node;

/// So many compiled templates are kept.
const MAX_COMPILED: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
/// A larger body is refused, before and after MJML.
const MAX_BODY_BYTES: usize = 512 * 1024;
/// A longer subject or preheader is cut (RFC 5322, 2.1.1 lets a line have 998).
const MAX_LINE_CHARS: usize = 255;
/// Enough for a line that is cut afterwards.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Renders messages. Compiled templates are kept by digest and language.
#[derive(Debug)]
pub struct Renderer {
    compiled: Mutex<LruCache<(String, Locale), Arc<Compiled>>>,
}

/// What a message is rendered with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The message's id.
    pub message_id: &'a str,
    /// The customer's language tag.
    pub locale: Option<&'a str>,
    /// The customer's given name, where the context does not have it.
    pub first_name: Option<&'a str>,
    /// The customer's family name, where the context does not have it.
    pub last_name: Option<&'a str>,
    /// The request's context: the text of a JSON object.
    pub context_json: Option<&'a str>,
    /// The shop.
    pub shop: ShopFacts<'a>,
    /// Where the customer can unsubscribe.
    pub unsubscribe_url: &'a str,
    /// Where she can say what she wants to get; templates see it with the message's language.
    pub preferences_url: &'a str,
}

/// What is known of a shop.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShopFacts<'a> {
    /// Its id, as in events.
    pub id: &'a str,
    /// Its name, as customers know it.
    pub name: &'a str,
    /// Its address on the web.
    pub url: Option<&'a str>,
}

/// A rendered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The language that it is in.
    pub locale: Locale,
    /// Who it comes from, if the template says so.
    pub from_name: Option<String>,
    /// The subject: one line.
    pub subject: String,
    /// The body as HTML.
    pub html: String,
    /// The body as text.
    pub text: String,
}

/// Why a message can't be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The template has no text at all.
    #[error("the template has no text")]
    NoText,
    /// The template is wrong.
    #[error("the template is wrong: {0}")]
    Template(Problem),
    /// The template can't be used on this context (a filter that wants a number and gets a text, …).
    #[error("the {0} can't be rendered with this context")]
    Liquid(Text),
    /// The template does too much.
    #[error("the {0} does too much: too many elements, filters and turns of loops, or texts and lists too long")]
    TooMuchWork(Text),
    /// The body is too large.
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// Elements lie too deep in each other, or are not closed.
    #[error("the body's elements lie too deep in each other, or are not closed")]
    TooDeep,
    /// The body is not MJML.
    #[error("the body is not MJML: {0}")]
    Mjml(String),
    /// No text can be made of the HTML.
    #[error("no text can be made of the HTML")]
    Text,
    /// The context is no JSON object.
    #[error("the context is no JSON object")]
    Context,
    /// The subject is empty.
    #[error("the subject is empty")]
    EmptySubject,
    /// A library that renders panicked.
    #[error("the template makes the renderer panic")]
    Panicked,
}

impl RenderError {
    /// The reason of the outcome `render_failed`: a fixed word.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoText => "template_without_text",
            Self::Template(_) => "malformed_template",
            Self::Liquid(_) => "template_does_not_fit_context",
            Self::TooMuchWork(_) => "template_does_too_much",
            Self::TooLarge => "body_too_large",
            Self::TooDeep => "body_too_deep",
            Self::Mjml(_) => "malformed_mjml",
            Self::Text => "no_text_part",
            Self::Context => "malformed_context",
            Self::EmptySubject => "empty_subject",
            Self::Panicked => "renderer_panicked",
        }
    }
}

impl Default for Renderer {
    fn default() -> Self {
        Self::new()
    }
}

impl Renderer {
    /// A renderer that has compiled nothing yet.
    pub fn new() -> Self {
        Self { compiled: Mutex::new(LruCache::new(MAX_COMPILED)) }
    }

    /// Renders a template with what is known.
    pub fn render(&self, template: &Template, facts: &Facts<'_>) -> Result<Rendered, RenderError> {
        let (locale, texts) = template.text(facts.locale).ok_or(RenderError::NoText)?;
        let compiled = self.compiled(&template.digest, locale, texts)?;
        let from_name = texts.from_name.as_ref().or(template.definition.from_name.as_ref());
        let mut rendered = render(&compiled, facts).map_err(|failure| failure.error)?;
        rendered.from_name = from_name.map(|name| escape::one_line(name));
        Ok(rendered)
    }

    fn compiled(
        &self,
        digest: &str,
        locale: Locale,
        texts: &definitions::TemplateText,
    ) -> Result<Arc<Compiled>, RenderError> {
        let key = (digest.to_owned(), locale);
        if let Some(compiled) = self.compiled.lock().get(&key) {
            return Ok(Arc::clone(compiled));
        }
        let first = |mut problems: Vec<Problem>| RenderError::Template(problems.swap_remove(0));
        let compiled = Arc::new(Compiled::new(locale, texts).map_err(first)?);
        self.compiled.lock().put(key, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// What is wrong with a template, as far as it can be seen without a customer: each text is compiled, and rendered with an
/// empty context. Empty if nothing is.
pub fn check(template: &definitions::Template) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (locale, texts) in &template.texts {
        match Compiled::new(*locale, texts) {
            Err(found) => problems.extend(found),
            Ok(compiled) => {
                let (unsubscribe_url, preferences_url) = ("https://example.com/", "https://example.com/");
                let facts = Facts { unsubscribe_url, preferences_url, ..Facts::default() };
                match render(&compiled, &facts) {
                    Ok(_) | Err(Failure { error: RenderError::EmptySubject, .. }) => {}
                    Err(failure) => problems.push(failure.into_problem(*locale)),
                }
            }
        }
    }
    problems
}

/// Why nothing was rendered, with what Liquid says of it: that may tell values of the context.
#[derive(Debug)]
struct Failure {
    error: RenderError,
    said: Option<String>,
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        Self { error, said: None }
    }
}

impl Failure {
    fn into_problem(self, locale: Locale) -> Problem {
        let text = match self.error {
            RenderError::Liquid(text) | RenderError::TooMuchWork(text) => text,
            _ => Text::Body,
        };
        let message = match self.said {
            Some(said) => format!("{}: {}", self.error, compile::message(&said)),
            None => self.error.to_string(),
        };
        Problem { locale, text, line: 1, column: 1, message }
    }
}

/// What the work gives, unless a library panics in it: that is an error of one message, and of nobody else's.
fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

fn render(compiled: &Compiled, facts: &Facts<'_>) -> Result<Rendered, Failure> {
    unless_it_panics(|| render_now(compiled, facts)).unwrap_or_else(|| Err(RenderError::Panicked.into()))
}

fn render_now(compiled: &Compiled, facts: &Facts<'_>) -> Result<Rendered, Failure> {
    let context = context(compiled.locale, facts)?;
    let plain = Node::of(&context, Part::Plain);
    let subject = line(&compiled.subject, &plain, Text::Subject)?;
    if subject.is_empty() {
        return Err(RenderError::EmptySubject.into());
    }
    let preheader =
        compiled.preheader.as_ref().map(|preheader| line(preheader, &plain, Text::Preheader)).transpose()?;
    let mjml = match run(&compiled.body, &Node::of(&context, Part::Html), MAX_BODY_BYTES, Text::Body)? {
        (mjml, Fit::Whole) => mjml,
        (_, Fit::Cut) => return Err(RenderError::TooLarge.into()),
    };
    let html = html::html(&mjml, compiled.locale)?;
    if html.len() > MAX_BODY_BYTES {
        return Err(RenderError::TooLarge.into());
    }
    let text = html::text(&html)?;
    let html =
        preheader.filter(|line| !line.is_empty()).map_or(html.clone(), |line| html::with_preheader(&html, &line));
    Ok(Rendered { locale: compiled.locale, from_name: None, subject, html, text })
}

/// The request's context with what every template may ask for.
fn context(locale: Locale, facts: &Facts<'_>) -> Result<Json, RenderError> {
    let mut context = match facts.context_json.map(serde_json::from_str) {
        None => Map::new(),
        Some(Ok(Json::Object(fields))) => fields,
        Some(_) => return Err(RenderError::Context),
    };
    let customer = context.entry("customer").or_insert_with(|| json!({}));
    if let Json::Object(customer) = customer {
        for (name, value) in [("first_name", facts.first_name), ("last_name", facts.last_name)] {
            let known = customer.entry(name).or_insert(Json::Null);
            if known.is_null() {
                *known = value.into();
            }
        }
    }
    let ShopFacts { id, name, url } = facts.shop;
    context.insert("shop".to_owned(), json!({ "id": id, "name": name, "url": url }));
    context.insert("locale".to_owned(), locale.tag().into());
    context.insert("unsubscribe_url".to_owned(), facts.unsubscribe_url.into());
    if !facts.preferences_url.is_empty() {
        let url = format!("{}?lang={}", facts.preferences_url, locale.tag());
        context.insert("preferences_url".to_owned(), url.into());
    }
    context.insert("message_id".to_owned(), facts.message_id.into());
    Ok(Json::Object(context))
}

/// A text that stands in a header: one line.
fn line(template: &Liquid, values: &Node, which: Text) -> Result<String, Failure> {
    let text = escape::one_line(&run(template, values, MAX_LINE_BYTES, which)?.0);
    Ok(match text.char_indices().nth(MAX_LINE_CHARS) {
        Some((end, _)) => text[..end].trim_end().to_owned(),
        None => text,
    })
}

/// Whether all of a text is there, or what fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Whole,
    Cut,
}

fn run(template: &Liquid, values: &Node, limit: usize, which: Text) -> Result<(String, Fit), Failure> {
    let scope = Scope::new(values);
    let mut written = Bounded::new(limit);
    let said = template.render_to(&mut written, &scope).err().map(|error| error.to_string());
    let error = match &said {
        _ if scope.is_exhausted() => RenderError::TooMuchWork(which),
        _ if written.is_full() => return Ok((written.into_text(), Fit::Cut)),
        Some(_) => RenderError::Liquid(which),
        None => return Ok((written.into_text(), Fit::Whole)),
    };
    Err(Failure { error, said })
}
