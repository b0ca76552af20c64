//! A Kubernetes control plane: etcd, kube-apiserver and kube-controller-manager as plain processes on loopback.
//!
//! RBAC is on and the audit log records every request that is not the control plane's own. There are no nodes: pods stay
//! Pending, and the operator runs as a process beside the plane.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use super::{
    chart,
    keys::{Keys, Pair},
    kubeconfig::{self, Credential},
    kubectl::Kubectl,
    operator, port,
    process::{Process, Start},
    run::Run,
    tools::Tools,
    wait::{Started, answers, until_ready, wait_for},
};

/// Time that a part of the plane gets to become ready; on a loaded machine of two cores it takes up to half a minute.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// Time that a part gets to end after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Everything but what the control plane itself does, once a request: enough to count by user, verb and resource. Of Secrets and of what
/// the operator writes with the objects, so that it shows whether a secret stands where none may.
const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "system:kube-controller-manager"]
- level: None
  userGroups: ["system:serviceaccounts:kube-system"]
- level: None
  nonResourceURLs: ["/readyz*", "/livez*", "/healthz*"]
- level: RequestResponse
  verbs: [create, update, patch]
  resources: [{group: "", resources: [secrets]}]
- level: Request
  users: [OPERATOR]
  verbs: [create, update, patch]
- level: Metadata
"#;

/// A running control plane.
#[derive(Debug)]
pub(crate) struct Plane {
    run: Run,
    tools: Tools,
    name: String,
    dir: PathBuf,
    keys: Keys,
    etcd_port: u16,
    port: u16,
    etcd: Process,
    api_server: Process,
    controller_manager: Process,
    /// When the API server was started again, and when it was ready: RFC 3339, as in the audit log.
    starts: Vec<(String, String)>,
}

impl Plane {
    /// Starts a plane whose processes are called `<name>-etcd` and so on, and waits until its controllers work.
    pub(crate) async fn start(run: &Run, tools: &Tools, name: &str) -> Result<Self> {
        Self::start_around(run, tools, name, async |_| Ok(())).await
    }

    /// The same with the chart, which is installed before the controllers start: the garbage collector looks for new kinds only every 30 s,
    /// and what belongs to an object of one that it does not know stays for up to a minute longer than the object.
    pub(crate) async fn start_with_chart(run: &Run, tools: &Tools, name: &str) -> Result<Self> {
        let install = async |kubectl: Kubectl| chart::install(&tools.helm, &kubectl).await;
        Self::start_around(run, tools, name, install).await
    }

    /// Does `first` when the API server is there and its controllers are not.
    async fn start_around(
        run: &Run,
        tools: &Tools,
        name: &str,
        first: impl AsyncFnOnce(Kubectl) -> Result<()>,
    ) -> Result<Self> {
        let dir = run.state(name)?;
        let keys = Keys::create(&dir)?;
        let policy = AUDIT_POLICY.replace("OPERATOR", operator::USER);
        std::fs::write(dir.join("audit-policy.yaml"), policy)?;
        let (etcd_port, etcd) = start_etcd(run, tools, name, &dir).await?;
        let (port, api_server) = start_api_server(run, tools, name, &dir, &keys, etcd_port).await?;
        first(Kubectl::new(&tools.kubectl, &admin_kubeconfig(&dir))).await?;
        let controller_manager =
            start_controller_manager(run, tools, name, &dir, &keys, port).await?;
        Ok(Self {
            run: run.clone(),
            tools: tools.clone(),
            name: name.to_owned(),
            dir,
            keys,
            etcd_port,
            port,
            etcd,
            api_server,
            controller_manager,
            starts: Vec::new(),
        })
    }

    /// Kubeconfig of an administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        admin_kubeconfig(&self.dir)
    }

    /// Address of the API server.
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// Port of the API server.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The API server's certificate and its key.
    pub(crate) fn server_keys(&self) -> &Pair {
        &self.keys.server
    }

    /// Certificate of the authority that signed the API server's.
    pub(crate) fn authority(&self) -> &Path {
        &self.keys.authority
    }

    /// Audit log of the API server, one JSON event a line.
    pub(crate) fn audit_log(&self) -> PathBuf {
        audit_log(&self.dir)
    }

    /// kubectl with the rights of an administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.tools.kubectl, &self.kubeconfig())
    }

    /// A client with the rights of an administrator.
    pub(crate) async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.kubeconfig()).await
    }

    /// Ends the API server without a goodbye; etcd and the controller manager stay.
    pub(crate) async fn kill_api_server(&self) -> Result<()> {
        self.api_server.kill().await
    }

    /// Starts the API server again, on the port it had.
    pub(crate) async fn start_api_server_again(&mut self) -> Result<()> {
        let began = now();
        let process = spawn_api_server(
            &self.run,
            &self.tools,
            &self.name,
            &self.dir,
            &self.keys,
            self.etcd_port,
            self.port,
        )?;
        match await_api_server(&process, &self.dir).await? {
            Started::Ready => self.api_server = process,
            Started::PortTaken => bail!("port {} was taken meanwhile", self.port),
        }
        self.starts.push((began, now()));
        Ok(())
    }

    /// Whether the API server was starting again at `time`. Until it is ready its authorizer does not know all roles, and it
    /// forbids what it allows a moment later (seen on 1.36.3).
    pub(crate) fn was_starting(&self, time: &str) -> bool {
        self.starts
            .iter()
            .any(|(began, ready)| began.as_str() <= time && time <= ready.as_str())
    }

    /// Stops all its processes, those first that use the others.
    pub(crate) async fn stop(self) -> Result<()> {
        self.controller_manager.stop(STOP_GRACE).await?;
        self.api_server.stop(STOP_GRACE).await?;
        self.etcd.stop(STOP_GRACE).await?;
        Ok(())
    }
}

async fn start_controller_manager(
    run: &Run,
    tools: &Tools,
    name: &str,
    dir: &Path,
    keys: &Keys,
    api_port: u16,
) -> Result<Process> {
    let kubeconfig = dir.join("controller-manager.kubeconfig");
    kubeconfig::write(
        &kubeconfig,
        &url(api_port),
        &keys.authority,
        &Credential::Certificate(&keys.controller_manager),
    )?;
    let client = kubeconfig::client(&admin_kubeconfig(dir)).await?;
    for _ in 0..port::ATTEMPTS {
        let process = Start::new(
            &format!("{name}-controller-manager"),
            &tools.kube_controller_manager,
        )
        .args([
            flag("kubeconfig", kubeconfig.display()),
            flag("authentication-kubeconfig", kubeconfig.display()),
            flag("authorization-kubeconfig", kubeconfig.display()),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", port::free()?),
            flag("cert-dir", dir.display()),
            flag("leader-elect", false),
            flag("use-service-account-credentials", true),
            flag(
                "service-account-private-key-file",
                keys.token_signing.display(),
            ),
            flag("root-ca-file", keys.authority.display()),
            flag("service-cluster-ip-range", "10.0.0.0/24"),
            flag("kube-api-qps", 200),
            flag("kube-api-burst", 400),
        ])
        .spawn(run)?;
        // The first thing that only working controllers bring about.
        let at_work = wait_for(
            Api::<ServiceAccount>::namespaced(client.clone(), "default"),
            "default",
            "the controller manager creates the ServiceAccount of namespace default",
            READY_LIMIT,
            |account: Option<&ServiceAccount>| account.is_some(),
        );
        tokio::select! {
            found = at_work => {
                found?;
                return Ok(process);
            }
            status = process.exited() => {
                let words = process.last_words(30);
                if !port::was_taken(&words) {
                    bail!("the controller manager ended with {}; its last words:\n{words}", status?);
                }
            }
        }
    }
    bail!("no free port for the controller manager")
}

async fn start_etcd(run: &Run, tools: &Tools, name: &str, dir: &Path) -> Result<(u16, Process)> {
    let http = super::http::client()?;
    for _ in 0..port::ATTEMPTS {
        let (client, peer) = (port::free()?, port::free()?);
        let peer_url = format!("http://127.0.0.1:{peer}");
        let process = Start::new(&format!("{name}-etcd"), &tools.etcd)
            // Without etcd the API server does not end before its time is up.
            .stop_after_others(2)
            .args([
                flag("data-dir", dir.join("etcd").display()),
                flag("listen-client-urls", format!("http://127.0.0.1:{client}")),
                flag(
                    "advertise-client-urls",
                    format!("http://127.0.0.1:{client}"),
                ),
                flag("listen-peer-urls", &peer_url),
                flag("initial-advertise-peer-urls", &peer_url),
                flag("initial-cluster", format!("default={peer_url}")),
                // Nothing here has to survive a power cut.
                flag("unsafe-no-fsync", true),
                flag("log-level", "warn"),
            ])
            .spawn(run)?;
        let url = format!("http://127.0.0.1:{client}/health");
        if until_ready(&process, READY_LIMIT, || answers(&http, &url)).await? == Started::Ready {
            return Ok((client, process));
        }
    }
    bail!("no free port for etcd")
}

async fn start_api_server(
    run: &Run,
    tools: &Tools,
    name: &str,
    dir: &Path,
    keys: &Keys,
    etcd_port: u16,
) -> Result<(u16, Process)> {
    for _ in 0..port::ATTEMPTS {
        let port = port::free()?;
        kubeconfig::write(
            &admin_kubeconfig(dir),
            &url(port),
            &keys.authority,
            &Credential::Certificate(&keys.admin),
        )?;
        let process = spawn_api_server(run, tools, name, dir, keys, etcd_port, port)?;
        if await_api_server(&process, dir).await? == Started::Ready {
            return Ok((port, process));
        }
    }
    bail!("no free port for the API server")
}

fn spawn_api_server(
    run: &Run,
    tools: &Tools,
    name: &str,
    dir: &Path,
    keys: &Keys,
    etcd_port: u16,
    port: u16,
) -> Result<Process> {
    Start::new(&format!("{name}-apiserver"), &tools.kube_apiserver)
        .stop_after_others(1)
        .args([
            flag("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
            flag("bind-address", "127.0.0.1"),
            flag("secure-port", port),
            // Without them the server looks for a default route, and then refuses a loopback address.
            flag("advertise-address", "127.0.0.1"),
            flag("endpoint-reconciler-type", "none"),
            flag("tls-cert-file", keys.server.certificate.display()),
            flag("tls-private-key-file", keys.server.key.display()),
            flag("client-ca-file", keys.authority.display()),
            flag("cert-dir", dir.display()),
            flag("service-cluster-ip-range", "10.0.0.0/24"),
            flag(
                "service-account-issuer",
                "https://kubernetes.default.svc.cluster.local",
            ),
            flag("service-account-key-file", keys.token_checking.display()),
            flag(
                "service-account-signing-key-file",
                keys.token_signing.display(),
            ),
            flag("authorization-mode", "RBAC"),
            flag("audit-policy-file", dir.join("audit-policy.yaml").display()),
            flag("audit-log-path", audit_log(dir).display()),
            // Megabytes; one file for the whole run, so that whoever counts sees everything.
            flag("audit-log-maxsize", 4096),
        ])
        .spawn(run)
        .context("starting the API server")
}

async fn await_api_server(process: &Process, dir: &Path) -> Result<Started> {
    let client = kubeconfig::client(&admin_kubeconfig(dir)).await?;
    until_ready(process, READY_LIMIT, || async {
        let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
            return false;
        };
        client.request_text(request).await.is_ok()
    })
    .await
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

fn admin_kubeconfig(dir: &Path) -> PathBuf {
    dir.join("admin.kubeconfig")
}

fn audit_log(dir: &Path) -> PathBuf {
    dir.join("audit.log")
}

/// The audit logs of all planes of a run.
pub(crate) fn audit_logs(run: &Run) -> Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for part in std::fs::read_dir(run.dir())? {
        let log = audit_log(&part?.path());
        if log.exists() {
            logs.push(log);
        }
    }
    Ok(logs)
}

/// The time as the audit log writes it, so that texts can be compared.
fn now() -> String {
    format!("{:.6}", k8s_openapi::jiff::Timestamp::now())
}
