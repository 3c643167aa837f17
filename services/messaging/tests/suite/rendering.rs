//! Templates, hostile contexts, languages.

mod hostile;
mod links;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use definitions::{Definition, Kind, parse_document};
use messaging::Template;
use messaging::rendering::{Facts, RenderError, Rendered, Renderer, ShopFacts, Text, check};
use proptest::prelude::*;

fn parsed(yaml: &str) -> definitions::Template {
    match parse_document(Kind::Template, "t", yaml) {
        Ok(Definition::Template(template)) => template,
        other => panic!("{other:?}"),
    }
}

/// A template in English whose body is `text` in an `mj-text`.
fn with_text(subject: &str, text: &str) -> Template {
    with_body(
        subject,
        &format!(
            "<mjml><mj-body><mj-section><mj-column><mj-text>{text}</mj-text></mj-column></mj-section></mj-body></mjml>"
        ),
    )
}

fn with_body(subject: &str, body: &str) -> Template {
    let texts = serde_json::json!({ "subject": subject, "body": body });
    let yaml = serde_json::json!({ "template": "t", "version": 1, "en": texts }).to_string();
    Template { digest: yaml.clone(), definition: parsed(&yaml) }
}

fn render(template: &Template, context: &str) -> Result<Rendered, RenderError> {
    let shop = ShopFacts { id: "main", name: "The Shop", url: Some("https://shop.example.com") };
    let facts = Facts {
        message_id: "m-1",
        context_json: Some(context),
        shop,
        unsubscribe_url: "https://example.com/u/token",
        preferences_url: "https://example.com/p/token",
        ..Facts::default()
    };
    Renderer::new().render(template, &facts)
}

fn shown(text: &str, context: &str) -> String {
    render(&with_text("s", text), context).unwrap().text
}

fn page(text: &str, context: &str) -> String {
    render(&with_text("s", text), context).unwrap().html
}

#[test]
fn a_message_has_a_subject_a_page_and_a_text() {
    let template =
        with_text("Hello {{ customer.first_name }}", r#"Come <a href="{{ cart.url }}">back</a> to {{ shop.name }}"#);
    let context = r#"{"customer": {"first_name": "Ana"}, "cart": {"url": "https://shop.example.com/cart?a=1&b=2"}}"#;
    let rendered = render(&template, context).unwrap();
    assert_eq!(rendered.subject, "Hello Ana");
    assert!(rendered.html.contains(r#"<a href="https://shop.example.com/cart?a=1&amp;b=2">back</a> to The Shop"#));
    let words: Vec<&str> = rendered.text.split_whitespace().collect();
    assert_eq!(words.join(" "), "Come [back][1] to The Shop [1]: https://shop.example.com/cart?a=1&b=2");
}

#[test]
fn values_never_become_markup_whichever_way_they_go() {
    let context = r#"{"name": "<script>alert('x')</script>\"&", "list": ["<b>", "%3Cscript%3E"]}"#;
    for text in [
        "{{ name }}",
        "{{ name | upcase }}",
        "{{ name | escape }}",
        "{{ name | append: name | replace: 'alert', 'ALERT' }}",
        "{{ name | truncate: 12 }}",
        "{{ name | slice: 0, 9 }}",
        "{{ name | split: 'alert' | first }}",
        "{{ list | join: ' ' }}",
        "{{ list }}",
        "{{ list[1] | url_decode }}",
        "{{ name | url_encode | url_decode }}",
        "{{ name | strip_html }}",
        "{{ name | newline_to_br }}",
        "{{ missing | default: name }}",
        "{% assign copy = name %}{{ copy }}",
        "{% capture copy %}{{ name }}{% endcapture %}{{ copy }}",
        "{% for item in list %}{{ item | url_decode }}{% endfor %}",
        "<a title=\"{{ name }}\" href='{{ name }}'>x</a>",
    ] {
        let html = page(text, context).to_ascii_lowercase();
        assert!(!html.contains("<script") && !html.contains("<b>"), "{text}");
        let broken_out = html.contains("title=\"<") || html.contains("onerror");
        assert!(!broken_out, "{text}");
    }
    assert_eq!(shown("{{ name }}", context), "<script>alert('x')</script>\"&");
    assert_eq!(shown("{{ name | truncate: 10, '' }}", context), "<script>al");
    assert_eq!(shown("{{ name | escape | size }}", r#"{"name": "a&b"}"#), "3");
    assert_eq!(shown("{{ name | url_encode }}", r#"{"name": "a&b"}"#), "a%26b");
    assert_eq!(shown("{{ name | upcase }}", r#"{"name": "a & <b>"}"#), "A & <B>");
}

#[test]
fn a_value_is_never_a_template() {
    let context = r#"{"name": "{{ shop.name }}{% for i in (1..9) %}x{% endfor %}"}"#;
    assert_eq!(shown("{{ name }}", context), "{{ shop.name }}{% for i in (1..9) %}x{% endfor %}");
}

#[test]
fn a_subject_is_one_line_whatever_the_values_say() {
    let context = r#"{"name": "Ana\r\nBcc: eve@example.com\u0000\u2028x"}"#;
    let rendered = render(&with_text("Hi {{ name }} & {{ name | escape }}", "x"), context).unwrap();
    assert_eq!(rendered.subject, "Hi Ana Bcc: eve@example.com x & Ana Bcc: eve@example.com x");
    let long = serde_json::json!({ "name": "ñ".repeat(4_000) }).to_string();
    let rendered = render(&with_text("{{ name }}", "x"), &long).unwrap();
    assert_eq!(rendered.subject.chars().count(), 255);
    let rendered = render(&with_text("{{ name }}{{ name }}{{ name }}", "x"), &long).unwrap();
    assert_eq!(rendered.subject, "ñ".repeat(255));
    assert_eq!(render(&with_text("{{ missing }}", "x"), "{}"), Err(RenderError::EmptySubject));
}

#[test]
fn links_that_are_no_web_addresses_are_not_there() {
    let text = "{% if url %}<a href=\"{{ url }}\">go</a>{% else %}nothing{% endif %}";
    for link in ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "/relative", "", "https\u{1}://x"] {
        let context = serde_json::json!({ "url": link }).to_string();
        assert_eq!(shown(text, &context), "nothing", "{link:?}");
    }
    assert!(page(text, r#"{"url": "HTTPS://example.com/?q=\"onerror=x"}"#).contains("?q=&quot;onerror=x"));
    assert_eq!(shown("{{ image_url }}{{ product.image }}", r#"{"image_url": "file:///etc/passwd"}"#), "");
}

#[test]
fn what_is_not_known_is_empty_at_every_depth() {
    let text = "[{{ a }}{{ a.b.c }}{{ shop.x.y.z }}{{ list[7].name }}\
        {% for line in cart.lines %}{{ line }}{% endfor %}{% for p in products %}{{ p.name }}{{ p.url }}{{ p.x.y }}{% endfor %}\
        {% if cart.lines.size > 0 %}full{% endif %}{{ products.size }}]";
    assert_eq!(shown(text, r#"{"products": [{"name": "Shoe"}], "cart": null}"#), "[Shoe1]");
}

#[test]
fn a_message_is_in_the_customers_language_else_in_english_else_in_any() {
    let body = "<mjml><mj-body><mj-section><mj-column><mj-text>{{ locale }}</mj-text></mj-column></mj-section></mj-body></mjml>";
    let template = |languages: &[&str]| {
        let mut yaml = "template: t\nversion: 1\n".to_owned();
        for language in languages {
            write!(yaml, "{language}:\n  subject: s\n  body: '{body}'\n").unwrap();
        }
        Template { digest: yaml.clone(), definition: parsed(&yaml) }
    };
    let language = |template: &Template, locale| {
        let rendered = Renderer::new().render(template, &Facts { locale, ..Facts::default() }).unwrap();
        assert_eq!(rendered.text, rendered.locale.tag());
        assert!(rendered.html.contains(&format!("lang=\"{}\"", rendered.locale.tag())));
        rendered.locale.tag()
    };
    let both = template(&["en", "es"]);
    let cases =
        [(Some("es-AR"), "es"), (Some("ES"), "es"), (Some("en-GB"), "en"), (Some("fr"), "en"), (Some(""), "en")];
    for (tag, expected) in cases {
        assert_eq!(language(&both, tag), expected);
    }
    assert_eq!(language(&both, None), "en");
    assert_eq!(language(&template(&["es"]), Some("en")), "es");
}

#[test]
fn the_preheader_is_hidden_in_the_page_and_not_in_the_text() {
    let yaml = "template: t\nversion: 1\nfrom_name: The Shop\nen:\n  subject: s\n  preheader: 'For {{ name }}'\n  body: '<mjml><mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body></mjml>'\n";
    let template = Template { digest: "d".to_owned(), definition: parsed(yaml) };
    let rendered = render(&template, r#"{"name": "<Ana>"}"#).unwrap();
    assert!(rendered.html.contains(">For &lt;Ana&gt;</div>"));
    assert_eq!(rendered.text, "Hi");
    assert_eq!(rendered.from_name.as_deref(), Some("The Shop"));
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let nested =
        "{% for a in (1..1000) %}{% for b in (1..1000) %}{% for c in (1..1000) %}{% endfor %}{% endfor %}{% endfor %}";
    assert_eq!(render(&with_text("s", nested), "{}"), Err(RenderError::TooMuchWork(Text::Body)));
    let doubling = "{% assign s = 'x' %}{% for a in (1..40) %}{% assign s = s | append: s %}{% endfor %}{{ s }}";
    assert_eq!(render(&with_text("s", doubling), "{}"), Err(RenderError::TooMuchWork(Text::Body)));
    let long = "{% for a in (1..1000) %}{{ text }}{% endfor %}";
    let context = serde_json::json!({ "text": "x".repeat(4_000) }).to_string();
    assert_eq!(render(&with_text("s", long), &context), Err(RenderError::TooLarge));
    let deep = "<div>".repeat(300) + &"</div>".repeat(300);
    assert_eq!(render(&with_text("s", &deep), "{}"), Err(RenderError::TooDeep));
}

#[test]
fn mistakes_in_a_template_are_told_with_their_place() {
    for (text, line, part) in [
        ("{% for i in (1..n) %}{% endfor %}", 1, "numbers"),
        ("{{ name | shout }}", 1, "filter"),
        ("{% include 'other' %}", 1, "tag"),
        ("\n\n  {% if %}x{% endif %}", 3, "expected"),
        ("{% if a %}x", 1, ""),
        ("{{ name", 1, ""),
    ] {
        let problems = check(&with_text("s", text).definition);
        assert_eq!(problems.len(), 1, "{text}");
        let problem = &problems[0];
        assert!(problem.to_string().to_lowercase().contains(part), "{problem}");
        assert_eq!(problem.line, line, "{text}: {problem}");
    }
    let deep = "{% if a %}".repeat(60) + &"{% endif %}".repeat(60);
    assert!(check(&with_text("s", &deep).definition)[0].message.contains("nested"));
    let include = with_body("s", "<mjml><mj-body><mj-include path=\"file:///etc/passwd\" /></mj-body></mjml>");
    assert!(check(&include.definition)[0].message.contains("MJML"));
    assert!(!check(&with_body("s", "<html></html>").definition).is_empty());
    assert_eq!(render(&with_text("s", "{{ name | shout }}"), "{}").unwrap_err().reason(), "malformed_template");
}

#[test]
fn an_error_does_not_tell_what_the_context_says() {
    let error = render(&with_text("s", "{{ name | date: 5 | divided_by: 0 }}"), r#"{"name": "SECRET"}"#);
    assert!(!format!("{error:?}").contains("SECRET"));
    let error = render(&with_text("s", "{{ 1 | divided_by: name }}"), r#"{"name": "SECRET"}"#).unwrap_err();
    assert_eq!(error, RenderError::Liquid(Text::Body));
    assert_eq!(render(&with_text("s", "x"), "[1]"), Err(RenderError::Context));
    assert_eq!(render(&with_text("s", "x"), "{"), Err(RenderError::Context));
}

#[test]
fn the_presets_templates_are_good_and_read_well() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../presets/basic/templates");
    let context = serde_json::json!({
        "customer": { "first_name": "Ana" },
        "cart": { "url": "https://shop.example.com/cart", "lines": [
            { "name": "Blue <shoe>", "quantity": 2, "price": "19.99 EUR", "url": "https://shop.example.com/shoe" },
        ] },
        "product": { "name": "Blue shoe", "price": "19.99 EUR", "url": "https://shop.example.com/shoe" },
    })
    .to_string();
    let mut seen = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let yaml = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let name = yaml.lines().find_map(|line| line.strip_prefix("template: ")).unwrap().to_owned();
        let Ok(Definition::Template(template)) = parse_document(Kind::Template, &name, &yaml) else { panic!("{name}") };
        assert_eq!(check(&template), []);
        let template = Template { digest: name.clone(), definition: template };
        for locale in ["en", "es"] {
            let facts = Facts {
                locale: Some(locale),
                context_json: Some(&context),
                shop: ShopFacts { id: "main", name: "The Shop", url: None },
                unsubscribe_url: "https://example.com/u/token",
                preferences_url: "https://example.com/p/token",
                ..Facts::default()
            };
            let rendered = Renderer::new().render(&template, &facts).unwrap();
            let preferences = format!("https://example.com/p/token?lang={locale}");
            assert!(rendered.text.contains(&preferences) && rendered.text.contains("/u/token"), "{name}");
            assert!(rendered.text.contains("Ana") && rendered.text.contains("The Shop"), "{name}: {}", rendered.text);
            assert!(rendered.text.contains("https://example.com/u/token"), "{name}: {}", rendered.text);
            assert!(!rendered.html.contains("<shoe>") && !rendered.text.contains("{{"), "{name}");
            seen.insert(format!("{name} {locale}"), rendered.subject);
        }
    }
    assert!(seen.len() >= 8, "{seen:?}");
}

#[test]
fn one_renderer_keeps_templates_apart_and_serves_many_threads() {
    let renderer = Arc::new(Renderer::new());
    let templates: Vec<_> = (0..8).map(|number| with_text(&format!("subject {number}"), "x")).collect();
    std::thread::scope(|scope| {
        for (number, template) in templates.iter().enumerate() {
            let renderer = Arc::clone(&renderer);
            scope.spawn(move || {
                for _ in 0..20 {
                    let rendered = renderer.render(template, &Facts::default()).unwrap();
                    assert_eq!(rendered.subject, format!("subject {number}"));
                }
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_out_as_it_went_in_and_never_as_markup(value in "\\PC{0,40}|[<>&\"'/a-z{}% =;#-]{0,40}") {
        let context = serde_json::json!({ "value": value }).to_string();
        let rendered = render(&with_text("[{{ value }}]", "<p title=\"{{ value }}\">{{ value }}</p>"), &context).unwrap();
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(squeeze(&rendered.subject), squeeze(&format!("[{value}]")));
        // The page has exactly the elements that it has with a harmless value.
        let harmless = render(&with_text("s", "<p title=\"{{ value }}\">{{ value }}</p>"), r#"{"value": "x"}"#).unwrap();
        prop_assert_eq!(rendered.html.matches('<').count(), harmless.html.matches('<').count());
        prop_assert_eq!(rendered.html.matches('"').count(), harmless.html.matches('"').count());
    }

    #[test]
    fn any_template_ends_in_a_message_or_an_error(text in "[a-z {}%|<>/().\"'=!-]{0,80}") {
        let template = with_text("s", &text.replace("{}", "{{ value }}"));
        let _ = render(&template, r#"{"value": "x"}"#);
    }
}
