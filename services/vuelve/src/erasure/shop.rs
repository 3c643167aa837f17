//! Erasing a shop: each of its customers is asked for, and the shop is erased once all of them are.

use std::collections::HashSet;

use schemas::{PrivacyReceipt, PrivacyRequest, PrivacyStage};
use segmentation::{Did, SegmentationState};

use super::book::Book;
use super::chain;
use super::forgotten::{ask, receipt};
use super::states::{Patience, fold};
use crate::hosting::Installation;

/// So many are asked for at once.
const PAGE: usize = 1_000;

/// What came of it.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) asks: Vec<PrivacyRequest>,
    pub(super) receipts: Vec<PrivacyReceipt>,
    /// The services that have not read far enough.
    pub(super) waits: Option<String>,
}

/// Asks for the next customers of shops that are to be erased; of a shop whose customers are all asked for, once each service has
/// read what was told of it, says how far they are.
pub(super) fn look(installation: &Installation, book: &Book, patience: Patience<'_>) -> anyhow::Result<Looked> {
    let mut looked = Looked::default();
    for wish in book.shops() {
        let asked = book.derived_of(wish);
        let at = wish.erases_until();
        // Who came since is nobody's wish.
        let is_its = |_: &str, state: &SegmentationState| {
            let was_there = state.seen(Did::Any).is_none_or(|seen| seen.first_at <= at);
            state.shop == wish.request.shop && was_there && !state.is_nobody()
        };
        let known: HashSet<&str> = asked.iter().map(|wish| wish.about()).collect();
        let unasked = || -> anyhow::Result<Vec<PrivacyRequest>> {
            let customers = fold(installation, "segmentation", None, patience, is_its)?;
            let mut missing: Vec<&String> = customers.keys().filter(|id| !known.contains(id.as_str())).collect();
            missing.sort_unstable();
            Ok(missing.into_iter().take(PAGE).map(|id| ask(id, wish, false)).collect())
        };
        if book.receipt(wish, PrivacyStage::Forgotten).is_none() {
            let asks = unasked()?;
            let are_forgotten = asked.iter().all(|wish| book.receipt(wish, PrivacyStage::Forgotten).is_some());
            if !asks.is_empty() || !are_forgotten {
                looked.asks.extend(asks);
                continue;
            }
            // Who was told of before the request may not be known yet.
            if let Some(behind) = chain::pass(installation, patience)? {
                looked.waits = Some(behind);
                continue;
            }
            let asks = unasked()?;
            if !asks.is_empty() {
                looked.asks.extend(asks);
                continue;
            }
        }
        for stage in [PrivacyStage::Forgotten, PrivacyStage::Erased] {
            let is_said = book.receipt(wish, stage).is_some();
            if !is_said && asked.iter().all(|wish| book.receipt(wish, stage).is_some()) {
                let ids = asked.iter().map(|wish| wish.about().to_owned());
                looked.receipts.push(receipt(wish, stage, ids.collect(), Vec::new()));
            }
        }
    }
    Ok(looked)
}
