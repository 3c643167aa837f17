//! A real schema registry (Apicurio) that speaks Confluent's API.

use std::time::Duration;

use crate::error::Result;
use crate::parts::maven::{self, JavaPart};
use crate::process::ProcessSpec;
use crate::watchdog::Scratch;
use crate::{Process, free_port, http};

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_mins(1);
const CONFLUENT_API: &str = "/apis/ccompat/v7";
const SUBJECTS: &str = "/apis/ccompat/v7/subjects";

/// A schema registry on a free port, which keeps its schemas in memory.
#[derive(Debug)]
pub struct SchemaRegistry {
    process: Process,
    port: u16,
    _scratch: Scratch,
}

impl SchemaRegistry {
    /// An empty one.
    pub fn start() -> Result<Self> {
        let part = maven::registry()?;
        let scratch = Scratch::new("registry")?;
        let port = free_port()?;
        let spec = on_port(part.java("schema registry")?, &part, port).log(scratch.path().join("log"));
        let registry = Self { process: spec.start()?, port, _scratch: scratch };
        wait_ready(&registry.process, port)?;
        Ok(registry)
    }

    /// Where it speaks Confluent's API: `http://127.0.0.1:PORT/apis/ccompat/v7`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{CONFLUENT_API}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL; its schemas are lost.
    pub fn kill9(&self) -> Result<()> {
        self.process.kill9()
    }

    /// Starts it again on the same port, empty; kills it first if it runs.
    pub fn restart(&self) -> Result<()> {
        self.process.restart()?;
        wait_ready(&self.process, self.port)
    }

    /// SIGSTOP: it is there but silent, and keeps its schemas.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT after [`SchemaRegistry::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// Its process, to look at.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Runs it once, to archive the classes that it loads.
pub(crate) fn prepare(part: &JavaPart) -> Result<()> {
    let port = free_port()?;
    let process = on_port(part.archiving_java("archiving the schema registry's classes")?, part, port).start()?;
    wait_ready(&process, port)?;
    process.term(STOP).map(drop)
}

fn on_port(java: ProcessSpec, part: &JavaPart, port: u16) -> ProcessSpec {
    java.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dquarkus.http.host=127.0.0.1")
        .arg(format!("-Dquarkus.http.port={port}"))
        .arg("-jar")
        .arg(part.registry_jar())
        .dir(part.directory())
}

fn wait_ready(process: &Process, port: u16) -> Result<()> {
    process.wait_ready(START, "answer", || http::answers(port, SUBJECTS))
}
