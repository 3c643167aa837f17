//! Who opened a message or followed a link of it: a person, or a program on the way to her.
//!
//! Wanted properties:
//! - it looks at one request alone, so that each door says the same;
//! - it flags and drops nothing: what a program did may still be wanted, and a person may look like one.

/// What is known of who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor<'a> {
    pub(crate) user_agent: Option<&'a str>,
    /// What the headers say that tell the purpose of a request: `Sec-Purpose`, `Purpose`, `X-Purpose`, `X-Moz`.
    pub(crate) purposes: [Option<&'a str>; 4],
    /// How long ago the message was sent; negative where that clock is ahead of ours.
    pub(crate) since_sent_ms: i64,
}

/// Why it is taken for a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    /// A browser or mail program that loads ahead what nobody has asked for yet: `Sec-Purpose` (Fetch standard, and MDN on it),
    /// its forerunners `Purpose` (Chrome) and `X-Moz` (Firefox), and `X-Purpose: preview` (Safari's page previews).
    Prefetch,
    /// No browser and no mail program leaves out its name (RFC 9110, 10.1.5: user agents should send it).
    NoUserAgent,
    /// Apple's Mail Privacy Protection loads every picture, read or not, through relays that call themselves `Mozilla/5.0` and
    /// nothing more (Apple, "Use Mail Privacy Protection"; the name is what providers of mail have found in their logs).
    AppleMailPrivacy,
    /// The picture proxies of Gmail (`via ggpht.com GoogleImageProxy`) and Yahoo (`YahooMailProxy`). Gmail's mostly comes
    /// when somebody opens the message (Google, "Set up an image URL proxy allowlist"), but who, and how often, it hides.
    ImageProxy,
    /// Crawlers, link previews of chats, libraries and command lines, and scanners of mail gateways, by what they call
    /// themselves. Gateways that pass for a browser are not found by it.
    Scanner,
    /// Sooner after sending than a person can: a mail has to be delivered, told of, opened and read. Scanners follow links at
    /// delivery.
    AtOnce,
}

/// Within so long nobody has got a mail and done something with it.
const AT_ONCE_MS: i64 = 3_000;

const IMAGE_PROXIES: [&str; 3] = ["googleimageproxy", "ggpht.com", "yahoomailproxy"];

/// In small letters. Those of crawlers and previews are from what their makers document; those of libraries are the libraries'
/// own defaults.
const SCANNERS: [&str; 33] = [
    "barracuda",
    "mimecast",
    "proofpoint",
    "symantec",
    "messagelabs",
    "forcepoint",
    "trendmicro",
    "fortinet",
    "safelinks",
    "urldefense",
    "google-safety",
    "googlebot",
    "bingbot",
    "bingpreview",
    "applebot",
    "yandexbot",
    "baiduspider",
    "facebookexternalhit",
    "slackbot",
    "twitterbot",
    "linkedinbot",
    "discordbot",
    "telegrambot",
    "whatsapp/",
    "skypeuripreview",
    "headlesschrome",
    "curl/",
    "wget/",
    "python-requests",
    "python-urllib",
    "go-http-client",
    "okhttp",
    "java/",
];

impl Machine {
    /// Which program asks; none if it seems to be a person.
    pub(crate) fn of(visitor: &Visitor<'_>) -> Option<Self> {
        let ahead = |purpose: &&str| ["prefetch", "prerender", "preview"].iter().any(|word| holds(purpose, word));
        if visitor.purposes.iter().flatten().any(ahead) {
            return Some(Self::Prefetch);
        }
        let name = visitor.user_agent.unwrap_or_default().trim().to_ascii_lowercase();
        if name.is_empty() {
            Some(Self::NoUserAgent)
        } else if name == "mozilla/5.0" {
            Some(Self::AppleMailPrivacy)
        } else if IMAGE_PROXIES.iter().any(|proxy| name.contains(proxy)) {
            Some(Self::ImageProxy)
        } else if SCANNERS.iter().any(|scanner| name.contains(scanner)) {
            Some(Self::Scanner)
        } else if visitor.since_sent_ms.unsigned_abs() < AT_ONCE_MS.unsigned_abs() {
            Some(Self::AtOnce)
        } else {
            None
        }
    }

    /// As events say it.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Prefetch => "prefetch",
            Self::NoUserAgent => "no_user_agent",
            Self::AppleMailPrivacy => "apple_mail_privacy",
            Self::ImageProxy => "image_proxy",
            Self::Scanner => "scanner",
            Self::AtOnce => "at_once",
        }
    }
}

fn holds(text: &str, word: &str) -> bool {
    text.to_ascii_lowercase().contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

    fn visitor(user_agent: &str) -> Visitor<'_> {
        Visitor { user_agent: Some(user_agent), purposes: [None; 4], since_sent_ms: 60_000 }
    }

    #[test]
    fn programs_are_known_by_what_they_call_themselves() {
        for (name, machine) in [
            (BROWSER, None),
            (
                "Mozilla/5.0 (Linux; Android 13; CUBOT NOTE 50) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
                None,
            ),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", None),
            ("Mozilla/5.0", Some(Machine::AppleMailPrivacy)),
            (
                "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
                Some(Machine::ImageProxy),
            ),
            ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", Some(Machine::ImageProxy)),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", Some(Machine::Scanner)),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Some(Machine::Scanner)),
            ("curl/8.5.0", Some(Machine::Scanner)),
            ("  ", Some(Machine::NoUserAgent)),
        ] {
            assert_eq!(Machine::of(&visitor(name)), machine, "{name}");
        }
        assert_eq!(Machine::of(&Visitor { user_agent: None, ..visitor("") }), Some(Machine::NoUserAgent));
    }

    #[test]
    fn what_is_loaded_ahead_says_so_in_one_header_or_another() {
        for (place, value) in [(0, "prefetch;prerender"), (1, "Prefetch"), (2, "preview"), (3, "prefetch")] {
            let mut ahead = visitor(BROWSER);
            ahead.purposes[place] = Some(value);
            assert_eq!(Machine::of(&ahead), Some(Machine::Prefetch), "{value}");
        }
    }

    #[test]
    fn nobody_follows_a_link_at_the_moment_of_sending() {
        for (since_sent_ms, machine) in
            [(0, true), (2_999, true), (-500, true), (3_000, false), (-86_400_000, false), (i64::MIN, false)]
        {
            let found = Machine::of(&Visitor { since_sent_ms, ..visitor(BROWSER) });
            assert_eq!(found, machine.then_some(Machine::AtOnce), "{since_sent_ms}");
        }
    }
}
