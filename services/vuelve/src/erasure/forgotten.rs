//! The first stage: no service knows her any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
use super::whose::{has_erased, is_a_customers};
use super::{ERASER, Wish, chain};
use crate::hosting::Installation;

/// How many requests are seen through at once: what is read for one serves them all.
const MOST_AT_ONCE: usize = 1_000;
/// The ids that a receipt names take no more, and leave room for its places.
const MOST_NAMED_BYTES: usize = 400_000;
/// What Avro writes before a text.
const LENGTH_BYTES: usize = 2;
/// What keeps records under keys that are not her ids, or on any partition.
pub(super) const ANYWHERE: [&str; 3] = ["storefront.received", "customer.scores", "platform.deadletters"];

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

/// `book` was read before.
pub(super) fn look(
    installation: &Installation,
    book: &Book,
    stores: bool,
    patience: Patience<'_>,
) -> anyhow::Result<Looked> {
    let open = |book: &Book| -> Vec<(Key, Vec<String>)> {
        let ids = |wish| book.asked(wish).into_iter().map(|asked| asked.about().to_owned()).collect();
        book.to_forget().into_iter().take(MOST_AT_ONCE).map(|wish| (wish.key(), ids(wish))).collect()
    };
    let before = open(book);
    if before.is_empty() {
        return Ok(Looked::Nothing);
    }
    if let Some(behind) = chain::pass(installation, patience)? {
        return Ok(Looked::Behind(behind));
    }
    // Once more, as services may have asked for further ids. Whoever else was asked for in the meantime has their own turn.
    let book = Book::read(installation, patience.timeout)?;
    let known: HashSet<&Key> = before.iter().map(|(key, _)| key).collect();
    let wishes = book.to_forget().into_iter().filter(|wish| known.contains(&wish.key()));
    let all: Vec<_> = wishes.map(|wish| (wish, book.asked(wish))).collect();
    if open(&book).iter().filter(|(key, _)| known.contains(key)).ne(before.iter()) {
        return Ok(Looked::Behind("segmentation asked for further ids".to_owned()));
    }
    let look = Look::new(installation, all, patience)?;
    let asks = look.unasked()?;
    if !asks.is_empty() {
        return Ok(Looked::Asks(asks));
    }
    look.receipts(stores).map(Looked::Forgotten)
}

struct Look<'a> {
    installation: &'a Installation,
    /// Each request with those for all ids that were asked for because of it.
    all: Vec<(&'a Wish, Vec<&'a Wish>)>,
    /// What segmentation keeps under these ids.
    known: HashMap<String, SegmentationState>,
    patience: Patience<'a>,
}

impl<'a> Look<'a> {
    fn new(
        installation: &'a Installation,
        all: Vec<(&'a Wish, Vec<&'a Wish>)>,
        patience: Patience<'a>,
    ) -> anyhow::Result<Self> {
        let ids: HashSet<&str> = all.iter().flat_map(|(_, asked)| asked).map(|asked| asked.about()).collect();
        let partitions = ids.iter().map(|id| partition_of(id.as_bytes(), installation.cluster.partitions)).collect();
        let is_asked_for = |id: &str, _: &SegmentationState| ids.contains(id);
        let known = fold(installation, "segmentation", Some(&partitions), patience, is_asked_for)?;
        Ok(Self { installation, all, known, patience })
    }

    /// Of all ids that were asked for, hers: not those of devices that turned out to be a customer's.
    fn hers<'b>(&'b self, asked: &'b [&'a Wish]) -> impl Iterator<Item = &'a Wish> {
        asked.iter().copied().filter(|asked| !is_a_customers(asked, self.known.get(asked.about())))
    }

    /// Ids that are hers and that nobody was asked for: devices that the resolver links to her beyond those that segmentation
    /// remembers, and the id of her address.
    fn unasked(&self) -> anyhow::Result<Vec<PrivacyRequest>> {
        let mut owners: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, (_, asked)) in self.all.iter().enumerate() {
            self.hers(asked).for_each(|hers| owners.entry(hers.about()).or_default().push(place));
        }
        let is_hers =
            |_: &str, state: &ResolverState| state.linked_to.as_deref().is_some_and(|to| owners.contains_key(to));
        let linked = fold(self.installation, "ingestion", None, self.patience, is_hers)?;
        let devices =
            linked.iter().filter_map(|(device, state)| Some((device, owners.get(state.linked_to.as_deref()?)?)));
        let devices = devices.flat_map(|(device, places)| places.iter().map(|place| (*place, device.clone(), true)));
        let addresses = self.all.iter().enumerate();
        let addresses = addresses.filter_map(|(place, (wish, _))| Some((place, Book::id_of_address(wish)?, false)));
        let asked: Vec<HashSet<&str>> =
            self.all.iter().map(|(_, asked)| asked.iter().map(|asked| asked.about()).collect()).collect();
        // Who has come back on a device since is linked to it anew.
        let unasked = devices.chain(addresses).filter(|(place, id, _)| !asked[*place].contains(id.as_str()));
        // Any browser may say of any number of devices that they are hers.
        let unasked = unasked.take(MOST_AT_ONCE);
        Ok(unasked.map(|(place, id, of_device)| ask(&id, self.all[place].0, of_device)).collect())
    }

    /// The receipts of those whom segmentation has erased and to whom nothing is on its way any more.
    fn receipts(&self, stores: bool) -> anyhow::Result<Vec<PrivacyReceipt>> {
        let cluster = &self.installation.cluster;
        let ids: HashSet<&str> = self.all.iter().flat_map(|(_, asked)| self.hers(asked)).map(Wish::about).collect();
        let partitions: BTreeSet<i32> = ids.iter().map(|id| partition_of(id.as_bytes(), cluster.partitions)).collect();
        let sending = fold(self.installation, "messaging", Some(&partitions), self.patience, {
            |id: &str, state: &MessagingState| ids.contains(id) && is_on_its_way(state)
        })?;
        // Only now: what was written before is before these ends.
        let ends = Ends::ask(self.installation, self.patience.timeout)?;
        let mut receipts = Vec::new();
        for (wish, asked) in &self.all {
            let hers: Vec<&Wish> = self.hers(asked).collect();
            let is_erased = |hers: &&Wish| self.known.get(hers.about()).is_some_and(|state| has_erased(hers, state));
            if hers.iter().all(is_erased) && !hers.iter().any(|hers| sending.contains_key(hers.about())) {
                let ids: Vec<String> = hers.iter().map(|hers| hers.about().to_owned()).collect();
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

/// The request for a further id of whoever a request is about: of a device, or of a customer.
pub(super) fn ask(id: &str, wish: &Wish, of_device: bool) -> PrivacyRequest {
    let at = wish.erases_until();
    PrivacyRequest {
        request_id: segmentation::asked_for(&wish.whose(), id, at),
        kind: PrivacyKind::Erase,
        customer_id: Some(id.to_owned()),
        shop: wish.request.shop.clone(),
        at: at.as_millis(),
        source: ERASER.to_owned(),
        of_device,
        ..PrivacyRequest::default()
    }
}

/// As many ids as a receipt has room for: any browser may say of any number of devices that they are somebody's.
fn named(ids: Vec<String>) -> Vec<String> {
    let mut bytes = 0;
    let fits = |id: &String| {
        bytes += id.len() + LENGTH_BYTES;
        bytes <= MOST_NAMED_BYTES
    };
    ids.into_iter().take_while(fits).collect()
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
        ids: named(ids),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_has_room_for_its_ids_however_many_devices_somebody_is_said_to_have() {
        let ids: Vec<String> = (0..10_000).map(|number| format!("{number:0>255}")).collect();
        let request = PrivacyRequest { customer_id: Some("ana".to_owned()), ..PrivacyRequest::default() };
        let wish = Wish { request, stored_at: Timestamp::from_millis(0) };
        let receipt = receipt(&wish, PrivacyStage::Forgotten, ids.clone(), Vec::new());
        let bytes: usize = receipt.ids.iter().map(String::len).sum();
        assert!(bytes < schemas::MAX_VALUE_BYTES / 2, "{bytes}");
        assert!(receipt.ids.len() > 1_000 && receipt.ids[..] == ids[..receipt.ids.len()]);
    }

    #[test]
    fn of_every_service_that_keeps_something_in_a_changelog_the_stores_are_looked_at() {
        for spec in schemas::topics("vuelve", 1) {
            if let Some(service) = spec.dataset.strip_suffix(".changelog") {
                assert!(
                    states::KEEPERS.contains(&service),
                    "{service} is not among those who keep something of customers"
                );
            }
        }
    }
}
