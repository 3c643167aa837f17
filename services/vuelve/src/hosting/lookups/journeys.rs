//! Lookups of journeys: where a customer is, and why.

use std::sync::Arc;
use std::time::Duration;

use journeys::lookups;
use proto::journeys::v1::{ExplainRequest, ExplainResponse, GetJourneysRequest, GetJourneysResponse};
use proto::{Extensions, JourneysAnswers, Refusal, has_time, timestamp};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::reader::Reader;
use super::{RETRY, id, journeys_words as words, place};
use crate::why;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

pub(super) struct Answers {
    reader: Reader,
    timeout: Duration,
    /// A search of the log is a load: one at a time.
    searches: Arc<Semaphore>,
}

impl JourneysAnswers for Answers {
    async fn get_journeys(
        &self,
        request: GetJourneysRequest,
        call: Extensions,
    ) -> Result<GetJourneysResponse, Refusal> {
        let customer_id = id("customer_id", request.customer_id)?;
        let customer = self.reader.one(&customer_id, &call, lookups::read).await?;
        let runs = lookups::active_runs(&customer.state).iter().map(words::run).collect();
        Ok(GetJourneysResponse { customer_id, runs, as_of: customer.as_of.map(|at| timestamp(at.as_millis())) })
    }

    async fn explain(&self, request: ExplainRequest, call: Extensions) -> Result<ExplainResponse, Refusal> {
        let page = Page::of(&request)?;
        let message_id = (!request.message_id.is_empty()).then(|| id("message_id", request.message_id)).transpose()?;
        let customer_id = match &message_id {
            Some(message_id) if request.customer_id.is_empty() => self.customer_of(message_id, &call).await?,
            _ => id("customer_id", request.customer_id)?,
        };
        let customer = self.reader.one(&customer_id, &call, lookups::read).await?;
        let told = lookups::explain(&customer.state, message_id.as_deref());
        if let Some(message_id) = message_id.filter(|_| told.is_empty()) {
            return Err(Refusal::NotFound { kind: "message", name: message_id });
        }
        let (range, next_page_token) = page.of_entries(told.len());
        let explanations = told[range].iter().map(|told| words::explanation(&customer_id, told)).collect();
        Ok(ExplainResponse { explanations, next_page_token })
    }
}

impl Answers {
    /// A search of the log waits at most `timeout` for the broker.
    pub(super) fn new(reader: Reader, timeout: Duration) -> Self {
        Self { reader, timeout, searches: Arc::new(Semaphore::new(1)) }
    }

    /// Whose message it is, from the log.
    async fn customer_of(&self, message_id: &str, call: &Extensions) -> Result<String, Refusal> {
        let place = place(&self.searches).ok_or_else(|| Refusal::Unavailable {
            reason: "SEARCHING",
            problem: "another message's customer is being looked for; name the customer, or try again".to_owned(),
            retry_after: RETRY,
        })?;
        let (installation, timeout) = (self.reader.installation.clone(), self.timeout);
        let (message, deadline) = (message_id.to_owned(), call.clone());
        let search = move || {
            let _place = place;
            why::customer_of(&installation, &message, timeout, &|| has_time(&deadline))
        };
        let found = tokio::task::spawn_blocking(search).await.unwrap_or_else(|error| Err(error.into()));
        match found {
            Ok(Some(customer_id)) => Ok(customer_id),
            Ok(None) => Err(Refusal::NotFound { kind: "message", name: message_id.to_owned() }),
            Err(_) if !has_time(call) => Err(Refusal::DeadlineExceeded),
            Err(error) => Err(Failure::Log(error).refusal(call)),
        }
    }
}

/// Which entries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    size: usize,
    /// Those before this one; none for the latest.
    before: Option<usize>,
}

impl Page {
    fn of(request: &ExplainRequest) -> Result<Self, Refusal> {
        let size = match usize::try_from(request.page_size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(MAX_PAGE),
            Err(_) => return Err(Refusal::Invalid { field: "page_size", problem: "is negative".to_owned() }),
        };
        let before =
            (!request.page_token.is_empty()).then(|| request.page_token.parse()).transpose().map_err(|_| {
                Refusal::Invalid { field: "page_token", problem: "is not the next_page_token of an answer".to_owned() }
            })?;
        Ok(Self { size, before })
    }

    /// The latest of so many entries that it asks for, and the token for those before them.
    fn of_entries(self, count: usize) -> (std::ops::Range<usize>, String) {
        let end = self.before.unwrap_or(count).min(count);
        let start = end.saturating_sub(self.size);
        (start..end, if start == 0 { String::new() } else { start.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_go_from_the_latest_to_the_earliest_and_leave_nothing_out() {
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let request = ExplainRequest { page_size: 3, page_token: token, ..ExplainRequest::default() };
            let (range, next) = Page::of(&request).unwrap().of_entries(8);
            seen.splice(0..0, range);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_that_makes_no_sense_is_refused_by_its_field() {
        let of = |page_size, page_token: &str| {
            let request = ExplainRequest { page_size, page_token: page_token.to_owned(), ..ExplainRequest::default() };
            Page::of(&request).map(|page| page.size).map_err(|refusal| refusal.to_string())
        };
        assert_eq!(of(0, ""), Ok(DEFAULT_PAGE));
        assert_eq!(of(1_000_000, "17"), Ok(MAX_PAGE));
        assert_eq!(of(-1, ""), Err("page_size: is negative".to_owned()));
        assert_eq!(of(1, "-3"), Err("page_token: is not the next_page_token of an answer".to_owned()));
    }
}
