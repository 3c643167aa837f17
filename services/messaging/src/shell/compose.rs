//! From a claimed message to what is sent: the rendered texts, the sender, the links.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Timestamp;
use links::{KeyRing, SentMessage, Target};

use super::addresses::Addresses;
use super::options::{MessagingOptions, OptionProblem, ShopOptions, TrackingOptions};
use crate::action::{Email, Reason};
use crate::rendering::{Facts, Rendered, Renderer, ShopFacts, with_links, with_picture};

/// Renders claimed messages.
#[derive(Debug)]
pub(super) struct Composer {
    renderer: Renderer,
    addresses: Addresses,
    tracking: TrackingOptions,
    shops: BTreeMap<String, ShopOptions>,
}

/// A message that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Composed {
    pub(super) rendered: Rendered,
    /// Who it comes from, if anybody said so.
    pub(super) from_name: Option<String>,
    pub(super) unsubscribe_url: String,
    pub(super) preferences_url: String,
}

impl Composer {
    pub(super) fn new(
        options: &MessagingOptions,
        keys: KeyRing,
        base_url: &str,
        problems: &mut Vec<OptionProblem>,
    ) -> Self {
        let addresses = Addresses::new(keys, base_url, problems);
        Self { renderer: Renderer::new(), addresses, tracking: options.tracking.clone(), shops: options.shops.clone() }
    }

    /// Renders the message, away from the threads that wait for networks: it takes milliseconds of work.
    /// `now` is when it is to be sent.
    pub(super) async fn compose(self: &Arc<Self>, email: &Arc<Email>, now: Timestamp) -> Result<Composed, Reason> {
        let (composer, work) = (Arc::clone(self), Arc::clone(email));
        let result = tokio::task::spawn_blocking(move || composer.compose_now(&work, now)).await;
        result.unwrap_or_else(|_| Err("renderer_panicked".to_owned()))
    }

    fn compose_now(&self, email: &Email, now: Timestamp) -> Result<Composed, Reason> {
        let (unsubscribe_url, preferences_url) = self.addresses.of_customer(email)?;
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
            preferences_url: &preferences_url,
        };
        let mut rendered = self.renderer.render(&email.template, &facts).map_err(|error| {
            tracing::warn!(template = %email.template.definition.name, %error, "a message can't be rendered");
            error.reason().to_owned()
        })?;
        let from_name = rendered.from_name.as_deref().or(email.from_name.as_deref()).or(shop_name).map(str::to_owned);
        rendered.html = self.tracked(email, rendered.html, now);
        Ok(Composed { rendered, from_name, unsubscribe_url, preferences_url })
    }

    /// The page with what tells that it was read, as far as installation and template let it. The text keeps its links.
    fn tracked(&self, email: &Email, html: String, now: Timestamp) -> String {
        let allowed = email.template.definition.tracking;
        let message = SentMessage {
            customer_id: email.customer_id.to_string(),
            message_id: email.message_id.clone(),
            category: email.category.clone(),
            shop: email.shop.clone(),
            sent_at: now.as_millis(),
        };
        let mut page = html;
        if self.tracking.clicks && allowed.clicks {
            let shop = self.shops.get(&email.shop).and_then(|shop| shop.url.as_deref()?.parse::<Target>().ok());
            let hosts: Vec<&str> =
                self.tracking.hosts.iter().map(String::as_str).chain(shop.as_ref().map(Target::host)).collect();
            let mut link = 0_u16;
            page = with_links(&page, |url| {
                link = link.saturating_add(1);
                self.addresses.click(&message, link, url, &hosts)
            });
        }
        if self.tracking.opens
            && allowed.opens
            && let Some(url) = self.addresses.open(message)
        {
            page = with_picture(&page, &url);
        }
        page
    }
}
