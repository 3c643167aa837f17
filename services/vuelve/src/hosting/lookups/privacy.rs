//! Erasing over gRPC: a wish is a record as an operator's is, and how far it is stands in the log.
//!
//! Wanted properties:
//! - a call is answered once the log has the wish, and tells the stage that it has come to;
//! - the same ids are the same wish, whichever process is asked. Where two are asked at the very same moment both may write it:
//!   the first is in force, and the other erases nothing but what she did in between;
//! - an id that is an address is written nowhere.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use ingestion::ids::MAX_ID_BYTES;
use kafka::Appender;
use links::Secret;
use proto::privacy::v1::get_request_request::About;
use proto::privacy::v1::{EraseRequest, EraseResponse, GetRequestRequest, GetRequestResponse, PrivacyRequest};
use proto::{Extensions, PrivacyAnswers, Refusal};
use schemas::PrivacyKind;
use tokio::sync::{Mutex, Semaphore};

use super::at_least::Patience;
use super::failure::Failure;
use super::{RETRY, place, privacy_words as words};
use crate::erasure::{self, Followed, Standing};
use crate::hosting::Installation;

/// A caller's id of a wish.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// How often it is looked whether she is forgotten: soon where a shop is idle, and then less often.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Answers {
    installation: Installation,
    appender: Appender,
    followed: Arc<Followed>,
    /// Of the hashes of addresses.
    secret: Secret,
    /// Who looks whether a wish is there and writes it where it isn't has the log for himself, in this process.
    turn: Mutex<()>,
    places: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(
        installation: &Installation,
        secret: Secret,
        places: Arc<Semaphore>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let appender = Appender::new(&installation.cluster, "vuelve-privacy", timeout)?;
        let followed = Arc::new(Followed::new(installation, timeout));
        Ok(Self { installation: installation.clone(), appender, followed, secret, turn: Mutex::default(), places })
    }

    /// What `work` reads in the log, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        call: &Extensions,
        work: impl FnOnce(&Followed) -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = place(&self.places);
        let place = place.ok_or(Refusal::Exhausted { limit: "grpc.max_concurrent_calls", retry_after: RETRY })?;
        let followed = Arc::clone(&self.followed);
        let work = move || {
            let _place = place;
            work(&followed)
        };
        // The work goes on, and keeps its place; its caller hears why there is no answer while it still listens.
        let read = tokio::time::timeout(Patience::of(call).left(), tokio::task::spawn_blocking(work)).await;
        let Ok(read) = read else {
            let problem = "the log does not answer in time".to_owned();
            return Err(Refusal::Unavailable { reason: "LOG_AWAY", problem, retry_after: RETRY });
        };
        read.unwrap_or_else(|error| Err(error.into())).map_err(|error| Failure::Log(error).refusal(call))
    }

    async fn find(&self, request_id: &str, about: &str, call: &Extensions) -> Result<Option<Standing>, Refusal> {
        let (request_id, about) = (request_id.to_owned(), about.to_owned());
        self.read(call, move |followed| followed.find(&request_id, &about)).await
    }

    /// The wish as the log has it, which it is appended to where it is not there.
    async fn ask(
        &self,
        request_id: &str,
        customer_id: &str,
        shop: &str,
        call: &Extensions,
    ) -> Result<Standing, Refusal> {
        let _turn = self.turn.lock().await;
        if let Some(standing) = self.find(request_id, customer_id, call).await? {
            if standing.request.kind == PrivacyKind::Erase {
                return Ok(standing);
            }
            let problem = format!("`{request_id}` asked for something else of this customer: take another id");
            return Err(Refusal::Invalid { field: "request_id", problem });
        }
        let at = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
        let wish = erasure::by_grpc(request_id, customer_id, shop, at);
        let appended = erasure::append(&self.installation, &self.appender, &wish).await;
        appended.map_err(|error| Failure::Log(error).refusal(call))?;
        self.read(call, move |followed| Ok(followed.asked(wish))).await
    }

    /// As it is told, with the last receipt.
    async fn told(&self, standing: Standing, call: &Extensions) -> Result<PrivacyRequest, Refusal> {
        self.read(call, move |followed| {
            let receipt = followed.last_receipt(&standing)?;
            Ok(words::request(&standing, receipt.as_ref()))
        })
        .await
    }

    /// The customer's id as services have it.
    fn customer_id(&self, text: &str) -> Result<String, Refusal> {
        let named = erasure::customer_id(text, || Ok::<_, Refusal>(self.secret.clone()))?;
        named.ok_or_else(|| {
            let problem = format!("names nobody: an id has 1 to {MAX_ID_BYTES} bytes");
            Refusal::Invalid { field: "customer_id", problem }
        })
    }
}

impl PrivacyAnswers for Answers {
    async fn erase(&self, request: EraseRequest, call: Extensions) -> Result<EraseResponse, Refusal> {
        let EraseRequest { customer_id, request_id, shop } = request;
        let patience = Patience::of(&call);
        check_request_id(&request_id)?;
        check_shop(&shop)?;
        let customer_id = self.customer_id(&customer_id)?;
        let mut standing = self.ask(&request_id, &customer_id, &shop, &call).await?;
        let mut pause = FIRST_PAUSE;
        while standing.forgotten_at.is_none() && !patience.to_wait().is_zero() {
            tokio::time::sleep(pause.min(patience.to_wait())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // What is known now is an answer, also where the log does not answer just then.
            match self.find(&request_id, &customer_id, &call).await {
                Ok(found) => standing = found.unwrap_or(standing),
                Err(_) => break,
            }
        }
        Ok(EraseResponse { request: Some(self.told(standing, &call).await?) })
    }

    async fn get_request(&self, request: GetRequestRequest, call: Extensions) -> Result<GetRequestResponse, Refusal> {
        let GetRequestRequest { request_id, about } = request;
        if request_id.is_empty() || request_id.len() > MAX_ID_BYTES {
            let problem = format!("is no id: it has 1 to {MAX_ID_BYTES} bytes");
            return Err(Refusal::Invalid { field: "request_id", problem });
        }
        let about = match about {
            Some(About::CustomerId(customer_id)) => self.customer_id(&customer_id)?,
            Some(About::Shop(shop)) => {
                check_shop(&shop)?;
                shop
            }
            None => {
                let problem = "is missing: say whom it is about, or which `shop`".to_owned();
                return Err(Refusal::Invalid { field: "customer_id", problem });
            }
        };
        match self.find(&request_id, &about, &call).await? {
            Some(standing) => Ok(GetRequestResponse { request: Some(self.told(standing, &call).await?) }),
            None => Err(Refusal::NotFound { kind: "request", name: request_id }),
        }
    }
}

/// An id of a wish that a caller may give: nothing that could be an address.
fn check_request_id(id: &str) -> Result<(), Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(());
    }
    let problem = format!("is no id of a wish: give one of 1 to {MAX_REQUEST_ID_BYTES} letters, digits and `-_.:`");
    Err(Refusal::Invalid { field: "request_id", problem })
}

fn check_shop(shop: &str) -> Result<(), Refusal> {
    erasure::check_shop(shop).map_err(|problem| Refusal::Invalid { field: "shop", problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_wish_is_plain_and_holds_no_address() {
        let refused = |id: &str| check_request_id(id).map_err(|refusal| refusal.code()).is_err();
        assert!(["gdpr-7", "a", "7f3c:2026.11_x", &"x".repeat(128)].iter().all(|id| !refused(id)));
        assert!(["", "ana@example.com", "gdpr 7", "ña", &"x".repeat(129)].iter().all(|id| refused(id)));
    }
}
