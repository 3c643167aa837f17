//! Requests and receipts in the contract's words.

use proto::privacy::v1::{PrivacyKind, PrivacyMeans, PrivacyPlace, PrivacyRequest, PrivacyStage};
use proto::timestamp;
use schemas::PrivacyReceipt;

use crate::erasure::{self, Standing};

/// A request with its last receipt.
pub(super) fn request(standing: &Standing, receipt: Option<&PrivacyReceipt>) -> PrivacyRequest {
    let Standing { request, forgotten_at, done_at, .. } = standing;
    let kind = kind(request.kind);
    let stage = match (done_at, forgotten_at) {
        (Some(_), _) if kind == PrivacyKind::Export => PrivacyStage::GivenOut,
        (Some(_), _) => PrivacyStage::Erased,
        (None, Some(_)) => PrivacyStage::Forgotten,
        (None, None) => PrivacyStage::Pending,
    };
    let erases = matches!(kind, PrivacyKind::Erase | PrivacyKind::EraseShop);
    let due_by = (erases && done_at.is_none()).then(|| erasure::through_by(request));
    PrivacyRequest {
        request_id: request.request_id.clone(),
        kind: kind.into(),
        customer_id: request.customer_id.clone().unwrap_or_default(),
        shop: request.shop.clone(),
        source: request.source.clone(),
        requested_at: Some(timestamp(request.at)),
        stage: stage.into(),
        forgotten_at: forgotten_at.map(timestamp),
        done_at: done_at.map(timestamp),
        due_by: due_by.map(|at| timestamp(at.as_millis())),
        ids: receipt.map(|receipt| receipt.ids.clone()).unwrap_or_default(),
        places: receipt.map(|receipt| receipt.places.iter().map(place).collect()).unwrap_or_default(),
        remains: receipt.map(|receipt| receipt.remains.clone()).unwrap_or_default(),
    }
}

fn kind(kind: schemas::PrivacyKind) -> PrivacyKind {
    match kind {
        schemas::PrivacyKind::Erase => PrivacyKind::Erase,
        schemas::PrivacyKind::EraseShop => PrivacyKind::EraseShop,
        schemas::PrivacyKind::Export => PrivacyKind::Export,
        schemas::PrivacyKind::Other => PrivacyKind::Unspecified,
    }
}

fn place(place: &schemas::PrivacyPlace) -> PrivacyPlace {
    let means = match place.means {
        schemas::PrivacyMeans::Compaction => PrivacyMeans::Compaction,
        schemas::PrivacyMeans::Retention => PrivacyMeans::Retention,
        schemas::PrivacyMeans::Store => PrivacyMeans::Store,
        schemas::PrivacyMeans::Other => PrivacyMeans::Unspecified,
    };
    PrivacyPlace {
        dataset: place.dataset.clone(),
        partition: place.partition,
        until_offset: place.until_offset,
        means: means.into(),
        removed_at: place.removed_at.map(timestamp),
    }
}
