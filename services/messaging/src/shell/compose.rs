//! From a claimed message to what is sent: the rendered texts, the sender, the link to unsubscribe.

use std::collections::BTreeMap;
use std::sync::Arc;

use links::{KeyRing, UnsubscribeToken};

use super::options::{MessagingOptions, OptionProblem, ShopOptions};
use crate::action::{Email, Reason};
use crate::rendering::{Facts, Rendered, Renderer, ShopFacts};

/// Renders claimed messages.
#[derive(Debug)]
pub(super) struct Composer {
    renderer: Renderer,
    keys: KeyRing,
    base_url: String,
    shops: BTreeMap<String, ShopOptions>,
}

/// A message that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Composed {
    pub(super) rendered: Rendered,
    /// Who it comes from, if anybody said so.
    pub(super) from_name: Option<String>,
    pub(super) unsubscribe_url: String,
}

impl Composer {
    pub(super) fn new(
        options: &MessagingOptions,
        keys: KeyRing,
        base_url: &str,
        problems: &mut Vec<OptionProblem>,
    ) -> Self {
        let base_url = base_url.trim().trim_end_matches('/').to_owned();
        let is_web_address = base_url.starts_with("http://") || base_url.starts_with("https://");
        if !is_web_address || base_url.contains(char::is_whitespace) || base_url.contains(['"', '<', '>']) {
            let problem = "the door's address for customers is expected, such as https://events.shop.example.com";
            problems.push(OptionProblem::new("links.base_url", problem));
        }
        Self { renderer: Renderer::new(), keys, base_url, shops: options.shops.clone() }
    }

    /// Renders the message, away from the threads that wait for networks: it takes milliseconds of work.
    pub(super) async fn compose(self: &Arc<Self>, email: &Arc<Email>) -> Result<Composed, Reason> {
        let (composer, work) = (Arc::clone(self), Arc::clone(email));
        let result = tokio::task::spawn_blocking(move || composer.compose_now(&work)).await;
        result.unwrap_or_else(|_| Err("renderer_panicked".to_owned()))
    }

    fn compose_now(&self, email: &Email) -> Result<Composed, Reason> {
        let unsubscribe_url = self.unsubscribe_url(email)?;
        let shop = self.shops.get(&email.shop);
        let shop_name = shop.and_then(|shop| shop.name.as_deref());
        let facts = Facts {
            message_id: &email.message_id,
            locale: email.recipient.locale.as_deref(),
            first_name: email.recipient.first_name.as_deref(),
            last_name: email.recipient.last_name.as_deref(),
            context_json: email.context_json.as_ref().map(|context| context.0.as_str()),
            shop: ShopFacts {
                id: &email.shop,
                name: shop_name.unwrap_or(&email.shop),
                url: shop.and_then(|shop| shop.url.as_deref()),
            },
            unsubscribe_url: &unsubscribe_url,
        };
        let rendered = self.renderer.render(&email.template, &facts).map_err(|error| {
            tracing::warn!(template = %email.template.definition.name, %error, "a message can't be rendered");
            error.reason().to_owned()
        })?;
        let from_name = rendered.from_name.as_deref().or(email.from_name.as_deref()).or(shop_name).map(str::to_owned);
        Ok(Composed { rendered, from_name, unsubscribe_url })
    }

    fn unsubscribe_url(&self, email: &Email) -> Result<String, Reason> {
        let malformed = |_| "malformed_address_hash".to_owned();
        let token = UnsubscribeToken {
            customer_id: email.customer_id.to_string(),
            message_id: email.message_id.clone(),
            address_hash: email.address_hash.parse().map_err(malformed)?,
            category: email.category.clone(),
            shop: email.shop.clone(),
        };
        let token = token.sign(&self.keys).map_err(|_| "ids_too_long_for_a_link".to_owned())?;
        Ok(format!("{}/u/{token}", self.base_url))
    }
}
