//! Who is in a segment: page by page, partition after partition; and how many they are.
//!
//! Wanted properties:
//! - a page is full as long as there is anybody left, and the last one says that it is the last;
//! - who is in the segment from the first page to the last is on one of them: a page begins after the customer with whom the
//!   one before ended, whatever happened since;
//! - a token that no page of this segment gave is refused;
//! - a segment without members costs a few questions, and not one a partition after the other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proto::Refusal;
use proto::segmentation::v1::{CountMembersResponse, ListMembersRequest, ListMembersResponse, PartitionCount};
use store::{LookupError, Lookups, MembersQuery, limits};
use stream::{Key, Label, Partition};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;
/// As long as a segment's name may be.
const MAX_NAME_BYTES: usize = 64;

/// A page that is asked for.
#[derive(Debug)]
pub(super) struct PageRequest {
    segment: Label,
    size: usize,
    begin: Place,
    partitions: Partition,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    partition: Partition,
    /// After this customer; none at the partition's beginning.
    after: Option<Key>,
}

impl PageRequest {
    pub(super) fn of(request: &ListMembersRequest, partitions: Partition) -> Result<Self, Refusal> {
        let segment = segment(&request.segment)?;
        let size = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(MAX_PAGE),
            Err(_) => return Err(Refusal::Invalid { field: "page_size", problem: "is negative".to_owned() }),
        };
        let begin = if request.page_token.is_empty() {
            Place { partition: 0, after: None }
        } else {
            let place = Place::read(&request.page_token, &segment).filter(|place| place.partition < partitions);
            let problem = "is not the next_page_token of an answer about this segment";
            place.ok_or_else(|| Refusal::Invalid { field: "page_token", problem: problem.to_owned() })?
        };
        Ok(Self { segment, size, begin, partitions })
    }
}

impl Place {
    /// As callers keep it: what it is of, so that a token of another segment is not mistaken for one of this; the partition;
    /// the customer.
    fn token(partition: Partition, customer_id: &str, segment: &str) -> String {
        let place = [&partition.to_be_bytes(), customer_id.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode([&seal(&place, segment).to_be_bytes(), &*place].concat())
    }

    fn read(token: &str, segment: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (sealed, place) = bytes.split_first_chunk()?;
        if u32::from_be_bytes(*sealed) != seal(place, segment) {
            return None;
        }
        let (partition, customer_id) = place.split_first_chunk()?;
        let customer_id = std::str::from_utf8(customer_id).ok().filter(|id| id.len() <= limits::KEY_BYTES)?;
        let partition = Partition::from_be_bytes(*partition);
        (partition >= 0).then(|| Self { partition, after: Some(customer_id.into()) })
    }
}

/// Tells a token that was cut, mistyped or made for something else. It keeps nobody out: a token says nothing that its holder
/// may not ask for.
fn seal(place: &[u8], segment: &str) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(format!("members 1 {segment}\0").as_bytes()), place)
}

/// A segment's name, if it can be one.
pub(super) fn segment(name: &str) -> Result<Label, Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
        let problem = format!("is no name: lower-case letters, digits and hyphens, at most {MAX_NAME_BYTES}");
        return Err(Refusal::Invalid { field: "segment", problem });
    }
    Ok(name.into())
}

/// Reads a page.
pub(super) fn page(lookups: &dyn Lookups, page: &PageRequest) -> Result<ListMembersResponse, LookupError> {
    // One more than is given tells whether there is a next page.
    let wanted = page.size + 1;
    let mut members: Vec<(Partition, Key)> = Vec::with_capacity(wanted);
    let Place { partition: mut next, mut after } = page.begin.clone();
    let mut together = 1;
    while next < page.partitions && members.len() < wanted {
        let limit = wanted - members.len();
        let end = next.saturating_add(together).min(page.partitions);
        let query = |after| MembersQuery { label: page.segment.clone(), after, limit };
        let asked: Vec<_> = (next..end).map(|partition| (partition, query(after.take()))).collect();
        for ((partition, _), told) in asked.iter().zip(lookups.members(&asked)?) {
            members.extend(told.keys.into_iter().map(|key| (*partition, key)));
        }
        next = end;
        // Where the first few held too little, so most likely do the next: more of them at once, within what may be read.
        together = (together * 2).min((limits::MEMBERS_PER_LOOKUP / wanted).try_into().unwrap_or(1));
    }
    let is_last = members.len() < wanted;
    members.truncate(page.size);
    let next_page_token = match members.last() {
        Some((partition, customer_id)) if !is_last => Place::token(*partition, customer_id, &page.segment),
        _ => String::new(),
    };
    let customer_ids = members.into_iter().map(|(_, customer_id)| customer_id.to_string()).collect();
    Ok(ListMembersResponse { customer_ids, next_page_token })
}

/// Counts.
pub(super) fn count(
    lookups: &dyn Lookups,
    segment: &Label,
    partitions: Partition,
) -> Result<CountMembersResponse, LookupError> {
    let query = MembersQuery { label: segment.clone(), after: None, limit: 0 };
    let asked: Vec<_> = (0..partitions).map(|partition| (partition, query.clone())).collect();
    let counted = lookups.members(&asked)?;
    let count_of = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let of_partition = |(partition, told): (Partition, store::Members)| PartitionCount {
        partition,
        count: count_of(told.count),
        as_of_offset: told.position.header_offset,
    };
    let count = count_of(counted.iter().map(|told| told.count).sum());
    Ok(CountMembersResponse { count, partitions: (0..partitions).zip(counted).map(of_partition).collect() })
}

#[cfg(test)]
mod tests {
    use store::Memory;
    use stream::{Due, Labels, StateChange, StateStore};

    use super::*;

    /// Partitions with so many members each.
    fn filled(members: &[usize]) -> Memory {
        let mut store = Memory::new();
        for (partition, count) in (0..).zip(members) {
            let change = |n| StateChange {
                key: format!("p{partition}-c{n}").into(),
                value: Some(bytes::Bytes::from_static(b"x")),
                due: Due::default(),
                labels: Labels::are(vec!["vip".into()]),
            };
            let changes: Vec<StateChange> = (0..*count).map(change).collect();
            store.begin_rebuild(partition, "g", "log").unwrap();
            store.fill(partition, "g", &changes).unwrap();
            store.switch(partition, "g", "log", i64::from(partition)).unwrap();
        }
        store
    }

    fn ask(store: &Memory, page_size: i32, page_token: &str, partitions: usize) -> ListMembersResponse {
        let request = ListMembersRequest { segment: "vip".to_owned(), page_size, page_token: page_token.to_owned() };
        page(&store.lookups(), &PageRequest::of(&request, partitions as Partition).unwrap()).unwrap()
    }

    #[test]
    fn pages_lead_through_all_partitions_and_each_but_the_last_is_full() {
        let uneven: Vec<usize> = (0..40).map(|n| if n % 7 == 0 { n * 3 } else { n % 2 }).collect();
        for members in [&[][..], &[0], &[5], &[0, 0, 0, 0, 0, 0, 3], &[3, 0, 4, 0], &uneven] {
            let store = filled(members);
            let total: usize = members.iter().sum();
            for size in [1, 2, 7, 1_000] {
                let (mut token, mut listed, mut pages) = (String::new(), Vec::new(), 0);
                loop {
                    let told = ask(&store, size, &token, members.len());
                    listed.extend(told.customer_ids);
                    pages += 1;
                    token = told.next_page_token;
                    if token.is_empty() {
                        break;
                    }
                    assert_eq!(listed.len(), pages * size as usize);
                }
                assert_eq!((listed.len(), pages), (total, total.div_ceil(size as usize).max(1)));
                listed.sort();
                listed.dedup();
                assert_eq!(listed.len(), total);
            }
            let counted = count(&store.lookups(), &"vip".into(), members.len() as Partition).unwrap();
            assert_eq!(counted.count, total as i64);
            let by_partition: Vec<usize> = counted.partitions.iter().map(|of| of.count as usize).collect();
            assert_eq!(by_partition, members);
            assert!(counted.partitions.iter().all(|of| of.as_of_offset == i64::from(of.partition)));
        }
    }

    #[test]
    fn where_a_partition_is_being_restored_no_page_that_needs_it_is_answered() {
        let store = filled(&[3]);
        let request =
            |page_size| ListMembersRequest { segment: "vip".to_owned(), page_size, page_token: String::new() };
        let read = |page_size| page(&store.lookups(), &PageRequest::of(&request(page_size), 2).unwrap());
        assert_eq!(read(2).unwrap().customer_ids.len(), 2);
        assert!(matches!(read(3), Err(LookupError::Restoring(1))));
        assert!(matches!(count(&store.lookups(), &"vip".into(), 2), Err(LookupError::Restoring(1))));
    }

    #[test]
    fn a_token_gives_back_its_place_and_no_other_segment_takes_it() {
        for customer_id in ["", "ana", "a:b\0ü", &"x".repeat(512)] {
            let token = Place::token(31, customer_id, "vip");
            let place = Place { partition: 31, after: Some(customer_id.into()) };
            assert_eq!(Place::read(&token, "vip"), Some(place));
            assert_eq!(Place::read(&token, "new"), None);
        }
    }

    #[test]
    fn a_request_that_makes_no_sense_is_refused_by_its_field() {
        let token = Place::token(3, "ana", "vip");
        let of = |segment: &str, page_size, page_token: &str, partitions| {
            let request =
                ListMembersRequest { segment: segment.to_owned(), page_size, page_token: page_token.to_owned() };
            PageRequest::of(&request, partitions).map(|page| page.size).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(of("vip", 0, &token, 4), Ok(DEFAULT_PAGE));
        assert_eq!(of("vip", 1_000_000, "", 4), Ok(MAX_PAGE));
        assert_eq!(of("vip", -1, "", 4), Err("page_size: is negative".to_owned()));
        let name = "segment: is no name: lower-case letters, digits and hyphens, at most 64";
        for segment in ["", "VIP", "a b", &"x".repeat(65)] {
            assert_eq!(of(segment, 1, "", 4), Err(name.to_owned()), "{segment:?}");
        }
        let foreign = "page_token: is not the next_page_token of an answer about this segment";
        let cut = &token[..token.len() - 1];
        for (segment, token, partitions) in
            [("new", &*token, 4), ("vip", &token, 3), ("vip", cut, 4), ("vip", "%", 4), ("vip", "AAAA", 4)]
        {
            assert_eq!(of(segment, 1, token, partitions), Err(foreign.to_owned()), "{token}");
        }
    }
}
