//! What a pod's configuration leaves open, filled in; and the logs that containers leave.

use crate::Error;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The slice that pods are put into unless their configuration names another. Only what runs below it, or below
/// kubelet's `kubepods.slice`, may execute what is not in the host's verified root.
pub const CGROUP_PARENT: &str = "containers.slice";
/// Where containers' logs go.
const LOGS: &str = "/var/log/pods";
/// The name servers that systemd-resolved asks. `/etc/resolv.conf` names its stub, which a pod cannot reach.
const RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// Reads a configuration in JSON.
pub fn read(path: &Path) -> Result<Value, Error> {
    let text = lazuli_fs::read_to_string(path)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|source| Error::Json { path: path.display().to_string(), source })?;
    if !value.is_object() {
        return Err(Error::Usage(format!("{}: must be an object", path.display())));
    }
    Ok(value)
}

/// The value of a key in either spelling, made if it is not there.
fn entry<'a>(object: &'a mut Map<String, Value>, snake: &str, camel: &str, default: Value) -> &'a mut Value {
    let key = if object.contains_key(camel) { camel } else { snake };
    let slot = object.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = default;
    }
    slot
}

/// Completes the configuration of a pod: identifier, namespace, control group, log directory, name servers. What it
/// says stays as it is.
pub fn complete_pod(pod: &mut Value, uid: &str, resolv_conf: Option<&str>) -> Result<(), Error> {
    let missing = || Error::Usage("the pod's configuration has no metadata.name".to_owned());
    let object = pod.as_object_mut().ok_or_else(missing)?;
    let metadata = entry(object, "metadata", "metadata", json!({})).as_object_mut().ok_or_else(missing)?;
    let name = metadata
        .get("name")
        .and_then(Value::as_str)
        .filter(|n| !n.is_empty())
        .ok_or_else(missing)?
        .to_owned();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uid = text(entry(metadata, "uid", "uid", json!(uid)));
    let namespace = text(entry(metadata, "namespace", "namespace", json!("default")));
    for part in [&name, &uid, &namespace] {
        // They become a directory's name.
        if part.contains('/') || part.starts_with('.') {
            return Err(Error::Usage(format!("metadata of a pod cannot be `{part}`")));
        }
    }
    entry(object, "log_directory", "logDirectory", json!(format!("{LOGS}/{namespace}_{name}_{uid}")));
    let linux = entry(object, "linux", "linux", json!({}));
    if let Some(linux) = linux.as_object_mut() {
        entry(linux, "cgroup_parent", "cgroupParent", json!(CGROUP_PARENT));
    }
    if let Some(text) = resolv_conf {
        entry(object, "dns_config", "dnsConfig", dns(text));
    }
    Ok(())
}

/// Completes a container's configuration: its log's name.
pub fn complete_container(container: &mut Value) -> Result<(), Error> {
    let missing = || Error::Usage("the container's configuration has no metadata.name".to_owned());
    let object = container.as_object_mut().ok_or_else(missing)?;
    let name = object.get("metadata").and_then(|m| m["name"].as_str()).filter(|n| !n.is_empty());
    let name = name.ok_or_else(missing)?.to_owned();
    if name.contains('/') || name.starts_with('.') {
        return Err(Error::Usage(format!("a container cannot be named `{name}`")));
    }
    entry(object, "log_path", "logPath", json!(format!("{name}.log")));
    Ok(())
}

/// The directory of a pod's logs.
pub fn log_directory(pod: &Value) -> Option<PathBuf> {
    let directory = pod.get("log_directory").or_else(|| pod.get("logDirectory"))?.as_str()?;
    (!directory.is_empty()).then(|| PathBuf::from(directory))
}

/// The system's name servers, if they are known.
pub fn resolv_conf() -> Option<String> {
    lazuli_fs::read_to_string(RESOLV_CONF).ok()
}

/// Name servers, search domains and options of a resolv.conf(5). Servers on the loopback of the host are left out.
fn dns(text: &str) -> Value {
    let (mut servers, mut searches, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                servers.extend(words.next().filter(|s| !s.starts_with("127.") && *s != "::1"));
            }
            Some("search") => searches = words.filter(|domain| *domain != ".").collect(),
            Some("options") => options.extend(words.filter(|option| !["edns0", "trust-ad"].contains(option))),
            _ => {}
        }
    }
    json!({"servers": servers, "searches": searches, "options": options})
}

/// A line of a container's log: `TIME stdout|stderr F|P TEXT`, where P says that the line goes on.
/// See <https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When, in RFC 3339.
    pub time: &'a str,
    /// Whether it came by standard error.
    pub stderr: bool,
    /// Whether the line ends here.
    pub ends: bool,
    /// What was said.
    pub text: &'a str,
}

/// Understands a line of a log; `None` if it is not one.
pub fn log_line(line: &str) -> Option<LogLine<'_>> {
    let mut parts = line.splitn(4, ' ');
    let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let text = parts.next().unwrap_or_default();
    let stderr = match stream {
        "stdout" => false,
        "stderr" => true,
        _ => return None,
    };
    Some(LogLine { time, stderr, ends: tag.split(':').any(|t| t == "F"), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_says_stays() {
        let mut pod = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "7"}, "linux": {},
            "dnsConfig": {"servers": ["192.0.2.1"]}});
        complete_pod(&mut pod, "other", Some("nameserver 192.0.2.9")).unwrap();
        assert_eq!(pod["metadata"]["uid"], "7");
        assert_eq!(pod["log_directory"], "/var/log/pods/shop_web_7");
        assert_eq!(pod["linux"]["cgroup_parent"], "containers.slice");
        assert_eq!(pod["dnsConfig"]["servers"], json!(["192.0.2.1"]));
        assert!(pod.get("dns_config").is_none());
        crate::wire::encode("PodSandboxConfig", &pod).unwrap();
    }

    #[test]
    fn names_do_not_leave_their_directory() {
        for metadata in [json!({"name": "../../etc"}), json!({"name": "a", "namespace": ".."}), json!({})] {
            assert!(complete_pod(&mut json!({"metadata": metadata}), "1", None).is_err());
        }
        assert!(complete_container(&mut json!({"metadata": {"name": "a/b"}})).is_err());
    }

    #[test]
    fn name_servers_that_a_pod_can_reach() {
        let text = "# made\nnameserver 127.0.0.53\nnameserver 10.0.2.3\noptions edns0 trust-ad ndots:2\nsearch a.example .\n";
        let dns = dns(text);
        assert_eq!(dns, json!({"servers": ["10.0.2.3"], "searches": ["a.example"], "options": ["ndots:2"]}));
    }

    #[test]
    fn lines_of_logs() {
        let line = log_line("2026-11-27T02:00:00.1Z stderr P some text").unwrap();
        assert_eq!(
            line,
            LogLine { time: "2026-11-27T02:00:00.1Z", stderr: true, ends: false, text: "some text" }
        );
        assert_eq!(log_line("2026-11-27T02:00:00.1Z stdout F ").unwrap().text, "");
        assert_eq!(log_line("panic: at the disco"), None);
    }
}
