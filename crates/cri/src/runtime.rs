//! The container runtime: CRI's calls, and containerd's image store.

use crate::archive::{Archive, Blob, Image};
use crate::grpc::{Channel, Code};
use crate::{Error, wire};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Where containerd listens.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// The namespace of containerd in which CRI keeps its images.
const NAMESPACE: &str = "k8s.io";
/// Bytes of a blob that go into one message; containerd refuses more than 16 MiB.
const CHUNK: usize = 1 << 20;
/// How long CRI may take to notice an image that was put into the store.
const NOTICE: Duration = Duration::from_secs(20);

/// Methods of CRI's image service; all others belong to the runtime service.
const IMAGE_METHODS: [&str; 5] = ["ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"];

/// A connection to the runtime.
#[derive(Debug)]
pub struct Runtime {
    channel: Channel,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The image's name.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Bytes that were written; blobs that were there already are not.
    pub written: u64,
}

/// The label of an image that is never removed to free space.
const PINNED: &str = "io.cri-containerd.pinned";

/// An image of an archive as the store is to have it.
struct Wanted<'a> {
    image: &'a Image,
    name: &'a str,
    pinned: bool,
}

impl<'a> Wanted<'a> {
    fn new(image: &'a Image, name: Option<&'a str>, pinned: bool) -> Result<Self, Error> {
        let Some(name) = name.or(image.name.as_deref()).filter(|name| name.contains('/')) else {
            let has = image.name.as_deref().unwrap_or("none");
            return Err(Error::Usage(format!(
                "the archive gives no full name to its image (it has: {has}); say --name HOST/NAME:TAG"
            )));
        };
        Ok(Self { image, name, pinned })
    }

    fn labels(&self) -> serde_json::Map<String, Value> {
        let pinned = self.pinned.then_some((PINNED, "pinned"));
        [("io.cri-containerd.image", "managed")]
            .into_iter()
            .chain(pinned)
            .map(|(label, value)| (label.to_owned(), value.into()))
            .collect()
    }

    fn imported(&self, written: u64) -> Imported {
        Imported { name: self.name.to_owned(), digest: self.image.target.digest.clone(), written }
    }
}

impl Runtime {
    /// Connects to the socket at `path`. A call may take up to `limit`.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self, Error> {
        Ok(Self { channel: Channel::connect(path, limit)? })
    }

    /// Calls a method of CRI, for example `ListContainers`. Request and answer are the messages of its name in JSON,
    /// with the answer's names in camel case and every field there.
    pub fn call(&mut self, method: &str, request: &Value) -> Result<Value, Error> {
        let service = if IMAGE_METHODS.contains(&method) { "ImageService" } else { "RuntimeService" };
        let request = wire::encode(&format!("{method}Request"), request)?;
        let answer = self.channel.unary(&format!("runtime.v1.{service}/{method}"), &[], &request)?;
        Ok(wire::decode(&format!("{method}Response"), &answer)?)
    }

    /// Whether the runtime says that it and its network are ready. The text says what is not.
    pub fn ready(&mut self) -> Result<Result<(), String>, Error> {
        let status = self.call("Status", &json!({}))?;
        let conditions = status["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let holds = |name: &str| conditions.iter().any(|c| c["type"] == name && c["status"] == true);
        if holds("RuntimeReady") && holds("NetworkReady") {
            return Ok(Ok(()));
        }
        let reasons = conditions.iter().filter(|c| c["status"] != true);
        let reasons: Vec<String> =
            reasons.map(|c| c["message"].as_str().unwrap_or_default().to_owned()).collect();
        Ok(Err(if reasons.is_empty() { "it reports no condition".to_owned() } else { reasons.join("; ") }))
    }

    /// Puts the images of an archive into the store. `name` replaces the archive's own name of its only image. A
    /// pinned image is never removed to free space.
    ///
    /// An image that the store has wholly, under the name and with the marks it is to have, is left as it is, and nothing is
    /// written.
    ///
    /// Order: a lease, so that nothing is collected meanwhile; blobs, those that others refer to first, each committed
    /// under its digest, which containerd verifies; then the name, which is what makes them an image. A break in
    /// between leaves blobs that the next collection removes once the lease has expired.
    pub fn import(
        &mut self,
        archive: &mut Archive,
        name: Option<&str>,
        pinned: bool,
    ) -> Result<Vec<Imported>, Error> {
        let images = archive.images()?;
        if name.is_some() && images.len() > 1 {
            return Err(Error::Usage(format!(
                "the archive has {} images; one name does not do",
                images.len()
            )));
        }
        let mut done = Vec::new();
        let mut lease = None;
        for image in &images {
            let wanted = Wanted::new(image, name, pinned)?;
            if self.has(archive, &wanted)? {
                done.push(wanted.imported(0));
                continue;
            }
            let lease = match &lease {
                Some(lease) => lease,
                None => lease.insert(self.lease()?),
            };
            done.push(self.import_one(archive, &wanted, lease)?);
        }
        if let Some(lease) = lease {
            self.store("leases.v1.Leases/Delete", "DeleteLease", &json!({"id": lease}), None)?;
        }
        for image in &done {
            self.wait_for(&image.name)?;
        }
        Ok(done)
    }

    /// A lease, which keeps what is not an image yet.
    fn lease(&mut self) -> Result<String, Error> {
        let id = lease_id()?;
        let lease = json!({"id": id, "labels": {"containerd.io/gc.expire": expiry()}});
        self.store("leases.v1.Leases/Create", "CreateLease", &lease, None)?;
        Ok(id)
    }

    /// Whether the store has the image with just these marks, and all that it is made of with the references that keep it.
    fn has(&mut self, archive: &mut Archive, wanted: &Wanted) -> Result<bool, Error> {
        let Some(stored) = self.image(wanted.name)? else { return Ok(false) };
        let labels = &stored["labels"];
        let marked = wanted.labels().iter().all(|(label, value)| labels[label] == *value)
            && labels[PINNED].is_null() != wanted.pinned;
        if stored["target"]["digest"] != wanted.image.target.digest || !marked {
            return Ok(false);
        }
        for blob in archive.blobs(wanted.image)? {
            let asked = json!({"digest": blob.descriptor.digest});
            let Some(answer) = self.ask("content.v1.Content/Info", "Info", &asked, None)? else {
                return Ok(false);
            };
            if blob.references.iter().any(|(label, to)| answer["info"]["labels"][label] != **to) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn import_one(&mut self, archive: &mut Archive, wanted: &Wanted, lease: &str) -> Result<Imported, Error> {
        let mut written = 0;
        for blob in archive.blobs(wanted.image)? {
            written += self.write_blob(archive, &blob, lease)?;
        }
        let target = &wanted.image.target;
        let record = json!({"image": {
            "name": wanted.name,
            "labels": wanted.labels(),
            "target": {"media_type": target.media_type, "digest": target.digest, "size": target.size},
        }});
        match self.store("images.v1.Images/Create", "CreateImage", &record, Some(lease)) {
            Err(Error::Call(crate::grpc::Error::Status { code: Code::AlreadyExists, .. })) => {
                self.store("images.v1.Images/Update", "UpdateImage", &record, Some(lease))?;
            }
            other => drop(other?),
        }
        Ok(wanted.imported(written))
    }

    /// Writes a blob unless it is there. Returns the bytes that went over.
    fn write_blob(&mut self, archive: &mut Archive, blob: &Blob, lease: &str) -> Result<u64, Error> {
        let descriptor = &blob.descriptor;
        let digest = &descriptor.digest;
        if self.ask("content.v1.Content/Info", "Info", &json!({"digest": digest}), Some(lease))?.is_some() {
            // Another image may have brought it without the references of this one.
            let info = json!({"info": {"digest": digest, "labels": blob.references},
                "update_mask": {"paths": blob.references.keys().map(|k| format!("labels.{k}")).collect::<Vec<_>>()}});
            if !blob.references.is_empty() {
                self.store("content.v1.Content/Update", "UpdateContent", &info, Some(lease))?;
            }
            return Ok(0);
        }
        let mut content = archive.read(descriptor)?;
        let mut call =
            self.channel.open("containerd.services.content.v1.Content/Write", &metadata(Some(lease)))?;
        let (mut offset, mut chunk) = (0u64, vec![0; CHUNK]);
        loop {
            let mut filled = 0;
            while filled < chunk.len() {
                match content.read(&mut chunk[filled..]) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(source) => return Err(Error::Blob { digest: digest.clone(), source }),
                }
            }
            let last = offset + filled as u64 >= descriptor.size;
            let mut message = wire::encode(
                "WriteContentRequest",
                &json!({
                    "action": if last { "COMMIT" } else { "WRITE" },
                    "ref": format!("lazuli-import-{digest}"),
                    "total": descriptor.size,
                    "expected": digest,
                    "offset": offset,
                    "labels": if last { json!(blob.references) } else { json!({}) },
                }),
            )?;
            // Field 6 is the data.
            wire::put_bytes(&mut message, 6, &chunk[..filled]);
            call.send(&message, last)?;
            call.receive()?;
            offset += filled as u64;
            if last {
                break;
            }
            if filled == 0 {
                return Err(Error::Blob {
                    digest: digest.clone(),
                    source: std::io::ErrorKind::UnexpectedEof.into(),
                });
            }
        }
        match call.finish() {
            // Somebody else wrote it at the same time.
            Err(crate::grpc::Error::Status { code: Code::AlreadyExists, .. }) => Ok(0),
            other => {
                other?;
                Ok(offset)
            }
        }
    }

    /// Waits until CRI knows the image; it hears of it by an event.
    fn wait_for(&mut self, name: &str) -> Result<(), Error> {
        let end = Instant::now() + NOTICE;
        loop {
            let status = self.call("ImageStatus", &json!({"image": {"image": name}}))?;
            if !status["image"].is_null() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(Error::Unnoticed { name: name.to_owned(), seconds: NOTICE.as_secs() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the store has under a name, as containerd records it: labels, target, times.
    pub fn image(&mut self, name: &str) -> Result<Option<Value>, Error> {
        let answer = self.ask("images.v1.Images/Get", "GetImage", &json!({"name": name}), None)?;
        Ok(answer.map(|mut answer| answer["image"].take()))
    }

    /// The digest that a name has in the store, if it has one.
    pub fn stored(&mut self, name: &str) -> Result<Option<String>, Error> {
        let image = self.image(name)?;
        Ok(image.and_then(|image| image["target"]["digest"].as_str().map(str::to_owned)))
    }

    /// Calls a method of containerd itself that asks for something; none if that is not there.
    fn ask(
        &mut self,
        method: &str,
        message: &str,
        request: &Value,
        lease: Option<&str>,
    ) -> Result<Option<Value>, Error> {
        match self.store(method, message, request, lease) {
            Ok(answer) => Ok(Some(answer)),
            Err(Error::Call(crate::grpc::Error::Status { code: Code::NotFound, .. })) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Calls a method of containerd itself.
    fn store(
        &mut self,
        method: &str,
        message: &str,
        request: &Value,
        lease: Option<&str>,
    ) -> Result<Value, Error> {
        let request = wire::encode(&format!("{message}Request"), request)?;
        let answer =
            self.channel.unary(&format!("containerd.services.{method}"), &metadata(lease), &request)?;
        // Deletions answer with google.protobuf.Empty.
        let name =
            if message.starts_with("Delete") { "Empty".to_owned() } else { format!("{message}Response") };
        Ok(wire::decode(&name, &answer)?)
    }
}

fn metadata(lease: Option<&str>) -> Vec<(&'static str, String)> {
    let lease = lease.map(|id| ("containerd-lease", id.to_owned()));
    [("containerd-namespace", NAMESPACE.to_owned())].into_iter().chain(lease).collect()
}

/// A name that no other import has.
fn lease_id() -> Result<String, Error> {
    let uuid = lazuli_fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(format!("lazuli-import-{}", uuid.trim()))
}

/// An hour from now, in the form of RFC 3339: a lease that nobody deletes ends then.
fn expiry() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    crate::time::rfc3339(now + 3600)
}
