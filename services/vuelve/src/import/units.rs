//! From rows to what becomes of them: each row, or each order with all its rows, ends as an event, as passed over, or as
//! rejected with a reason.

use std::collections::{HashSet, VecDeque};

use domain::Timestamp;
use ingestion::ids;
use ingestion::mapping::past::{MAX_ROW_BYTES, MAX_ROWS, Terms, Unfit};
use ingestion::mapping::{Envelope, Refusal};
use schemas::StorefrontEvent;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::rows::{Broken, Place, Row, Rows};

/// So many orders are known, to tell when one comes again in another place of the file.
const MAX_KNOWN: usize = 1 << 21;

/// What became of some rows.
#[derive(Debug)]
pub(super) struct Unit {
    /// How many there were.
    pub(super) rows: u64,
    /// How many of them the mapping does not want.
    pub(super) passed_over: u64,
    /// Behind them.
    pub(super) end: Place,
    pub(super) became: Became,
}

/// What rows become.
#[derive(Debug)]
pub(super) enum Became {
    /// An event under its key.
    Event(String, Box<StorefrontEvent>),
    /// Nothing: the mapping does not want them.
    Nothing,
    /// Nothing, for a reason.
    Rejected(Rejected),
}

/// Rows that were not taken.
#[derive(Debug)]
pub(super) struct Rejected {
    /// The first line, or of Parquet the first row's number.
    pub(super) number: u64,
    pub(super) broken: Broken,
    /// What stands in the file: a text, or of Parquet an object.
    pub(super) rows: Vec<Row>,
}

/// A row, and what it is so far.
struct Member {
    row: Row,
    columns: Columns,
}

enum Columns {
    Of(String),
    Unwanted,
    Broken(Broken),
}

/// What becomes of rows.
pub(super) struct Units<'a> {
    rows: Box<dyn Rows>,
    terms: Terms<'a>,
    envelope: Envelope<'a>,
    now: fn() -> Timestamp,
    /// Rows that belong together so far, and by what.
    together: Vec<Member>,
    by: Option<String>,
    bytes: usize,
    /// More belongs together than may: the rest of it is still to come.
    too_much: bool,
    known: HashSet<u64>,
    ready: VecDeque<Unit>,
}

impl<'a> Units<'a> {
    pub(super) fn new(rows: Box<dyn Rows>, terms: Terms<'a>, envelope: Envelope<'a>, now: fn() -> Timestamp) -> Self {
        let (together, known, ready) = (Vec::new(), HashSet::new(), VecDeque::new());
        Self { rows, terms, envelope, now, together, by: None, bytes: 0, too_much: false, known, ready }
    }

    /// What became of the next rows; none at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Unit>> {
        while self.ready.is_empty() {
            let Some(row) = self.rows.next()? else {
                self.close();
                return Ok(self.ready.pop_front());
            };
            self.envelope.received_at = (self.now)();
            let columns = match row.json.as_deref().map(|json| self.terms.columns(json)) {
                Ok(Ok(Some(columns))) => Columns::Of(columns.into_owned()),
                Ok(Ok(None)) => Columns::Unwanted,
                Ok(Err(unfit)) => Columns::Broken(broken(&unfit)),
                Err(broken) => Columns::Broken(broken.clone()),
            };
            self.add(Member { row, columns });
        }
        Ok(self.ready.pop_front())
    }

    fn add(&mut self, member: Member) {
        let by = match &member.columns {
            Columns::Of(columns) => self.terms.together_by(columns),
            // It may stand between rows that belong together.
            Columns::Unwanted | Columns::Broken(_) if self.together.is_empty() => None,
            Columns::Unwanted | Columns::Broken(_) => self.by.clone(),
        };
        if by.is_none() || by != self.by {
            self.close();
            self.by = by;
        }
        self.bytes += member.row.bytes();
        self.together.push(member);
        // An order of any length must not come to lie in memory; it is refused, and the rest of it as an order that was there.
        self.too_much = self.by.is_some() && (self.together.len() > MAX_ROWS || self.bytes > 2 * MAX_ROW_BYTES);
        if self.by.is_none() || self.too_much {
            self.close();
        }
    }

    /// What stands together is complete.
    fn close(&mut self) {
        let mut members = std::mem::take(&mut self.together);
        let by = self.by.take();
        self.bytes = 0;
        // What stands behind the last row that belongs to it stands for itself.
        let last = members.iter().rposition(|member| matches!(member.columns, Columns::Of(_)));
        let behind = members.split_off(last.map_or(0, |last| last + 1));
        if !members.is_empty() {
            let unit = self.unit(members, by.as_deref());
            self.ready.push_back(unit);
        }
        for Member { row, columns } in behind {
            let end = row.end;
            let (became, passed_over) = match columns {
                Columns::Broken(broken) => {
                    (Became::Rejected(Rejected { number: row.number, broken, rows: vec![row] }), 0)
                }
                Columns::Unwanted | Columns::Of(_) => (Became::Nothing, 1),
            };
            self.ready.push_back(Unit { rows: 1, passed_over, end, became });
        }
    }

    fn unit(&mut self, members: Vec<Member>, by: Option<&str>) -> Unit {
        let rows = members.len() as u64;
        let unwanted = members.iter().filter(|member| matches!(member.columns, Columns::Unwanted)).count() as u64;
        let end = members.last().map(|member| member.row.end).unwrap_or_default();
        let number = members.first().map_or(0, |member| member.row.number);
        match self.event(&members, by) {
            Ok((key, event)) => Unit { rows, passed_over: unwanted, end, became: Became::Event(key, Box::new(event)) },
            Err(broken) => {
                let stood = members.into_iter().map(|member| member.row).collect();
                let became = Became::Rejected(Rejected { number, broken, rows: stood });
                Unit { rows, passed_over: 0, end, became }
            }
        }
    }

    fn event(&mut self, members: &[Member], by: Option<&str>) -> Result<(String, StorefrontEvent), Broken> {
        let too_much = std::mem::take(&mut self.too_much);
        if let Some(by) = by {
            let hash = xxh3_64(by.as_bytes());
            if self.known.contains(&hash) {
                let problem = format!(
                    "rows of the order `{by}` stand before, with others between them or more than an order may have: sort the \
                     file by order"
                );
                return Err(Broken::new("order_again", problem));
            }
            if self.known.len() < MAX_KNOWN {
                self.known.insert(hash);
            }
        }
        // A part of an order must not pass for the whole.
        if too_much {
            let bytes = members.iter().map(|member| member.row.bytes()).sum();
            let count = members.len();
            let lines = Unfit::Refused(Refusal::TooManyLines { count });
            return Err(broken(&if count > MAX_ROWS { lines } else { Unfit::TooLarge { bytes } }));
        }
        let mut columns = Vec::with_capacity(members.len());
        for member in members {
            match &member.columns {
                Columns::Of(json) => columns.push(json.as_str()),
                Columns::Unwanted => {}
                Columns::Broken(broken) => {
                    let problem =
                        format!("a row of the order can't be read ({}): {}", member.row.number, broken.problem);
                    return Err(Broken::new(broken.reason, problem));
                }
            }
        }
        let event = self.terms.event(&columns, &self.envelope).map_err(|unfit| broken(&unfit))?;
        let key = ids::received_key(&event).ok_or_else(|| broken(&Refusal::NoId.into()))?.to_owned();
        Ok((key, event))
    }
}

fn broken(unfit: &Unfit) -> Broken {
    Broken::new(unfit.reason(), unfit.to_string())
}

impl Rejected {
    /// The rows as they stand in the file: their text, or an object each.
    pub(super) fn stands(&self) -> (Vec<u8>, Vec<Value>) {
        let (mut raw, mut objects) = (Vec::new(), Vec::new());
        for row in &self.rows {
            match (&row.raw, &row.json) {
                (Some(bytes), _) => raw.extend_from_slice(bytes),
                (None, Ok(json)) => objects.extend(serde_json::from_str::<Value>(json)),
                (None, Err(_)) => {}
            }
        }
        (raw, objects)
    }
}
