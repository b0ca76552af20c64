//! Callers that call as fast as they are answered, or at a pace.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::stage::{Server, token};

/// Calls at once.
const CALLERS: usize = 32;

/// Whether a caller keeps its connection. Agents call with curl, which makes one for each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    Kept,
    Fresh,
}

/// What is asked, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// Method and path.
    pub(crate) line: &'static str,
    pub(crate) connections: Connections,
    /// From one call of a caller to its next; none: as fast as it is answered.
    pub(crate) pause: Option<Duration>,
    pub(crate) length: Duration,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) calls: usize,
    /// By the clock.
    pub(crate) per_second: f64,
    /// By the processor time of the server's thread.
    pub(crate) per_second_of_core: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Calls for a while, each time as the next of so many agents.
#[allow(clippy::cast_precision_loss, reason = "counts of thousands")]
pub(crate) fn run(load: &Load, server: &Server, agents: usize) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (next, times) = (Cell::new(0), RefCell::new(Vec::new()));
    let began = Instant::now();
    let before = busy(&server.schedstat)?;
    runtime.block_on(try_join_all((0..CALLERS).map(async |_| {
        let mut connection = None;
        while began.elapsed() < load.length {
            let number = next.replace(next.get() + 1) % agents;
            let call = Instant::now();
            let mut open = match connection.take() {
                Some(open) => open,
                None => connect(server.address).await?,
            };
            answered(&mut open, load, &token(number)).await?;
            times.borrow_mut().push(call.elapsed());
            connection = (load.connections == Connections::Kept).then_some(open);
            if let Some(pause) = load.pause {
                tokio::time::sleep(pause.saturating_sub(call.elapsed())).await;
            }
        }
        anyhow::Ok(())
    })))?;
    let elapsed = began.elapsed();
    let busy = busy(&server.schedstat)?.saturating_sub(before);
    let mut times = times.into_inner();
    times.sort();
    let at = |part: usize| -> Result<f64> {
        let time = times.get(times.len() * part / 100);
        Ok(time.context("nothing was answered")?.as_secs_f64() * 1000.0)
    };
    let calls = times.len() as f64;
    Ok(Measured {
        name: load.name,
        calls: times.len(),
        per_second: calls / elapsed.as_secs_f64(),
        per_second_of_core: calls / busy.as_secs_f64(),
        p50_ms: at(50)?,
        p99_ms: at(99)?,
    })
}

async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one call and reads its answer, which has to be a good one.
async fn answered(stream: &mut TcpStream, load: &Load, token: &str) -> Result<()> {
    let connection = match load.connections {
        Connections::Kept => "keep-alive",
        Connections::Fresh => "close",
    };
    let line = load.line;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl\r\nAccept: */*\r\nX-Agent-Token: {token}\r\nConnection: {connection}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::with_capacity(8192);
    let (head, length) = loop {
        ensure!(
            stream.read_buf(&mut read).await? > 0,
            "the answer broke off"
        );
        let Some(head) = read.windows(4).position(|end| end == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(read.get(..head).unwrap_or_default())?;
        ensure!(text.starts_with("HTTP/1.1 200"), "answered with {text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        break (head + 4, length.context("no length")?.parse::<usize>()?);
    };
    while read.len() < head + length {
        ensure!(
            stream.read_buf(&mut read).await? > 0,
            "the answer broke off"
        );
    }
    Ok(())
}

/// Processor time of a thread, from its file under /proc.
pub(crate) fn busy(schedstat: &Path) -> Result<Duration> {
    let text = std::fs::read_to_string(schedstat)?;
    let nanoseconds = text.split_whitespace().next();
    Ok(Duration::from_nanos(
        nanoseconds.context("schedstat is empty")?.parse()?,
    ))
}
