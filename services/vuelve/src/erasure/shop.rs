//! Erasing a shop: each of its customers is asked for, and the shop is erased once all of them are.

use std::collections::HashSet;

use schemas::{PrivacyReceipt, PrivacyRequest, PrivacyStage};
use segmentation::{Did, SegmentationState};

use super::book::Book;
use super::forgotten::{ask, receipt};
use super::states::{Patience, fold};
use crate::hosting::Installation;

/// So many are asked for at once.
const PAGE: usize = 1_000;
/// A shop's receipt names no more: each customer has one of her own.
const MOST_NAMED: usize = 5_000;

/// What came of it.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) asks: Vec<PrivacyRequest>,
    pub(super) receipts: Vec<PrivacyReceipt>,
}

/// Asks for the next customers of shops that are to be erased; of a shop whose customers are all asked for, says how far they are.
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
        if book.receipt(wish, PrivacyStage::Forgotten).is_none() {
            let known: HashSet<&str> = asked.iter().map(|wish| wish.about()).collect();
            let customers = fold(installation, "segmentation", None, patience, is_its)?;
            let mut missing: Vec<&String> = customers.keys().filter(|id| !known.contains(id.as_str())).collect();
            missing.sort_unstable();
            let page = missing.into_iter().take(PAGE);
            let before = looked.asks.len();
            looked.asks.extend(page.map(|id| ask(&wish.whose(), id, wish)));
            if looked.asks.len() > before {
                continue;
            }
        }
        for stage in [PrivacyStage::Forgotten, PrivacyStage::Erased] {
            let is_said = book.receipt(wish, stage).is_some();
            if !is_said && asked.iter().all(|wish| book.receipt(wish, stage).is_some()) {
                let ids = asked.iter().map(|wish| wish.about().to_owned());
                let ids = if asked.len() > MOST_NAMED { Vec::new() } else { ids.collect() };
                looked.receipts.push(receipt(wish, stage, ids, Vec::new()));
            }
        }
    }
    Ok(looked)
}
