//! Links that are replaced, and those that stay.

use messaging::rendering::{escape_html, with_links, with_picture};
use proptest::prelude::*;

use super::{page, with_body};

/// What a page's links lead to, as they are told.
fn told(html: &str) -> Vec<String> {
    let mut told = Vec::new();
    let same = with_links(html, |url| {
        told.push(url.to_owned());
        None
    });
    assert_eq!(same, html, "nothing is replaced");
    told
}

#[test]
fn a_link_is_replaced_and_nothing_else_of_the_page_is() {
    let html = "<p title=\"a > b\">x <A class=c HREF='https://a.example/?x=1&amp;y=2' rel=\"nofollow\">go</A> &amp; <area href=\"https://b.example/\" /></p>";
    let replaced = with_links(html, |url| Some(format!("https://door/c/{}", url.len())));
    let expected = "<p title=\"a > b\">x <A class=c HREF='https://door/c/26' rel=\"nofollow\">go</A> &amp; <area href=\"https://door/c/18\" /></p>";
    assert_eq!(replaced, expected);
    assert_eq!(told(html), ["https://a.example/?x=1&y=2", "https://b.example/"]);
}

#[test]
fn an_address_is_told_as_a_browser_reads_it() {
    for (written, read) in [
        ("https://a.example/?a=1&amp;b=2", "https://a.example/?a=1&b=2"),
        ("https://a.example/?a=1&b=2", "https://a.example/?a=1&b=2"),
        ("https://a.example/&#63;x&#x26;y&quot;z&#39;", "https://a.example/?x&y\"z'"),
        ("  https://a.example/\n", "https://a.example/"),
        ("https://tienda.example/niño?q=ñ", "https://tienda.example/ni%C3%B1o?q=%C3%B1"),
        ("https://niño.example/", "https://niño.example/"),
    ] {
        assert_eq!(told(&format!("<a href=\"{written}\">x</a>")), [read], "{written}");
    }
}

#[test]
fn what_is_marked_or_could_be_read_in_two_ways_stays() {
    for html in [
        r#"<a rel="nofollow untracked" href="https://a.example/">x</a>"#,
        r#"<a href="https://a.example/?a=1&hellip;b">x</a>"#,
        r#"<a href="https://a.example/?a=1&#38b">x</a>"#,
        r#"<a name="https://a.example/">x</a>"#,
        "<a href=https://a.example/>x</a>",
        r#"<img src="https://a.example/">"#,
        r#"<!-- <a href="https://a.example/">x</a> -->"#,
        r#"<style>a[href="https://a.example/"] { color: red } <a href="https://a.example/"></style>"#,
        "<a href=\"https://a.example/",
    ] {
        assert_eq!(told(html), Vec::<String>::new(), "{html}");
    }
}

#[test]
fn buttons_and_pictures_of_mjml_are_links_and_hand_the_mark_on() {
    let column = |inside: &str| {
        let body = format!("<mjml><mj-body><mj-section><mj-column>{inside}</mj-column></mj-section></mj-body></mjml>");
        super::render(&with_body("s", &body), "{}").unwrap().html
    };
    for (element, end) in [
        ("mj-button href=\"https://a.example/\"", ">x</mj-button>"),
        ("mj-image src=\"https://a.example/i.png\" href=\"https://a.example/\"", " />"),
    ] {
        assert_eq!(told(&column(&format!("<{element}{end}"))), ["https://a.example/"], "{element}");
        let marked = column(&format!("<{element} rel=\"untracked\"{end}"));
        assert_eq!(told(&marked), Vec::<String>::new(), "{marked}");
    }
}

#[test]
fn a_page_does_not_grow_to_where_mail_programs_cut_it_off() {
    let html = "<a href=\"https://a.example/\">x</a>".repeat(1_000);
    let replaced = with_links(&html, |_| Some("https://door/c/".to_owned() + &"x".repeat(3_000)));
    assert!(replaced.len() > html.len() && replaced.len() < 100_000, "{}", replaced.len());
    assert!(replaced.ends_with("https://a.example/\">x</a>"));
    let long = html.repeat(5);
    assert_eq!(with_links(&long, |_| Some("https://door/c/longer-than-before".to_owned())), long);
}

#[test]
fn the_picture_is_the_last_thing_on_the_page() {
    let html = with_picture(&page("hi", "{}"), "https://door/o/token");
    let (before, after) =
        html.split_once("<img src=\"https://door/o/token\" width=\"1\" height=\"1\" alt=\"\"").unwrap();
    assert!(before.contains("hi") && after.contains("></body>"), "{html}");
    assert!(with_picture("no page", "https://door/o/token").starts_with("no page<img"));
}

#[test]
fn a_template_leads_to_the_preferences_in_its_own_language() {
    assert!(
        page("<a href=\"{{ preferences_url }}\">x</a>", "{}").contains("href=\"https://example.com/p/token?lang=en\"")
    );
}

proptest! {
    #[test]
    fn every_address_that_values_give_is_told_to_the_letter(path in "[!-\\[\\]-~]{0,80}") {
        let url = format!("https://shop.example.com/{path}");
        let context = serde_json::json!({ "url": url }).to_string();
        prop_assert_eq!(told(&page("<a href=\"{{ url }}\">x</a>", &context)), [url]);
    }

    #[test]
    fn no_page_makes_it_panic_and_what_is_not_replaced_stays(html in "(<a href=|<A HREF='|\"|'|>|&amp;|&#|;|https://a.b/|ñ| |x|</a>|<!--|-->|<style>|\\PC){0,30}") {
        prop_assert_eq!(with_links(&html, |_| None), html.clone());
        let _ = with_links(&html, |url| Some(url.to_owned()));
        let _ = with_picture(&html, &escape_html(&html));
    }
}
