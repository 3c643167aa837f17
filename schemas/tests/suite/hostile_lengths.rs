//! A hostile length prefix asks for no memory.
use crate::shared::{CURRENT, DATASET, PAST, between, cases, framed};
use schemas::conformance::{Example, datum};
use schemas::{Contract, StorefrontEvent};

/// Numbers that a length or a count may be said to be.
const HOSTILE: [i64; 7] = [i64::MAX, i64::MIN, i64::MIN + 1, -1, 1 << 40, -(1 << 40), 2_000_000_000];
/// Less than any of them asks for, and more than the tests that run at the same time.
const ALLOWED_GROWTH_KIB: u64 = 1 << 20;

#[test]
fn a_hostile_length_anywhere_in_a_value_asks_for_no_memory() {
    let before = peak_kib();
    for case in cases() {
        let text = case.schema.text();
        let schemas = between(text, text);
        for example in [Example::Filled, Example::Empty] {
            let whole = datum(text, example).unwrap();
            for (at, number) in (0..=whole.len()).flat_map(|at| HOSTILE.map(|number| (at, number))) {
                let bytes = [&whole[..at], &zigzag(number), &whole[at..]].concat();
                let _ = (case.rewrite)(&schemas, &framed(CURRENT, &bytes), DATASET);
            }
        }
    }
    let grown = peak_kib() - before;
    assert!(grown < ALLOWED_GROWTH_KIB, "hostile lengths made the process grow by {grown} KiB");
}

#[test]
fn a_billion_elements_of_no_size_are_refused() {
    let text = StorefrontEvent::schema().text();
    let hollow = text.replace(
        r#""type": {"type": "array", "items": "vuelve.storefront.Product"}"#,
        r#""type": {"type": "array", "items": {"type": "record", "name": "Nothing", "fields": []}}"#,
    );
    assert_ne!(text, hollow);
    let before = peak_kib();
    let filled = datum(&hollow, Example::Filled).unwrap();
    let schemas = between(&hollow, text);
    assert!(schemas.decode::<StorefrontEvent>(&framed(PAST, &filled)).is_ok());
    // The count of the array is a 2 (zigzag 4) and the end of the array right behind it.
    let counts = filled.windows(2).enumerate().filter(|(_, pair)| *pair == [4, 0]).map(|(at, _)| at);
    for at in counts {
        let bytes = [&filled[..at], &zigzag(1_000_000_000), &filled[at + 1..]].concat();
        assert!(schemas.decode::<StorefrontEvent>(&framed(PAST, &bytes)).is_err());
    }
    assert!(peak_kib() - before < ALLOWED_GROWTH_KIB);
}

/// The most address space that this process ever had: also what was asked for and never touched.
fn peak_kib() -> u64 {
    // Where the system does not tell, only the absence of a panic is tested.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_else(|_| "VmPeak: 0 kB".to_owned());
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Avro's encoding of a long.
fn zigzag(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}
