//! Lookups of segmentation: who a customer is, which segments she is in, and who is in a segment.

use std::collections::{BTreeMap, HashSet};

use domain::Timestamp;
use messaging::shell::Clock;
use proto::segmentation::v1::{
    self as contract, AsOf, BatchGetCustomersRequest, BatchGetCustomersResponse, CountMembersRequest,
    CountMembersResponse, Customer, GetCustomerRequest, GetCustomerResponse, GetSegmentsRequest, GetSegmentsResponse,
    ListMembersRequest, ListMembersResponse,
};
use proto::{Extensions, FieldMask, ReadMask, Refusal, SegmentationAnswers};
use schemas::Schemas;
use segmentation::lookups;
use stream::Partition;

use super::at_least::AtLeast;
use super::boundaries::InForce;
use super::failure::Failure;
use super::members::{self, PageRequest};
use super::reader::{FreshReader, Read, Reader};
use super::{id, segmentation_words as words};
use crate::hosting::channels::SystemClock;

/// So many customers are given at once.
const MAX_BATCH: usize = 100;

pub(super) struct Answers {
    reader: FreshReader,
    boundaries: InForce,
    /// The moment of a call.
    now: fn() -> Timestamp,
}

impl Answers {
    /// In a replay the machine's clock says nothing: each customer is told of as of her own time.
    pub(super) fn new(reader: FreshReader, boundaries: InForce, replay: bool) -> Self {
        Self { reader, boundaries, now: if replay { || Timestamp::MIN } else { || SystemClock.now() } }
    }

    /// What is asked of one customer.
    fn at_least(&self, named: Option<contract::AtLeast>, customer_id: &str) -> Result<AtLeast, Refusal> {
        AtLeast::of_one(named, self.reader.reader.partition(customer_id), self.partitions())
    }

    const fn partitions(&self) -> Partition {
        self.reader.reader.installation.cluster.partitions
    }

    /// What a mask leaves of each customer; none for whom the service does not know.
    async fn customers(
        &self,
        customer_ids: impl IntoIterator<Item = String>,
        mask: ReadMask,
        at_least: AtLeast,
        call: &Extensions,
    ) -> Result<Read<Option<Customer>>, Refusal> {
        let (now, boundaries) = ((self.now)(), self.boundaries.now());
        let customer = move |customer_id: &str, schemas: &Schemas, value: Option<&[u8]>| {
            let known = lookups::read(schemas, value)?;
            let view = known.and_then(|customer| customer.at(now, boundaries.as_deref()));
            Ok(view.map(|view| mask.keep(words::customer(customer_id.to_owned(), view))))
        };
        self.reader.several(customer_ids, at_least, call, customer).await
    }
}

/// How far partitions had come.
fn read_at(as_of: &BTreeMap<Partition, i64>) -> impl Iterator<Item = AsOf> + '_ {
    as_of.iter().map(|(partition, offset)| AsOf { partition: *partition, offset: *offset })
}

impl SegmentationAnswers for Answers {
    async fn get_customer(
        &self,
        request: GetCustomerRequest,
        call: Extensions,
    ) -> Result<GetCustomerResponse, Refusal> {
        let mask = mask(request.read_mask.as_ref())?;
        let customer_id = id("customer_id", request.customer_id)?;
        let at_least = self.at_least(request.at_least, &customer_id)?;
        let mut read = self.customers([customer_id.clone()], mask, at_least, &call).await?;
        match read.made.pop().flatten() {
            Some(customer) => {
                Ok(GetCustomerResponse { customer: Some(customer), read_at: read_at(&read.as_of).next() })
            }
            None => Err(Refusal::NotFound { kind: "customer", name: customer_id }),
        }
    }

    async fn get_segments(
        &self,
        request: GetSegmentsRequest,
        call: Extensions,
    ) -> Result<GetSegmentsResponse, Refusal> {
        let customer_id = id("customer_id", request.customer_id)?;
        let at_least = self.at_least(request.at_least, &customer_id)?;
        let now = (self.now)();
        let known = move |_: &str, schemas: &Schemas, value: Option<&[u8]>| {
            Ok(lookups::read(schemas, value)?.filter(|customer| !customer.has_ended(now)))
        };
        let mut read = self.reader.several([customer_id.clone()], at_least, &call, known).await?;
        let read_at = read_at(&read.as_of).next();
        let Some(customer) = read.made.pop().flatten() else {
            return Ok(GetSegmentsResponse { customer_id, read_at, ..GetSegmentsResponse::default() });
        };
        let segments = customer.state.memberships.iter().map(words::membership).collect();
        Ok(GetSegmentsResponse { customer_id, segments, as_of: Some(words::time(customer.as_of)), read_at })
    }

    async fn batch_get_customers(
        &self,
        request: BatchGetCustomersRequest,
        call: Extensions,
    ) -> Result<BatchGetCustomersResponse, Refusal> {
        let mask = mask(request.read_mask.as_ref())?;
        let customer_ids = batch(request.customer_ids)?;
        let at_least = AtLeast::of(request.at_least, self.partitions())?;
        let read = self.customers(customer_ids.clone(), mask, at_least, &call).await?;
        let mut response = BatchGetCustomersResponse {
            read_at: read_at(&read.as_of).collect(),
            ..BatchGetCustomersResponse::default()
        };
        for (customer_id, customer) in customer_ids.into_iter().zip(read.made) {
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
        let page = PageRequest::of(&request, self.partitions())?;
        let read = move |reader: &Reader| members::page(&*reader.lookups, &page).map_err(Failure::Lookup);
        self.reader.reader.blocking(&call, read).await
    }

    async fn count_members(
        &self,
        request: CountMembersRequest,
        call: Extensions,
    ) -> Result<CountMembersResponse, Refusal> {
        let segment = members::segment(&request.segment)?;
        let partitions = self.partitions();
        let count =
            move |reader: &Reader| members::count(&*reader.lookups, &segment, partitions).map_err(Failure::Lookup);
        self.reader.reader.blocking(&call, count).await
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
