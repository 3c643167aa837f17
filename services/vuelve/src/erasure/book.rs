//! What was asked for, and what became of it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::Timestamp;
use ingestion::mapping::ADDRESS_ID_PREFIX;
use kafka::ReadRecord;
use schemas::{PrivacyKind, PrivacyReceipt, PrivacyRequest, PrivacyStage};

use super::{DERIVED, RECEIPTS, REQUESTS};
use crate::hosting::Installation;

/// With so many bytes of hash the ids of requests for further ids of one customer begin.
const BEGINS: usize = 32;

/// Which request: its id, and whom it is about.
pub(super) type Key = (String, String);

/// A request as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The request.
    pub request: PrivacyRequest,
    /// When the log had it.
    pub stored_at: Timestamp,
}

/// How far a request is fulfilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'b> {
    /// The request.
    pub wish: &'b Wish,
    /// That nobody knows her any more.
    pub forgotten: Option<&'b PrivacyReceipt>,
    /// That it is fulfilled.
    pub done: Option<&'b PrivacyReceipt>,
}

/// All requests and receipts that the log holds.
#[derive(Clone, Debug, Default)]
pub struct Book {
    wishes: BTreeMap<Key, Wish>,
    /// Requests for further ids, by what their own ids begin with.
    derived: HashMap<String, Vec<Wish>>,
    receipts: HashMap<(Key, PrivacyStage), PrivacyReceipt>,
    /// Requests that could not be read.
    pub unreadable: u64,
}

impl Wish {
    /// The customer, or the shop.
    pub fn about(&self) -> &str {
        about(&self.request)
    }

    pub(super) fn key(&self) -> Key {
        (self.request.request_id.clone(), self.about().to_owned())
    }

    /// Until when what happened is erased: as the resolver has it, whom a clock that goes ahead does not mislead.
    pub(super) fn erases_until(&self) -> Timestamp {
        Timestamp::from_millis(self.request.at).min(self.stored_at)
    }

    /// Whose further ids are asked for: of a shop, of all that are its own.
    pub(super) fn whose(&self) -> String {
        if self.request.kind == PrivacyKind::EraseShop {
            format!("erase_shop/{}", self.request.shop)
        } else {
            self.about().to_owned()
        }
    }

    fn is_derived(&self) -> bool {
        DERIVED.contains(&self.request.source.as_str())
    }
}

impl Progress<'_> {
    /// Whether something is still to do.
    pub fn is_open(&self) -> bool {
        self.done.is_none()
    }
}

impl Book {
    /// Reads both topics to their ends.
    pub fn read(installation: &Installation, timeout: Duration) -> anyhow::Result<Self> {
        let (mut book, mut failure) = (Self::default(), None);
        let cluster = &installation.cluster;
        for dataset in [REQUESTS, RECEIPTS] {
            kafka::read_topic(cluster, &cluster.topic(dataset), timeout, |record| {
                failure = book.note(installation, dataset, &record).err();
                failure.is_none()
            })?;
        }
        failure.map_or(Ok(book), |error| Err(error.into()))
    }

    fn note(
        &mut self,
        installation: &Installation,
        dataset: &str,
        record: &ReadRecord,
    ) -> Result<(), kafka::RegistryError> {
        let Some(value) = &record.value else { return Ok(()) };
        if dataset == RECEIPTS {
            match installation.decode::<PrivacyReceipt>(value)? {
                Some(receipt) => self.add_receipt(receipt),
                None => self.unreadable += 1,
            }
        } else {
            match installation.decode::<PrivacyRequest>(value)? {
                Some(request) => self.add(Wish { request, stored_at: record.timestamp }),
                None => self.unreadable += 1,
            }
        }
        Ok(())
    }

    /// Notes a request; one that comes again is the same.
    pub(super) fn add(&mut self, wish: Wish) {
        if wish.is_derived() {
            let begins = wish.request.request_id.get(..BEGINS).unwrap_or_default().to_owned();
            self.derived.entry(begins).or_default().push(wish);
        } else {
            self.wishes.entry(wish.key()).or_insert(wish);
        }
    }

    pub(super) fn add_receipt(&mut self, receipt: PrivacyReceipt) {
        self.receipts.entry(place_of(&receipt)).or_insert(receipt);
    }

    /// Whether there is a receipt of that request and stage.
    pub(super) fn has(&self, receipt: &PrivacyReceipt) -> bool {
        self.receipts.contains_key(&place_of(receipt))
    }

    /// The receipt of a stage, if there is one.
    pub(super) fn receipt(&self, wish: &Wish, stage: PrivacyStage) -> Option<&PrivacyReceipt> {
        self.receipts.get(&(wish.key(), stage))
    }

    /// Every request that somebody made, the earliest first; not those for further ids.
    pub fn all(&self) -> Vec<Progress<'_>> {
        let mut all: Vec<_> = self.wishes.values().map(|wish| self.progress(wish)).collect();
        all.sort_by_key(|progress| (progress.wish.request.at, progress.wish.key()));
        all
    }

    /// Of a request with this id, and about this customer or shop where that is told; none where there is none.
    pub fn find(&self, request_id: &str, about: Option<&str>) -> Option<Progress<'_>> {
        let is_it =
            |wish: &&Wish| wish.request.request_id == request_id && about.is_none_or(|about| wish.about() == about);
        self.wishes.values().find(is_it).map(|wish| self.progress(wish))
    }

    /// How far a request is.
    pub fn progress<'b>(&'b self, wish: &'b Wish) -> Progress<'b> {
        let last = last_stage(wish.request.kind);
        Progress { wish, forgotten: self.receipt(wish, PrivacyStage::Forgotten), done: self.receipt(wish, last) }
    }

    /// Erasures that nobody wrote a receipt for, those for a shop's customers among them.
    pub(super) fn to_forget(&self) -> Vec<&Wish> {
        let erases = |wish: &&Wish| {
            wish.request.kind == PrivacyKind::Erase && self.receipt(wish, PrivacyStage::Forgotten).is_none()
        };
        self.erasures().filter(erases).collect()
    }

    /// Erasures that are forgotten, and not yet erased.
    pub(super) fn to_remove(&self) -> Vec<(&Wish, &PrivacyReceipt)> {
        let waits = |wish| {
            let forgotten = self.receipt(wish, PrivacyStage::Forgotten)?;
            self.receipt(wish, PrivacyStage::Erased).is_none().then_some((wish, forgotten))
        };
        self.erasures().filter(|wish| wish.request.kind == PrivacyKind::Erase).filter_map(waits).collect()
    }

    /// Shops that are to be erased and are not.
    pub(super) fn shops(&self) -> Vec<&Wish> {
        let is_open = |wish: &&Wish| {
            wish.request.kind == PrivacyKind::EraseShop && self.receipt(wish, PrivacyStage::Erased).is_none()
        };
        self.wishes.values().filter(is_open).collect()
    }

    /// All that have a receipt of their own: what somebody asked for, and each customer of a shop.
    fn erasures(&self) -> impl Iterator<Item = &Wish> {
        let shops = self.wishes.values().filter(|wish| wish.request.kind == PrivacyKind::EraseShop);
        self.wishes.values().chain(shops.flat_map(|shop| self.derived_of(shop)))
    }

    /// The requests for the further ids of whoever the request is about: of a shop, its customers. Those of another request of
    /// hers have another date.
    pub(super) fn derived_of<'b>(&'b self, wish: &Wish) -> Vec<&'b Wish> {
        let (whose, at) = (wish.whose(), wish.erases_until());
        let is_for =
            |derived: &&Wish| derived.request.request_id == segmentation::asked_for(&whose, derived.about(), at);
        let asked = self.derived.get(&segmentation::asked_for_all_of(&whose)).map_or(&[][..], Vec::as_slice);
        // One that is asked for again is the same.
        let by_id: BTreeMap<&str, &Wish> = asked.iter().filter(is_for).map(|wish| (wish.about(), wish)).collect();
        by_id.into_values().collect()
    }

    /// The request, and those for every further id under which she was known, as far as the log says. Whom her address stands for
    /// is a customer, with devices of her own.
    pub(super) fn asked<'b>(&'b self, wish: &'b Wish) -> Vec<&'b Wish> {
        let derived = self.derived_of(wish);
        let has_devices = |asked: &&&Wish| wish.request.kind == PrivacyKind::Erase && !asked.request.of_device;
        let of_further = derived.iter().filter(has_devices).flat_map(|asked| self.derived_of(asked));
        let mut further: BTreeMap<&str, &Wish> = of_further.map(|wish| (wish.about(), wish)).collect();
        further.extend(derived.iter().map(|wish| (wish.about(), *wish)));
        further.remove(wish.about());
        std::iter::once(wish).chain(further.into_values()).collect()
    }

    /// The id of her address, where the request names it and it is another one.
    pub(super) fn id_of_address(wish: &Wish) -> Option<String> {
        let id = format!("{ADDRESS_ID_PREFIX}{}", wish.request.address_hash.as_ref()?);
        (id != wish.about()).then_some(id)
    }
}

/// Whom a request is about: the customer, or the shop.
pub(super) fn about(request: &PrivacyRequest) -> &str {
    request.customer_id.as_deref().unwrap_or(&request.shop)
}

/// The stage at which a request is fulfilled.
pub(super) const fn last_stage(kind: PrivacyKind) -> PrivacyStage {
    match kind {
        PrivacyKind::Export => PrivacyStage::GivenOut,
        _ => PrivacyStage::Erased,
    }
}

fn place_of(receipt: &PrivacyReceipt) -> (Key, PrivacyStage) {
    let about = receipt.customer_id.clone().unwrap_or_else(|| receipt.shop.clone());
    ((receipt.request_id.clone(), about), receipt.stage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use super::*;
    use crate::erasure::{ERASER, OPERATOR};

    const AT: Timestamp = Timestamp::from_millis(1_000);

    fn wish(request_id: &str, kind: PrivacyKind, about: &str, source: &str) -> Wish {
        let of_shop = kind == PrivacyKind::EraseShop;
        let request = PrivacyRequest {
            request_id: request_id.to_owned(),
            kind,
            customer_id: (!of_shop).then(|| about.to_owned()),
            shop: if of_shop { about } else { "main" }.to_owned(),
            at: AT.as_millis(),
            source: source.to_owned(),
            ..PrivacyRequest::default()
        };
        Wish { request, stored_at: AT }
    }

    /// The request for a further id of somebody, as whoever writes it makes it.
    fn derived(whose: &str, id: &str, source: &str) -> Wish {
        wish(&segmentation::asked_for(whose, id, AT), PrivacyKind::Erase, id, source)
    }

    fn receipt(wish: &Wish, stage: PrivacyStage) -> PrivacyReceipt {
        PrivacyReceipt {
            request_id: wish.request.request_id.clone(),
            customer_id: wish.request.customer_id.clone(),
            shop: wish.request.shop.clone(),
            stage,
            ..PrivacyReceipt::default()
        }
    }

    fn about(wishes: &[&Wish]) -> Vec<String> {
        wishes.iter().map(|wish| wish.about().to_owned()).collect()
    }

    fn ids(book: &Book, wish: &Wish) -> Vec<String> {
        about(&book.asked(wish))
    }

    #[test]
    fn a_second_request_of_hers_asks_for_its_own_further_ids_and_for_those_of_whom_her_address_stands_for() {
        let mut book = Book::default();
        let dated = |wish: Wish, at: i64| Wish { request: PrivacyRequest { at, ..wish.request }, ..wish };
        let (first, second) = (
            dated(wish("r1", PrivacyKind::Erase, "ana", OPERATOR), 500),
            wish("r2", PrivacyKind::Erase, "ana", OPERATOR),
        );
        let of_the_first = segmentation::asked_for("ana", "device-1", Timestamp::from_millis(500));
        let of_the_first = dated(wish(&of_the_first, PrivacyKind::Erase, "device-1", "segmentation"), 500);
        let mut of_a_device = derived("ana", "device-2", "segmentation");
        of_a_device.request.of_device = true;
        for wish in [
            of_the_first,
            of_a_device,
            derived("ana", "address-0f", ERASER),
            derived("address-0f", "device-3", "segmentation"),
            // A device has none.
            derived("device-2", "device-4", "segmentation"),
        ] {
            book.add(wish);
        }
        assert_eq!(ids(&book, &first), ["ana", "device-1"]);
        assert_eq!(ids(&book, &second), ["ana", "address-0f", "device-2", "device-3"]);
    }

    #[test]
    fn further_ids_are_hers_by_their_requests_and_have_no_receipt_of_their_own() {
        let mut book = Book::default();
        let ana = wish("r1", PrivacyKind::Erase, "ana", OPERATOR);
        for wish in [
            ana.clone(),
            derived("ana", "device-2", "segmentation"),
            derived("ana", "device-1", ERASER),
            derived("berta", "device-3", "segmentation"),
            // It comes again.
            wish("r1", PrivacyKind::Erase, "ana", OPERATOR),
            derived("ana", "device-2", "segmentation"),
        ] {
            book.add(wish);
        }
        assert_eq!(ids(&book, &ana), ["ana", "device-1", "device-2"]);
        assert_eq!((about(&book.to_forget()), book.all().len()), (vec!["ana".to_owned()], 1));
        book.add_receipt(receipt(&ana, PrivacyStage::Forgotten));
        assert_eq!((book.to_forget().len(), book.to_remove().len()), (0, 1));
        assert!(book.has(&receipt(&ana, PrivacyStage::Forgotten)) && book.all()[0].is_open());
        book.add_receipt(receipt(&ana, PrivacyStage::Erased));
        assert!(book.to_remove().is_empty() && !book.all()[0].is_open());
    }

    #[test]
    fn each_customer_of_a_shop_has_a_receipt_and_the_same_id_of_request_may_be_about_two() {
        let mut book = Book::default();
        let shop = wish("r1", PrivacyKind::EraseShop, "main", "madrid");
        let (ana, zoe) = (derived("erase_shop/main", "ana", ERASER), wish("r1", PrivacyKind::Erase, "zoe", OPERATOR));
        for wish in [shop.clone(), ana.clone(), derived("ana", "device", "segmentation"), zoe.clone()] {
            book.add(wish);
        }
        assert_eq!(about(&book.to_forget()), ["zoe", "ana"]);
        assert_eq!(
            (ids(&book, &ana), ids(&book, &shop)),
            (vec!["ana".to_owned(), "device".to_owned()], vec!["main".to_owned(), "ana".to_owned()])
        );
        assert_eq!(about(&book.shops()), ["main"]);
        book.add_receipt(receipt(&zoe, PrivacyStage::Forgotten));
        assert_eq!(about(&book.to_forget()), ["ana"]);
        assert_eq!(book.find("r1", Some("zoe")).unwrap().wish, &zoe);
        assert_eq!(book.find("r1", Some("ana")), None);
    }

    #[test]
    fn a_copy_is_given_out_once_and_nobody_is_erased_by_it() {
        let mut book = Book::default();
        let export = wish("r1", PrivacyKind::Export, "ana", "madrid");
        book.add(export.clone());
        assert!(book.to_forget().is_empty() && book.all()[0].is_open());
        book.add_receipt(receipt(&export, PrivacyStage::GivenOut));
        assert!(!book.all()[0].is_open());
    }

    #[test]
    fn an_address_is_a_further_id_where_the_request_names_it_and_it_is_another_one() {
        let mut ana = wish("r1", PrivacyKind::Erase, "ana", "madrid");
        assert_eq!(Book::id_of_address(&ana), None);
        ana.request.address_hash = Some("0f".to_owned());
        assert_eq!(Book::id_of_address(&ana).as_deref(), Some("address-0f"));
        ana.request.customer_id = Some("address-0f".to_owned());
        assert_eq!(Book::id_of_address(&ana), None);
    }
}
