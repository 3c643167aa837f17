//! What segmentation writes.

use schemas::{EncodeError, Schemas};
use stream::Dataset;

/// A record that segmentation writes: there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match *self {}
    }

    fn key(&self) -> &str {
        match *self {}
    }

    fn encode(&self, _: &Schemas, _: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match *self {}
    }
}
