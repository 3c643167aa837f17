use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use definitions::{Definitions, Diagnostic, Severity};
use serde_json::json;
use vuelve::folders::{self, LoadError};
use vuelve::terminal::{print, tell};

/// Checks a folder of definitions: journeys, segments, templates, messaging settings.
///
/// Tells everything that is wrong at once, each thing with file, line, column and what to do. Asks neither Kafka nor
/// Redis for anything, so it runs in a pull request. Ends with 1 if something is wrong, with 0 if there are warnings only.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve check presets/basic                  Check a folder.
  vuelve check . --warnings-are-errors        In a pull request: take no warning either.
  vuelve check . --format json                One JSON object a line, for editors and pipelines.")]
pub(crate) struct Check {
    /// The folder; `extends: NAME` in its preset.yaml names a folder beside it, or a preset that comes with Vuelve.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// How what is wrong is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Ends with 1 also if there are only warnings.
    #[arg(long)]
    warnings_are_errors: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// `file:line:column: error: …`, on standard error.
    Text,
    /// One JSON object a line, on standard output.
    Json,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (loaded, diagnostics) = match folders::load(&self.directory) {
            Ok(mut loaded) => {
                let warnings = std::mem::take(&mut loaded.warnings);
                (Some(loaded), warnings)
            }
            Err(LoadError::Wrong(diagnostics)) => (None, diagnostics),
            Err(unreadable) => return Err(unreadable.into()),
        };
        for diagnostic in &diagnostics {
            match self.format {
                Format::Text => tell(&format!("{diagnostic}\n")),
                Format::Json => print(&format!("{}\n", as_json(diagnostic)))?,
            }
        }
        let counted = count(&diagnostics);
        if self.format == Format::Text {
            match &loaded {
                Some(loaded) => print(&format!("{}: {}{counted}\n", self.directory.display(), summary(loaded)))?,
                None => tell(&format!("{}: not usable{counted}\n", self.directory.display())),
            }
        }
        let failed = loaded.is_none() || (self.warnings_are_errors && !diagnostics.is_empty());
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// `2 journeys, 4 templates, 1 messaging`.
fn summary(loaded: &Definitions) -> String {
    let mut kinds = BTreeMap::<String, usize>::new();
    for document in &loaded.documents {
        *kinds.entry(document.kind.to_string()).or_default() += 1;
    }
    let plural = |kind: &str, count: usize| if count == 1 || kind == "messaging" { "" } else { "s" };
    kinds.iter().map(|(kind, count)| format!("{count} {kind}{}", plural(kind, *count))).collect::<Vec<_>>().join(", ")
}

/// `; 2 errors, 1 warning`, or nothing.
fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity, word: &str| {
        let count = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        (count > 0).then(|| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
    };
    let counts: Vec<_> =
        [of(Severity::Error, "error"), of(Severity::Warning, "warning")].into_iter().flatten().collect();
    if counts.is_empty() { String::new() } else { format!("; {}", counts.join(", ")) }
}

fn as_json(diagnostic: &Diagnostic) -> serde_json::Value {
    json!({
        "file": diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}
