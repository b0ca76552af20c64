//! The test bed: a real control plane, a real OpenClaw gateway, a model provider, the operator, and what watches them.
//!
//! Used by the `bed` example (`make demo`, `make up`, `make test`) and, by `#[path = "bed/mod.rs"] mod bed;`, by the
//! integration tests. Here: starting, stopping and observing real parts. Not here: what the operator should do (the tests)
//! and what a person reads while it happens (`main.rs` and the modules beside it that are not declared below).

#![allow(
    dead_code,
    reason = "every test binary compiles these modules and uses a part"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed, which answer null for what is not there"
)]

pub(crate) mod api_proxy;
pub(crate) mod audit;
pub(crate) mod authority;
pub(crate) mod chart;
pub(crate) mod description;
pub(crate) mod disclosure;
pub(crate) mod failures;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod install;
pub(crate) mod interrupt;
pub(crate) mod keys;
pub(crate) mod kubeconfig;
pub(crate) mod kubectl;
pub(crate) mod operator;
pub(crate) mod pid;
pub(crate) mod plane;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod provider;
pub(crate) mod relay;
pub(crate) mod rpc;
pub(crate) mod run;
pub(crate) mod tools;
pub(crate) mod wait;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

use self::{
    description::Description,
    gateway::{Gateway, GatewayOptions},
    kubectl::Kubectl,
    run::Run,
};

/// Whether this test binary has stopped what those before it left.
static SWEPT: Mutex<bool> = Mutex::new(false);

/// What a test has to hand: the parts that `bed test` started, and where to start more.
#[derive(Debug, Clone)]
pub(crate) struct Bed {
    /// Addresses and paths of the parts that run.
    pub(crate) description: Description,
    /// Where processes that the test starts are recorded, so that they end with the bed.
    pub(crate) run: Run,
}

impl Bed {
    /// The bed this test binary runs on. The first call stops what binaries before this one have left running.
    ///
    /// # Panics
    ///
    /// When there is none: the integration tests need real parts, which `make test` starts.
    #[allow(
        clippy::panic,
        reason = "only tests call it, and none can go on without"
    )]
    pub(crate) fn from_env() -> Self {
        let path = std::env::var_os(description::ENVIRONMENT_VARIABLE).unwrap_or_else(|| {
            panic!(
                "{} is not set: the integration tests run on the test bed; run `make test`",
                description::ENVIRONMENT_VARIABLE
            )
        });
        let bed = Self::open(Path::new(&path)).and_then(|bed| {
            // Held while it works: a second test must not start anything under a name that is being stopped.
            let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
            if !*swept {
                bed.run.stop_orphans()?;
                *swept = true;
            }
            Ok(bed)
        });
        bed.unwrap_or_else(|error| panic!("{error:#}; run `make test`"))
    }

    /// The bed that the description at `path` tells of.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let description = Description::read(path)?;
        let run = Run::open(&description.dir)?;
        Ok(Self { description, run })
    }

    /// kubectl with the rights of an administrator.
    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(
            &self.description.tools.kubectl,
            &self.description.kubeconfig,
        )
    }

    /// A client with the rights of an administrator.
    pub(crate) async fn client(&self) -> Result<kube::Client> {
        kubeconfig::client(&self.description.kubeconfig).await
    }

    /// Starts a gateway of the caller's own, and waits until it is ready.
    pub(crate) async fn gateway(&self, options: GatewayOptions) -> Result<Gateway> {
        Gateway::start(
            &self.run,
            &self.description.openclaw,
            &self.description.provider.url,
            options,
        )
        .await
        .context("starting a gateway for the test")
    }
}
