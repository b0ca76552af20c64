//! Device identities: who signed, who waits for approval, and who was approved.

use std::collections::BTreeMap;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::refusal::{invalid, invalid_with};
use super::state::{now_ms, random_id};

/// A signature may be this much older or newer than the gateway's clock, in milliseconds.
const SKEW_MS: u64 = 120_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// By request id.
    pending: BTreeMap<String, Device>,
    /// By device id.
    paired: BTreeMap<String, Paired>,
}

#[derive(Clone, Debug)]
struct Device {
    id: String,
    public_key: String,
    platform: String,
    scopes: Vec<String>,
    asked_ms: u64,
}

#[derive(Debug)]
struct Paired {
    device: Device,
    token: String,
}

/// What the gateway makes of a device that has signed.
pub(super) enum Standing {
    /// It is approved: its token, and the scopes that it was approved for.
    Paired { token: String, scopes: Vec<String> },
    /// It waits for approval under this request id, for this reason.
    Pending {
        request_id: String,
        reason: &'static str,
        /// The scopes that it was approved for before, if it was.
        approved: Option<Vec<String>>,
    },
}

/// Checks the signature of a `connect`, and answers the id of the device that made it.
pub(super) fn verified(params: &Value, nonce: &str) -> Result<String, Value> {
    let device = &params["device"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let refused = |message: &str, code: &str, reason: &str| {
        invalid_with(message, &json!({"code": code, "reason": reason}))
    };
    let key = BASE64URL_NOPAD
        .decode(text(&device["publicKey"]).as_bytes())
        .unwrap_or_default();
    let id = HEXLOWER.encode(&Sha256::digest(&key));
    if id != text(&device["id"]) {
        return Err(refused(
            "device identity mismatch",
            "DEVICE_AUTH_DEVICE_ID_MISMATCH",
            "device-id-mismatch",
        ));
    }
    let signed_at = device["signedAt"].as_u64().unwrap_or_default();
    if signed_at.abs_diff(now_ms()) > SKEW_MS {
        return Err(refused(
            "device signature expired",
            "DEVICE_AUTH_SIGNATURE_EXPIRED",
            "device-signature-stale",
        ));
    }
    if text(&device["nonce"]) != nonce {
        return Err(refused(
            "device nonce mismatch",
            "DEVICE_AUTH_NONCE_MISMATCH",
            "device-nonce-mismatch",
        ));
    }
    let signature = BASE64URL_NOPAD
        .decode(text(&device["signature"]).as_bytes())
        .unwrap_or_default();
    let key = UnparsedPublicKey::new(&ED25519, key);
    let is_signed = |text: &str| key.verify(text.as_bytes(), &signature).is_ok();
    let v2 = signed_text(params, nonce, signed_at);
    let client = &params["client"];
    let folded = |name: &str| text(&client[name]).trim().to_ascii_lowercase();
    let v3 = format!("v3|{v2}|{}|{}", folded("platform"), folded("deviceFamily"));
    if !is_signed(&v3) && !is_signed(&format!("v2|{v2}")) {
        return Err(refused(
            "device signature invalid",
            "DEVICE_AUTH_SIGNATURE_INVALID",
            "device-signature",
        ));
    }
    Ok(id)
}

/// What both versions of the signature have in common.
fn signed_text(params: &Value, nonce: &str, signed_at: u64) -> String {
    let auth = &params["auth"];
    let token = ["token", "deviceToken", "bootstrapToken"]
        .iter()
        .find_map(|name| auth[*name].as_str())
        .unwrap_or_default();
    [
        params["device"]["id"].as_str().unwrap_or_default(),
        params["client"]["id"].as_str().unwrap_or_default(),
        params["client"]["mode"].as_str().unwrap_or_default(),
        params["role"].as_str().unwrap_or_default(),
        &scopes(params).join(","),
        &signed_at.to_string(),
        token,
        nonce,
    ]
    .join("|")
}

/// The scopes that a `connect` asks for.
pub(super) fn scopes(params: &Value) -> Vec<String> {
    let scopes = params["scopes"].as_array().into_iter().flatten();
    scopes
        .filter_map(|scope| scope.as_str().map(str::to_owned))
        .collect()
}

impl Devices {
    /// Whether `token` was issued to the device `id`.
    pub(super) fn holds(&self, id: &str, token: &str) -> bool {
        self.paired
            .get(id)
            .is_some_and(|paired| paired.token == token)
    }

    /// Where a device that has signed stands; one that is not known waits from now on.
    pub(super) fn standing(&mut self, id: &str, params: &Value) -> Standing {
        let device = Device {
            id: id.to_owned(),
            public_key: params["device"]["publicKey"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            platform: params["client"]["platform"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            scopes: scopes(params),
            asked_ms: now_ms(),
        };
        let reason = match self.paired.get(id) {
            None => "not-paired",
            Some(paired) if paired.device.platform != device.platform => "metadata-upgrade",
            Some(paired) if !covers(&paired.device.scopes, &device.scopes) => "scope-upgrade",
            Some(paired) => {
                return Standing::Paired {
                    token: paired.token.clone(),
                    scopes: device.scopes,
                };
            }
        };
        let waiting = self.pending.iter().find(|(_, other)| other.id == id);
        let request_id = waiting.map_or_else(random_id, |(request_id, _)| request_id.clone());
        self.pending.insert(request_id.clone(), device);
        let approved = self
            .paired
            .get(id)
            .map(|paired| paired.device.scopes.clone());
        Standing::Pending {
            request_id,
            reason,
            approved,
        }
    }

    /// Takes the token of every device away, as an administrator does.
    pub(super) fn rotate_tokens(&mut self) {
        for paired in self.paired.values_mut() {
            paired.token = random_id();
        }
    }

    pub(super) fn list(&self) -> Value {
        let pending: Vec<Value> = self
            .pending
            .iter()
            .map(|(request_id, device)| {
                let mut row = device.row();
                row["requestId"] = json!(request_id);
                row
            })
            .collect();
        let paired: Vec<Value> = self
            .paired
            .values()
            .map(|paired| paired.device.row())
            .collect();
        json!({"pending": pending, "paired": paired})
    }

    pub(super) fn approve(&mut self, params: &Map<String, Value>) -> Result<Value, Value> {
        let request_id = params
            .get("requestId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(device) = self.pending.remove(request_id) else {
            return Err(invalid("unknown requestId"));
        };
        let answer = json!({"requestId": request_id, "device": device.row()});
        let token = random_id();
        self.paired
            .insert(device.id.clone(), Paired { device, token });
        Ok(answer)
    }
}

impl Device {
    fn row(&self) -> Value {
        json!({
            "deviceId": self.id, "publicKey": self.public_key, "platform": self.platform, "role": "operator", "scopes": self.scopes,
            "ts": self.asked_ms,
        })
    }
}

fn covers(approved: &[String], asked: &[String]) -> bool {
    approved.iter().any(|scope| scope == "operator.admin")
        || asked.iter().all(|scope| approved.contains(scope))
}
