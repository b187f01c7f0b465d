//! A client for the container runtime on the host, by the Container Runtime Interface (CRI, version `runtime.v1`).
//!
//! It asks containerd for pods, containers and images, as kubelet does, and puts images from files into containerd's
//! store. The binary `lazuli-cri` is a command line over it and answers to `crictl` for the usual verbs; other agents
//! ask with [`Runtime`] whether the runtime is well.
//!
//! Messages are JSON on this side. A [schema](schema) leads their translation, so there is neither generated code nor
//! a `protoc` at build time, and the calls are plain gRPC over HTTP/2 ([`grpc`]). It must not know where images come
//! from, and it decides nothing about the host: what it is told to run, it asks the runtime to run.

pub mod archive;
pub(crate) mod base64;
pub mod grpc;
pub mod pod;
pub mod runtime;
pub mod schema;
pub mod testing;
pub mod time;
pub mod wire;

pub use base64::decode as decode_base64;
pub use runtime::{Imported, Runtime, SOCKET};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The call.
    #[error(transparent)]
    Call(#[from] grpc::Error),
    /// A message.
    #[error(transparent)]
    Message(#[from] wire::Error),
    /// An archive.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] lazuli_fs::Error),
    /// A file that should be JSON.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// A blob of an archive could not be read.
    #[error("{digest}: {source}")]
    Blob {
        /// The blob.
        digest: String,
        /// The reason.
        source: std::io::Error,
    },
    /// The runtime did not notice an image that was put into its store.
    #[error(
        "{name} is in the store, but the runtime has not noticed it within {seconds} s; restart containerd"
    )]
    Unnoticed {
        /// The image.
        name: String,
        /// How long we waited.
        seconds: u64,
    },
    /// What was asked cannot be.
    #[error("{0}")]
    Usage(String),
}
