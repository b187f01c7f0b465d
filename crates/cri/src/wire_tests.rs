use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn a_message_is_what_the_format_says() {
    // Field 1, kind 2, four bytes; field 4 is 1, field 2 of the metadata is left out as it is the default.
    let bytes =
        encode("RunPodSandboxRequest", &json!({"config": {"metadata": {"name": "p", "uid": ""}}})).unwrap();
    assert_eq!(bytes, [0x0a, 5, 0x0a, 3, 0x0a, 1, b'p']);
    let bytes = encode("StopContainerRequest", &json!({"container_id": "x", "timeout": 300})).unwrap();
    assert_eq!(bytes, [0x0a, 1, b'x', 0x10, 0xac, 0x02]);
    let bytes = encode("LinuxContainerResources", &json!({"cpu_quota": -1})).unwrap();
    assert_eq!(bytes, [0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
}

#[test]
fn both_spellings_of_a_key_and_both_forms_of_a_value() {
    let snake =
        json!({"config": {"port_mappings": [{"protocol": 1, "container_port": 53, "host_port": 53}]}});
    let camel =
        json!({"config": {"portMappings": [{"protocol": "UDP", "containerPort": 53, "hostPort": 53}]}});
    assert_eq!(encode("RunPodSandboxRequest", &snake), encode("RunPodSandboxRequest", &camel));
    let limits =
        |value: Value| encode("LinuxContainerResources", &json!({"memory_limit_in_bytes": value})).unwrap();
    assert_eq!(limits(json!("67108864")), limits(json!(67_108_864)));
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let wrong = |value: Value| encode("RunPodSandboxRequest", &value).unwrap_err().to_string();
    let unknown = wrong(json!({"config": {"metadata": {"nmae": "p"}}}));
    assert!(
        unknown.starts_with("config.metadata.nmae: PodSandboxMetadata has no such key; it has name"),
        "{unknown}"
    );
    let number = wrong(json!({"config": {"port_mappings": [{"host_port": "many"}]}}));
    assert_eq!(number, "config.port_mappings[0].host_port: must be a whole number of 32 bits");
    let value = wrong(json!({"config": {"port_mappings": [{"protocol": "ICMP"}]}}));
    assert_eq!(value, "config.port_mappings[0].protocol: must be one of TCP, UDP, SCTP");
}

#[test]
fn what_is_not_there_has_its_default() {
    let image = decode("Image", &[]).unwrap();
    assert_eq!(image["size"], "0");
    assert_eq!(image["repoTags"], json!([]));
    assert_eq!(image["pinned"], false);
    assert_eq!(image["uid"], Value::Null);
}

#[test]
fn packed_and_single_numbers_are_both_read() {
    let single = [0x28, 1, 0x28, 2];
    let packed = [0x2a, 2, 1, 2];
    for bytes in [&single[..], &packed[..]] {
        let context = decode("LinuxSandboxSecurityContext", bytes).unwrap();
        assert_eq!(context["supplementalGroups"], json!(["1", "2"]));
    }
}

#[test]
fn a_newer_peer_is_understood() {
    // Field 30 with text, field 31 with eight bytes, field 32 with four, then what we know.
    let mut bytes = Vec::new();
    put_bytes(&mut bytes, 30, b"new");
    put_varint(&mut bytes, 31 << 3 | 1);
    bytes.extend([0; 8]);
    put_varint(&mut bytes, 32 << 3 | 5);
    bytes.extend([0; 4]);
    put_bytes(&mut bytes, 1, b"id");
    assert_eq!(decode("Container", &bytes).unwrap()["id"], "id");
    // State 9 of containers does not exist yet.
    assert_eq!(decode("Container", &[0x30, 9]).unwrap()["state"], 9);
}

#[test]
fn malformed_bytes_are_refused() {
    for (bytes, reason) in [
        (&[0x0a, 9, b'x'][..], "longer than what is there"),
        (&[0x0a, 1, 0xff], "not UTF-8"),
        (&[0x80], "ends in a number"),
        (&[0x08; 1], "ends in a number"),
        (&[0x0f], "no known kind"),
        (&[0x08, 1], "text has the form of a number"),
        (&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], "longer than 64 bits"),
    ] {
        let error = decode("Container", bytes).unwrap_err().to_string();
        assert!(error.contains(reason), "{bytes:x?}: {error}");
    }
}

proptest! {
    #[test]
    fn bytes_of_a_peer_never_panic(bytes: Vec<u8>) {
        let _ = decode("ContainerStatusResponse", &bytes);
        let _ = decode("ListPodSandboxStatsResponse", &bytes);
    }

    #[test]
    fn there_and_back(
        name in ".{0,8}", port in any::<i32>(), quota in any::<i64>(), used in any::<u64>(), shares in any::<bool>(),
        labels in prop::collection::btree_map(".{0,4}", ".{0,4}", 0..4),
    ) {
        let config = json!({
            "metadata": {"name": name},
            "portMappings": [{"hostPort": port, "protocol": "SCTP"}],
            "labels": labels,
            "linux": {"resources": {"cpuQuota": quota.to_string()}},
        });
        let read = decode("PodSandboxConfig", &encode("PodSandboxConfig", &config).unwrap()).unwrap();
        prop_assert_eq!(&read["metadata"]["name"], &config["metadata"]["name"]);
        prop_assert_eq!(&read["portMappings"][0]["hostPort"], &config["portMappings"][0]["hostPort"]);
        prop_assert_eq!(&read["labels"], &config["labels"]);
        prop_assert_eq!(&read["linux"]["resources"]["cpuQuota"], &config["linux"]["resources"]["cpuQuota"]);
        let image = json!({"size": used.to_string(), "pinned": shares});
        let read = decode("Image", &encode("Image", &image).unwrap()).unwrap();
        prop_assert_eq!(&read["size"], &image["size"]);
        prop_assert_eq!(&read["pinned"], &image["pinned"]);
    }
}
