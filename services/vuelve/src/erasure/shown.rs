//! Requests and how far they are, as people and programs read them.

use std::time::Duration;

use domain::{HumanDuration, Timestamp};
use schemas::{PrivacyKind, PrivacyReceipt, PrivacyRequest};
use serde::Serialize;

use super::Progress;
use crate::written;

/// A broker looks after its logs every few minutes, and an eraser after its requests.
const LOOKS: Duration = Duration::from_hours(1);

/// By when nothing is left of whoever is erased by a request, if the topics are as they were created.
pub fn through_by(request: &PrivacyRequest) -> Timestamp {
    let longest = schemas::erased_within() + LOOKS;
    let longest = HumanDuration::from_millis(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX));
    Timestamp::from_millis(request.at) + longest
}

/// A request, and how far it is.
#[derive(Debug, Serialize)]
pub struct Shown {
    request_id: String,
    kind: String,
    customer_id: Option<String>,
    shop: String,
    source: String,
    requested_at: String,
    state: &'static str,
    forgotten_at: Option<String>,
    done_at: Option<String>,
    /// Of an erasure that is open, by when nothing is left.
    due_by: Option<String>,
    ids: Vec<String>,
    places: Vec<ShownPlace>,
    remains: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownPlace {
    dataset: String,
    partition: i32,
    until_offset: i64,
    means: String,
    removed_at: Option<String>,
}

impl Shown {
    /// Of a request.
    pub fn of(progress: &Progress<'_>) -> Self {
        let request = &progress.wish.request;
        let last = progress.done.or(progress.forgotten);
        let at = |receipt: &PrivacyReceipt| written::time(Timestamp::from_millis(receipt.at));
        let erases = matches!(request.kind, PrivacyKind::Erase | PrivacyKind::EraseShop);
        Self {
            request_id: request.request_id.clone(),
            kind: written::word(&request.kind),
            customer_id: request.customer_id.clone(),
            shop: request.shop.clone(),
            source: request.source.clone(),
            requested_at: written::time(Timestamp::from_millis(request.at)),
            state: match (progress.done, progress.forgotten) {
                (Some(_), _) => "done",
                (None, Some(_)) => "forgotten",
                (None, None) => "open",
            },
            forgotten_at: progress.forgotten.map(at),
            done_at: progress.done.map(at),
            due_by: (erases && progress.is_open()).then(|| written::time(through_by(request))),
            ids: last.map(|receipt| receipt.ids.clone()).unwrap_or_default(),
            places: last.map(|receipt| receipt.places.iter().map(ShownPlace::of).collect()).unwrap_or_default(),
            remains: last.map(|receipt| receipt.remains.clone()).unwrap_or_default(),
        }
    }
}

impl ShownPlace {
    fn of(place: &schemas::PrivacyPlace) -> Self {
        Self {
            dataset: place.dataset.clone(),
            partition: place.partition,
            until_offset: place.until_offset,
            means: written::word(&place.means),
            removed_at: place.removed_at.map(|at| written::time(Timestamp::from_millis(at))),
        }
    }
}

/// A line for each, under the names of the columns.
pub fn table(all: &[Shown]) -> String {
    const COLUMNS: [&str; 7] = ["REQUESTED", "REQUEST", "KIND", "ABOUT", "STATE", "SINCE", "DUE BY"];
    let rows: Vec<[&str; 7]> = all
        .iter()
        .map(|shown| {
            let since = shown.done_at.as_deref().or(shown.forgotten_at.as_deref()).unwrap_or("-");
            [
                &shown.requested_at,
                &shown.request_id,
                &shown.kind,
                shown.customer_id.as_deref().unwrap_or(&shown.shop),
                shown.state,
                since,
                shown.due_by.as_deref().unwrap_or("-"),
            ]
        })
        .collect();
    // Ids are what browsers say: none of them writes to the terminal.
    let shown = |cell: &str| -> String {
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        cell.chars().map(escape).collect()
    };
    let rows: Vec<[String; 7]> = std::iter::once(COLUMNS).chain(rows).map(|row| row.map(shown)).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_with_control_characters_stays_in_its_row() {
        let shown = Shown {
            request_id: "r-1".to_owned(),
            kind: "erase".to_owned(),
            customer_id: Some("a\nb\u{1b}[31m".to_owned()),
            shop: String::new(),
            source: String::new(),
            requested_at: "2026-01-01T00:00:00Z".to_owned(),
            state: "open",
            forgotten_at: None,
            done_at: None,
            due_by: None,
            ids: Vec::new(),
            places: Vec::new(),
            remains: Vec::new(),
        };
        let table = table(&[shown]);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains(r"a\nb\u{1b}[31m") && !table.contains('\u{1b}'), "{table}");
    }
}
