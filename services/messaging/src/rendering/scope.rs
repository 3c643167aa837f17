//! What a template runs in: the values that it sees, the variables that it sets, and how much it may do.
//!
//! Wanted property: every template ends, after a number of steps that does not depend on the time they take, and holds
//! a bounded amount of text.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use liquid_core::error::Error;
use liquid_core::model::{
    KString, KStringCow, KStringRef, Object, ObjectView, ScalarCow, Value, ValueCow, ValueView, try_find,
};
use liquid_core::runtime::{Interrupt, InterruptRegister, PartialStore, Registers};
use liquid_core::{Renderable, Runtime};

use super::values::Node;
use super::weight::weight;

/// A template does not do more: one step is an element printed, a turn of a loop, a filter, or a KiB of a value that is
/// read or made.
const MAX_STEPS: usize = 50_000;
const STEP_BYTES: usize = 1024;
/// No value is larger that a template makes.
pub(super) const MAX_VALUE_BYTES: usize = 256 * 1024;
/// A template's variables are not larger together.
const MAX_VARIABLES_BYTES: usize = 1024 * 1024;

/// What a template runs in.
pub(super) struct Scope<'a> {
    values: &'a Node,
    variables: RefCell<Object>,
    variables_bytes: Cell<usize>,
    registers: Registers,
}

/// How much a template has done.
#[derive(Debug, Default)]
struct Work {
    steps: usize,
}

impl Work {
    fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps);
    }

    fn is_exhausted(&self) -> bool {
        self.steps > MAX_STEPS
    }
}

/// Counts a step, and what was read or made in it; an error if that was too much.
pub(super) fn spend(runtime: &dyn Runtime, bytes: usize) -> liquid_core::Result<()> {
    let mut work = runtime.registers().get_mut::<Work>();
    work.spend(bytes / STEP_BYTES);
    if work.is_exhausted() { Err(Error::with_msg("too many steps")) } else { Ok(()) }
}

/// The error of what would be too large: the template is stopped.
pub(super) fn too_much(runtime: &dyn Runtime, what: &str) -> Error {
    runtime.registers().get_mut::<Work>().spend(usize::MAX);
    Error::with_msg(what.to_owned())
}

impl<'a> Scope<'a> {
    pub(super) fn new(values: &'a Node) -> Self {
        Self { values, variables: RefCell::default(), variables_bytes: Cell::new(0), registers: Registers::default() }
    }

    /// Whether the template was stopped because it did too much.
    pub(super) fn is_exhausted(&self) -> bool {
        self.registers.get_mut::<Work>().is_exhausted()
    }

    fn spend(&self, steps: usize) {
        self.registers.get_mut::<Work>().spend(steps);
    }
}

impl Runtime for Scope<'_> {
    fn partials(&self) -> &dyn PartialStore {
        &NoPartials
    }

    fn name(&self) -> Option<KStringRef<'_>> {
        None
    }

    fn roots(&self) -> BTreeSet<KStringCow<'_>> {
        ObjectView::keys(self.values).collect()
    }

    fn try_get(&self, path: &[ScalarCow<'_>]) -> Option<ValueCow<'_>> {
        let name = path.first()?.to_kstr();
        let variables = self.variables.borrow();
        let found = if variables.contains_key(name.as_str()) {
            try_find(variables.as_value(), path).map(|value| ValueCow::Owned(value.into_owned()))
        } else {
            try_find(self.values, path)
        };
        let bytes = found.as_ref().map_or(0, |found| weight(found.as_view()));
        self.spend(bytes / STEP_BYTES);
        found
    }

    fn get(&self, path: &[ScalarCow<'_>]) -> liquid_core::Result<ValueCow<'_>> {
        Ok(self.try_get(path).unwrap_or(ValueCow::Owned(Value::Nil)))
    }

    fn set_global(&self, name: KString, value: Value) -> Option<Value> {
        let mut variables = self.variables.borrow_mut();
        let replaced = variables.get(&name).map_or(0, |value| weight(value));
        let bytes = weight(&value);
        let all = (self.variables_bytes.get() - replaced).saturating_add(bytes);
        if bytes > MAX_VALUE_BYTES || all > MAX_VARIABLES_BYTES {
            self.spend(usize::MAX);
            return None;
        }
        self.variables_bytes.set(all);
        variables.insert(name, value)
    }

    /// Only `increment`, `decrement` and `cycle` count, which there are not.
    fn set_index(&self, _name: KString, _value: Value) -> Option<Value> {
        None
    }

    fn get_index<'a>(&'a self, _name: &str) -> Option<ValueCow<'a>> {
        None
    }

    /// Asked for after each element and each turn of a loop, which makes it the place to count them: once there were too
    /// many, every loop and block is told to break.
    fn registers(&self) -> &Registers {
        self.spend(1);
        if self.is_exhausted() {
            self.registers.get_mut::<InterruptRegister>().set(Interrupt::Break);
        }
        &self.registers
    }
}

/// There is nothing to include.
#[derive(Debug)]
struct NoPartials;

impl PartialStore for NoPartials {
    fn contains(&self, _name: &str) -> bool {
        false
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }

    fn try_get(&self, _name: &str) -> Option<Arc<dyn Renderable>> {
        None
    }

    fn get(&self, _name: &str) -> liquid_core::Result<Arc<dyn Renderable>> {
        Err(Error::with_msg("there is nothing to include"))
    }
}

/// Text that is written up to a size.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Bounded {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, is_full: false }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_text(self) -> String {
        // It may have become full in the middle of a character.
        let whole = self.bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
        String::from_utf8_lossy(&self.bytes[..whole]).into_owned()
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.is_full = true;
            let room = self.limit - self.bytes.len();
            self.bytes.extend_from_slice(&bytes[..room]);
            return Err(io::Error::other("the text is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
