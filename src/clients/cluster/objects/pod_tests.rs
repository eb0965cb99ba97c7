//! The pod, field by field.

use serde_json::{Value, json};

use super::super::samples;
use super::*;
use crate::clients::cluster::settings::{Gpu, Settings};

fn made(change: impl FnOnce(&mut Settings, &mut Start)) -> Value {
    let (mut settings, labels, wanted) = samples::all();
    let mut start = samples::start();
    change(&mut settings, &mut start);
    pod(
        samples::of(&settings, &labels, &wanted),
        &start,
        ([10, 96, 0, 9], 7444).into(),
    )
}

fn plain() -> Value {
    made(|_, _| {})
}

/// Both containers of the pod.
fn containers(pod: &Value) -> Vec<&Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|kind| pod["spec"][kind].as_array().unwrap())
        .collect()
}

#[test]
fn no_container_is_root_or_can_become_it() {
    let pod = plain();
    let spec = &pod["spec"]["securityContext"];
    assert_eq!(spec["runAsNonRoot"], true);
    assert_eq!(
        [&spec["runAsUser"], &spec["runAsGroup"], &spec["fsGroup"]],
        [10_000; 3]
    );
    assert_eq!(containers(&pod).len(), 2);
    for container in containers(&pod) {
        let security = &container["securityContext"];
        assert_eq!(security["runAsNonRoot"], true);
        assert_eq!(
            [&security["runAsUser"], &security["runAsGroup"]],
            [10_000; 2]
        );
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["privileged"], false);
        assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    }
}

#[test]
fn system_calls_are_filtered_and_the_root_is_read_only() {
    let pod = plain();
    let default = json!({ "type": "RuntimeDefault" });
    assert_eq!(pod["spec"]["securityContext"]["seccompProfile"], default);
    for container in containers(&pod) {
        assert_eq!(container["securityContext"]["seccompProfile"], default);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    }
}

#[test]
fn the_cluster_gives_it_no_token_no_names_and_none_of_the_node() {
    let pod = plain();
    let spec = &pod["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["enableServiceLinks"], false);
    assert_eq!(spec["dnsPolicy"], "None");
    assert_eq!(spec["dnsConfig"], json!({ "nameservers": ["127.0.0.1"] }));
    for shared in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        assert_eq!(spec[shared], false, "{shared}");
    }
    assert_eq!(spec["serviceAccountName"], Value::Null);
    for container in containers(&pod) {
        let variables = container["env"].as_array().into_iter().flatten();
        for variable in variables {
            assert!(variable["valueFrom"].is_null(), "{variable}");
        }
        assert_eq!(container["envFrom"], Value::Null);
    }
}

#[test]
fn every_container_has_requests_and_limits() {
    let pod = plain();
    for container in containers(&pod) {
        assert_eq!(
            container["resources"],
            json!({
                "requests": { "cpu": "250m", "memory": "2Gi", "ephemeral-storage": "1500Mi" },
                "limits": { "cpu": "2", "memory": "2Gi", "ephemeral-storage": "1500Mi" },
            })
        );
    }
    let gpu = made(|_, start| {
        start.class.gpu = Some(Gpu {
            resource: "nvidia.com/gpu".to_owned(),
            count: 2,
        });
    });
    assert_eq!(
        gpu["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"],
        "2"
    );
    assert_eq!(
        gpu["spec"]["initContainers"][0]["resources"]["limits"]["nvidia.com/gpu"],
        Value::Null
    );
}

#[test]
fn it_ends_once_and_soon() {
    let pod = plain();
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert_eq!(pod["spec"]["terminationGracePeriodSeconds"], 5);
    assert_eq!(pod["metadata"]["annotations"]["optidev.dev/start"], "3");
}

#[test]
fn volumes_are_the_home_the_secret_and_scratch_only() {
    let pod = plain();
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    for volume in volumes {
        let kinds: Vec<_> = volume
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "name")
            .collect();
        assert_eq!(kinds.len(), 1);
        match kinds[0].as_str() {
            "emptyDir" => assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{volume}"),
            "persistentVolumeClaim" => {
                assert_eq!(volume["persistentVolumeClaim"]["claimName"], "home")
            }
            "secret" => {
                assert_eq!(volume["secret"]["secretName"], "enrolment");
                assert_eq!(volume["secret"]["defaultMode"], 0o440);
            }
            other => panic!("{other}"),
        }
    }
    let secrets = volumes
        .iter()
        .find(|volume| volume["name"] == "run")
        .unwrap();
    assert_eq!(
        secrets["emptyDir"],
        json!({ "medium": "Memory", "sizeLimit": "8Mi" })
    );
    let mounts = pod["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    let read_only: Vec<_> = mounts
        .iter()
        .filter(|mount| mount["readOnly"] == true)
        .map(|mount| &mount["mountPath"])
        .collect();
    assert_eq!(read_only, ["/optidev/bin", "/optidev/enrol"]);
    let writable: Vec<_> = mounts
        .iter()
        .filter(|mount| mount["readOnly"] != true)
        .map(|mount| &mount["mountPath"])
        .collect();
    assert_eq!(writable, ["/home/dev", "/tmp", "/optidev/state", "/run"]);
}

#[test]
fn the_agent_is_copied_in_and_started_with_its_arguments() {
    let pod = plain();
    let init = &pod["spec"]["initContainers"][0];
    assert_eq!(init["image"], "agent:1");
    assert_eq!(
        init["command"],
        json!(["/usr/bin/optidev", "agent-install", "/optidev/agent"])
    );
    assert_eq!(
        init["volumeMounts"],
        json!([{ "name": "agent", "mountPath": "/optidev/agent" }])
    );
    let main = &pod["spec"]["containers"][0];
    assert_eq!(main["image"], "dev:1");
    assert_eq!(main["command"], json!(["/optidev/bin/optidev-agent"]));
    assert_eq!(
        main["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap())
            .collect::<Vec<_>>()
            .join(" "),
        "--listen 0.0.0.0:7443 --server 10.96.0.9:7444 --authority /optidev/enrol/ca.pem \
         --token-file /optidev/enrol/token --container ctr_01hzy3v9k2m4n6p8q0r2s4t6vw \
         --probes /optidev/enrol/probes.json --scratch /tmp --home /home/dev --state /optidev/state --secrets /run/secrets \
         --proxy 127.0.0.1:3128"
    );
    assert_eq!(
        main["env"],
        json!([{ "name": "HOSTS", "value": ".apps.example.com" }])
    );
    // The token is in the Secret, and nowhere in the pod.
    assert!(!pod.to_string().contains("hunter2"));
}

#[test]
fn the_admin_may_choose_where_and_how_it_runs() {
    let bare = plain();
    for key in [
        "runtimeClassName",
        "hostUsers",
        "nodeSelector",
        "tolerations",
        "imagePullSecrets",
    ] {
        assert_eq!(bare["spec"][key], Value::Null, "{key}");
    }
    let pod = made(|settings, _| {
        settings.runtime_class = Some("gvisor".to_owned());
        settings.host_users = Some(false);
        settings
            .node_selector
            .insert("pool".to_owned(), "dev".to_owned());
        settings.tolerations.push(Toleration {
            key: Some("dev".to_owned()),
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        });
        settings.image_pull_secrets.push("registry".to_owned());
    });
    let spec = &pod["spec"];
    assert_eq!(spec["runtimeClassName"], "gvisor");
    assert_eq!(spec["hostUsers"], false);
    assert_eq!(spec["nodeSelector"], json!({ "pool": "dev" }));
    assert_eq!(
        spec["tolerations"],
        json!([{ "key": "dev", "operator": "Exists" }])
    );
    assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
}
