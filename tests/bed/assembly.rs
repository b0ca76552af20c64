//! Puts the parts of a bed together.
//!
//! A base is a control plane and a model provider: what tests run on. A complete bed has a gateway, the chart and the
//! operator as well: what people look at.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::bed::{
    chart,
    description::{Description, Programs, ProviderAddress},
    gateway::{Gateway, GatewayOptions},
    kubectl::Kubectl,
    operator::{self, Operator, OperatorOptions},
    plane::Plane,
    port,
    process::{Start, tail},
    run::Run,
    tools::Tools,
    wait::{Started, answers, until_ready},
};

/// Port of the gateway that the samples name.
const SAMPLE_PORT: u16 = 18789;
/// Time that the samples get to be Ready.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Time that the provider gets to be ready.
const PROVIDER_LIMIT: Duration = Duration::from_secs(30);

/// A control plane and a model provider.
#[derive(Debug)]
pub(crate) struct Base {
    /// The control plane.
    pub(crate) plane: Plane,
    /// What and where they are.
    pub(crate) description: Description,
}

/// A base with a gateway, the chart's CRDs and RBAC, and the operator.
#[derive(Debug)]
pub(crate) struct Complete {
    /// Control plane and provider.
    pub(crate) base: Base,
    /// The gateway.
    pub(crate) gateway: Gateway,
    /// The operator.
    pub(crate) operator: Operator,
}

impl Complete {
    /// kubectl with the rights of an administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        self.base.plane.kubectl()
    }

    /// What and where everything is.
    pub(crate) fn description(&self) -> Description {
        let mut description = self.base.description.clone();
        description.gateway = Some(self.gateway.address());
        description.operator_log = Some(self.operator.log());
        description
    }
}

/// Directory of what `up` and `demo` start.
pub(crate) fn standing_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bed")
}

/// A new run in [`standing_dir`]; refused while another one is there that runs.
pub(crate) fn standing_run() -> Result<Run> {
    let dir = standing_dir();
    if let Ok(run) = Run::open(&dir) {
        if run.is_running() {
            bail!(
                "a bed already runs in {}; `make down` stops it",
                dir.display()
            );
        }
        run.remove()?;
    }
    Run::create(&dir)
}

/// Starts a control plane and a model provider.
pub(crate) async fn base(run: &Run, tools: &Tools) -> Result<Base> {
    let plane = Plane::start(run, tools, "plane").await?;
    let provider = start_provider(run).await?;
    let description = Description {
        dir: run.dir().to_path_buf(),
        kubeconfig: plane.kubeconfig(),
        audit_log: plane.audit_log(),
        tools: Programs {
            kubectl: tools.kubectl.clone(),
            helm: tools.helm.clone(),
        },
        openclaw: tools.openclaw.clone(),
        provider: ProviderAddress { url: provider },
        gateway: None,
        operator_log: None,
    };
    Ok(Base { plane, description })
}

/// Starts everything; `step` is told the name and the time of each step when it is done.
pub(crate) async fn complete(
    run: &Run,
    tools: &Tools,
    mut step: impl FnMut(&'static str, Duration),
) -> Result<Complete> {
    let program = operator_program()?;
    let began = Instant::now();
    let base = base(run, tools).await?;
    step("start the control plane", began.elapsed());

    let began = Instant::now();
    let mut options = GatewayOptions::new("main");
    if port::is_free(SAMPLE_PORT) {
        options = options.port(SAMPLE_PORT);
    } else {
        eprintln!(
            "Port {SAMPLE_PORT} is taken: the gateway takes another, and the samples are applied with its address."
        );
    }
    let gateway = Gateway::start(
        run,
        &tools.openclaw,
        &base.description.provider.url,
        options,
    )
    .await?;
    step("start the gateway", began.elapsed());

    let began = Instant::now();
    let kubectl = base.plane.kubectl();
    chart::install(&tools.helm, &kubectl).await?;
    step("install CRDs and RBAC", began.elapsed());

    let began = Instant::now();
    let kubeconfig =
        operator::service_account_kubeconfig(&kubectl, &base.plane.kubeconfig()).await?;
    let operator = Operator::start(
        run,
        &OperatorOptions {
            name: "main".to_owned(),
            program,
            kubeconfig,
            args: Vec::new(),
            env: Vec::new(),
        },
    )
    .await?;
    step("start the operator", began.elapsed());
    Ok(Complete {
        base,
        gateway,
        operator,
    })
}

/// Applies `deploy/samples/`, with the address of this bed's gateway.
pub(crate) async fn apply_samples(complete: &Complete) -> Result<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/samples");
    let sample_url = format!("ws://127.0.0.1:{SAMPLE_PORT}");
    if complete.gateway.url() == sample_url {
        return complete.kubectl().apply_path(&dir).await;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&dir)
        .with_context(|| format!("reading {}", dir.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files.sort();
    let texts: Vec<String> = files
        .iter()
        .map(std::fs::read_to_string)
        .collect::<Result<_, _>>()?;
    let manifest = texts
        .join("\n---\n")
        .replace(&sample_url, &complete.gateway.url());
    complete.kubectl().apply(&manifest).await
}

/// Waits until every Gateway, Board and Agent is Ready; the error shows their state.
pub(crate) async fn all_ready(complete: &Complete) -> Result<()> {
    let kubectl = complete.kubectl();
    // kubectl's own timeout starts anew for each object.
    let waited = tokio::time::timeout(
        READY_LIMIT,
        kubectl.run(&[
            "wait",
            "openclaw",
            "--all",
            "--all-namespaces",
            "--for=condition=Ready",
            "--timeout=10m",
        ]),
    )
    .await;
    if let Ok(ready) = waited {
        return ready.map(drop);
    }
    let table = kubectl
        .run(&["get", "openclaw", "-A", "-o", "wide"])
        .await?;
    bail!(
        "not everything is Ready after {} s:\n{table}",
        READY_LIMIT.as_secs()
    )
}

/// Does `work` on a complete bed; its error ends in the last words of the operator.
pub(crate) async fn watching<T>(
    complete: &Complete,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    work.await.map_err(|error| {
        anyhow::anyhow!(
            "{error:#}\nlast words of the operator ({}):\n{}",
            complete.operator.log().display(),
            tail(&complete.operator.log(), 12)
        )
    })
}

/// The operator that was built with this program: examples are in a directory of their own under it.
fn operator_program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("finding this program")?;
    let program = this
        .parent()
        .and_then(Path::parent)
        .context("this program is in no directory")?
        .join("mission-operator");
    anyhow::ensure!(
        program.is_file(),
        "{} is not built; `make demo` and `make up` build it",
        program.display()
    );
    Ok(program)
}

async fn start_provider(run: &Run) -> Result<String> {
    let http = crate::bed::http::client()?;
    let this = std::env::current_exe().context("finding this program")?;
    for _ in 0..port::ATTEMPTS {
        let port = port::free()?;
        let process = Start::new("provider", &this)
            .args(["provider", &port.to_string()])
            .spawn(run)?;
        let url = format!("http://127.0.0.1:{port}");
        let models = format!("{url}/v1/models");
        if until_ready(&process, PROVIDER_LIMIT, || answers(&http, &models)).await?
            == Started::Ready
        {
            return Ok(url);
        }
    }
    bail!("no free port for the model provider")
}
