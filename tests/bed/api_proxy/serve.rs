//! Connections: accepts them, reads requests, meets faults, forwards. Each has a connection of its own to the API server.

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    client::conn::http1::SendRequest,
    header::{CONTENT_TYPE, RETRY_AFTER},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{
    Asked, Shared,
    call::Call,
    fault::{Answer, Fault, expired_event},
};
use crate::bed::{plane::Plane, port};

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Upstream = SendRequest<Full<Bytes>>;

/// Both sides of the proxy's TLS.
#[derive(Clone)]
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// Shows what the API server of `plane` shows, and believes what its clients believe.
    pub(super) fn of(plane: &Plane) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = plane.server_keys();
        let chain = CertificateDer::pem_file_iter(&pair.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&pair.key)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(plane.authority())?)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
        })
    }
}

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) tls: Tls,
    pub(super) upstream: SocketAddr,
    pub(super) shared: Arc<Shared>,
}

impl Server {
    /// Accepts connections for ever.
    pub(super) async fn accept(self, listener: std::net::TcpListener) -> Result<()> {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let Ok((client, _)) = listener.accept().await else {
                continue;
            };
            let server = self.clone();
            let mut drops = self.shared.drops.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    // What is dropped does nothing more.
                    biased;
                    _ = drops.changed() => {}
                    // Why a connection ended is for the client to say.
                    ended = server.serve(client) => drop(ended),
                }
            });
        }
    }

    async fn serve(&self, client: TcpStream) -> Result<()> {
        client.set_nodelay(true)?;
        let client = self.tls.acceptor.accept(client).await?;
        let upstream = Mutex::new(None);
        let service = service_fn(|request| self.answer(request, &upstream));
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(client), service)
            .await?;
        Ok(())
    }

    /// An error ends the connection.
    async fn answer(
        &self,
        request: Request<Incoming>,
        upstream: &Mutex<Option<Upstream>>,
    ) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
        let shared = &self.shared;
        let call = Call::of(request.method(), request.uri());
        let number = {
            let mut asked = shared.asked();
            asked.push(Asked {
                at: Instant::now(),
                call: call.clone(),
                line: format!("{} {}", request.method(), request.uri()),
                code: None,
                refused: false,
            });
            asked.len()
        };
        shared.count.send_replace(number);
        let halts_after = shared.gate.meet(&call);
        shared.gate.pass().await;
        let delay = *shared.delay.borrow();
        sleep(delay).await;
        let fault = shared.rules().meet(&call);
        if let Some(asked) = shared.asked().get_mut(number - 1) {
            asked.refused = fault.is_some();
        }
        let response = match fault {
            Some(fault) => refuse(fault, &call)?,
            None => {
                self.forward(request, upstream, call.verb == "watch")
                    .await?
            }
        };
        if let Some(asked) = shared.asked().get_mut(number - 1) {
            asked.code = Some(response.status().as_u16());
        }
        if halts_after {
            shared.gate.halt_after();
        }
        shared.count.send_modify(|_| {});
        shared.gate.pass().await;
        Ok(response)
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        upstream: &Mutex<Option<Upstream>>,
        is_watch: bool,
    ) -> Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = Request::from_parts(head, Full::new(body));
        let mut upstream = upstream.lock().await;
        if let Some(sender) = &mut *upstream
            && sender.ready().await.is_err()
        {
            *upstream = None;
        }
        let mut sender = match upstream.take() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        *upstream = Some(sender);
        let (head, body) = response.into_parts();
        let body = if is_watch && head.status.is_success() {
            StreamBody::new(watched(body, self.shared.cuts.subscribe())).boxed_unsync()
        } else {
            // Read to its end: what was carried out is known to have been.
            full(body.collect().await?.to_bytes())
        };
        Ok(Response::from_parts(head, body))
    }

    async fn connect(&self) -> Result<Upstream> {
        let stream = TcpStream::connect(self.upstream)
            .await
            .context("connecting to the API server")?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(IpAddr::from(port::loopback(0).ip()));
        let stream = self.tls.connector.connect(name, stream).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn refuse(fault: Fault, call: &Call) -> Result<Response<Body>> {
    let Some(Answer {
        code,
        retry_after,
        content_type,
        body,
    }) = fault.answer(call)
    else {
        return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
    };
    let mut response = Response::builder()
        .status(code)
        .header(CONTENT_TYPE, content_type);
    if let Some(seconds) = retry_after {
        response = response.header(RETRY_AFTER, seconds);
    }
    Ok(response.body(full(body.into()))?)
}

/// A watch that runs.
struct Watched {
    body: Incoming,
    cuts: watch::Receiver<usize>,
    /// The last event is complete, so that another may follow.
    at_line_end: bool,
}

/// The events of a watch as they come, until a cut.
fn watched(
    body: Incoming,
    cuts: watch::Receiver<usize>,
) -> impl stream::Stream<Item = Result<Frame<Bytes>, hyper::Error>> {
    let watched = Watched {
        body,
        cuts,
        at_line_end: true,
    };
    stream::unfold(Some(watched), |watched| async {
        let mut watched = watched?;
        tokio::select! {
            biased;
            cut = watched.cuts.changed(), if watched.at_line_end => {
                cut.ok()?;
                Some((Ok(Frame::data(expired_event().into())), None))
            }
            frame = watched.body.frame() => match frame? {
                Ok(frame) => {
                    let data = frame.data_ref();
                    watched.at_line_end = data.is_none_or(|data| data.ends_with(b"\n"));
                    Some((Ok(frame), Some(watched)))
                }
                Err(error) => Some((Err(error), None)),
            }
        }
    })
}
