//! The first stage: no service knows her any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use domain::Timestamp;
use ingestion::{ResolverState, partition_of};
use messaging::MessagingState;
use schemas::{
    Cleanup, PrivacyKind, PrivacyMeans, PrivacyPlace, PrivacyReceipt, PrivacyRequest, PrivacyStage, TopicSpec,
};
use segmentation::SegmentationState;

use super::book::{Book, Key};
use super::states::{self, Patience, REMAINS, fold};
use super::{ERASER, Wish, chain};
use crate::hosting::Installation;

/// How many requests are seen through at once: what is read for one serves them all.
const MOST_AT_ONCE: usize = 1_000;
/// What keeps records under keys that are not her ids, or on any partition.
const ANYWHERE: [&str; 2] = ["storefront.received", "platform.deadletters"];

/// What came of it.
pub(super) enum Looked {
    /// There is nothing to do.
    Nothing,
    /// These services have not read far enough.
    Behind(String),
    /// Further ids of somebody were found, and are to be asked for.
    Asks(Vec<PrivacyRequest>),
    /// Nobody knows these any more.
    Forgotten(Vec<PrivacyReceipt>),
}

pub(super) fn look(installation: &Installation, stores: bool, patience: Patience<'_>) -> anyhow::Result<Looked> {
    let open = |book: &Book| -> Vec<(Key, Vec<String>)> {
        book.to_forget().iter().take(MOST_AT_ONCE).map(|wish| (wish.key(), book.ids(wish))).collect()
    };
    let before = open(&Book::read(installation, patience.timeout)?);
    if before.is_empty() {
        return Ok(Looked::Nothing);
    }
    if let Some(behind) = chain::pass(installation, patience)? {
        return Ok(Looked::Behind(behind));
    }
    // What was asked for in the meantime has its own turn.
    let book = Book::read(installation, patience.timeout)?;
    let known: HashSet<&Key> = before.iter().map(|(key, _)| key).collect();
    let wishes: Vec<&Wish> = book.to_forget().into_iter().filter(|wish| known.contains(&wish.key())).collect();
    if open(&book).iter().filter(|(key, _)| known.contains(key)).ne(before.iter()) {
        return Ok(Looked::Behind("segmentation asked for further ids".to_owned()));
    }
    let look = Look { installation, book: &book, wishes, patience };
    let asks = look.unasked()?;
    if !asks.is_empty() {
        return Ok(Looked::Asks(asks));
    }
    look.receipts(stores).map(Looked::Forgotten)
}

struct Look<'a> {
    installation: &'a Installation,
    book: &'a Book,
    wishes: Vec<&'a Wish>,
    patience: Patience<'a>,
}

impl Look<'_> {
    /// Ids that are hers and that nobody was asked for: devices that the resolver links to her beyond those that segmentation
    /// remembers, and the id of her address.
    fn unasked(&self) -> anyhow::Result<Vec<PrivacyRequest>> {
        let hers: BTreeMap<String, &Wish> =
            self.wishes.iter().flat_map(|wish| self.book.ids(wish).into_iter().map(|id| (id, *wish))).collect();
        let is_hers = |_: &str, state: &ResolverState| state.linked_to.as_ref().is_some_and(|to| hers.contains_key(to));
        let linked = fold(self.installation, "ingestion", None, self.patience, is_hers)?;
        let devices = linked.into_iter().filter_map(|(device, state)| Some((device, *hers.get(&state.linked_to?)?)));
        // Who has come back on a device since is linked to it anew.
        let devices = devices.filter(|(device, _)| !hers.contains_key(device));
        let addresses = self.wishes.iter().filter_map(|wish| Some((Book::id_of_address(wish)?, *wish)));
        let asks = devices.chain(addresses).filter(|(id, _)| !hers.contains_key(id));
        Ok(asks.map(|(id, wish)| ask(&wish.whose(), &id, wish)).collect())
    }

    /// The receipts of those whom segmentation has erased and to whom nothing is on its way any more.
    fn receipts(&self, stores: bool) -> anyhow::Result<Vec<PrivacyReceipt>> {
        let cluster = &self.installation.cluster;
        let ids: HashSet<String> = self.wishes.iter().flat_map(|wish| self.book.ids(wish)).collect();
        let partitions: BTreeSet<i32> = ids.iter().map(|id| partition_of(id.as_bytes(), cluster.partitions)).collect();
        let known = fold(self.installation, "segmentation", Some(&partitions), self.patience, {
            |id: &str, _: &SegmentationState| ids.contains(id)
        })?;
        let sending = fold(self.installation, "messaging", Some(&partitions), self.patience, {
            |id: &str, state: &MessagingState| ids.contains(id) && is_on_its_way(state)
        })?;
        // Only now: what was written before is before these ends.
        let ends = Ends::ask(self.installation, self.patience.timeout)?;
        let mut receipts = Vec::new();
        for wish in &self.wishes {
            let ids = self.book.ids(wish);
            let is_erased = |id: &String| {
                known.get(id).and_then(|state| state.erased_at).is_some_and(|at| at >= wish.erases_until())
            };
            if ids.iter().all(is_erased) && !ids.iter().any(|id| sending.contains_key(id)) {
                let places = ends.places(&ids, cluster.partitions, stores);
                receipts.push(receipt(wish, PrivacyStage::Forgotten, ids, places));
            }
        }
        Ok(receipts)
    }
}

/// Whether a message to somebody who is erased is being sent at this moment: it ends when its outcome is known.
fn is_on_its_way(state: &MessagingState) -> bool {
    let withdrawn = state.messages.iter().filter_map(|message| message.withdrawal.as_ref());
    withdrawn.filter_map(|withdrawal| withdrawal.reason.as_deref()).any(|reason| reason == "erased")
}

/// The request for a further id of whoever a request is about.
pub(super) fn ask(whose: &str, id: &str, wish: &Wish) -> PrivacyRequest {
    let at = wish.erases_until();
    PrivacyRequest {
        request_id: segmentation::asked_for(whose, id, at),
        kind: PrivacyKind::Erase,
        customer_id: Some(id.to_owned()),
        shop: wish.request.shop.clone(),
        at: at.as_millis(),
        source: ERASER.to_owned(),
        ..PrivacyRequest::default()
    }
}

pub(super) fn receipt(wish: &Wish, stage: PrivacyStage, ids: Vec<String>, places: Vec<PrivacyPlace>) -> PrivacyReceipt {
    let request = &wish.request;
    PrivacyReceipt {
        request_id: request.request_id.clone(),
        kind: request.kind,
        customer_id: request.customer_id.clone(),
        shop: request.shop.clone(),
        source: request.source.clone(),
        requested_at: request.at,
        stage,
        at: now().as_millis(),
        ids,
        places,
        remains: REMAINS.map(str::to_owned).to_vec(),
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Where each partition of a topic begins and ends.
pub(super) type Bounds = BTreeMap<i32, (i64, i64)>;

/// Where every topic that may hold customers ends.
struct Ends(Vec<(TopicSpec, Bounds)>);

impl Ends {
    fn ask(installation: &Installation, timeout: Duration) -> anyhow::Result<Self> {
        let cluster = &installation.cluster;
        let specs = schemas::topics(&cluster.prefix, cluster.partitions.unsigned_abs());
        let holding = specs.into_iter().filter(TopicSpec::holds_customers);
        let with_bounds = holding.map(|spec| {
            let bounds = kafka::bounds(cluster, &spec.name, 0..cluster.partitions, timeout)?;
            Ok((spec, bounds))
        });
        with_bounds.collect::<anyhow::Result<_>>().map(Self)
    }

    /// Where something under these ids may lie.
    fn places(&self, ids: &[String], partitions: i32, stores: bool) -> Vec<PrivacyPlace> {
        let hers: BTreeSet<i32> = ids.iter().map(|id| partition_of(id.as_bytes(), partitions)).collect();
        let mut places = Vec::new();
        for (spec, bounds) in &self.0 {
            let wanted = |partition: &i32| ANYWHERE.contains(&spec.dataset) || hers.contains(partition);
            for (partition, (_, end)) in bounds.iter().filter(|(partition, _)| wanted(partition)) {
                let place = |means| PrivacyPlace {
                    dataset: spec.dataset.to_owned(),
                    partition: *partition,
                    until_offset: *end,
                    means,
                    removed_at: None,
                };
                let is_kept = states::KEEPERS.iter().any(|keeper| spec.dataset == format!("{keeper}.changelog"));
                if stores && is_kept {
                    places.push(place(PrivacyMeans::Store));
                }
                places.push(place(match spec.cleanup {
                    Cleanup::Delete => PrivacyMeans::Retention,
                    Cleanup::Compact => PrivacyMeans::Compaction,
                }));
            }
        }
        places
    }
}
