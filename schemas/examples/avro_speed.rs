//! Nanoseconds to write and to read a typical storefront event: `cargo run --release -p vuelve-schemas --example avro_speed`.
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::Instant;

use schemas::{EventKind, Product, Schemas, StorefrontEvent};

const BATCH: u32 = 10_000;
const BATCHES: u32 = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (schemas, event) = (Schemas::offline(), typical());
    let mut value = Vec::with_capacity(1_024);
    schemas.encode("storefront.events", &event, &mut value)?;
    println!("{} bytes, framed", value.len());

    let mut out = Vec::with_capacity(1_024);
    let write = best(|| {
        out.clear();
        schemas.encode("storefront.events", black_box(&event), &mut out).is_ok()
    });
    let read = best(|| schemas.decode::<StorefrontEvent>(black_box(&value)).is_ok());
    println!("write: {write} ns\nread: {read} ns");
    Ok(())
}

/// Nanoseconds a call, in the fastest of many batches: what else the machine does only adds.
fn best(mut call: impl FnMut() -> bool) -> u128 {
    let batch = |_| {
        let start = Instant::now();
        (0..BATCH).for_each(|_| assert!(black_box(call())));
        start.elapsed().as_nanos() / u128::from(BATCH)
    };
    (0..BATCHES).map(batch).min().unwrap_or_default()
}

fn typical() -> StorefrontEvent {
    let text = |text: &str| Some(text.to_owned());
    StorefrontEvent {
        message_id: "ajs-next-1718000000000-4f1c2d3e-5a6b".to_owned(),
        kind: EventKind::Track,
        name: "Product Added".to_owned(),
        shop: "tienda-centro".to_owned(),
        source: "web-1".to_owned(),
        library: text("analytics.js/2.11.1"),
        user_id: text("u-1048576"),
        anonymous_id: text("5e8f0d2c-7b1a-4c3d-9e6f-0a1b2c3d4e5f"),
        customer_id: text("u-1048576"),
        event_time: 1_718_000_000_000,
        received_at: 1_718_000_000_250,
        sent_at: Some(1_718_000_000_100),
        cart_id: text("c-77120934"),
        product: Some(Product {
            product_id: text("p-461686"),
            sku: text("SKU-461686-42"),
            category: text("shoes/running"),
            name: text("Zapatilla Ligera 3"),
            price_minor: Some(8_990),
            currency: text("USD"),
            quantity: Some(1),
            ..Product::default()
        }),
        context_json: text(r#"{"page":{"path":"/p/461686"},"timezone":"America/Bogota"}"#),
        ..StorefrontEvent::default()
    }
}
