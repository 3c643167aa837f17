//! Folders of definitions as they lie on a disk: neighbours, links, what can't be read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::{err, out, vuelve};

const JOURNEY: &str = "journey: nudge\nversion: 1\ntrigger: { event: Product Added }\nsteps:\n  - wait: 1h\n";

fn check(folder: &Path) -> (Option<i32>, String, String) {
    let output = vuelve(&["check", &folder.display().to_string()]);
    (output.status.code(), out(&output), err(&output))
}

#[test]
fn a_neighbour_that_can_not_be_read_is_an_error_and_no_preset_takes_its_place() {
    let parent = TempDir::new().unwrap();
    let (mine, basic) = (parent.path().join("mine"), parent.path().join("basic"));
    fs::create_dir(&mine).unwrap();
    fs::write(mine.join("preset.yaml"), "preset: mine\nextends: basic\n").unwrap();
    assert_eq!(check(&mine).0, Some(0), "the preset is built in");

    fs::write(&basic, "no folder").unwrap();
    let (code, _, told) = check(&mine);
    assert_eq!(code, Some(1));
    assert!(told.contains("mine/../basic: is no folder"), "{told}");

    fs::remove_file(&basic).unwrap();
    symlink("nowhere", &basic).unwrap();
    let (code, _, told) = check(&mine);
    assert_eq!(code, Some(1));
    assert!(told.contains("mine/../basic: can't be read: "), "{told}");
}

#[test]
fn a_mounted_config_map_is_read_through_its_links_each_file_once() {
    let mount = TempDir::new().unwrap();
    let behind = mount.path().join("..2026_11_27_10_00_00.123");
    fs::create_dir(&behind).unwrap();
    fs::write(behind.join("nudge.yaml"), JOURNEY).unwrap();
    symlink(behind.file_name().unwrap(), mount.path().join("..data")).unwrap();
    symlink("..data/nudge.yaml", mount.path().join("nudge.yaml")).unwrap();
    let (code, told, errors) = check(mount.path());
    assert_eq!((code, errors), (Some(0), String::new()));
    assert!(told.ends_with(": 1 journey\n"), "{told}");
}

#[test]
fn what_several_links_lead_to_is_read_once() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("journeys")).unwrap();
    fs::write(folder.path().join("journeys/nudge.yaml"), JOURNEY).unwrap();
    symlink("journeys", folder.path().join("also")).unwrap();
    symlink("journeys/nudge.yaml", folder.path().join("nudge.yaml")).unwrap();
    let (code, told, errors) = check(folder.path());
    assert_eq!((code, errors), (Some(0), String::new()));
    assert!(told.ends_with(": 1 journey\n"), "{told}");
}

#[test]
fn links_that_lead_in_a_circle_nowhere_or_out_are_refused() {
    for (link, target, told) in [
        ("within", ".", "within: leads back to a folder that it lies in"),
        ("self.yaml", "self.yaml", "self.yaml: can't be read: "),
        ("gone.yaml", "nowhere.yaml", "gone.yaml: can't be read: "),
        ("endless.yaml", "/dev/zero", "endless.yaml: leads out of the folder"),
        ("outside", "/etc", "outside: leads out of the folder"),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("nudge.yaml"), JOURNEY).unwrap();
        symlink(target, folder.path().join(link)).unwrap();
        let (code, _, errors) = check(folder.path());
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(told), "{told}: {errors}");
    }
}
