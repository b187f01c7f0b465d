//! `lazuli-cri` and a real containerd: images from files, and what the runtime says of itself.
//!
//! containerd runs in a tool root as an ordinary user may; pods need more and are tested in a guest
//! (`container_host.rs`).

#[path = "support/user.rs"]
mod user;

use lazuli_cri::archive::Archive;
use lazuli_cri::{Runtime, testing};
use lazuli_fs as fs;
use lazuli_sandbox::{Access, Child, Output, Sandbox};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use user::lazuli;

const CONFIG: &str = r#"
version = 2
root = "/work/root"
state = "/work/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "/work/socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
disable_apparmor = true
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/work/cni"
"#;

struct Containerd {
    work: tempfile::TempDir,
    _child: Child,
}

fn start() -> Containerd {
    let work = tempfile::tempdir().expect("a temporary directory");
    fs::write(work.path().join("config.toml"), CONFIG).expect("a file");
    let root = lazuli(&["tool-root", "containers"]);
    let child = Sandbox::new(root.trim())
        .bind(work.path(), "/work", Access::ReadWrite)
        .command("/usr/bin/containerd")
        .args(["--config", "/work/config.toml", "--log-level", "warn"])
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .spawn()
        .expect("containerd starts");
    Containerd { work, _child: child }
}

impl Containerd {
    fn connect(&self) -> Runtime {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let runtime = Runtime::connect(&self.work.path().join("socket"), Duration::from_secs(20));
            // Its plugins start after its socket does.
            match runtime.and_then(|mut runtime| runtime.call("Version", &json!({})).map(|_| runtime)) {
                Ok(runtime) => return runtime,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

fn archive(dir: &Path, bytes: &[u8]) -> Archive {
    let path = dir.join("image.tar");
    fs::write(&path, bytes).expect("a file");
    Archive::open(&path).expect("an archive")
}

fn names(runtime: &mut Runtime) -> Vec<String> {
    let images = runtime.call("ListImages", &json!({})).expect("a list");
    let images = images["images"].as_array().cloned().unwrap_or_default();
    images
        .iter()
        .flat_map(|i| i["repoTags"].as_array().cloned().unwrap_or_default())
        .map(|t| t.to_string())
        .collect()
}

#[test]
fn images_go_in_once_are_listed_pinned_renamed_and_removed() {
    let containerd = start();
    let mut runtime = containerd.connect();
    let version = runtime.call("Version", &json!({})).expect("versions");
    assert_eq!(version["runtimeName"], "containerd");
    assert_eq!(version["runtimeApiVersion"], "v1");
    // There is no network for pods here, and the runtime says so.
    let ready = runtime.ready().expect("a state");
    let reason = ready.expect_err("it is not ready");
    assert!(reason.to_lowercase().contains("network"), "{reason}");

    // Larger than one message, so that it goes in parts.
    let content: Vec<u8> =
        (0..3_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()).collect();
    let bytes = testing::image("localhost/one:1", &[("program", &content)], &["/program"]).expect("memory");
    let mut first = archive(containerd.work.path(), &bytes);
    let imported = runtime.import(&mut first, None, true).expect("it goes in");
    assert_eq!(imported[0].name, "localhost/one:1");
    assert!(imported[0].written > content.len() as u64);
    assert_eq!(names(&mut runtime), ["\"localhost/one:1\""]);
    let status =
        runtime.call("ImageStatus", &json!({"image": {"image": "localhost/one:1"}})).expect("an image");
    assert_eq!(status["image"]["pinned"], true);

    // Once more: its record stays as it is. Without the mark it loses it, and gets it back.
    let record = runtime.image("localhost/one:1").expect("an answer");
    assert_eq!(runtime.import(&mut first, None, true).expect("it is there")[0].written, 0);
    assert_eq!(runtime.image("localhost/one:1").expect("an answer"), record);
    for pinned in [false, true] {
        assert_eq!(runtime.import(&mut first, None, pinned).expect("it is there")[0].written, 0);
        let status =
            runtime.call("ImageStatus", &json!({"image": {"image": "localhost/one:1"}})).expect("an image");
        assert_eq!(status["image"]["pinned"], pinned);
    }

    // Once more, under another name: nothing is written.
    let again = runtime.import(&mut first, Some("localhost/two:1"), false).expect("it goes in");
    assert_eq!((again[0].written, again[0].name.as_str()), (0, "localhost/two:1"));
    assert_eq!(
        runtime.stored("localhost/two:1").expect("an answer").as_deref(),
        Some(imported[0].digest.as_str())
    );
    // Another image takes the name over.
    let bytes = testing::image("localhost/two:1", &[("program", b"new")], &["/program"]).expect("memory");
    let newer =
        runtime.import(&mut archive(containerd.work.path(), &bytes), None, false).expect("it goes in");
    assert_eq!(runtime.stored("localhost/two:1").expect("an answer"), Some(newer[0].digest.clone()));

    runtime.call("RemoveImage", &json!({"image": {"image": "localhost/two:1"}})).expect("it goes");
    assert_eq!(runtime.stored("localhost/two:1").expect("an answer"), None);
    assert_eq!(names(&mut runtime), ["\"localhost/one:1\""]);
}

#[test]
fn mistakes_are_explained() {
    let containerd = start();
    let mut runtime = containerd.connect();
    let error = runtime.call("ContainerStatus", &json!({"container_id": "nothing"})).unwrap_err().to_string();
    assert!(error.contains("nothing") && error.contains("not found"), "{error}");
    let error = runtime.call("StartContainer", &json!({"id": "x"})).unwrap_err().to_string();
    assert_eq!(error, "id: StartContainerRequest has no such key; it has container_id");

    // A layer that is not what its digest says: containerd refuses it, and there is no image.
    let mut bytes = testing::image("localhost/a:1", &[("program", b"content that will be altered")], &[])
        .expect("memory");
    let at = bytes.windows(7).position(|w| w == b"content").expect("it is there");
    bytes[at] ^= 1;
    let error =
        runtime.import(&mut archive(containerd.work.path(), &bytes), None, false).unwrap_err().to_string();
    assert!(error.contains("unexpected commit digest") || error.contains("failed"), "{error}");
    assert_eq!(names(&mut runtime), Vec::<String>::new());

    // Cut off in the middle of the layer.
    let bytes = testing::image("localhost/a:1", &[("program", &vec![7; 100_000])], &[]).expect("memory");
    let path = containerd.work.path().join("cut.tar");
    fs::write(&path, &bytes[..60_000]).expect("a file");
    assert!(Archive::open(&path).and_then(|a| a.images()).is_err());

    let bytes = testing::image("untagged", &[], &[]).expect("memory");
    let error =
        runtime.import(&mut archive(containerd.work.path(), &bytes), None, false).unwrap_err().to_string();
    assert!(error.contains("say --name HOST/NAME:TAG"), "{error}");
    let _: Value = runtime.call("ListContainers", &json!({})).expect("the connection still works");
}
