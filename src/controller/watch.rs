//! The watches: what the caches are filled from.

use std::{fmt::Debug, sync::Arc};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, Resource,
    core::{DeserializeGuard, PartialObjectMeta, error_boundary::InvalidObject},
    runtime::{reflector::store::Writer, watcher},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    controller::{
        report::Reporter,
        world::{World, Writers},
    },
    kube::{cache::follow, watch::watch},
};

/// Starts all watches as tasks.
pub(super) fn start(
    client: &Client,
    writers: Writers,
    world: &Arc<World>,
    reporter: &Reporter,
    stop: &CancellationToken,
) {
    let spawn = |watch: BoxFuture<'static, ()>| {
        drop(tokio::spawn(stop.clone().run_until_cancelled_owned(watch)));
    };
    let Writers {
        gateways,
        boards,
        agents,
        namespaces,
    } = writers;
    let (known, report) = (Arc::clone(world), reporter.clone());
    spawn(
        follow(guarded(client), gateways, move |change| {
            report.report(&change);
            known.gateway_changed(&change);
        })
        .boxed(),
    );
    let (known, report) = (Arc::clone(world), reporter.clone());
    spawn(
        follow(guarded(client), boards, move |change| {
            report.report(&change);
            known.board_changed(&change);
        })
        .boxed(),
    );
    let (known, report) = (Arc::clone(world), reporter.clone());
    spawn(
        follow(guarded(client), agents, move |change| {
            report.report(&change);
            known.agent_changed(&change);
        })
        .boxed(),
    );
    let known = Arc::clone(world);
    spawn(
        follow(metadata::<Namespace>(client), namespaces, move |change| {
            known.namespace_changed(&change);
        })
        .boxed(),
    );
    let known = Arc::clone(world);
    let config_maps = Writer::<PartialObjectMeta<ConfigMap>>::default();
    spawn(
        follow(metadata::<ConfigMap>(client), config_maps, move |change| {
            known.config_map_changed(&change);
        })
        .boxed(),
    );
}

type Seen<K> = watcher::Result<watcher::Event<Result<K, Box<InvalidObject>>>>;

/// A watch of one of our kinds in which an object that does not parse never hides the others.
fn guarded<K>(client: &Client) -> impl Stream<Item = Seen<K>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch(Api::<DeserializeGuard<K>>::all(client.clone()))
        .map(|event| event.map(|event| map(event, |guard| guard.0.map_err(Box::new))))
}

/// A watch of metadata only.
fn metadata<K>(client: &Client) -> impl Stream<Item = Seen<PartialObjectMeta<K>>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch(Api::<PartialObjectMeta<K>>::all(client.clone()))
        .map(|event| event.map(|event| map(event, Ok)))
}

fn map<K, T>(event: watcher::Event<K>, with: impl FnOnce(K) -> T) -> watcher::Event<T> {
    match event {
        watcher::Event::Apply(object) => watcher::Event::Apply(with(object)),
        watcher::Event::Delete(object) => watcher::Event::Delete(with(object)),
        watcher::Event::InitApply(object) => watcher::Event::InitApply(with(object)),
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
    }
}
