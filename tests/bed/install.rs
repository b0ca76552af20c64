//! Installs what is missing: OpenClaw with npm, etcd, Helm and Kubernetes with go.
//!
//! Each part is made in a directory beside its place and renamed into it when it is complete, so that an installation that
//! was killed leaves nothing that looks like one. One installation runs at a time; others wait for it and use its result.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    interrupt::{AtEnd, owning},
    process::Start,
    run::Run,
    tools::{Cache, KUBERNETES, Tools},
};

/// Prefix of directories in which something is being installed.
const UNFINISHED: &str = ".installing-";
/// How often a step that takes long says that it is still at it.
const STILL_AT_IT: Duration = Duration::from_mins(1);

/// One thing to install.
#[derive(Debug)]
enum Step {
    /// `npm ci` in a prefix of its own.
    OpenClaw,
    /// `go build` of some programs of one module.
    Go(GoBuild),
}

/// A `go build`.
#[derive(Debug)]
struct GoBuild {
    /// What a person reads.
    title: String,
    /// On two cores, with nothing in Go's caches.
    takes: &'static str,
    /// Directory under `tools/`.
    module: &'static str,
    /// Main packages.
    packages: Vec<&'static str>,
    /// Version stamps; unstamped programs call themselves v0.0.0, which version checks of clients trip over.
    stamps: Vec<String>,
    /// Where the programs go.
    target: PathBuf,
}

impl Step {
    fn title(&self, cache: &Cache) -> (String, &str) {
        match self {
            Self::OpenClaw => (
                format!(
                    "OpenClaw {} with Node.js {}, from npm",
                    cache.versions().openclaw,
                    cache.versions().node
                ),
                "1 min",
            ),
            Self::Go(build) => (build.title.clone(), build.takes),
        }
    }
}

/// What is missing, in the order of installation.
fn missing(cache: &Cache, tools: &Tools) -> Vec<Step> {
    let versions = cache.versions();
    let mut steps = Vec::new();
    if !tools.openclaw.bin.is_file() || !tools.openclaw.node.is_file() {
        steps.push(Step::OpenClaw);
    }
    if !tools.etcd.is_file() {
        steps.push(Step::Go(GoBuild {
            title: format!("etcd {}, built with go", versions.etcd),
            takes: "1 min",
            module: "etcd",
            packages: vec!["go.etcd.io/etcd/server/v3"],
            stamps: Vec::new(),
            target: cache.etcd(),
        }));
    }
    if !tools.helm.is_file() {
        let (major, minor) = major_minor(&versions.kubernetes);
        steps.push(Step::Go(GoBuild {
            title: format!("Helm {}, built with go", versions.helm),
            takes: "2 min",
            module: "helm",
            packages: vec!["helm.sh/helm/v3/cmd/helm"],
            stamps: vec![
                format!(
                    "helm.sh/helm/v3/internal/version.version=v{}",
                    versions.helm
                ),
                format!("helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor={major}"),
                format!("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={minor}"),
                format!("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor={major}"),
                format!("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor={minor}"),
            ],
            target: cache.helm(),
        }));
    }
    let paths = [
        &tools.kube_apiserver,
        &tools.kube_controller_manager,
        &tools.kubectl,
    ];
    let programs: Vec<_> = KUBERNETES
        .iter()
        .zip(paths)
        .filter(|(_, path)| !path.is_file())
        .map(|((name, package), _)| (*name, *package))
        .collect();
    if !programs.is_empty() {
        let names: Vec<_> = programs.iter().map(|(name, _)| *name).collect();
        steps.push(Step::Go(GoBuild {
            title: format!(
                "Kubernetes {} ({}), built with go",
                versions.kubernetes,
                names.join(", ")
            ),
            takes: "8 min",
            module: "kube",
            packages: programs.iter().map(|(_, package)| *package).collect(),
            stamps: kubernetes_stamps(&versions.kubernetes),
            target: cache.kubernetes(),
        }));
    }
    steps
}

fn major_minor(version: &str) -> (&str, &str) {
    let mut numbers = version.split('.');
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

fn kubernetes_stamps(version: &str) -> Vec<String> {
    let (major, minor) = major_minor(version);
    [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ]
    .iter()
    .flat_map(|package| {
        [
            format!("{package}.gitVersion=v{version}"),
            format!("{package}.gitMajor={major}"),
            format!("{package}.gitMinor={minor}"),
            format!("{package}.gitTreeState=clean"),
            // A module carries no commit; constants keep the build repeatable.
            format!("{package}.gitCommit={:040}", 0),
            format!("{package}.buildDate=1970-01-01T00:00:00Z"),
        ]
    })
    .collect()
}

/// Installs what is missing, tells about it on standard error, and returns the paths of everything.
pub(crate) async fn ensure() -> Result<Tools> {
    let cache = Cache::from_env()?;
    let tools = Tools::expected(&cache)?;
    if !missing(&cache, &tools).is_empty() {
        std::fs::create_dir_all(cache.root())
            .with_context(|| format!("creating {}", cache.root().display()))?;
        let lock = lock(&cache).await?;
        // Another process may have installed it while we waited.
        let steps = missing(&cache, &tools);
        if !steps.is_empty() {
            remove_unfinished(&cache).await?;
            require_programs(&steps)?;
            install_all(&cache, &steps).await?;
        }
        drop(lock);
    }
    Tools::installed()
}

/// Waits until no other process installs. The lock goes with the file handle, also when this process is killed.
async fn lock(cache: &Cache) -> Result<File> {
    let path = cache.root().join(".lock");
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    if file.try_lock().is_ok() {
        return Ok(file);
    }
    eprintln!(
        "Waiting for another installation into {} to end.",
        cache.root().display()
    );
    tokio::task::spawn_blocking(move || {
        file.lock()
            .with_context(|| format!("locking {}", path.display()))?;
        Ok(file)
    })
    .await
    .context("the task that waits for the lock failed")?
}

/// Ends and removes what is left of installations that were killed. Called under the lock: none is at work.
async fn remove_unfinished(cache: &Cache) -> Result<()> {
    for entry in std::fs::read_dir(cache.root())?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // npm or go may still run, and would write into what is being removed.
            if let Ok(run) = Run::open(&entry.path()) {
                run.stop_all().await?;
            }
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Checks that the programs that install are there.
fn require_programs(steps: &[Step]) -> Result<()> {
    let require = |program: &str, version_argument: &str, advice: &str| -> Result<()> {
        let output = std::process::Command::new(program)
            .arg(version_argument)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            _ => bail!("{program} is needed to install the test bed and does not run; {advice}"),
        }
    };
    for step in steps {
        match step {
            Step::OpenClaw => {
                require("node", "--version", "install Node.js 20 or later")?;
                require("npm", "--version", "install npm 10 or later")?;
            }
            Step::Go(_) => require(
                "go",
                "version",
                "install Go 1.26 or later (https://go.dev/dl)",
            )?,
        }
    }
    Ok(())
}

async fn install_all(cache: &Cache, steps: &[Step]) -> Result<()> {
    eprintln!(
        "Installing the test bed's parts into {}: {} step(s), once for each version. Times are for 2 cores.",
        cache.root().display(),
        steps.len()
    );
    let began = Instant::now();
    for (index, step) in steps.iter().enumerate() {
        let (title, takes) = step.title(cache);
        eprintln!("[{}/{}] {title}: about {takes}", index + 1, steps.len());
        let dir = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(cache.root())?;
        let run = Run::create(dir.path())?;
        let began = Instant::now();
        let work = async {
            match step {
                Step::OpenClaw => install_openclaw(&run, cache).await,
                Step::Go(build) => install_go(&run, build).await,
            }
        };
        owning(&run, AtEnd::Stop, work)
            .await
            .with_context(|| format!("installing {title}"))?;
        eprintln!("      done in {}", seconds(began.elapsed()));
    }
    eprintln!("Installed in {}.", seconds(began.elapsed()));
    Ok(())
}

/// Runs `start` to its end; the end of its log is the error when it fails.
async fn finish(run: &Run, start: Start) -> Result<()> {
    let process = start.spawn(run)?;
    let began = Instant::now();
    let exited = process.exited();
    tokio::pin!(exited);
    let status = loop {
        tokio::select! {
            status = &mut exited => break status?,
            () = tokio::time::sleep(STILL_AT_IT) => {
                eprintln!("      still at it after {}", seconds(began.elapsed()));
            }
        }
    };
    anyhow::ensure!(
        status.success(),
        "{} ended with {status}; its last words:\n{}",
        process.record().name,
        process.last_words(30)
    );
    Ok(())
}

async fn install_openclaw(run: &Run, cache: &Cache) -> Result<()> {
    let prefix = run.state("prefix")?;
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(tools_source("openclaw").join(file), prefix.join(file))
            .with_context(|| format!("copying {file}"))?;
    }
    // No package's install script runs: none is needed here, and npm versions differ in which they allow.
    let start = Start::new("npm", Path::new("npm"))
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .inherit_env()
        .current_dir(&prefix);
    finish(run, start).await?;
    std::fs::rename(&prefix, cache.openclaw()).context("moving OpenClaw into its place")
}

async fn install_go(run: &Run, build: &GoBuild) -> Result<()> {
    let out = run.state("out")?;
    let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
    flags.extend(build.stamps.iter().map(|stamp| format!("-X {stamp}")));
    let start = Start::new("go", Path::new("go"))
        .args(["build", "-trimpath", "-buildvcs=false"])
        .args(["-ldflags", &flags.join(" "), "-o"])
        // The slash makes go write each program under its own name into the directory.
        .args([format!("{}/", out.display())])
        .args(&build.packages)
        .inherit_env()
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .current_dir(&tools_source(build.module));
    finish(run, start).await?;
    std::fs::create_dir_all(&build.target)
        .with_context(|| format!("creating {}", build.target.display()))?;
    for entry in std::fs::read_dir(&out)? {
        let entry = entry?;
        // go names a program after the last element of its import path that is not a version: etcd's is `server`.
        let name = if build.module == "etcd" {
            "etcd".into()
        } else {
            entry.file_name()
        };
        std::fs::rename(entry.path(), build.target.join(&name))
            .with_context(|| format!("moving {} into its place", name.display()))?;
    }
    Ok(())
}

fn tools_source(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/bed/tools")
        .join(part)
}

/// A time as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
