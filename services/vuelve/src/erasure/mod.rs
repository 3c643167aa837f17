//! Erasing customers: asking for it, seeing it through, and the receipt.
//!
//! Wanted properties:
//! - what is still to do is what the log says: a request on `privacy.requests` that has no receipt on `privacy.receipts`. Who is
//!   killed midway, and whoever takes over, goes on from there;
//! - a request has at most one receipt of each stage, however many write them;
//! - *forgotten* is said once every service has read past the request, under every id that she had: those of devices on which
//!   she was recognised, those that the resolver links to her, and that of her address where the request names it;
//! - *erased* is said once each place was read, raw as it lies in the log, and nothing of hers was in it that was written before;
//! - nothing is written to a changelog but by its engine.

mod book;
mod chain;
mod followed;
mod forgotten;
mod given_out;
mod receipts;
mod removed;
mod shop;
mod shown;
mod states;
mod whose;

use std::time::Duration;

use domain::Timestamp;
use ingestion::ids::{MAX_ID_BYTES, is_personal, names_somebody};
use ingestion::mapping::id_of_address;
use kafka::{Appender, NewRecord};
use links::Secret;
use schemas::{PrivacyKind, PrivacyRequest};

pub use book::{Book, Progress, Wish};
pub use followed::{Followed, Standing};
pub use given_out::{Held, check_asked, say_given_out};
pub use receipts::{Eraser, Looked};
pub use shown::{Shown, table, through_by};

use crate::hosting::Installation;

const REQUESTS: &str = "privacy.requests";
const RECEIPTS: &str = "privacy.receipts";
/// What came by a command of the operator's.
const OPERATOR: &str = "operator";
/// What asks for further ids of somebody who is erased.
const DERIVED: [&str; 2] = ["segmentation", ERASER];
const ERASER: &str = "eraser";

/// What came by a call.
const GRPC: &str = "grpc";

/// The id of a customer as the services have it: one that is an address is hashed, as the door hashes it. None where it can name
/// nobody.
pub fn customer_id<E>(text: &str, secret: impl FnOnce() -> Result<Secret, E>) -> Result<Option<String>, E> {
    let id = text.trim();
    if !names_somebody(id) || id.len() > MAX_ID_BYTES {
        return Ok(None);
    }
    Ok(Some(if is_personal(id) { id_of_address(id, &secret()?) } else { id.to_owned() }))
}

/// Why a text names no shop: it is kept in requests and receipts for years.
pub fn check_shop(shop: &str) -> Result<(), String> {
    if shop.len() > MAX_ID_BYTES {
        return Err(format!("has {} bytes; a shop has at most {MAX_ID_BYTES}", shop.len()));
    }
    if shop.contains(char::is_control) || is_personal(shop) {
        return Err("names no shop: it has a control character, or is an address or a phone number".to_owned());
    }
    Ok(())
}

/// Asks for it, and returns the request once the broker has it.
pub async fn ask(
    installation: &Installation,
    customer_id: &str,
    shop: &str,
    at: Timestamp,
    timeout: Duration,
) -> anyhow::Result<PrivacyRequest> {
    by_operator(installation, erase(customer_id, shop), at, timeout).await
}

/// Asks for all customers of a shop to be erased, and returns the request once the broker has it.
pub async fn ask_for_shop(
    installation: &Installation,
    shop: &str,
    at: Timestamp,
    timeout: Duration,
) -> anyhow::Result<PrivacyRequest> {
    let shop = shop.to_owned();
    let wish = PrivacyRequest { kind: PrivacyKind::EraseShop, shop, ..PrivacyRequest::default() };
    by_operator(installation, wish, at, timeout).await
}

/// The wish that a customer be erased.
fn erase(customer_id: &str, shop: &str) -> PrivacyRequest {
    let customer_id = Some(customer_id.to_owned());
    PrivacyRequest { kind: PrivacyKind::Erase, customer_id, shop: shop.to_owned(), ..PrivacyRequest::default() }
}

/// The same as a caller makes it, who gives it its id.
pub(crate) fn by_grpc(request_id: &str, customer_id: &str, shop: &str, at: Timestamp) -> PrivacyRequest {
    let request_id = request_id.to_owned();
    PrivacyRequest { request_id, at: at.as_millis(), source: GRPC.to_owned(), ..erase(customer_id, shop) }
}

async fn by_operator(
    installation: &Installation,
    wish: PrivacyRequest,
    at: Timestamp,
    timeout: Duration,
) -> anyhow::Result<PrivacyRequest> {
    let request = PrivacyRequest {
        request_id: format!("operator-{}", at.as_millis()),
        at: at.as_millis(),
        source: OPERATOR.to_owned(),
        ..wish
    };
    append(installation, &Appender::new(&installation.cluster, "vuelve-erasure", timeout)?, &request).await?;
    Ok(request)
}

/// Returns once the broker has it.
pub(crate) async fn append(
    installation: &Installation,
    appender: &Appender,
    request: &PrivacyRequest,
) -> anyhow::Result<()> {
    appender.append(&[record(installation, request)?]).await?;
    Ok(())
}

/// A request's record: under whom it is about.
fn record(installation: &Installation, request: &PrivacyRequest) -> anyhow::Result<NewRecord> {
    Ok(installation.record(REQUESTS, None, book::about(request), Some(request))?)
}

#[cfg(test)]
mod tests {
    use ingestion::ids::RESERVED_SOURCES;

    use super::*;

    #[test]
    fn what_our_own_requests_come_by_is_no_name_of_a_webhook() {
        let ours = DERIVED.into_iter().chain([OPERATOR, GRPC]);
        assert!(ours.into_iter().all(|source| RESERVED_SOURCES.contains(&source)));
    }
}
