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

/// A template does not do more: one step is an element printed or a turn of a loop.
const MAX_STEPS: u32 = 50_000;
/// No variable holds more text.
const MAX_VARIABLE_BYTES: usize = 64 * 1024;

/// What a template runs in.
pub(super) struct Scope<'a> {
    values: &'a Node,
    variables: RefCell<Object>,
    counters: RefCell<Object>,
    registers: Registers,
    steps: Cell<u32>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(values: &'a Node) -> Self {
        Self {
            values,
            variables: RefCell::default(),
            counters: RefCell::default(),
            registers: Registers::default(),
            steps: Cell::new(0),
        }
    }

    /// Whether the template was stopped because it did too much.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps.get() > MAX_STEPS
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
        if variables.contains_key(name.as_str()) {
            return try_find(variables.as_value(), path).map(|value| ValueCow::Owned(value.into_owned()));
        }
        try_find(self.values, path)
    }

    fn get(&self, path: &[ScalarCow<'_>]) -> liquid_core::Result<ValueCow<'_>> {
        Ok(self.try_get(path).unwrap_or(ValueCow::Owned(Value::Nil)))
    }

    fn set_global(&self, name: KString, value: Value) -> Option<Value> {
        if value.as_scalar().is_some_and(|text| text.to_kstr().len() > MAX_VARIABLE_BYTES) {
            self.steps.set(MAX_STEPS + 1);
            return None;
        }
        self.variables.borrow_mut().insert(name, value)
    }

    fn set_index(&self, name: KString, value: Value) -> Option<Value> {
        self.counters.borrow_mut().insert(name, value)
    }

    fn get_index<'a>(&'a self, name: &str) -> Option<ValueCow<'a>> {
        self.counters.borrow().get(name).cloned().map(ValueCow::Owned)
    }

    /// Asked for after each element and each turn of a loop, which makes it the place to count them: once there were too
    /// many, every loop and block is told to break.
    fn registers(&self) -> &Registers {
        self.steps.set(self.steps.get().saturating_add(1));
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
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.is_full = true;
            return Err(io::Error::other("the text is too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
