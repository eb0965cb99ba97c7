use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

fn facts() -> Facts {
    Facts {
        container: samples::ID.to_owned(),
        server: ([10, 96, 0, 9], 7444).into(),
        api_server: None,
    }
}

#[test]
fn the_namespace_is_marked_and_restricted() {
    let (settings, labels, wanted) = samples::all();
    let made = namespace(samples::of(&settings, &labels, &wanted));
    assert_eq!(
        made["metadata"]["labels"],
        json!({
            "app.kubernetes.io/managed-by": "optidev",
            "optidev.dev/install": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "optidev.dev/container": samples::ID,
            "optidev.dev/workspace": "wsp_01hzy3v9k2m4n6p8q0r2s4t6vx",
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/audit": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
        })
    );
    assert_eq!(
        made["metadata"]["annotations"],
        json!({ "optidev.dev/owner": "usr_01hzy3v9k2m4n6p8q0r2s4t6vy" })
    );
}

#[test]
fn the_quota_holds_one_pod_of_the_class() {
    let (mut settings, labels, wanted) = samples::all();
    settings.overhead.memory_mib = 160;
    let made = quota(samples::of(&settings, &labels, &wanted), &samples::class());
    let hard = &made["spec"]["hard"];
    assert_eq!(
        [
            &hard["pods"],
            &hard["persistentvolumeclaims"],
            &hard["services"]
        ],
        ["1", "1", "0"]
    );
    assert_eq!([&hard["requests.cpu"], &hard["limits.cpu"]], ["250m", "2"]);
    assert_eq!(
        [&hard["requests.memory"], &hard["limits.memory"]],
        ["2208Mi"; 2]
    );
}

#[test]
fn the_secret_holds_the_token_until_it_is_used() {
    let (settings, labels, wanted) = samples::all();
    let of = samples::of(&settings, &labels, &wanted);
    let mut start = samples::start();
    let with: core::Secret = serde_json::from_value(enrolment(of, &start, &facts())).unwrap();
    let data = with.data.unwrap();
    assert_eq!(data["token"].0, b"hunter2");
    assert_eq!(data["ca.pem"].0, b"-----BEGIN CERTIFICATE-----");
    assert_eq!(data["probes.json"].0, br#"{"allowed":"10.96.0.9:7444"}"#);
    start.enrolled = true;
    let without = enrolment(of, &start, &facts());
    assert_eq!(
        without["data"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["ca.pem", "probes.json"]
    );
}

#[test]
fn claims_are_of_the_class_or_for_the_kept_volume() {
    let (mut settings, labels, wanted) = samples::all();
    settings.storage_class = Some("fast".to_owned());
    let of = samples::of(&settings, &labels, &wanted);
    let new = claim(of, "5Gi", None);
    assert_eq!(new["spec"]["storageClassName"], "fast");
    assert_eq!(new["spec"]["volumeName"], Value::Null);
    let kept = claim(of, "5Gi", Some(("pv-1", Some(""))));
    assert_eq!(kept["spec"]["volumeName"], "pv-1");
    assert_eq!(kept["spec"]["storageClassName"], "");
}

/// What the API's types do not know would be lost here.
#[test]
fn every_object_is_as_the_api_knows_it() {
    fn whole<T: Serialize + DeserializeOwned>(made: Value) {
        let typed: T = serde_json::from_value(made.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), made);
    }
    let (mut settings, labels, wanted) = samples::all();
    settings.runtime_class = Some("gvisor".to_owned());
    settings.host_users = Some(false);
    settings.image_pull_secrets.push("registry".to_owned());
    let of = samples::of(&settings, &labels, &wanted);
    let (start, class) = (samples::start(), samples::class());
    whole::<core::Namespace>(namespace(of));
    whole::<NetworkPolicy>(deny(of));
    whole::<NetworkPolicy>(allow(of));
    whole::<core::ResourceQuota>(quota(of, &class));
    whole::<core::LimitRange>(limits(of, &class));
    whole::<core::PersistentVolumeClaim>(claim(of, "5Gi", Some(("pv", Some("fast")))));
    whole::<core::Secret>(enrolment(of, &start, &facts()));
    whole::<core::Pod>(pod(of, &start, ([10, 96, 0, 9], 7444).into()));
}

#[test]
fn quantities_are_spelled_as_kubernetes_spells_them() {
    assert_eq!([cpu(250), cpu(2000), cpu(1500)], ["250m", "2", "1500m"]);
    assert_eq!(
        [mib(1500), mib(2048), mib(1024 * 1024)],
        ["1500Mi", "2Gi", "1Ti"]
    );
    assert_eq!(gib(5), "5Gi");
}
