//! Folders of definitions, on the disk or built in.
//!
//! Wanted properties:
//! - what is read is bounded in files, bytes and depth; links are followed, what they lead to is read once, and a
//!   circle is refused;
//! - what can't be read is an error, and nothing else takes its place;
//! - a path is shown as the user would write it, so that an editor can jump to it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use definitions::{Definition, Definitions, Diagnostic, Document, Folder, Severity, SourceFile};
use messaging::rendering::{self, Text};
use runtime::config::{ByteSize, read_text};

/// The presets that come with the binary: name, then each file's path and text.
static PRESETS: &[(&str, &[(&str, &str)])] = include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// What may stand in a folder of definitions; other files are left alone.
const EXTENSIONS: [&str; 6] = ["yaml", "yml", "mjml", "html", "liquid", "txt"];
const MAX_FILE_SIZE: ByteSize = ByteSize::from_bytes(1 << 20);
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
    let failure = RefCell::new(None);
    let extended = |name: &str| match beside(directory, name) {
        Ok(found) => found,
        Err(error) => {
            failure.replace(Some(error));
            None
        }
    };
    let loaded = definitions::load(&folder, &extended);
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let loaded = loaded.map_err(LoadError::Wrong)?;
    let unusable: Vec<Diagnostic> = loaded.documents.iter().flat_map(unrenderable).collect();
    if unusable.is_empty() { Ok(loaded) } else { Err(LoadError::Wrong(unusable)) }
}

/// The folder that `extends` names: the one beside, whatever it is, or else a preset that is built in.
fn beside(directory: &Path, name: &str) -> Result<Option<Folder>, LoadError> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let neighbour = directory.join("..").join(name);
    match fs::symlink_metadata(&neighbour) {
        Ok(_) if is_name => read(&neighbour).map(Some),
        Err(error) if is_name && error.kind() != ErrorKind::NotFound => Err(unreadable(&neighbour, &error)),
        _ => Ok(built_in(name)),
    }
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
    // `.` would only lengthen the paths that people read.
    let shown = if directory == Path::new(".") { Path::new("") } else { directory };
    let mut collection = Collection { root: canonical.clone(), ..Collection::default() };
    collection.add_folder(canonical, shown)?;
    Ok(Folder { name, files: collection.files })
}

/// What was found in a folder up to now.
#[derive(Default)]
struct Collection {
    /// By its own path. No link leads out of it: a mounted `ConfigMap`'s stay within.
    root: PathBuf,
    files: Vec<SourceFile>,
    /// Files and folders by their own paths: a link may lead to what was read under another name.
    read: HashSet<PathBuf>,
    /// The folders that it stands in, by their own paths.
    within: Vec<PathBuf>,
}

impl Collection {
    fn add_folder(&mut self, canonical: PathBuf, shown: &Path) -> Result<(), LoadError> {
        if self.within.contains(&canonical) {
            return Err(refused(shown, "leads back to a folder that it lies in: take the link away"));
        }
        if !self.read.insert(canonical.clone()) {
            return Ok(());
        }
        if self.within.len() > MAX_DEPTH {
            return Err(refused(shown, &format!("lies more than {MAX_DEPTH} folders deep")));
        }
        let entries = fs::read_dir(&canonical).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = entries.map_err(|error| unreadable(shown, &error))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        self.within.push(canonical);
        for entry in entries {
            let name = entry.file_name();
            // Also where Kubernetes keeps what the links of a mounted ConfigMap lead to: `..data` and the folder behind it.
            if !name.to_string_lossy().starts_with('.') {
                self.add(&entry.path(), &shown.join(&name))?;
            }
        }
        self.within.pop();
        Ok(())
    }

    fn add(&mut self, path: &Path, shown: &Path) -> Result<(), LoadError> {
        let canonical = path.canonicalize().map_err(|error| unreadable(shown, &error))?;
        if !canonical.starts_with(&self.root) {
            return Err(refused(shown, "leads out of the folder: put a copy in its place"));
        }
        if canonical.is_dir() {
            return self.add_folder(canonical, shown);
        }
        if !is_ours(path) {
            return Ok(());
        }
        if self.files.len() >= MAX_FILES {
            return Err(refused(shown, &format!("is one too many: a folder holds at most {MAX_FILES} files")));
        }
        if !canonical.is_file() {
            return Err(refused(shown, "is neither a file nor a folder"));
        }
        if self.read.insert(canonical) {
            let text = read_text(path, MAX_FILE_SIZE).map_err(|problem| refused(shown, &problem))?;
            self.files.push(SourceFile { path: shown.display().to_string(), text });
        }
        Ok(())
    }
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
