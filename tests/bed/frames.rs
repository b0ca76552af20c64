//! Reads along what a WebSocket client sends, and picks the methods of gateway requests out of it.
//!
//! Passive: it sees copies of the bytes and changes nothing. Only the direction from the client is understood.

use std::io::Cursor;

use serde::Deserialize;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// The parts of a frame of the gateway protocol that tell a request.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    method: Option<String>,
}

/// State of one connection.
#[derive(Debug, Default)]
pub(crate) struct RequestReader {
    /// Whether the HTTP request that opens the connection is over.
    upgraded: bool,
    /// Bytes not understood yet.
    pending: Vec<u8>,
    /// Payload of the data frames of a message that is not complete.
    message: Vec<u8>,
}

impl RequestReader {
    /// Takes the next bytes and returns the methods of the requests that they complete.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        if !self.upgraded {
            let end = b"\r\n\r\n";
            let Some(at) = self
                .pending
                .windows(end.len())
                .position(|window| window == end)
            else {
                return Vec::new();
            };
            self.pending.drain(..at + end.len());
            self.upgraded = true;
        }
        let mut methods = Vec::new();
        while let Some((header, payload)) = self.next_frame() {
            let OpCode::Data(kind) = header.opcode else {
                continue;
            };
            if kind != Data::Continue {
                self.message.clear();
            }
            self.message.extend_from_slice(&payload);
            if header.is_final {
                methods.extend(method(&self.message));
                self.message.clear();
            }
        }
        methods
    }

    /// Takes one whole frame out of the pending bytes, unmasked.
    fn next_frame(&mut self) -> Option<(FrameHeader, Vec<u8>)> {
        let mut cursor = Cursor::new(&self.pending);
        let (header, length) = FrameHeader::parse(&mut cursor).ok()??;
        let start = usize::try_from(cursor.position()).ok()?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        let mut payload = self.pending.get(start..end)?.to_vec();
        if let Some(mask) = header.mask {
            for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= key;
            }
        }
        self.pending.drain(..end);
        Some((header, payload))
    }
}

fn method(message: &[u8]) -> Option<String> {
    let envelope: Envelope = serde_json::from_slice(message).ok()?;
    (envelope.kind == "req").then_some(envelope.method)?
}
