//! From rows to what becomes of them: each row, or each order with all its rows, ends as an event, as passed over, or as
//! rejected with a reason.

use std::collections::{HashSet, VecDeque};

use domain::Timestamp;
use ingestion::ids;
use ingestion::mapping::past::{MAX_ROW_BYTES, MAX_ROWS, OneOrder, Terms, Unfit};
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
    /// An event.
    Event(Box<Made>),
    /// Nothing: the mapping does not want them.
    Nothing,
    /// Nothing, for a reason.
    Rejected(Rejected),
}

/// An event, and what it was made of.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) key: String,
    pub(super) event: StorefrontEvent,
    pub(super) rows: Vec<Row>,
}

/// Rows that were not taken.
#[derive(Debug)]
pub(super) struct Rejected {
    /// The first line, or of Parquet the first row's number.
    pub(super) number: u64,
    pub(super) broken: Broken,
    /// What stands in the file: a text, or of Parquet an object.
    pub(super) rows: Vec<Row>,
    /// So many more belong to them, of which there were too many to keep.
    pub(super) more: u64,
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

/// Rows that belong together.
#[derive(Default)]
struct Together {
    /// By this; none for a row that stands for itself.
    by: Option<OneOrder>,
    members: Vec<Member>,
    bytes: usize,
    /// Rows beyond what an order may have: counted, and not kept.
    more: u64,
    end: Place,
    /// Rows behind the last that belongs to it: they stand for themselves, unless one more that does comes behind them.
    behind: Vec<Member>,
    behind_bytes: usize,
    /// A row beside it that can't be read, nor whose it is: it may be one of them.
    beside: Option<(u64, Broken)>,
}

/// What becomes of rows.
pub(super) struct Units<'a> {
    rows: Box<dyn Rows>,
    terms: Terms<'a>,
    envelope: Envelope<'a>,
    now: fn() -> Timestamp,
    together: Together,
    /// The last row, or the last but such as are passed over, can't be read, nor whose it is.
    stray: Option<(u64, Broken)>,
    known: HashSet<u64>,
    ready: VecDeque<Unit>,
}

impl<'a> Units<'a> {
    pub(super) fn new(rows: Box<dyn Rows>, terms: Terms<'a>, envelope: Envelope<'a>, now: fn() -> Timestamp) -> Self {
        let (together, known, ready) = (Together::default(), HashSet::new(), VecDeque::new());
        Self { rows, terms, envelope, now, together, stray: None, known, ready }
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
            Columns::Unwanted => None,
            Columns::Broken(broken) => {
                let read = member.row.json.as_ref().ok().or(broken.partial.as_ref());
                read.and_then(|json| self.terms.perhaps_together_by(json))
            }
        };
        let goes_on = self.together.by.as_ref().zip(by.as_ref()).is_some_and(|(known, by)| known.is_with(by));
        // It may stand between rows that belong together.
        let may_go_on = self.together.by.is_some() && by.is_none() && !matches!(member.columns, Columns::Of(_));
        if may_go_on {
            if self.together.put_behind(member) {
                self.close();
            }
        } else if goes_on {
            self.together.push(member, by.as_ref());
        } else {
            self.close();
            self.begin(member, by);
        }
    }

    fn begin(&mut self, member: Member, by: Option<OneOrder>) {
        if by.is_none() {
            self.alone(member);
            return;
        }
        self.together = Together { by, beside: self.stray.take(), ..Together::default() };
        self.together.push(member, None);
    }

    /// A row that stands for itself.
    fn alone(&mut self, Member { row, columns }: Member) {
        let (end, number) = (row.end, row.number);
        let (became, passed_over) = match columns {
            Columns::Unwanted => (Became::Nothing, 1),
            Columns::Broken(broken) => {
                self.stray = Some((number, broken.clone()));
                (Became::Rejected(Rejected { number, broken, rows: vec![row], more: 0 }), 0)
            }
            columns @ Columns::Of(_) => {
                self.stray = None;
                let together = Together { members: vec![Member { row, columns }], end, ..Together::default() };
                let unit = self.unit(together);
                self.ready.push_back(unit);
                return;
            }
        };
        self.ready.push_back(Unit { rows: 1, passed_over, end, became });
    }

    /// What stands together is complete.
    fn close(&mut self) {
        let mut together = std::mem::take(&mut self.together);
        let behind = std::mem::take(&mut together.behind);
        if !together.members.is_empty() {
            self.stray = None;
            let stray = behind.iter().find_map(Member::stray);
            together.beside = together.beside.take().or(stray);
            let unit = self.unit(together);
            self.ready.push_back(unit);
        }
        for member in behind {
            self.alone(member);
        }
    }

    fn unit(&mut self, together: Together) -> Unit {
        let rows = together.rows();
        let unwanted =
            together.members.iter().filter(|member| matches!(member.columns, Columns::Unwanted)).count() as u64;
        let end = together.end;
        let number = together.members.first().map_or(0, |member| member.row.number);
        let event = self.event(&together);
        let (more, stood) = (together.more, together.members.into_iter().map(|member| member.row).collect());
        match event {
            Ok((key, event)) => {
                let became = Became::Event(Box::new(Made { key, event, rows: stood }));
                Unit { rows, passed_over: unwanted, end, became }
            }
            Err(broken) => {
                let became = Became::Rejected(Rejected { number, broken, rows: stood, more });
                Unit { rows, passed_over: 0, end, became }
            }
        }
    }

    fn event(&mut self, together: &Together) -> Result<(String, StorefrontEvent), Broken> {
        let is_known = together.by.as_ref().is_some_and(|by| self.is_known(by));
        let columns = together.columns()?;
        if let (true, Some(by)) = (is_known, &together.by) {
            let problem = format!(
                "rows of the order `{}` stand before, with others between them: sort the file by order",
                by.order_id
            );
            return Err(Broken::new("order_again", problem));
        }
        if let Some((number, broken)) = together.beside.as_ref().filter(|_| columns.len() > 1) {
            let problem = format!(
                "the row {number} beside the order can't be read and may be one of its lines: {}",
                broken.problem
            );
            return Err(Broken::new(broken.reason, problem));
        }
        let event = self.terms.event(&columns, &self.envelope).map_err(|unfit| broken(&unfit))?;
        let key = ids::received_key(&event).ok_or_else(|| broken(&Refusal::NoId.into()))?.to_owned();
        Ok((key, event))
    }

    /// Whether rows of an order stood before these. From now on they do.
    fn is_known(&mut self, by: &OneOrder) -> bool {
        let hash = xxh3_64(by.key().as_bytes());
        if self.known.len() >= MAX_KNOWN {
            return self.known.contains(&hash);
        }
        !self.known.insert(hash)
    }
}

impl Member {
    /// What is wrong with it, if it can't be read.
    fn stray(&self) -> Option<(u64, Broken)> {
        match &self.columns {
            Columns::Broken(broken) => Some((self.row.number, broken.clone())),
            _ => None,
        }
    }
}

impl Together {
    /// Adds a row that belongs to it, and those before it that were not known to.
    fn push(&mut self, member: Member, by: Option<&OneOrder>) {
        if let (Some(own), Some(by)) = (&mut self.by, by) {
            own.fill_from(by);
        }
        self.end = member.row.end;
        self.behind_bytes = 0;
        for member in std::mem::take(&mut self.behind).into_iter().chain([member]) {
            // An order of any length must not come to lie in memory. All of it is refused, so the rest is counted.
            if self.is_too_much() {
                self.more += 1;
            } else {
                self.bytes += member.row.bytes();
                self.members.push(member);
            }
        }
    }

    /// Keeps a row that may stand between two that belong to it. Whether that are more than are kept.
    fn put_behind(&mut self, member: Member) -> bool {
        self.behind_bytes += member.row.bytes();
        self.behind.push(member);
        self.behind.len() > MAX_ROWS || self.behind_bytes > 2 * MAX_ROW_BYTES
    }

    fn rows(&self) -> u64 {
        self.members.len() as u64 + self.more
    }

    fn is_too_much(&self) -> bool {
        self.members.len() > MAX_ROWS || self.bytes > 2 * MAX_ROW_BYTES
    }

    /// The columns of its rows that are wanted, if all of it can be read.
    fn columns(&self) -> Result<Vec<&str>, Broken> {
        if self.is_too_much() && self.rows() > 1 {
            let count = usize::try_from(self.rows()).unwrap_or(usize::MAX);
            let lines = Unfit::Refused(Refusal::TooManyLines { count });
            return Err(broken(&if count > MAX_ROWS { lines } else { Unfit::TooLarge { bytes: self.bytes } }));
        }
        let mut columns = Vec::with_capacity(self.members.len());
        for member in &self.members {
            match &member.columns {
                Columns::Of(json) => columns.push(json.as_str()),
                Columns::Unwanted => {}
                Columns::Broken(broken) if self.rows() == 1 => return Err(broken.clone()),
                Columns::Broken(broken) => {
                    let problem =
                        format!("a row of the order can't be read ({}): {}", member.row.number, broken.problem);
                    return Err(Broken::new(broken.reason, problem));
                }
            }
        }
        Ok(columns)
    }
}

fn broken(unfit: &Unfit) -> Broken {
    Broken::new(unfit.reason(), unfit.to_string())
}

impl Made {
    /// What of it is rejected after all.
    pub(super) fn rejected(self, broken: Broken) -> Rejected {
        let number = self.rows.first().map_or(0, |row| row.number);
        Rejected { number, broken, rows: self.rows, more: 0 }
    }
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
