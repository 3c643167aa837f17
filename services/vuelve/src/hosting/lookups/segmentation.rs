//! Lookups of segmentation: who a customer is, which segments she is in, and who is in a segment.

use std::collections::HashSet;

use domain::Timestamp;
use messaging::shell::Clock;
use proto::segmentation::v1::{
    BatchGetCustomersRequest, BatchGetCustomersResponse, CountMembersRequest, CountMembersResponse, GetCustomerRequest,
    GetCustomerResponse, GetSegmentsRequest, GetSegmentsResponse, ListMembersRequest, ListMembersResponse,
};
use proto::{Extensions, FieldMask, ReadMask, Refusal, SegmentationAnswers};
use segmentation::lookups;

use super::failure::Failure;
use super::members::{self, PageRequest};
use super::reader::Reader;
use super::{id, segmentation_words as words};
use crate::hosting::channels::SystemClock;

/// So many customers are given at once.
const MAX_BATCH: usize = 100;

pub(super) struct Answers {
    reader: Reader,
    /// The moment of a call.
    now: fn() -> Timestamp,
}

impl Answers {
    /// In a replay the machine's clock says nothing: each customer is told of as of her own time.
    pub(super) fn new(reader: Reader, replay: bool) -> Self {
        Self { reader, now: if replay { || Timestamp::MIN } else { || SystemClock.now() } }
    }
}

impl SegmentationAnswers for Answers {
    async fn get_customer(
        &self,
        request: GetCustomerRequest,
        call: Extensions,
    ) -> Result<GetCustomerResponse, Refusal> {
        let mask = mask(request.read_mask.as_ref())?;
        let customer_id = id("customer_id", request.customer_id)?;
        let now = (self.now)();
        let view = self.reader.one(&customer_id, &call, move |schemas, value| {
            Ok(lookups::read(schemas, value)?.and_then(|customer| customer.at(now)))
        });
        match view.await? {
            Some(view) => Ok(GetCustomerResponse { customer: Some(mask.keep(words::customer(customer_id, view))) }),
            None => Err(Refusal::NotFound { kind: "customer", name: customer_id }),
        }
    }

    async fn get_segments(
        &self,
        request: GetSegmentsRequest,
        call: Extensions,
    ) -> Result<GetSegmentsResponse, Refusal> {
        let customer_id = id("customer_id", request.customer_id)?;
        let now = (self.now)();
        let customer = self.reader.one(&customer_id, &call, move |schemas, value| {
            Ok(lookups::read(schemas, value)?.filter(|customer| !customer.has_ended(now)))
        });
        let Some(customer) = customer.await? else {
            return Ok(GetSegmentsResponse { customer_id, ..GetSegmentsResponse::default() });
        };
        let segments = customer.state.memberships.iter().map(words::membership).collect();
        Ok(GetSegmentsResponse { customer_id, segments, as_of: Some(words::time(customer.as_of)) })
    }

    async fn batch_get_customers(
        &self,
        request: BatchGetCustomersRequest,
        call: Extensions,
    ) -> Result<BatchGetCustomersResponse, Refusal> {
        let mask = mask(request.read_mask.as_ref())?;
        let customer_ids = batch(request.customer_ids)?;
        let now = (self.now)();
        let customers = self.reader.several(customer_ids.clone(), &call, move |customer_id, schemas, value| {
            let view = lookups::read(schemas, value)?.and_then(|customer| customer.at(now));
            Ok(view.map(|view| mask.keep(words::customer(customer_id.to_owned(), view))))
        });
        let mut response = BatchGetCustomersResponse::default();
        for (customer_id, customer) in customer_ids.into_iter().zip(customers.await?) {
            match customer {
                Some(customer) => response.customers.push(customer),
                None => response.unknown_customer_ids.push(customer_id),
            }
        }
        Ok(response)
    }

    async fn list_members(
        &self,
        request: ListMembersRequest,
        call: Extensions,
    ) -> Result<ListMembersResponse, Refusal> {
        let page = PageRequest::of(&request, self.reader.installation.cluster.partitions)?;
        let read = move |reader: &Reader| members::page(&*reader.lookups, &page).map_err(Failure::Lookup);
        self.reader.blocking(&call, read).await
    }

    async fn count_members(
        &self,
        request: CountMembersRequest,
        call: Extensions,
    ) -> Result<CountMembersResponse, Refusal> {
        let segment = members::segment(&request.segment)?;
        let partitions = self.reader.installation.cluster.partitions;
        let count =
            move |reader: &Reader| members::count(&*reader.lookups, &segment, partitions).map_err(Failure::Lookup);
        self.reader.blocking(&call, count).await
    }
}

fn mask(mask: Option<&FieldMask>) -> Result<ReadMask, Refusal> {
    ReadMask::new(mask, "vuelve.segmentation.v1.Customer", &["customer_id"])
}

/// The ids of a batch: some, not too many, and each once.
fn batch(ids: Vec<String>) -> Result<Vec<String>, Refusal> {
    const FIELD: &str = "customer_ids";
    let invalid = |problem| Refusal::Invalid { field: FIELD, problem };
    if ids.is_empty() {
        return Err(invalid("is empty".to_owned()));
    }
    if ids.len() > MAX_BATCH {
        return Err(invalid(format!("has {} ids; a batch has at most {MAX_BATCH}", ids.len())));
    }
    let ids = ids.into_iter().map(|one| id(FIELD, one)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = HashSet::new();
    match ids.iter().find(|id| !seen.insert(id.as_str())) {
        Some(twice) => Err(invalid(format!("has `{twice}` twice"))),
        None => Ok(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_makes_no_sense_is_refused_by_its_field() {
        let of = |ids: &[&str]| {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            batch(ids).map(|ids| ids.len()).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(of(&["ana", "berta"]), Ok(2));
        assert_eq!(of(&[]), Err("customer_ids: is empty".to_owned()));
        assert_eq!(of(&["ana", ""]), Err("customer_ids: is empty".to_owned()));
        assert_eq!(of(&["ana", "berta", "ana"]), Err("customer_ids: has `ana` twice".to_owned()));
        assert_eq!(of(&["x"; 101]), Err("customer_ids: has 101 ids; a batch has at most 100".to_owned()));
    }
}
