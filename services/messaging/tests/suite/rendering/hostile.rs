//! Templates that would take the process with them: by memory, by the stack, by a panic.

use messaging::Template;
use messaging::rendering::{Problem, RenderError, Text, check};
use proptest::prelude::*;

use super::{render, shown, with_body, with_text};

/// What is wrong with a text, if one thing is.
fn problem(text: &str) -> Problem {
    let mut problems = check(&with_text("s", text).definition);
    assert_eq!(problems.len(), 1, "{text:.200}: {problems:?}");
    problems.remove(0)
}

fn refused(text: &str, why: &str) {
    let problem = problem(text);
    assert!(problem.message.contains(why), "{text:.200}: {problem}");
}

/// Refused by the check, and stopped when it is rendered.
fn too_much(text: &str) {
    refused(text, "does too much");
    assert_eq!(render(&with_text("s", text), "{}"), Err(RenderError::TooMuchWork(Text::Body)), "{text:.200}");
}

fn in_body(inside: &str) -> Template {
    with_body("s", &format!("<mjml><mj-body>{inside}</mj-body></mjml>"))
}

fn markup_refused(template: &Template, why: &str) {
    let problems = check(&template.definition);
    assert!(problems.iter().any(|problem| problem.message.contains(why)), "{problems:?}");
    assert!(matches!(render(template, "{}"), Err(RenderError::Mjml(_) | RenderError::TooDeep)));
}

#[test]
fn no_quoted_text_and_no_comment_hides_a_loop_without_end() {
    let endless = "{% for i in (1..9999999999) %}x{% endfor %}";
    for hiding in [
        "{{ \"{%\" }}",
        "{{ '{{' }}",
        "{% assign x = '%}' %}",
        "{% assign x = '}}' %}",
        "{{ ' }}",
        "{% comment %}{{ \" }}{% endcomment %}",
        "{{ x {% comment %}{% endcomment %}",
        "{{{ x }}}",
    ] {
        let problem = problem(&format!("{hiding}{endless}"));
        let is_told = ["is not closed", "quoted"].iter().any(|why| problem.message.contains(why));
        assert!(is_told, "{hiding}: {problem}");
    }
    refused(endless, "a range is written with numbers");
    refused("{% for i in (x[\"(1..2)\"]..9999999999) %}{% endfor %}", "a range is written with numbers");
    refused(&format!("{{% comment %}}{{% if a %}}{{% endcomment %}}{endless}"), "a range is written with numbers");
}

#[test]
fn a_comment_is_not_read() {
    assert_eq!(shown("a{% comment %}{% if x %}{{ y | shout }}{% include 'z' %}{% endcomment %}b", "{}"), "ab");
    refused("{% comment %}{% comment %}{% endcomment %}{% endcomment %}", "a comment can't lie in a comment");
    refused("{% comment %}{% endcomment x %}{% endcomment %}", "nothing follows `endcomment`");
}

#[test]
fn what_only_shows_templates_off_is_no_tag() {
    for tag in [
        "{% tablerow x in (1..3) cols:0 %}{% endtablerow %}",
        "{% ifchanged %}x{% endifchanged %}",
        "{% raw %}x{% endraw %}",
        "{% cycle 'a', 'b' %}",
        "{% increment x %}",
        "{% render 'x' %}",
    ] {
        let message = problem(tag).message;
        assert!(message.contains("Unknown tag") || message.contains("closes nothing"), "{tag}: {message}");
    }
}

#[test]
fn a_text_or_a_list_that_grows_without_end_is_stopped() {
    let times = |tag: &str| tag.repeat(40);
    let long = "{% assign s = 'xxxxxxxxxx' %}{% for i in (1..12) %}{% assign s = s | append: s %}{% endfor %}";
    too_much(&format!("{{% assign s = 'x' %}}{}", times("{% assign s = s | append: s %}")));
    too_much(&format!("{{% assign s = 'x' %}}{}", times("{% assign s = s | prepend: s %}")));
    too_much(&format!("{{{{ 'xx' {} }}}}", " | replace: 'x', 'xxxxxxxxxx'".repeat(20)));
    too_much(&format!("{long}{{{{ s | replace: '', s }}}}"));
    too_much(&format!("{long}{{{{ s | split: '' | join: s }}}}"));
    too_much(&format!("{{% assign l = 'a,b' | split: ',' %}}{}", times("{% assign l = l | concat: l %}")));
    too_much(&format!("{long}{{% for i in (1..1000) %}}{{{{ s | size }}}}{{% endfor %}}"));
    too_much(&format!("{long}{{% capture c %}}{{% for i in (1..1000) %}}{{{{ s }}}}{{% endfor %}}{{% endcapture %}}"));
    let many: Vec<_> = (0..200).map(|i| format!("{{% assign v{i} = s %}}")).collect();
    too_much(&format!("{long}{}", many.concat()));
    assert_eq!(shown("{{ 'a-b' | replace: '-', '+' }}{{ 'a,b' | split: ',' | join: '/' }}", "{}"), "a+ba/b");
    assert_eq!(shown("{% capture c %}x{{ n }}{% endcapture %}{{ c }}{{ c }}", r#"{"n": 1}"#), "x1x1");
}

#[test]
fn a_value_that_lies_in_itself_ever_deeper_is_stopped() {
    too_much(&"{% for b in (1..1) %}{% assign forloop = forloop %}{% endfor %}".repeat(2_500));
}

#[test]
fn numbers_and_widths_that_no_computer_holds_are_errors() {
    refused("{{ 99999999999999999999 }}", "more than 18 digits");
    refused("{{ a[99999999999999999999] }}", "more than 18 digits");
    assert_eq!(shown("{{ '99999999999999999999' }}", "{}"), "99999999999999999999");
    let most = "{{ '9223372036854775807'";
    let least = "{{ '-9223372036854775808'";
    for sum in [
        format!("{most} | plus: 1 }}}}"),
        format!("{most} | times: 2 }}}}"),
        format!("{least} | minus: 1 }}}}"),
        format!("{least} | divided_by: -1 }}}}"),
        format!("{least} | modulo: -1 }}}}"),
        format!("{least} | abs }}}}"),
    ] {
        refused(&sum, "gives too large a number");
        assert_eq!(render(&with_text("s", &sum), "{}"), Err(RenderError::Liquid(Text::Body)));
    }
    refused("{{ 'abc' | slice: 1, '9223372036854775807' }}", "takes numbers up to");
    refused("{{ 'abc' | slice: '-9223372036854775808', 2 }}", "takes numbers up to");
    refused("{{ 1.5 | round: 999999999999 }}", "takes numbers up to");
    refused("{{ '2026-01-02 03:04:05' | date: '%999999999Y' }}", "widths up to 99");
    refused("{{ '2026-01-02 03:04:05' | date: '%0999999999N' }}", "widths up to 99");
    assert_eq!(shown("{{ '2026-01-02 03:04:05' | date: '%d.%m.%Y' }} {{ 7 | divided_by: 2 }}", "{}"), "02.01.2026 3");
    refused("{{ 7 | divided_by: 0 }}", "zero");
}

#[test]
fn lists_that_have_no_order_are_not_sorted() {
    let mixed: Vec<_> = (0..60)
        .map(|n| if n % 3 == 0 { serde_json::json!(format!("{n}")) } else { serde_json::json!(60 - n) })
        .collect();
    let context = serde_json::json!({ "list": mixed, "names": ["b", "a", null] }).to_string();
    assert_eq!(render(&with_text("s", "{{ list | sort }}"), &context), Err(RenderError::Liquid(Text::Body)));
    assert_eq!(shown("{{ names | sort | join: ',' }}", &context), "a,b,");
}

#[test]
fn what_lies_too_deep_in_a_template_is_refused() {
    refused(&format!("{{% if a %}}{}{{% endif %}}", "{% elsif b %}".repeat(5_000)), "nested more than 40");
    refused(&format!("{{% if a{} %}}{{% endif %}}", " or a".repeat(20_000)), "longer than 1000 bytes");
    refused(&format!("{{% if a{} %}}{{% endif %}}", " and a".repeat(20_000)), "longer than 1000 bytes");
    refused(&format!("{{{{ {}1{} }}}}", "a[".repeat(100), "]".repeat(100)), "more than 16 `[`");
    refused(&format!("\n  {}", " ".repeat(100_000)), "spaces and line ends in a row");
    refused("\n\n {% if a %}\n{% for b in c %}\n  {% endif %}", "expected `{% endfor %}`, as `for` is still open");
}

#[test]
fn a_mistake_is_told_where_it_is() {
    for (text, line, column) in [
        ("a\n b {{ 'x' }} {{ name | shout }}", 2, 14),
        ("\n{% if a %}\n  {{ name | append }}{% endif %}", 3, 3),
        ("\n  {% assign x = 1 | shout %}", 2, 17),
        ("\n\n  {% if a %}\n{{ '%}' }}{% endif %}", 4, 1),
        ("\nñ {% for i in (1..n) %}{% endfor %}", 2, 3),
        ("{% if a %}\n {% endfor %}", 2, 2),
    ] {
        let problem = problem(text);
        assert_eq!((problem.line, problem.column), (line, column), "{text}: {problem}");
    }
}

#[test]
fn what_lies_as_deep_as_it_may_fits_a_threads_stack() {
    for (start, end) in [
        ("{% if 1 %}", "{% endif %}"),
        ("{% unless a %}", "{% endunless %}"),
        ("{% for i in (1..1) %}", "{% endfor %}"),
        ("{% case 1 %}{% when 1 %}", "{% endcase %}"),
    ] {
        assert_eq!(shown(&format!("{}x{}", start.repeat(40), end.repeat(40)), "{}"), "x");
    }
    let deep = format!("{}x{}", "<div>".repeat(190), "</div>".repeat(190));
    assert_eq!(shown(&deep, "{}"), "x");
    let deep = format!("{}x{}", "<ul><li>".repeat(95), "</li></ul>".repeat(95));
    assert!(shown(&deep, "{}").ends_with('x'));
}

#[test]
fn nothing_hides_how_deep_elements_lie() {
    for (start, end) in [
        ("<div><!--</div>-->", ""),
        ("<div title=\"/>\">", ""),
        ("<div title='a>'>", ""),
        ("<BR>", "</BR>"),
        ("<mj-raw><i/></mj-raw><b>", ""),
        ("<!--[if mso]><div><![endif]-->", ""),
    ] {
        let deep = 190_000 / (start.len() + end.len());
        let whole = with_text("s", &format!("{}{}", start.repeat(deep), end.repeat(deep)));
        assert!(matches!(render(&whole, "{}"), Err(RenderError::Mjml(_) | RenderError::TooDeep)), "{start}");
        let problems = check(&with_text("s", &format!("{}{}", start.repeat(300), end.repeat(300))).definition);
        assert!(problems.iter().any(|problem| problem.message.contains("too deep")), "{start}: {problems:?}");
    }
    markup_refused(&with_text("s", "<b></i></b>"), "an end tag closes what is not open");
    markup_refused(&with_text("s", "<br></br>"), "an end tag closes what is not open");
    markup_refused(&with_text("s", "<b title=\"x>y</b>"), "a tag is not closed");
    markup_refused(&with_text("s", "1 < 2"), "`&lt;`");
}

#[test]
fn what_the_mjml_parser_panics_on_is_refused() {
    markup_refused(&with_text("s", "20 € > 10 €"), "`&gt;`");
    markup_refused(&with_text("s", "<!--[if mso]x"), "a comment is not closed");
    markup_refused(&with_text("s", "<!-- x"), "a comment is not closed");
    markup_refused(&with_text("s", "<![CDATA[x]]>"), "begin nothing but comments");
    assert_eq!(shown("20 > 10, a<!-- x -->b<!--[if mso]>c<![endif]-->", "{}"), "20 > 10, ab");
}

#[test]
fn a_page_that_grows_far_beyond_its_template_is_refused() {
    let images = "<mj-carousel-image src='x'/>".repeat(4_000);
    let carousel = format!("<mj-section><mj-column><mj-carousel>{images}</mj-carousel></mj-column></mj-section>");
    markup_refused(&in_body(&carousel), "images in carousels");
    markup_refused(&in_body(&carousel.replace("<mj-carousel-image", "<x:mj-carousel-image")), "images in carousels");
    let given = format!("<mj-all font-family=\"{}\"/>", "x".repeat(90_000));
    let texts = "<mj-text/>".repeat(4_000);
    let body = format!(
        "<mjml><mj-head><mj-attributes><!--</mj-attributes>-->{given}</mj-attributes></mj-head><mj-body><mj-section><mj-column>{texts}</mj-column></mj-section></mj-body></mjml>"
    );
    markup_refused(&with_body("s", &body), "give them to others");
    let links = "<mj-navbar-link/>".repeat(4_000);
    let navbar = format!("<mj-navbar base-url=\"{}\">{links}</mj-navbar>", "x".repeat(90_000));
    markup_refused(
        &in_body(&format!("<mj-section><mj-column>{navbar}</mj-column></mj-section>")),
        "give them to others",
    );
    markup_refused(&in_body(&"<mj-section/>".repeat(6_000)), "elements of MJML");
}

#[test]
fn no_attribute_and_no_table_makes_the_text_large() {
    assert_eq!(shown("<ol start=\"9223372036854775807\"><li>a</li><li>b</li></ol>", "{}"), "1. a\n2. b");
    let table = "<table><tr><td colspan=\"4294967295\" rowspan=\"4294967295\">a</td><td>b</td></tr></table>";
    assert_eq!(shown(table, "{}"), "a b");
    let grid = format!("<table><tr>{}</tr>{}</table>", "<td/>".repeat(15_000), "<tr><td/></tr>".repeat(5_000));
    assert_eq!(shown(&grid, "{}"), "");
    let formats: Vec<_> = (0..150).map(|n| format!("<b id='{n}'>")).collect();
    let formats = formats.concat();
    let unfolded = format!("<p>{formats}{}{}</p>", "<div>x</div>".repeat(8_000), "</b>".repeat(150));
    assert_eq!(shown(&unfolded, "{}").split_whitespace().count(), 8_000);
}

#[test]
fn no_template_reads_a_clock() {
    for text in ["{{ 'now' | date: '%Y' }}", "{{ ' Today' | date: '%Y' }}"] {
        refused(text, "takes a date");
    }
    assert_eq!(shown("{{ '2026-03-01 10:00:00 +0000' | date: '%d/%m/%Y' }}", "{}"), "01/03/2026");
}

#[test]
fn the_text_shows_links_pictures_lists_and_rows() {
    let text = "<h2>Now</h2><ul><li>a</li><li>b &amp; c</li></ul><img src='x.png' alt='A &lt;shoe&gt;'><style>p > b {}</style>\
        <table><tr><td>Shoe</td><td>2</td></tr><tr><td><a title='x' href='https://example.com/?a=1&amp;b=2'>Hat</a></td><td>1</td></tr></table>";
    let expected = "## Now\n* a\n* b & c\n\n[A <shoe>]\nShoe 2\n[Hat][1] 1\n\n[1]: https://example.com/?a=1&b=2";
    assert_eq!(shown(text, "{}"), expected);
}

/// What is hostile in pieces, or next to another.
const PIECES: [&str; 45] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{%-",
    "-%}",
    "'",
    "\"",
    "{% if a %}",
    "{% if x == nil or a[0].b contains 'c' %}",
    "{% elsif b %}",
    "{% else %}",
    "{% endif %}",
    "{% for i in list %}",
    "{% for i in (1..1000) %}",
    "{% for i in (1..x) %}",
    "{% endfor %}",
    "{% case x %}",
    "{% when 1, 'a' %}",
    "{% endcase %}",
    "{% capture s %}",
    "{% endcapture %}",
    "{% comment %}",
    "{% endcomment %}",
    "{% raw %}",
    "{{ 99999999999999999999 }}",
    "<div>",
    "</div>",
    "<p title='>'>",
    "</p>",
    "<ol start='9223372036854775807'><li>",
    "</li></ol>",
    "<table><tr><td colspan='4294967295'>",
    "</td></tr></table>",
    "<br>",
    "<!--",
    "-->",
    "<!--[if mso]>",
    "<![endif]-->",
    "<![CDATA[",
    "]]>",
    "€>",
    "&#x110000;",
    "<mj-text>",
    "</mj-text>",
];

/// What is hostile as a whole.
const WHOLES: [&str; 30] = [
    "{% assign s = s | append: s %}",
    "{% assign s = s | replace: '', s %}",
    "{% assign l = list | concat: list %}",
    "{% assign l = l | concat: l %}",
    "{% assign l = s | split: '' %}",
    "{% assign s = l | join: s %}",
    "{% assign list = l %}",
    "{% assign forloop = forloop %}",
    "{% assign n = n | times: n %}",
    "{% break %}",
    "{% continue %}",
    "{{ l | sort | uniq | reverse | map: 'x' }}",
    "{{ list | sort_natural | compact | first }}",
    "{{ list | where: 'x' | last }}",
    "{{ n | plus: n | minus: m }}",
    "{{ m | divided_by: -1 | modulo: -1 | abs }}",
    "{{ m | abs | ceil | floor | at_least: n }}",
    "{{ '2026-01-02 03:04:05' | date: '%9999999Y' }}",
    "{{ '2026-01-02 03:04:05' | date: s }}",
    "{{ s | slice: m, n }}",
    "{{ s | slice: -3, 2 | capitalize }}",
    "{{ s | truncate: n | truncatewords: m }}",
    "{{ s | truncate: 3, s | truncatewords: 1 }}",
    "{{ s | url_decode | escape | strip_html | newline_to_br }}",
    "{{ list }}{{ s }}{{ l }}",
    "{{ 1.5 | round: n }}",
    "{{ forloop.parentloop.index }}",
    "<ol start='9223372036854775807'><li>a</li></ol>",
    "<table><tr><td colspan='4294967295' rowspan='65535'>a</td></tr></table>",
    "<a href='{{ s }}'>{{ s | url_encode }}</a>",
];

fn pieces() -> impl Strategy<Value = String> {
    let all: Vec<_> = PIECES.into_iter().chain(WHOLES).collect();
    let some = prop::collection::vec(prop::sample::select(all), 0..12);
    (some, 1_usize..40).prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

/// Blocks that are closed, so that what is in them is reached.
fn blocks() -> impl Strategy<Value = String> {
    let wholes = prop::collection::vec(prop::sample::select(WHOLES.to_vec()), 1..6).prop_map(|wholes| wholes.concat());
    let block = prop::sample::select(vec![
        "if true",
        "for i in (1..1000)",
        "for i in list",
        "for i in l",
        "capture s",
        "unless a",
    ]);
    wholes.prop_recursive(4, 24, 3, move |inside| {
        (block.clone(), prop::collection::vec(inside, 1..3)).prop_map(|(start, inside)| {
            let name = start.split(' ').next().unwrap_or_default();
            format!("{{% {start} %}}{}{{% end{name} %}}", inside.concat())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_hostile_text_panics_or_exceeds_the_bounds(text in prop_oneof![pieces(), blocks()]) {
        prop_assume!(text.len() < 150_000);
        let template = with_text("s", &text);
        for problem in check(&template.definition) {
            prop_assert!(!problem.message.contains("panic") && !problem.message.contains("can't be read"), "{}", problem);
        }
        let context = r#"{"s": "ab", "n": 9223372036854775807, "m": -9223372036854775808, "list": [1, "a", null, [2], {"x": 1}]}"#;
        match render(&template, context) {
            Ok(rendered) => prop_assert!(rendered.html.len() <= 512 * 1024 && rendered.text.len() <= 1024 * 1024),
            Err(error) => prop_assert_ne!(error, RenderError::Panicked),
        }
    }
}
