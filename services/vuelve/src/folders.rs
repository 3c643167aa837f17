//! Folders of definitions, on the disk or built in.
//!
//! Wanted properties:
//! - what is read is bounded in files, bytes and depth, and never leaves the folder through a link;
//! - a path is shown as the user would write it, so that an editor can jump to it.

use std::fs;
use std::path::{Path, PathBuf};

use definitions::{Definition, Definitions, Diagnostic, Document, Folder, Severity, SourceFile};
use messaging::rendering::{self, Text};

/// The presets that come with the binary: name, then each file's path and text.
static PRESETS: &[(&str, &[(&str, &str)])] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// What may stand in a folder of definitions; other files are left alone.
const EXTENSIONS: [&str; 6] = ["yaml", "yml", "mjml", "html", "liquid", "txt"];
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_FILES: usize = 2_000;
const MAX_DEPTH: usize = 8;

/// Why a folder could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("{}: {problem}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// What stands in it is wrong: everything that is, errors and warnings.
    #[error("{}", told(.0))]
    Wrong(Vec<Diagnostic>),
}

fn told(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads and checks a folder and what it extends: a folder beside it, or a preset that is built in.
pub fn load(directory: &Path) -> Result<Definitions, LoadError> {
    let folder = read(directory)?;
    let beside = |name: &str| {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let neighbour = directory.join("..").join(name);
        (is_name && neighbour.is_dir()).then(|| read(&neighbour).ok()).flatten().or_else(|| built_in(name))
    };
    let loaded = definitions::load(&folder, &beside).map_err(LoadError::Wrong)?;
    let unusable: Vec<Diagnostic> = loaded.documents.iter().flat_map(unrenderable).collect();
    if unusable.is_empty() { Ok(loaded) } else { Err(LoadError::Wrong(unusable)) }
}

/// What messaging could not make a message of: a text that is no Liquid, a body that is no MJML, a loop without end.
fn unrenderable(document: &Document) -> Vec<Diagnostic> {
    let Definition::Template(template) = &document.definition else { return Vec::new() };
    let tell = |problem: rendering::Problem| {
        let text = template.texts.get(&problem.locale);
        let in_file = text.and_then(|text| text.body_file.as_deref()).filter(|_| problem.text == Text::Body);
        let at = match problem.text {
            Text::Subject => text.map(|text| text.subject_at),
            Text::Preheader | Text::Body => text.map(|text| text.body_at),
        };
        let first_line = at.map_or(1, |at| at.0.line);
        Diagnostic {
            file: in_file.unwrap_or(&document.file).to_owned(),
            line: first_line + problem.line - 1,
            column: problem.column,
            severity: Severity::Error,
            message: format!("{} ({}): {}", problem.text.word(), problem.locale.tag(), problem.message),
            help: None,
        }
    };
    rendering::check(template).into_iter().map(tell).collect()
}

/// A preset that comes with the binary.
pub fn built_in(name: &str) -> Option<Folder> {
    let (name, files) = PRESETS.iter().find(|(known, _)| *known == name)?;
    let files = files.iter().map(|(path, text)| SourceFile { path: (*path).to_owned(), text: (*text).to_owned() });
    Some(Folder { name: (*name).to_owned(), files: files.collect() })
}

/// The names of the presets that come with the binary.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// Reads a folder.
pub fn read(directory: &Path) -> Result<Folder, LoadError> {
    let canonical = directory.canonicalize().map_err(|error| unreadable(directory, &error))?;
    if !canonical.is_dir() {
        return Err(refused(directory, "is no folder: name the folder that holds the definitions"));
    }
    let name =
        canonical.file_name().map_or_else(|| "definitions".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut files = Vec::new();
    // `.` would only lengthen the paths that people read.
    let shown = if directory == Path::new(".") { Path::new("") } else { directory };
    collect(&canonical, shown, 0, &mut files)?;
    Ok(Folder { name, files })
}

fn collect(directory: &Path, shown: &Path, depth: usize, files: &mut Vec<SourceFile>) -> Result<(), LoadError> {
    if depth > MAX_DEPTH {
        return Err(refused(shown, &format!("lies more than {MAX_DEPTH} folders deep")));
    }
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.map_err(|error| unreadable(shown, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let (path, shown) = (entry.path(), shown.join(&name));
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|error| unreadable(&shown, &error))?;
        if kind.is_dir() {
            collect(&path, &shown, depth + 1, files)?;
        } else if kind.is_file() && is_ours(&path) {
            if files.len() >= MAX_FILES {
                return Err(refused(&shown, &format!("is one too many: a folder holds at most {MAX_FILES} files")));
            }
            files.push(read_file(&path, &shown)?);
        }
    }
    Ok(())
}

fn read_file(path: &Path, shown: &Path) -> Result<SourceFile, LoadError> {
    let size = fs::metadata(path).map_err(|error| unreadable(shown, &error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(refused(shown, &format!("is {size} bytes long; a definition has at most {MAX_FILE_BYTES}")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(shown, &error))?;
    Ok(SourceFile { path: shown.display().to_string(), text })
}

fn is_ours(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn unreadable(path: &Path, error: &std::io::Error) -> LoadError {
    refused(path, &format!("can't be read: {error}"))
}

fn refused(path: &Path, problem: &str) -> LoadError {
    LoadError::Unreadable { path: path.to_owned(), problem: problem.to_owned() }
}
