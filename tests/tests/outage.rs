//! After an outage nobody is reminded of a cart whose purchase still waited in a log.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use testkit::{SmtpSink, wait_until};
use tests::installation::Installation;

const LIMIT: Duration = Duration::from_mins(2);

fn call(user: &str, event: &str, seconds_ago: i64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds_ago);
    format!(
        r#"{{"type":"track","event":"{event}","userId":"{user}","timestamp":"{at}","properties":{{"cart_id":"c-{user}"}},
            "context":{{"traits":{{"email":"{user}@example.com"}}}}}}"#
    )
}

#[test]
fn carts_that_were_left_and_bought_while_journeys_was_away_remind_nobody() {
    let mail = SmtpSink::start().unwrap();
    let (installation, services) = Installation::start_shop(&mail, &["30s"]).unwrap();

    let journeys = &services[2];
    journeys.kill9().unwrap();
    // When journeys comes back every reminder is due for half a minute; every second customer had bought before that.
    let users: Vec<String> = (0..20).map(|number| format!("customer-{number}")).collect();
    let (bought, left): (Vec<_>, Vec<_>) = users.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    let names = |of: Vec<(usize, &String)>| of.into_iter().map(|(_, user)| user.clone()).collect::<Vec<_>>();
    let (bought, left) = (names(bought), names(left));
    let send =
        |calls: Vec<String>| installation.post("/v1/batch", &[], &format!(r#"{{"batch":[{}]}}"#, calls.join(",")));
    send(users.iter().map(|user| call(user, "Product Added", 60)).collect()).unwrap();
    send(bought.iter().map(|user| call(user, "Order Completed", 50)).collect()).unwrap();
    journeys.restart().unwrap();

    mail.wait_for_messages(left.len(), LIMIT).unwrap();
    wait_until(LIMIT, "every purchase to end its run", || {
        let decisions = installation.records("journeys.decisions").ok()?;
        let exited = |user: &String| {
            decisions.iter().any(|record| {
                record.key.as_ref() == Some(user)
                    && record.value["decision"].as_str().is_some_and(|word| word.eq_ignore_ascii_case("exited"))
            })
        };
        bought.iter().all(exited).then_some(())
    })
    .unwrap();
    let reminded: Vec<String> = mail.messages().unwrap().into_iter().flat_map(|message| message.to).collect();
    for user in &bought {
        assert!(!reminded.contains(&format!("{user}@example.com")), "{user} had bought: {reminded:?}");
    }
}
