//! Asking for a customer to be erased: a record that the resolver reads, as those that shop platforms' webhooks become.

use std::time::Duration;

use domain::Timestamp;
use kafka::{Appender, NewRecord};
use schemas::{PrivacyKind, PrivacyRequest};

use crate::hosting::Installation;

const DATASET: &str = "privacy.requests";

/// Asks for it, and returns the request once the broker has it.
pub async fn ask(
    installation: &Installation,
    customer_id: &str,
    shop: &str,
    at: Timestamp,
    timeout: Duration,
) -> anyhow::Result<PrivacyRequest> {
    let request = PrivacyRequest {
        request_id: format!("operator-{}", at.as_millis()),
        kind: PrivacyKind::Erase,
        customer_id: Some(customer_id.to_owned()),
        shop: shop.to_owned(),
        at: at.as_millis(),
        source: "operator".to_owned(),
        ..PrivacyRequest::default()
    };
    let mut value = Vec::new();
    installation.schemas.encode(DATASET, &request, &mut value)?;
    let record = NewRecord {
        topic: installation.cluster.topic(DATASET).into(),
        partition: None,
        key: Some(customer_id.as_bytes().to_vec()),
        value: Some(value.into()),
        headers: [].into(),
    };
    Appender::new(&installation.cluster, "vuelve-erasure", timeout)?.append(&[record]).await?;
    Ok(request)
}
