//! The door's addresses in a message: each is signed. They can be read by whoever sees them, and hold no address of a person.

use links::{ClickToken, KeyRing, OpenToken, PreferencesToken, SentMessage, Target, TokenError, UnsubscribeToken};

use super::options::OptionProblem;
use crate::action::{Email, Reason};

/// What the paths of the door's links begin with: unsubscribing, preferences, clicks, opens.
const PATHS: [&str; 4] = ["/u/", "/p/", "/c/", "/o/"];

/// Makes the door's addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    keys: KeyRing,
    base_url: String,
}

impl Addresses {
    pub(super) fn new(keys: KeyRing, base_url: &str, problems: &mut Vec<OptionProblem>) -> Self {
        let base_url = base_url.trim().trim_end_matches('/').to_owned();
        let is_web_address = base_url.starts_with("http://") || base_url.starts_with("https://");
        if !is_web_address || base_url.contains(char::is_whitespace) || base_url.contains(['"', '<', '>']) {
            let problem = "the door's address for customers is expected, such as https://events.shop.example.com";
            problems.push(OptionProblem::new("links.base_url", problem));
        }
        Self { keys, base_url }
    }

    /// Where the customer unsubscribes, and where she says what she wants to get.
    pub(super) fn of_customer(&self, email: &Email) -> Result<(String, String), Reason> {
        let malformed = |_| "malformed_address_hash".to_owned();
        let token = UnsubscribeToken {
            customer_id: email.customer_id.to_string(),
            message_id: email.message_id.clone(),
            address_hash: email.address_hash.parse().map_err(malformed)?,
            category: email.category.clone(),
            shop: email.shop.clone(),
        };
        let too_long = |_: TokenError| "ids_too_long_for_a_link".to_owned();
        let unsubscribe = token.sign(&self.keys).map_err(too_long)?;
        let preferences = PreferencesToken(token).sign(&self.keys).map_err(too_long)?;
        Ok((format!("{}/u/{unsubscribe}", self.base_url), format!("{}/p/{preferences}", self.base_url)))
    }

    /// Where a link leads through the door to its address; none for the door's own links, for what is no web address or leads
    /// to none of these hosts, and where it would be too long: then it is better not told of than broken.
    pub(super) fn click(&self, message: &SentMessage, link: u16, url: &str, hosts: &[&str]) -> Option<String> {
        let own = url.strip_prefix(&*self.base_url);
        if own.is_some_and(|path| PATHS.iter().any(|own| path.starts_with(own))) {
            return None;
        }
        let target: Target = url.parse().ok()?;
        if !hosts.iter().any(|host| host.eq_ignore_ascii_case(target.host())) {
            return None;
        }
        let token = ClickToken { message: message.clone(), link, target };
        Some(format!("{}/c/{}", self.base_url, token.sign(&self.keys).ok()?))
    }

    /// The picture that tells that the message was opened.
    pub(super) fn open(&self, message: SentMessage) -> Option<String> {
        let token = OpenToken(message).sign(&self.keys).ok()?;
        Some(format!("{}/o/{token}", self.base_url))
    }
}
