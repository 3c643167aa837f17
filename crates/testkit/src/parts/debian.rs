//! What comes from Debian packages: Redis, kcat, and the tools that fetch the rest.

use std::path::{Path, PathBuf};

use super::{lock, major_version, progress, run_tool, which};
use crate::Process;
use crate::error::{Context as _, Error, Result};

/// A program, the package that brings it, and from which version on it will do.
struct Needed {
    program: &'static str,
    package: &'static str,
    version: Option<(&'static str, u32)>,
}

const NEEDED: &[Needed] = &[
    Needed { program: "redis-server", package: "redis-server", version: None },
    Needed { program: "kcat", package: "kcat", version: None },
    Needed { program: "java", package: "default-jre-headless", version: Some(("-version", 17)) },
    Needed { program: "mvn", package: "maven", version: None },
    Needed { program: "node", package: "nodejs", version: Some(("--version", 20)) },
    Needed { program: "npm", package: "npm", version: None },
    Needed { program: "python3", package: "python3", version: None },
];

/// The program that packages ask whether they may start their service; 101 says no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing, as root; otherwise the error lists the packages. Programs that are there but too old
/// are an error, too.
pub(crate) fn install_missing() -> Result<()> {
    if missing().is_empty() {
        return too_old();
    }
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all(super::cache_dir())
            .context("Debian packages", || format!("could not make {}", super::cache_dir().display()))?;
        let _lock = lock(&super::cache_dir(), "debian")?;
        let packages = missing();
        if !packages.is_empty() {
            install(&packages)?;
        }
    }
    let packages = missing();
    if packages.is_empty() {
        return too_old();
    }
    Err(Error::new(
        "Debian packages",
        format!("missing: {0}. Install them (as root: apt-get install {0}) and try again.", packages.join(" ")),
    ))
}

/// A program that is in [`NEEDED`], installed first if need be.
pub(crate) fn program(name: &'static str) -> Result<PathBuf> {
    if let Some(path) = which(name) {
        return Ok(path);
    }
    install_missing()?;
    which(name).ok_or_else(|| Error::new(name, "is not on PATH, though its package is installed"))
}

fn missing() -> Vec<&'static str> {
    let mut packages: Vec<&str> =
        NEEDED.iter().filter(|needed| which(needed.program).is_none()).map(|needed| needed.package).collect();
    if which("python3").is_some() && !python_makes_environments() {
        packages.push("python3-venv");
    }
    packages
}

/// Debian's Python comes without the module that puts pip into a new environment.
fn python_makes_environments() -> bool {
    std::process::Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn too_old() -> Result<()> {
    for needed in NEEDED {
        let Some((argument, wanted)) = needed.version else { continue };
        if let Some(found) = major_version(needed.program, argument).filter(|found| *found < wanted) {
            let problem = format!("version {wanted} or newer is needed, {found} is on PATH");
            return Err(Error::new(needed.program, problem));
        }
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    progress("Debian packages", &format!("installing {} …", packages.join(" ")));
    let apt = |name: &str| {
        Process::spec(name, "apt-get").env("DEBIAN_FRONTEND", "noninteractive").args([
            "-q",
            "-y",
            "-o",
            "DPkg::Lock::Timeout=120",
        ])
    };
    run_tool(&apt("apt-get update").arg("update"))?;
    let _policy = NoServices::forbid()?;
    run_tool(&apt("apt-get install").args(["install", "--no-install-recommends"]).args(packages))?;
    progress("Debian packages", "installed");
    Ok(())
}

/// While it lives, a package that is installed starts no service: tests start their own Redis, on a port of its own.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn forbid() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let doing = || format!("could not write {POLICY}");
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").context("Debian packages", doing)?;
        let policy = Self { ours: true };
        std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755)).context("Debian packages", doing)?;
        Ok(policy)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            progress("Debian packages", &format!("could not remove {POLICY} ({error}); remove it by hand"));
        }
    }
}
