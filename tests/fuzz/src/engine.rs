//! What libFuzzer drives: the target that `FUZZ_TARGET` names, each input with so much memory and no more.

#![no_main]
#![allow(unsafe_code, reason = "the name by which libFuzzer finds it")]

use std::alloc::System;
use std::sync::OnceLock;

use cap::Cap;
use fuzz::Target;
use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// More than any call may cost, what the target itself keeps included.
const BUDGET_BYTES: usize = 128 << 20;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = Target::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name} is no target"));
        TARGET.get_or_init(|| target);
        // What is made once counts for no input.
        target.run(&[0, 0]);
        let _limited = ALLOCATOR.set_limit(ALLOCATOR.allocated() + BUDGET_BYTES);
    },
    |bytes: &[u8]| {
        if let Some(target) = TARGET.get() {
            target.run(bytes);
        }
    }
);
