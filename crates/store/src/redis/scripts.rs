//! The scripts, and how they are called: by their digest, which Redis is told of with each new connection, and again where it
//! forgot them.

use std::sync::LazyLock;

use ::redis::{Cmd, Connection, ConnectionLike, Pipeline, RedisResult, Script, Value};

const PLAN: &str = include_str!("plan.lua");

pub(super) static APPLY: LazyLock<Lua> = LazyLock::new(|| Lua::new([PLAN, include_str!("apply.lua")].concat()));
pub(super) static LOAD: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("load.lua").into()));
pub(super) static LIST: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("list.lua").into()));
pub(super) static BEGIN: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("begin.lua").into()));
pub(super) static FILL: LazyLock<Lua> = LazyLock::new(|| Lua::new([PLAN, include_str!("fill.lua")].concat()));
pub(super) static SWITCH: LazyLock<Lua> = LazyLock::new(|| Lua::new(include_str!("switch.lua").into()));

/// A script: its text and its digest.
pub(super) struct Lua {
    source: String,
    digest: String,
}

impl Lua {
    fn new(source: String) -> Self {
        Self { digest: Script::new(&source).get_hash().to_owned(), source }
    }

    /// A call, up to its keys; arguments are to follow.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut call = ::redis::cmd("EVALSHA");
        call.arg(&self.digest).arg(keys.len()).arg(keys);
        call
    }
}

/// Sends all calls, then reads all answers; the first error is told as the call itself would tell it. No calls have no
/// answers (the client refuses to send nothing).
pub(super) fn pipelined(calls: &Pipeline, connection: &mut Connection) -> RedisResult<Vec<Value>> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let answers = connection.req_packed_commands(&calls.get_packed_pipeline(), 0, calls.len())?;
    answers.into_iter().map(Value::extract_error).collect()
}

/// Tells Redis all scripts.
pub(super) fn teach(connection: &mut Connection) -> RedisResult<()> {
    let mut pipeline = ::redis::pipe();
    for lua in [&APPLY, &LOAD, &LIST, &BEGIN, &FILL, &SWITCH] {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(&lua.source).ignore();
    }
    pipeline.exec(connection)
}
