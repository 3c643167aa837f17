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
use kafka::{Appender, NewRecord};
use schemas::{PrivacyKind, PrivacyRequest};

pub use book::{Book, Progress, Wish};
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

/// Asks for it, and returns the request once the broker has it.
pub async fn ask(
    installation: &Installation,
    customer_id: &str,
    shop: &str,
    at: Timestamp,
    timeout: Duration,
) -> anyhow::Result<PrivacyRequest> {
    let customer_id = Some(customer_id.to_owned());
    let shop = shop.to_owned();
    let wish = PrivacyRequest { kind: PrivacyKind::Erase, customer_id, shop, ..PrivacyRequest::default() };
    by_operator(installation, wish, at, timeout).await
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
    let record = record(installation, &request)?;
    Appender::new(&installation.cluster, "vuelve-erasure", timeout)?.append(&[record]).await?;
    Ok(request)
}

/// A request's record: under whom it is about.
fn record(installation: &Installation, request: &PrivacyRequest) -> anyhow::Result<NewRecord> {
    let mut value = Vec::new();
    installation.schemas.encode(REQUESTS, request, &mut value)?;
    Ok(NewRecord {
        topic: installation.cluster.topic(REQUESTS).into(),
        partition: None,
        key: Some(request.customer_id.as_ref().unwrap_or(&request.shop).as_bytes().to_vec()),
        value: Some(value.into()),
        headers: [].into(),
    })
}
