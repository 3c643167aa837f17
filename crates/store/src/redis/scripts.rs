//! The scripts, and how they are called: by their digest, which Redis is told of with each new connection, and again where it
//! forgot them.

use std::sync::LazyLock;

use ::redis::{Cmd, Connection, RedisResult, Script};

const PLAN: &str = include_str!("plan.lua");

pub(super) static APPLY: LazyLock<Script> = LazyLock::new(|| Script::new(&[PLAN, include_str!("apply.lua")].concat()));
pub(super) static LOAD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("load.lua")));
pub(super) static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("begin.lua")));
pub(super) static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(&[PLAN, include_str!("fill.lua")].concat()));
pub(super) static SWITCH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("switch.lua")));

/// Tells Redis all scripts.
pub(super) fn teach(connection: &mut Connection) -> RedisResult<()> {
    let mut pipeline = ::redis::pipe();
    for script in [&APPLY, &LOAD, &BEGIN, &FILL, &SWITCH] {
        pipeline.add_command(script.load_cmd()).ignore();
    }
    pipeline.exec(connection)
}

/// A call of a script, up to its keys.
pub(super) fn call(script: &Script, keys: &[String]) -> Cmd {
    let mut call = ::redis::cmd("EVALSHA");
    call.arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
}
