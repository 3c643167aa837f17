//! Messages over a real mail server, and whatever may go wrong with one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{BootTime, HumanDuration, Timestamp};
use links::{ClickToken, KeyRing, OpenToken, PreferencesToken, UnsubscribeToken};
use messaging::shell::{
    Clock, Mailbox, MessagingOptions, Security, ShopOptions, SmtpChannel, SmtpOptions, TrackingOptions,
};
use messaging::{Attempt, Email, Refusal, RefusalKind};
use schemas::{MessageRequest, Recipient};
use testkit::{
    Message, SmtpBehaviour, SmtpOptions as SinkOptions, SmtpRule, SmtpSecurity, SmtpSink, TcpProxy, free_port,
};

use crate::decisions::shared::{Bench, at, hash_of, receipt, request};

const BASE_URL: &str = "https://events.shop.example.com";

/// Clocks that stand still: the wall's a minute after the request.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        at(60_000)
    }

    fn boot_time(&self) -> BootTime {
        NOW
    }
}

const NOW: BootTime = BootTime::after_start(Duration::from_mins(1));
const FIVE_SECONDS_AGO: BootTime = BootTime::after_start(Duration::from_secs(55));

fn keys() -> KeyRing {
    KeyRing::parse("k1:a link secret of many bytes").unwrap()
}

fn options(port: u16) -> MessagingOptions {
    let smtp = SmtpOptions {
        host: "localhost".to_owned(),
        port: Some(port),
        security: Security::None,
        from: "hello@shop.example.com".to_owned(),
        ..SmtpOptions::default()
    };
    MessagingOptions { smtp, shops: shops(), ..MessagingOptions::default() }
}

fn shops() -> BTreeMap<String, ShopOptions> {
    let shop = ShopOptions { url: Some("https://shop.example.com".to_owned()), ..ShopOptions::default() };
    BTreeMap::from([("shop".to_owned(), shop)])
}

fn with_smtp(port: u16, change: impl FnOnce(&mut SmtpOptions)) -> SmtpChannel {
    let mut options = options(port);
    change(&mut options.smtp);
    channel(&options)
}

fn channel(options: &MessagingOptions) -> SmtpChannel {
    SmtpChannel::new(options, keys(), BASE_URL, Arc::new(Still)).unwrap()
}

/// What messaging claims for a request.
fn claimed(request: &MessageRequest) -> Email {
    let mut bench = Bench::new();
    bench.send(request);
    bench.claim_one().2
}

fn to(address: &str) -> Email {
    let recipient = Recipient { email: Some(address.to_owned()), ..Recipient::default() };
    claimed(&MessageRequest { recipient: Some(recipient), ..request("m-1", 0) })
}

async fn send(channel: &SmtpChannel, email: Email) -> Attempt {
    let completion = channel.send(email, NOW).await;
    assert_eq!(completion.at, at(60_000));
    completion.attempt
}

async fn send_to(channel: &SmtpChannel, address: &str) -> Attempt {
    send(channel, to(address)).await
}

fn only(sink: &SmtpSink) -> Message {
    let mut messages = sink.messages().unwrap();
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

fn refused(kind: RefusalKind, reason: &str) -> Attempt {
    Attempt::Refused(Refusal { kind, reason: reason.to_owned() })
}

fn reason(attempt: &Attempt) -> &str {
    match attempt {
        Attempt::NotConnected(reason) | Attempt::Uncertain(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_arrives_whole_and_one_click_unsubscribes() {
    let sink = SmtpSink::start().unwrap();
    let mut options = options(sink.port());
    let shop = ShopOptions {
        name: Some("Tienda Ñandú".to_owned()),
        reply_to: Some("help@shop.example.com".to_owned()),
        ..ShopOptions::default()
    };
    options.shops.insert("shop".to_owned(), shop);
    assert_eq!(send_to(&channel(&options), "Ana@example.com").await, Attempt::Sent);
    let message = only(&sink);
    assert_eq!(message.to, ["Ana@example.com"]);
    assert_eq!((message.from.as_str(), message.subject.as_str()), ("hello@shop.example.com", "Hello"));
    assert_eq!(message.message_id, "<m-1@shop.example.com>");
    assert!(message.header("From").unwrap().contains("Tienda Ñandú"), "{:?}", message.header("From"));
    assert_eq!(message.header("Reply-To"), Some("help@shop.example.com"));
    assert_eq!(message.header("Date").unwrap(), "Sun, 15 Jun 2025 15:07:40 +0000");
    assert!(message.html.as_deref().unwrap().contains("Hi"));
    assert!(message.body.contains("Hi"));
    assert_eq!(message.header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
    let link = message.header("List-Unsubscribe").unwrap();
    let token = link.strip_prefix(&format!("<{BASE_URL}/u/")).and_then(|rest| rest.strip_suffix('>')).unwrap();
    let token = UnsubscribeToken::verify(&keys(), token).unwrap();
    assert_eq!((token.customer_id.as_str(), token.message_id.as_str()), ("c-1", "m-1"));
    assert_eq!((token.category.as_str(), token.shop.as_str()), ("cart", "shop"));
    assert_eq!(token.address_hash.to_string(), hash_of("Ana@example.com"));
}

#[tokio::test]
async fn what_the_customer_asked_for_offers_no_unsubscription_and_keeps_its_id_when_it_is_repeated() {
    let sink = SmtpSink::start().unwrap();
    let channel = with_smtp(sink.port(), |_| {});
    for _ in 0..2 {
        assert_eq!(send(&channel, claimed(&receipt("m-1", 0))).await, Attempt::Sent);
    }
    let messages = sink.messages().unwrap();
    assert_eq!(messages[0].message_id, messages[1].message_id);
    assert_eq!((messages[0].header("List-Unsubscribe"), messages[0].header("List-Unsubscribe-Post")), (None, None));
}

#[tokio::test]
async fn it_encrypts_and_logs_in_as_it_is_told() {
    let login = ("vuelve".to_owned(), "a password".to_owned());
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "a password\n").unwrap();
    for (of_sink, of_channel) in [(SmtpSecurity::StartTls, Security::Starttls), (SmtpSecurity::Tls, Security::Tls)] {
        let sink = SmtpSink::start_with(&SinkOptions { security: of_sink, login: Some(login.clone()) }).unwrap();
        let encrypted = |change: &dyn Fn(&mut SmtpOptions)| {
            with_smtp(sink.port(), |smtp| {
                smtp.security = of_channel;
                smtp.ca_file = Some(sink.ca_certificate());
                smtp.username = Some("vuelve".to_owned());
                smtp.password_file = Some(password.path().to_owned());
                change(smtp);
            })
        };
        assert_eq!(send_to(&encrypted(&|_| {}), "a@example.com").await, Attempt::Sent);
        let stranger = encrypted(&|smtp| smtp.ca_file = None);
        let distrusted = send_to(&stranger, "a@example.com").await;
        assert!(reason(&distrusted).ends_with(": tls"), "{distrusted:?}");
        let wrong_user = encrypted(&|smtp| smtp.username = Some("someone".to_owned()));
        assert!(reason(&send_to(&wrong_user, "a@example.com").await).starts_with("login: 535"));
        let nobody = encrypted(&|smtp| (smtp.username, smtp.password_file) = (None, None));
        assert!(reason(&send_to(&nobody, "a@example.com").await).starts_with("530"));
        assert_eq!(sink.messages().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_server_without_encryption_gets_nothing_where_encryption_is_asked_for() {
    let sink = SmtpSink::start().unwrap();
    let channel = with_smtp(sink.port(), |smtp| smtp.security = Security::Starttls);
    assert_eq!(reason(&send_to(&channel, "a@example.com").await), "starttls_not_offered");
    assert!(sink.messages().unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_the_connection_goes_on() {
    let sink = SmtpSink::start().unwrap();
    sink.add_rule(SmtpRule::new("later@*", SmtpBehaviour::RefuseTemporarily)).unwrap();
    sink.add_rule(SmtpRule::new("never@*", SmtpBehaviour::RefusePermanently)).unwrap();
    let channel = with_smtp(sink.port(), |_| {});
    let later = send_to(&channel, "later@example.com").await;
    assert_eq!(later, refused(RefusalKind::Temporary, "451 4.7.1"));
    let never = send_to(&channel, "never@example.com").await;
    assert_eq!(never, refused(RefusalKind::NoSuchAddress, "550 5.1.1"));
    assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    assert_eq!(only(&sink).to, ["a@example.com"]);
}

#[tokio::test]
async fn a_connection_lost_after_the_final_dot_leaves_it_open_whether_the_message_left() {
    let sink = SmtpSink::start().unwrap();
    let channel = with_smtp(sink.port(), |_| {});
    for kept in [true, false] {
        sink.clear_rules().unwrap();
        sink.add_rule(SmtpRule::new("*", SmtpBehaviour::DropAfterData { kept })).unwrap();
        assert_eq!(reason(&send_to(&channel, "a@example.com").await), "connection_lost_after_body");
    }
    only(&sink);
}

#[tokio::test]
async fn a_server_that_takes_too_long_to_say_that_it_has_the_message_leaves_it_open() {
    let sink = SmtpSink::start().unwrap();
    sink.add_rule(SmtpRule::new("*", SmtpBehaviour::Delay { delay_ms: 60_000 })).unwrap();
    let channel = with_smtp(sink.port(), |smtp| smtp.accept_timeout = HumanDuration::from_millis(300));
    assert_eq!(reason(&send_to(&channel, "a@example.com").await), "timed_out_after_body");
    only(&sink);
}

#[tokio::test]
async fn a_server_that_says_nothing_proves_that_nothing_was_done() {
    let sink = SmtpSink::start().unwrap();
    let short = |smtp: &mut SmtpOptions| {
        smtp.command_timeout = HumanDuration::from_millis(300);
        smtp.connect_timeout = HumanDuration::from_millis(300);
    };
    let channel = with_smtp(sink.port(), short);
    assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    sink.pause().unwrap();
    assert_eq!(reason(&send_to(&channel, "a@example.com").await), "timed_out_at_mail");
    assert_eq!(reason(&send_to(&channel, "a@example.com").await), "connect_timed_out");
    sink.resume().unwrap();
}

#[tokio::test]
async fn without_a_server_nothing_more_is_claimed_until_it_is_back() {
    let sink = SmtpSink::start().unwrap();
    let channel = with_smtp(sink.port(), |smtp| smtp.max_concurrent = 4);
    assert_eq!(channel.capacity(), 4);
    sink.kill9().unwrap();
    assert!(reason(&send_to(&channel, "a@example.com").await).starts_with("connect: "));
    assert_eq!(channel.capacity(), 0);
    sink.restart().unwrap();
    while channel.capacity() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(channel.capacity(), 1, "one tries it first");
    assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    assert_eq!(channel.capacity(), 4);
    only(&sink);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_costs_no_message() {
    let sink = SmtpSink::start().unwrap();
    let proxy = TcpProxy::start(sink.port()).unwrap();
    let channel = with_smtp(proxy.port(), |_| {});
    assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    proxy.drop_connections();
    assert_eq!(send_to(&channel, "b@example.com").await, Attempt::Sent);
    assert_eq!(sink.messages().unwrap().len(), 2);
}

#[tokio::test]
async fn connections_are_used_again_up_to_their_number_of_messages() {
    let sink = SmtpSink::start().unwrap();
    let proxy = TcpProxy::start(sink.port()).unwrap();
    let channel = with_smtp(proxy.port(), |smtp| smtp.messages_per_connection = 3);
    for _ in 0..2 {
        assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    }
    assert_eq!(proxy.connections(), 1);
    assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    let gone = Instant::now() + Duration::from_secs(5);
    while proxy.connections() > 0 && Instant::now() < gone {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(proxy.connections(), 0, "it said good-bye after the third");
}

#[tokio::test]
async fn what_comes_too_late_is_not_tried() {
    let sink = SmtpSink::start().unwrap();
    let channel = with_smtp(sink.port(), |_| {});
    assert_eq!(channel.send(to("a@example.com"), FIVE_SECONDS_AGO).await.attempt, Attempt::Dropped);
    let expired = Email { expires_at: at(60_000), ..to("a@example.com") };
    assert_eq!(send(&channel, expired).await, Attempt::Expired);
    assert!(sink.messages().unwrap().is_empty());
}

#[tokio::test]
async fn messages_leave_no_faster_than_they_may_and_those_that_would_wait_too_long_are_dropped() {
    let sink = SmtpSink::start().unwrap();
    let mut options = options(sink.port());
    options.smtp.rate_per_second = 4;
    options.claim_deadline = HumanDuration::from_millis(600);
    let channel = channel(&options);
    // Warm: the connection and the template's parts are there.
    assert_eq!(send_to(&channel, "a@example.com").await, Attempt::Sent);
    let began = Instant::now();
    let sends = (0..6).map(|_| send_to(&channel, "a@example.com"));
    let attempts = futures_join(sends.collect()).await;
    let sent = attempts.iter().filter(|attempt| **attempt == Attempt::Sent).count();
    let dropped = attempts.iter().filter(|attempt| **attempt == Attempt::Dropped).count();
    assert_eq!(sent + dropped, 6, "{attempts:?}");
    assert!((1..=3).contains(&sent), "a place every 250 ms within 600 ms: {attempts:?}");
    assert!(began.elapsed() >= Duration::from_millis(250 * (sent as u64 - 1)));
}

/// Waits for all of them at once.
async fn futures_join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, result) in pinned.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test]
async fn no_name_and_no_id_makes_a_header_or_a_recipient_of_its_own() {
    let sink = SmtpSink::start().unwrap();
    let mut options = options(sink.port());
    let name = "Shop\r\nBcc: everybody@example.com\r\n\r\n<b>body</b>".to_owned();
    options.shops.insert("shop".to_owned(), ShopOptions { name: Some(name), ..ShopOptions::default() });
    let channel = channel(&options);
    let email = Email { message_id: "m 1\r\nBcc: all@example.com".to_owned(), ..to("a@example.com") };
    assert_eq!(send(&channel, email).await, Attempt::Sent);
    let message = only(&sink);
    assert_eq!(message.header("Bcc"), None);
    assert_eq!(message.to, ["a@example.com"]);
    assert_eq!(message.message_id, "<m%201%0d%0aBcc%3a%20all%40example%2ecom@shop.example.com>");
    for address in
        ["a@example.com\r\nRCPT TO:<b@example.com>", "a@example.com, b@example.com", "<a@example.com> NOTIFY=NEVER"]
    {
        let mut email = to("a@example.com");
        email.recipient.email = Some(address.to_owned());
        let attempt = send(&channel, email).await;
        assert_eq!(attempt, refused(RefusalKind::Permanent, "malformed_email_address"), "{address}");
    }
    assert_eq!(sink.messages().unwrap().len(), 1);
}

#[tokio::test]
async fn what_goes_over_the_wire_is_ascii_in_short_lines() {
    let sink = SmtpSink::start().unwrap();
    let mut options = options(sink.port());
    let name = "ñ".repeat(300);
    options.shops.insert("shop".to_owned(), ShopOptions { name: Some(name), ..ShopOptions::default() });
    assert_eq!(send_to(&channel(&options), "a@example.com").await, Attempt::Sent);
    let raw = only(&sink).raw();
    assert!(raw.is_ascii());
    assert!(raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
}

#[test]
fn everything_that_is_wrong_with_the_settings_is_told_at_once() {
    let mut options = options(free_port().unwrap());
    options.smtp = SmtpOptions {
        host: "mail.example.com".to_owned(),
        security: Security::None,
        from: "nobody".to_owned(),
        username: Some("vuelve".to_owned()),
        max_concurrent: 0,
        ..SmtpOptions::default()
    };
    options.decisions.waiting_bytes_per_customer = messaging::MAX_WAITING_BYTES + 1;
    let bad = ShopOptions { reply_to: Some("me at home".to_owned()), ..ShopOptions::default() };
    options.shops.insert("main".to_owned(), bad);
    let problems = SmtpChannel::new(&options, keys(), "events.shop.example.com", Arc::new(Still)).unwrap_err();
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "messaging.smtp.security",
        "messaging.smtp.from",
        "messaging.smtp.password_file",
        "messaging.smtp.max_concurrent",
        "links.base_url",
        "messaging.decisions.waiting_bytes_per_customer",
    ] {
        assert!(keys.contains(&key), "{key}: {problems:?}");
    }
}

#[tokio::test]
async fn the_mailbox_keeps_the_last_messages_with_why_they_were_sent() {
    let mailbox = Mailbox::new(&MessagingOptions::default(), keys(), BASE_URL, Arc::new(Still), 2).unwrap();
    for number in 1..=3 {
        let email = claimed(&request(&format!("m-{number}"), 0));
        assert_eq!(mailbox.send(email, NOW).await.attempt, Attempt::Sent);
    }
    let kept: Vec<_> = mailbox.messages().iter().map(|message| (message.number, message.message_id.clone())).collect();
    assert_eq!(kept, [(3, "m-3".to_owned()), (2, "m-2".to_owned())]);
    assert_eq!(mailbox.total(), 3);
    let message = mailbox.message(2).unwrap();
    assert_eq!((message.journey.as_str(), message.step.as_str()), ("cart-recovery", "first"));
    assert!(message.html.contains("Hi") && message.unsubscribe_url.starts_with(BASE_URL));
    assert!(mailbox.message(1).is_none());
}

/// A claimed message whose page says this, by a template with this beside its texts.
fn saying(text: &str, more: &str) -> Email {
    let mut bench = Bench::new();
    let body = format!(
        "<mjml><mj-body><mj-section><mj-column><mj-text>{text}</mj-text></mj-column></mj-section></mj-body></mjml>"
    );
    let yaml = format!("template: cart-reminder-1\nversion: 1\n{more}\nes:\n  subject: Hola\n  body: |\n    {body}\n");
    bench.define("template", "cart-reminder-1", &yaml);
    bench.send(&request("m-1", 0));
    bench.claim_one().2
}

const PAGE: &str = r#"<a href="https://shop.example.com/cart?a=1&amp;b=2">cart</a> <a href="{{ unsubscribe_url }}">off</a>
    <a href="{{ preferences_url }}">choose</a>"#;

/// The page of what is sent with these settings.
async fn page(tracking: TrackingOptions, email: Email) -> String {
    let options = MessagingOptions { tracking, shops: shops(), ..MessagingOptions::default() };
    let mailbox = Mailbox::new(&options, keys(), BASE_URL, Arc::new(Still), 1).unwrap();
    assert_eq!(mailbox.send(email, NOW).await.attempt, Attempt::Sent);
    mailbox.messages()[0].html.clone()
}

/// What follows the door's address and this, up to the end of the attribute.
fn token_after<'a>(html: &'a str, path: &str) -> Option<&'a str> {
    html.split_once(&format!("{BASE_URL}{path}"))?.1.split('"').next()
}

#[tokio::test]
async fn links_lead_through_the_door_to_the_address_that_was_written_and_the_text_keeps_its_own() {
    let sink = SmtpSink::start().unwrap();
    let email = saying(PAGE, "");
    assert_eq!(send(&channel(&options(sink.port())), email).await, Attempt::Sent);
    let message = only(&sink);
    let html = message.html.as_deref().unwrap();
    assert!(!html.contains("https://shop.example.com"), "{html}");
    let click = ClickToken::verify(&keys(), token_after(html, "/c/").unwrap()).unwrap();
    assert_eq!(click.target.as_str(), "https://shop.example.com/cart?a=1&b=2");
    let sent = &click.message;
    assert_eq!((sent.customer_id.as_str(), sent.message_id.as_str(), sent.shop.as_str()), ("c-1", "m-1", "shop"));
    assert_eq!((sent.category.as_str(), sent.sent_at, click.link), ("cart", at(60_000).as_millis(), 1));
    assert!(UnsubscribeToken::verify(&keys(), token_after(html, "/u/").unwrap()).is_ok());
    let preferences = token_after(html, "/p/").unwrap().strip_suffix("?lang=es").unwrap();
    assert_eq!(
        PreferencesToken::verify(&keys(), preferences).unwrap().0.address_hash.to_string(),
        hash_of("Ana@example.com")
    );
    assert!(message.body.contains("https://shop.example.com/cart?a=1&b=2"), "{}", message.body);
    assert_eq!(token_after(html, "/o/"), None, "opens are not told unless somebody says so");
}

#[tokio::test]
async fn nobodys_host_is_vouched_for_but_the_shops_and_those_that_are_named() {
    let links = "<a href=\"https://evil.example/\">1</a> <a href=\"https://shop.example.com.evil.example/\">2</a> \
        <a href=\"https://SHOP.example.com:8443/\">3</a> <a href=\"https://media.example.com/\">4</a>";
    let hosts = vec!["media.example.com".to_owned()];
    let html = page(TrackingOptions { hosts, ..TrackingOptions::default() }, saying(links, "")).await;
    let kept = |link: &str| html.contains(&format!("href=\"{link}\""));
    assert!(kept("https://evil.example/") && kept("https://shop.example.com.evil.example/"), "{html}");
    assert!(!kept("https://SHOP.example.com:8443/") && !kept("https://media.example.com/"), "{html}");
}

#[tokio::test]
async fn clicks_and_opens_are_told_where_the_installation_and_the_template_let_them() {
    for (clicks, opens, template, clicks_told, opens_told) in [
        (true, true, "", true, true),
        (true, true, "tracking: { clicks: false }", false, true),
        (true, true, "tracking: { opens: false }", true, false),
        (true, false, "tracking: { opens: true }", true, false),
        (false, true, "tracking: { clicks: true }", false, true),
        (false, false, "", false, false),
    ] {
        let tracking = TrackingOptions { clicks, opens, ..TrackingOptions::default() };
        let html = page(tracking, saying(PAGE, template)).await;
        let told = (token_after(&html, "/c/").is_some(), token_after(&html, "/o/").is_some());
        assert_eq!(told, (clicks_told, opens_told), "{clicks} {opens} {template}");
        assert_eq!(html.contains("https://shop.example.com/cart"), !clicks_told);
        if let Some(token) = token_after(&html, "/o/") {
            assert_eq!(OpenToken::verify(&keys(), token).unwrap().0.message_id, "m-1");
        }
    }
}
