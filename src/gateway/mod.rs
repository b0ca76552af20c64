//! How we talk to OpenClaw: frames, session, link, calls, config writer. No Kubernetes types.
