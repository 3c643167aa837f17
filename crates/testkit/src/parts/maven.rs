//! What comes from Maven: Apache Kafka and the schema registry, as jars for the Java that is installed.
//!
//! Each is run once when it is fetched, to archive the classes that it loads (Java's class data sharing): that
//! halves the time of every later start.

use std::path::{Path, PathBuf};

use super::{debian, ensure, progress, run_tool};
use crate::error::{Context as _, Result};
use crate::process::{Process, ProcessSpec};
use crate::{kafka, registry};

const KAFKA_POM: &str = include_str!("../../parts/kafka-pom.xml");
const REGISTRY_ARTIFACT: &str = "io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all";
const REGISTRY_JAR: &str = "apicurio-registry-app-2.6.13.Final-runner.jar";
const DEPENDENCY_PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1";

/// Raised when what is made from the jars changes.
const RECIPE: &str = "recipe 1";

/// Programs for Java in a directory of the cache, with the archive of their classes.
#[derive(Clone, Debug)]
pub(crate) struct JavaPart {
    directory: PathBuf,
}

impl JavaPart {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Java with the archived classes.
    pub(crate) fn java(&self, name: &str) -> Result<ProcessSpec> {
        let spec = Process::spec(name, java()?);
        let archive = self.archive();
        Ok(if archive.exists() { spec.arg(format!("-XX:SharedArchiveFile={}", archive.display())) } else { spec })
    }

    /// Java that archives the classes which it has loaded when it ends.
    pub(crate) fn archiving_java(&self, name: &str) -> Result<ProcessSpec> {
        Ok(Process::spec(name, java()?).arg(format!("-XX:ArchiveClassesAtExit={}", self.archive().display())))
    }

    fn archive(&self) -> PathBuf {
        self.directory.join("classes.jsa")
    }

    /// The class path, in a fixed order: the archive holds only for the one that it was made with.
    pub(crate) fn class_path(&self) -> Result<std::ffi::OsString> {
        let jars = self.directory.join("jars");
        let listed = std::fs::read_dir(&jars).context("java", || format!("could not list {}", jars.display()))?;
        let mut jars: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
        jars.sort();
        std::env::join_paths(jars).context("java", || "the jars can't be named on a class path".into())
    }

    /// The registry's program.
    pub(crate) fn registry_jar(&self) -> PathBuf {
        self.directory.join(REGISTRY_JAR)
    }
}

/// Apache Kafka, fetched if it isn't there.
pub(crate) fn kafka() -> Result<JavaPart> {
    let build = |directory: &Path| {
        let pom = directory.join("pom.xml");
        std::fs::write(&pom, KAFKA_POM).context("kafka", || format!("could not write {}", pom.display()))?;
        run_tool(
            &maven("fetching kafka")?
                .arg("-f")
                .arg(&pom)
                .arg(format!("{DEPENDENCY_PLUGIN}:copy-dependencies"))
                .args(["-DincludeScope=runtime", "-DoutputDirectory=jars"])
                .dir(directory),
        )?;
        progress("kafka", "formatting, and archiving its classes …");
        kafka::prepare(&JavaPart { directory: directory.to_owned() })
    };
    let directory = ensure("kafka", &format!("{KAFKA_POM}{RECIPE}"), build)?;
    Ok(JavaPart { directory })
}

/// The schema registry, fetched if it isn't there.
pub(crate) fn registry() -> Result<JavaPart> {
    let build = |directory: &Path| {
        run_tool(
            &maven("fetching the schema registry")?
                .arg(format!("{DEPENDENCY_PLUGIN}:unpack"))
                .arg(format!("-Dartifact={REGISTRY_ARTIFACT}"))
                .arg(format!("-DoutputDirectory={}", directory.display()))
                .dir(directory),
        )?;
        progress("registry", "archiving its classes …");
        registry::prepare(&JavaPart { directory: directory.to_owned() })
    };
    let directory = ensure("registry", &format!("{REGISTRY_ARTIFACT} {RECIPE}"), build)?;
    Ok(JavaPart { directory })
}

fn maven(name: &str) -> Result<ProcessSpec> {
    Ok(Process::spec(name, debian::program("mvn")?).args(["-q", "-B"]))
}

fn java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    match home.filter(|java| java.is_file()) {
        Some(java) => Ok(java),
        None => debian::program("java"),
    }
}
