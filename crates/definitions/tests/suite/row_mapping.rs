//! Mappings of rows: what is read, what is refused, and what rows become.

use definitions::{EvaluationError, RowMapping, RowNames, parse_row_mapping};
use serde_json::{Value, json};

const NAMES: RowNames = RowNames { fixed: &["order_id", "total", "time"], beginnings: &["properties."] };

fn read(text: &str) -> RowMapping {
    parse_row_mapping("rows.yaml", text, NAMES).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

fn columns(mapping: &RowMapping, row: &Value) -> Option<Value> {
    let columns = mapping.columns(row, 10_000).unwrap_or_else(|error| panic!("{error}"));
    Some(columns?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[test]
fn a_row_becomes_columns_that_are_known_and_what_it_lacks_is_left_out() {
    let mapping = read(
        "mapping: shop\nwhen: row.status != 'draft'\ncolumns:\n  order_id: row[\"Order ID\"]\n  \
         total: double(row.cents) / 100.0\n  time: row.day + 'T00:00:00Z'\n  properties.store: row.store\n",
    );
    let row = json!({ "Order ID": "1001", "cents": "1250", "day": "2024-05-01", "status": "paid", "store": null });
    let expected = json!({ "order_id": "1001", "total": 12.5, "time": "2024-05-01T00:00:00Z" });
    assert_eq!(columns(&mapping, &row), Some(expected));
    assert_eq!(columns(&mapping, &json!({ "status": "draft" })), None);
    let error = mapping.columns(&json!({ "status": "paid", "cents": "many" }), 10_000).unwrap_err().to_string();
    assert!(error.starts_with("`columns.total` can't be computed: ") && !error.contains("many"), "{error}");
}

#[test]
fn a_row_that_lacks_what_when_reads_is_told_instead_of_passed_over_unless_when_asks_for_it() {
    let row = json!({ "id": "1", "status": null });
    let mapping =
        read("mapping: shop\nwhen: row.status != 'void'\ncolumns: { order_id: row.id, total: int(row.many) }\n");
    let error = mapping.columns(&row, 10_000).unwrap_err();
    assert_eq!((error.place.as_str(), error.error), ("when", EvaluationError::MissingValue));
    let asks = "mapping: shop\nwhen: '!has(row.status) || row.status != \"void\"'\ncolumns: { order_id: row.id }\n";
    assert_eq!(columns(&read(asks), &row), Some(json!({ "order_id": "1" })));

    // One column is there without the others.
    assert_eq!(mapping.column("order_id", &row, 10_000), Some(json!("1")));
    assert_eq!(mapping.column("total", &row, 10_000), None);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = |text: &str| {
        let wrong = parse_row_mapping("rows.yaml", text, NAMES).expect_err("something is wrong");
        wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let told = wrong("mapping: shop\ncolumns:\n  order_ids: row.id\n  properties.: row.x\n  total: payload.total\n");
    assert!(
        told.contains(
            "rows.yaml:3:3: error: there is no column `order_ids`; did you mean `order_id`?, or `properties.…`"
        ),
        "{told}"
    );
    assert!(told.contains("rows.yaml:4:3: error: there is no column `properties.`"), "{told}");
    assert!(told.contains("rows.yaml:5:10: error: `payload` is unknown"), "{told}");
    assert!(wrong("mapping: shop\n").contains("a mapping of rows needs `columns`"));
    assert!(wrong("mapping: shop\ncolumns: {}\n").contains("a mapping has 1 to 300 columns, not 0"));
    assert!(wrong("mapping: shop\ncolumns: { total: row.x }\nwhen: row.x == null\n").contains("has(row.x)"));
}
