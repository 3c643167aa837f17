//! Embeds the presets: a folder that says `extends: basic` finds it wherever the binary is.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let presets = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../presets").canonicalize()?;
    println!("cargo::rerun-if-changed={}", presets.display());
    let mut code = String::from("&[\n");
    for preset in sorted(&presets)? {
        let name = preset.file_name().and_then(|name| name.to_str()).ok_or("a preset's name is not UTF-8")?.to_owned();
        writeln!(code, "    ({name:?}, &[")?;
        write_files(&preset, &format!("presets/{name}"), &mut code)?;
        code.push_str("    ]),\n");
    }
    code.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("presets.rs"), code)?;
    Ok(())
}

/// `(path as shown, text)` for every file, folders within included.
fn write_files(directory: &Path, shown: &str, code: &mut String) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", directory.display());
    for path in sorted(directory)? {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a file's name is not UTF-8")?;
        let shown = format!("{shown}/{name}");
        if path.is_dir() {
            write_files(&path, &shown, code)?;
        } else {
            writeln!(code, "        ({shown:?}, include_str!({:?})),", path.display().to_string())?;
        }
    }
    Ok(())
}

fn sorted(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.sort();
    Ok(paths)
}
