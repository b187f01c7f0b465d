//! What each verb does.

use crate::cli::{Cli, Format, List, Verb};
use crate::show;
use lazuli_cri::archive::Archive;
use lazuli_cri::{Error, Runtime, pod, time};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Carries out the command line; the value is the status to exit with.
pub fn run(cli: &Cli) -> Result<u8> {
    let socket = cli.socket.strip_prefix("unix://").unwrap_or(&cli.socket);
    let mut runtime = Runtime::connect(Path::new(socket), Duration::from_secs(cli.timeout))?;
    let runtime = &mut runtime;
    match &cli.verb {
        Verb::Version => {
            let version = runtime.call("Version", &json!({}))?;
            let line = |name: &str, key: &str| format!("{name}:  {}", show::text(&version[key]));
            show::lines([
                line("Version", "version"),
                line("RuntimeName", "runtimeName"),
                line("RuntimeVersion", "runtimeVersion"),
                line("RuntimeApiVersion", "runtimeApiVersion"),
            ])?;
        }
        Verb::Info { ready } => {
            show::json(&unfold(runtime.call("Status", &json!({"verbose": true}))?))?;
            if *ready && let Err(reason) = runtime.ready()? {
                return Err(Error::Usage(format!("not ready: {reason}")).into());
            }
        }
        Verb::Images { list } => images(runtime, list)?,
        Verb::Inspecti { image } => {
            let status = runtime.call("ImageStatus", &json!({"image": {"image": image}, "verbose": true}))?;
            if status["image"].is_null() {
                return Err(Error::Usage(format!("there is no image {image}")).into());
            }
            show::json(&unfold(status))?;
        }
        Verb::Pull { image } => {
            let answer = runtime.call("PullImage", &json!({"image": {"image": image}}))?;
            show::lines([format!("Image is up to date for {}", show::text(&answer["imageRef"]))])?;
        }
        Verb::Import { archives, name, pin } => {
            for path in archives {
                let mut archive = Archive::open(path)?;
                for image in runtime.import(&mut archive, name.as_deref(), *pin)? {
                    let written = show::size(image.written);
                    show::lines([format!("Imported {}@{} ({written} new)", image.name, image.digest)])?;
                }
            }
        }
        Verb::Rmi { images } => {
            for image in images {
                let status = runtime.call("ImageStatus", &json!({"image": {"image": image}}))?;
                if status["image"].is_null() {
                    return Err(Error::Usage(format!("there is no image {image}")).into());
                }
                runtime.call("RemoveImage", &json!({"image": {"image": image}}))?;
                show::lines([format!("Deleted: {image}")])?;
            }
        }
        Verb::Pods { list } => pods(runtime, list)?,
        Verb::Inspectp { pod } => {
            show::json(&unfold(
                runtime.call("PodSandboxStatus", &json!({"pod_sandbox_id": pod, "verbose": true}))?,
            ))?;
        }
        Verb::Runp { config } => {
            let id = run_pod(runtime, &mut pod_config(config)?)?;
            show::lines([id])?;
        }
        Verb::Stopp { pods } => {
            for pod in pods {
                runtime.call("StopPodSandbox", &json!({"pod_sandbox_id": pod}))?;
                show::lines([format!("Stopped sandbox {pod}")])?;
            }
        }
        Verb::Rmp { pods, force } => {
            for pod in pods {
                if *force {
                    runtime.call("StopPodSandbox", &json!({"pod_sandbox_id": pod}))?;
                }
                runtime.call("RemovePodSandbox", &json!({"pod_sandbox_id": pod}))?;
                show::lines([format!("Removed sandbox {pod}")])?;
            }
        }
        Verb::Ps { all, list } => containers(runtime, *all, list)?,
        Verb::Inspect { container } => {
            show::json(&unfold(
                runtime.call("ContainerStatus", &json!({"container_id": container, "verbose": true}))?,
            ))?;
        }
        Verb::Create { pod, container_config, pod_config: config } => {
            let mut config = pod_config(config)?;
            let id = create(runtime, pod, container_config, &mut config)?;
            show::lines([id])?;
        }
        Verb::Run { container_config, pod_config: config } => {
            let mut config = pod_config(config)?;
            let pod = run_pod(runtime, &mut config)?;
            let id = create(runtime, &pod, container_config, &mut config)?;
            runtime.call("StartContainer", &json!({"container_id": id}))?;
            show::lines([id])?;
        }
        Verb::Start { containers } => {
            for id in containers {
                runtime.call("StartContainer", &json!({"container_id": id}))?;
                show::lines([id])?;
            }
        }
        Verb::Stop { containers, grace } => {
            for id in containers {
                runtime.call("StopContainer", &json!({"container_id": id, "timeout": grace}))?;
                show::lines([id])?;
            }
        }
        Verb::Rm { containers, force } => {
            for id in containers {
                if *force {
                    runtime.call("StopContainer", &json!({"container_id": id, "timeout": 0}))?;
                }
                runtime.call("RemoveContainer", &json!({"container_id": id}))?;
                show::lines([id])?;
            }
        }
        Verb::Logs { container, tail, timestamps } => logs(runtime, container, *tail, *timestamps)?,
        Verb::Exec { sync: _, container, command } => {
            let request = json!({"container_id": container, "cmd": command, "timeout": cli.timeout});
            let answer = runtime.call("ExecSync", &request)?;
            let bytes = |key: &str| lazuli_cri::decode_base64(show::text(&answer[key])).unwrap_or_default();
            std::io::stdout().write_all(&bytes("stdout"))?;
            std::io::stderr().write_all(&bytes("stderr"))?;
            return Ok(answer["exitCode"].as_i64().and_then(|code| u8::try_from(code).ok()).unwrap_or(255));
        }
        Verb::Stats { list } => stats(runtime, "ListContainerStats", list)?,
        Verb::Statsp { list } => stats(runtime, "ListPodSandboxStats", list)?,
    }
    Ok(0)
}

/// A pod's configuration with what it leaves open.
fn pod_config(path: &Path) -> Result<Value> {
    let mut config = pod::read(path)?;
    let uid = lazuli_fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    pod::complete_pod(&mut config, uid.trim(), pod::resolv_conf().as_deref())?;
    Ok(config)
}

fn run_pod(runtime: &mut Runtime, config: &mut Value) -> Result<String> {
    // The runtime opens logs in it, but does not make it.
    if let Some(directory) = pod::log_directory(config) {
        lazuli_fs::create_dir_all(directory)?;
    }
    let answer = runtime.call("RunPodSandbox", &json!({"config": config}))?;
    Ok(show::text(&answer["podSandboxId"]).to_owned())
}

fn create(runtime: &mut Runtime, sandbox: &str, container: &Path, config: &mut Value) -> Result<String> {
    // A pod that exists has its identifier, and its logs lie where it says.
    let status = runtime.call("PodSandboxStatus", &json!({"pod_sandbox_id": sandbox}))?;
    let uid = show::text(&status["status"]["metadata"]["uid"]);
    config["metadata"]["uid"] = uid.into();
    if let Some(object) = config.as_object_mut() {
        object.remove("log_directory");
    }
    pod::complete_pod(config, uid, None)?;
    let mut container = pod::read(container)?;
    pod::complete_container(&mut container)?;
    let request = json!({"pod_sandbox_id": sandbox, "config": container, "sandbox_config": config});
    let answer = runtime.call("CreateContainer", &request)?;
    Ok(show::text(&answer["containerId"]).to_owned())
}

/// The runtime gives details as text that is JSON; here it becomes JSON.
fn unfold(mut value: Value) -> Value {
    if let Some(info) = value["info"].as_object_mut() {
        for detail in info.values_mut() {
            if let Some(parsed) = detail.as_str().and_then(|text| serde_json::from_str(text).ok()) {
                *detail = parsed;
            }
        }
    }
    value
}

fn print<const N: usize>(
    list: &List,
    answer: &Value,
    ids: Vec<String>,
    head: [&str; N],
    rows: &[[String; N]],
) -> Result<()> {
    match list.output {
        Format::Json => show::json(answer)?,
        Format::Table if list.quiet => show::lines(ids)?,
        Format::Table => show::lines(show::table(head, rows))?,
    }
    Ok(())
}

fn images(runtime: &mut Runtime, list: &List) -> Result<()> {
    let answer = runtime.call("ListImages", &json!({}))?;
    let images = show::items(&answer["images"]);
    let ids = images.iter().map(|image| show::text(&image["id"]).to_owned()).collect();
    let mut rows = Vec::new();
    for image in images {
        let tags = show::items(&image["repoTags"]);
        let names = if tags.is_empty() { vec!["<none>"] } else { tags.iter().map(show::text).collect() };
        for name in names {
            let (name, tag) = show::name_and_tag(name);
            rows.push([
                name,
                tag,
                show::short(show::text(&image["id"])),
                show::size(show::number(&image["size"])),
            ]);
        }
    }
    rows.sort();
    print(list, &answer, ids, ["IMAGE", "TAG", "IMAGE ID", "SIZE"], &rows)
}

/// How long ago, given nanoseconds since 1970.
fn ago(nanoseconds: &Value) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    time::ago(now.saturating_sub(show::number(nanoseconds) / 1_000_000_000))
}

fn pods(runtime: &mut Runtime, list: &List) -> Result<()> {
    let answer = runtime.call("ListPodSandbox", &json!({}))?;
    let pods = show::items(&answer["items"]);
    let ids = pods.iter().map(|pod| show::text(&pod["id"]).to_owned()).collect();
    let rows: Vec<_> = pods
        .iter()
        .map(|pod| {
            [
                show::short(show::text(&pod["id"])),
                ago(&pod["createdAt"]),
                if pod["state"] == "SANDBOX_READY" { "Ready" } else { "NotReady" }.to_owned(),
                show::text(&pod["metadata"]["name"]).to_owned(),
                show::text(&pod["metadata"]["namespace"]).to_owned(),
                show::number(&pod["metadata"]["attempt"]).to_string(),
            ]
        })
        .collect();
    print(list, &answer, ids, ["POD ID", "CREATED", "STATE", "NAME", "NAMESPACE", "ATTEMPT"], &rows)
}

fn containers(runtime: &mut Runtime, all: bool, list: &List) -> Result<()> {
    let filter = if all { json!({}) } else { json!({"filter": {"state": {"state": "CONTAINER_RUNNING"}}}) };
    let answer = runtime.call("ListContainers", &filter)?;
    let containers = show::items(&answer["containers"]);
    let ids = containers.iter().map(|container| show::text(&container["id"]).to_owned()).collect();
    let rows: Vec<_> = containers
        .iter()
        .map(|container| {
            let state = match show::text(&container["state"]) {
                "CONTAINER_CREATED" => "Created",
                "CONTAINER_RUNNING" => "Running",
                "CONTAINER_EXITED" => "Exited",
                _ => "Unknown",
            };
            [
                show::short(show::text(&container["id"])),
                show::text(&container["image"]["image"]).to_owned(),
                ago(&container["createdAt"]),
                state.to_owned(),
                show::text(&container["metadata"]["name"]).to_owned(),
                show::number(&container["metadata"]["attempt"]).to_string(),
                show::short(show::text(&container["podSandboxId"])),
            ]
        })
        .collect();
    print(list, &answer, ids, ["CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID"], &rows)
}

fn stats(runtime: &mut Runtime, method: &str, list: &List) -> Result<()> {
    let answer = runtime.call(method, &json!({}))?;
    let all = show::items(&answer["stats"]);
    let ids = all.iter().map(|stats| show::text(&stats["attributes"]["id"]).to_owned()).collect();
    let rows: Vec<_> = all
        .iter()
        .map(|stats| {
            // Pods have theirs one level deeper.
            let used = if stats.get("linux").is_some() { &stats["linux"] } else { stats };
            let cpu = show::number(&used["cpu"]["usageCoreNanoSeconds"]["value"]) as f64 / 1e9;
            [
                show::short(show::text(&stats["attributes"]["id"])),
                show::text(&stats["attributes"]["metadata"]["name"]).to_owned(),
                format!("{cpu:.2}"),
                show::size(show::number(&used["memory"]["workingSetBytes"]["value"])),
            ]
        })
        .collect();
    print(list, &answer, ids, ["ID", "NAME", "CPU SECONDS", "MEMORY"], &rows)
}

fn logs(runtime: &mut Runtime, container: &str, tail: Option<usize>, timestamps: bool) -> Result<()> {
    let status = runtime.call("ContainerStatus", &json!({"container_id": container}))?;
    let path = show::text(&status["status"]["logPath"]);
    if path.is_empty() {
        return Err(Error::Usage(format!("container {container} has no log")).into());
    }
    // Nobody limits a log: it is never in memory as a whole.
    let mut log = BufReader::new(lazuli_fs::open(path)?);
    let mut kept = VecDeque::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if log.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        match tail {
            None => show_log_line(&text, timestamps)?,
            Some(0) => {}
            Some(count) => {
                if kept.len() == count.min(MOST_LINES) {
                    kept.pop_front();
                }
                kept.push_back(text);
            }
        }
    }
    kept.iter().try_for_each(|text| show_log_line(text, timestamps))
}

/// The longest line of a log that is read at once, in bytes: the runtime cuts at 16 KiB. What is longer is shown as several.
const LONGEST_LINE: u64 = 1 << 20;
/// The most lines that are kept for `--tail`.
const MOST_LINES: usize = 100_000;

fn show_log_line(text: &str, timestamps: bool) -> Result<()> {
    let Some(line) = pod::log_line(text.trim_end_matches(['\r', '\n'])) else { return Ok(()) };
    let time = if timestamps { format!("{} ", line.time) } else { String::new() };
    let end = if line.ends { "\n" } else { "" };
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    let target: &mut dyn std::io::Write = if line.stderr { &mut err } else { &mut out };
    write!(target, "{time}{}{end}", line.text)?;
    Ok(())
}
