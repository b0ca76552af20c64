//! What a worker has to itself: a control plane, a proxy before it, and an operator that is killed and started again.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use kube::Client;

use crate::bed::{
    Bed,
    api_proxy::ApiProxy,
    audit, kubeconfig,
    operator::{self, Operator, OperatorOptions},
    plane::Plane,
    process::tail,
    tools::Tools,
};

/// Longer than anything here may take on a machine of two cores that does other things too; a wait that hangs says so.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// See the module.
pub(crate) struct World {
    bed: Bed,
    plane: Plane,
    pub(crate) proxy: ApiProxy,
    /// With the rights of an administrator, past the proxy.
    pub(crate) client: Client,
    options: OperatorOptions,
    operator: Option<Operator>,
}

impl World {
    pub(crate) async fn start(bed: &Bed, name: &str) -> Result<Self> {
        let tools = Tools::installed()?;
        let plane = Plane::start_with_chart(&bed.run, &tools, &format!("plane-{name}")).await?;
        let kubectl = plane.kubectl();
        let direct = operator::service_account_kubeconfig(&kubectl, &plane.kubeconfig()).await?;
        let proxy = ApiProxy::start(&plane)?;
        let kubeconfig = direct.with_file_name("proxied.kubeconfig");
        kubeconfig::with_server(&direct, &proxy.url(), &kubeconfig)?;
        let program = std::env::var_os("CARGO_BIN_EXE_mission-operator")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_mission-operator").into());
        Ok(Self {
            client: plane.client().await?,
            options: OperatorOptions {
                name: name.to_owned(),
                program: operator::copy_of(&PathBuf::from(program), &bed.run)?,
                kubeconfig,
                // The same in all worlds, because texts on the gateway hold it.
                args: vec!["--cluster-id=crash".to_owned()],
                env: Vec::new(),
            },
            bed: bed.clone(),
            plane,
            proxy,
            operator: None,
        })
    }

    /// Stops everything; fails if RBAC forbade the operator anything.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if self.operator.is_some() {
            self.kill_operator().await;
        }
        let requests = audit::read(&self.plane.audit_log())?;
        let forbidden: Vec<_> = audit::forbidden(&requests, operator::USER).collect();
        anyhow::ensure!(forbidden.is_empty(), "forbidden by RBAC: {forbidden:#?}");
        self.plane.stop().await
    }

    pub(crate) async fn start_operator(&mut self) {
        assert!(self.operator.is_none(), "an operator runs already");
        let operator = Operator::start(&self.bed.run, &self.options).await;
        self.operator = Some(operator.unwrap());
    }

    /// SIGKILL.
    pub(crate) async fn kill_operator(&mut self) {
        let operator = self.operator.take().expect("no operator runs");
        operator.kill().await.unwrap();
    }

    /// The end of the logs of all operators so far.
    pub(crate) fn last_words(&self) -> String {
        tail(
            &self.bed.run.log(&format!("operator-{}", self.options.name)),
            40,
        )
    }
}

/// Writes a line for whoever runs the tests, whether they pass or not.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    // Not by `eprintln`, which the test harness keeps to itself.
    let line = format!("{text}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
