//! Whose ids and records are, where somebody is erased or gets a copy of her data.
//!
//! Wanted properties:
//! - an id of a device is hers, unless the shop knows a customer by it: any browser may call itself as a customer is called;
//! - what others did on a device of hers is not in her copy: where somebody else was recognised on it, too, or erased with it,
//!   only what names her is hers, as what was done without saying who does can't be told apart;
//! - and what a browser that called itself by her id told of somebody else is not, either.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ingestion::ids::names_somebody;
use ingestion::{DEAD_LETTERS, RECEIVED, ResolverState, partition_of};
use segmentation::SegmentationState;

use super::Wish;
use super::states::{Patience, fold};
use crate::hosting::Installation;

/// Whether an id was asked for as a device's and is a customer's: once segmentation has come past the request, as it knew her then
/// and passed over it. What it knows now may be nothing, as she may have asked for that herself, as of an earlier time.
pub(super) fn is_a_customers(asked: &Wish, state: Option<&SegmentationState>) -> bool {
    let passed_over = |state: &SegmentationState| !has_erased(asked, state) && (state.known || state.is_nobody());
    asked.request.of_device && state.is_some_and(passed_over)
}

/// Whether segmentation has erased the id that was asked for.
pub(super) fn has_erased(asked: &Wish, state: &SegmentationState) -> bool {
    state.erased_at.is_some_and(|at| at >= asked.erases_until())
}

/// The ids of somebody who gets a copy of her data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whose {
    /// Those by which the shop knows her; of each, whether browsers called themselves so.
    own: BTreeMap<String, bool>,
    /// Those of devices; of each, whether it is hers alone.
    devices: BTreeMap<String, bool>,
}

impl Whose {
    /// Of whom the shop knows by these ids: the devices on which segmentation recognised her, and those that the resolver links
    /// to her.
    pub(super) fn find(installation: &Installation, own: &BTreeSet<String>, timeout: Duration) -> anyhow::Result<Self> {
        let patience = Patience::of_a_command(timeout);
        let is_hers = |id: &String| own.contains(id);
        let resolved = fold(installation, "ingestion", None, patience, |id: &str, state: &ResolverState| {
            own.contains(id) || state.linked_to.as_ref().is_some_and(is_hers)
        })?;
        let known = |ids: &BTreeSet<String>| {
            let partitions =
                ids.iter().map(|id| partition_of(id.as_bytes(), installation.cluster.partitions)).collect();
            fold(installation, "segmentation", Some(&partitions), patience, |id: &str, _: &SegmentationState| {
                ids.contains(id)
            })
        };
        let recognised = known(own)?.into_values().flat_map(|state| state.ids);
        let devices: BTreeSet<String> =
            recognised.chain(resolved.keys().cloned()).filter(|id| !own.contains(id)).collect();
        let states = known(&devices)?;
        let devices = devices.into_iter().filter(|id| !states.get(id).is_some_and(|state| state.known));
        let is_alone = |id: &String| {
            let erased = states.get(id).and_then(|state| state.erased_at);
            let is_only_of = |device: &ResolverState| device.erased_at.is_none() && is_only_of(device, own);
            erased.is_none() && resolved.get(id).is_some_and(is_only_of)
        };
        let was_called = |id: &String| resolved.get(id).is_some_and(|state| !is_only_of(state, own));
        Ok(Self {
            own: own.iter().map(|id| (id.clone(), was_called(id))).collect(),
            devices: devices.map(|id| (id.clone(), is_alone(&id))).collect(),
        })
    }

    /// All of them.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.own.keys().chain(self.devices.keys()).cloned().collect()
    }

    /// Whether what a dataset holds under one of her ids is hers, as far as that can be said without reading it.
    pub(super) fn may_hold(&self, dataset: &str, id: &str) -> bool {
        match self.devices.get(id) {
            None => self.own.contains_key(id),
            // What can't be read may be of anybody.
            Some(_) if dataset == DEAD_LETTERS => false,
            Some(is_alone) => *is_alone || dataset == RECEIVED,
        }
    }

    /// Whether a record of `storefront.received` under one of her ids is hers; `event` is none where it can't be read.
    pub(super) fn is_hers(&self, id: &str, event: Option<&schemas::StorefrontEvent>) -> bool {
        let of_device = self.devices.get(id);
        let Some(event) = event else { return of_device.is_none() };
        // As the resolver has it: the same id for both says nothing of who she is, on a device.
        let user = event.user_id.as_deref().filter(|user| names_somebody(user));
        match (user.filter(|user| of_device.is_none() || *user != id), of_device) {
            (Some(user), _) => self.own.contains_key(user),
            (None, Some(is_alone)) => *is_alone,
            (None, None) => !self.own.get(id).copied().unwrap_or_default(),
        }
    }
}

/// Whether nobody else was recognised on a device, or erased with it.
fn is_only_of(device: &ResolverState, ids: &BTreeSet<String>) -> bool {
    device.device_erased_at.is_none() && device.is_only_of(ids.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use schemas::{PrivacyKind, PrivacyRequest, StorefrontEvent};

    use super::*;

    #[test]
    fn an_id_that_was_passed_over_as_a_customers_is_no_device() {
        let at = Timestamp::from_millis(1_000);
        let request =
            PrivacyRequest { kind: PrivacyKind::Erase, at: 1_000, of_device: true, ..PrivacyRequest::default() };
        let asked = Wish { request, stored_at: at };
        let state = |known: bool, erased_at: Option<i64>| {
            let erased_at = erased_at.map(Timestamp::from_millis);
            SegmentationState { known, erased_at, ..SegmentationState::default() }
        };
        for (state, expected) in [
            (None, false),
            (Some(state(true, None)), true),
            (Some(state(true, Some(999))), true),
            (Some(state(false, Some(999))), true),
            (Some(state(false, Some(1_000))), false),
            // A device that was erased, by whose id somebody is known since.
            (Some(state(true, Some(1_000))), false),
            // It waits.
            (Some(SegmentationState { has_email: true, ..state(false, None) }), false),
        ] {
            assert_eq!(is_a_customers(&asked, state.as_ref()), expected, "{state:?}");
        }
        let mut of_hers = asked;
        of_hers.request.of_device = false;
        assert!(!is_a_customers(&of_hers, Some(&state(true, None))), "what was asked for as a customer is");
    }

    #[test]
    fn of_a_shared_device_what_names_her_is_hers_and_of_her_own_all_but_what_names_another() {
        let own = BTreeMap::from([("ana".to_owned(), false), ("17850".to_owned(), true)]);
        let devices = BTreeMap::from([("phone".to_owned(), true), ("tablet".to_owned(), false)]);
        let whose = Whose { own, devices };
        for (id, user, expected) in [
            ("phone", None, true),
            ("phone", Some("ana"), true),
            ("phone", Some("phone"), true),
            ("phone", Some("undefined"), true),
            ("phone", Some("berta"), false),
            ("tablet", None, false),
            ("tablet", Some("ana"), true),
            ("tablet", Some("tablet"), false),
            ("tablet", Some("berta"), false),
            ("ana", Some("ana"), true),
            ("ana", Some("eve"), false),
            ("ana", None, true),
            // A browser called itself so.
            ("17850", None, false),
            ("17850", Some("17850"), true),
        ] {
            let event = StorefrontEvent { user_id: user.map(str::to_owned), ..StorefrontEvent::default() };
            assert_eq!(whose.is_hers(id, Some(&event)), expected, "{id}: {user:?}");
        }
        assert_eq!(["ana", "phone"].map(|id| whose.is_hers(id, None)), [true, false], "what can't be read");
        let holds = |dataset| ["ana", "phone", "tablet", "berta"].map(|id| whose.may_hold(dataset, id));
        assert_eq!(holds("storefront.events"), [true, true, false, false]);
        assert_eq!(holds(RECEIVED), [true, true, true, false]);
        assert_eq!(holds(DEAD_LETTERS), [true, false, false, false]);
    }
}
