//! The blocks that Liquid's own can't be used for: its `capture` holds any amount of text, and its `comment` reads what is
//! in it, and panics on a block that does not end there.

use std::io::Write;

use liquid_core::model::{KString, Value};
use liquid_core::{
    BlockReflection, Language, ParseBlock, Renderable, Result, Runtime, TagBlock, TagTokenIter, Template,
};

use super::scope::{Bounded, MAX_VALUE_BYTES, too_much};

/// `{% capture name %}`: what is in it becomes a variable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capture;

impl BlockReflection for Capture {
    fn start_tag(&self) -> &'static str {
        "capture"
    }

    fn end_tag(&self) -> &'static str {
        "endcapture"
    }

    fn description(&self) -> &'static str {
        "Makes a variable of what is in it."
    }
}

impl ParseBlock for Capture {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut block: TagBlock<'_, '_>,
        language: &Language,
    ) -> Result<Box<dyn Renderable>> {
        let name = arguments.expect_next("Identifier expected")?.expect_identifier().into_result()?;
        let name = KString::from_ref(name);
        arguments.expect_nothing()?;
        let inside = Template::new(block.parse_all(language)?);
        Ok(Box::new(Captured { name, inside }))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}

#[derive(Debug)]
struct Captured {
    name: KString,
    inside: Template,
}

impl Renderable for Captured {
    fn render_to(&self, _writer: &mut dyn Write, runtime: &dyn Runtime) -> Result<()> {
        let mut captured = Bounded::new(MAX_VALUE_BYTES);
        let result = self.inside.render_to(&mut captured, runtime);
        if captured.is_full() {
            return Err(too_much(runtime, "`capture` takes a text that is too long"));
        }
        result?;
        runtime.set_global(self.name.clone(), Value::scalar(captured.into_text()));
        Ok(())
    }
}

/// `{% comment %}`: nothing in it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comment;

impl BlockReflection for Comment {
    fn start_tag(&self) -> &'static str {
        "comment"
    }

    fn end_tag(&self) -> &'static str {
        "endcomment"
    }

    fn description(&self) -> &'static str {
        "Says something to whoever reads the template."
    }
}

impl ParseBlock for Comment {
    fn parse(
        &self,
        mut arguments: TagTokenIter<'_>,
        mut block: TagBlock<'_, '_>,
        _language: &Language,
    ) -> Result<Box<dyn Renderable>> {
        arguments.expect_nothing()?;
        block.escape_liquid(false)?;
        Ok(Box::new(Template::new(Vec::new())))
    }

    fn reflection(&self) -> &dyn BlockReflection {
        self
    }
}
