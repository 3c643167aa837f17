//! Which messages were asked for and have no outcome yet.

use std::collections::HashSet;

use schemas::{MessageOutcome, MessageRequest, RequestAction};

/// Messages without an outcome, of the requests and outcomes that were heard.
#[derive(Debug, Default)]
pub(crate) struct OpenMessages {
    waiting: HashSet<String>,
    /// An outcome may be heard of before its request is: they lie in different topics.
    early: HashSet<String>,
}

impl OpenMessages {
    /// A request was heard.
    pub(crate) fn requested(&mut self, request: MessageRequest) {
        if request.action == RequestAction::Request && !self.early.remove(&request.message_id) {
            self.waiting.insert(request.message_id);
        }
    }

    /// An outcome was heard.
    pub(crate) fn ended(&mut self, outcome: MessageOutcome) {
        if !self.waiting.remove(&outcome.message_id) {
            self.early.insert(outcome.message_id);
        }
    }

    /// How many messages have no outcome.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether every message has its outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: &str, action: RequestAction) -> MessageRequest {
        MessageRequest { message_id: id.to_owned(), action, ..MessageRequest::default() }
    }

    fn outcome(id: &str) -> MessageOutcome {
        MessageOutcome { message_id: id.to_owned(), ..MessageOutcome::default() }
    }

    #[test]
    fn a_message_is_open_until_both_its_request_and_its_outcome_were_heard_in_whichever_order() {
        let mut open = OpenMessages::default();
        open.requested(request("later", RequestAction::Request));
        open.ended(outcome("early"));
        open.requested(request("early", RequestAction::Request));
        open.requested(request("run", RequestAction::Cancel));
        assert_eq!((open.len(), open.is_empty()), (1, false));
        open.ended(outcome("later"));
        assert!(open.is_empty());
    }
}
