//! What the controller's account cannot do, tried.

use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, Namespace, PersistentVolume, Pod, ResourceQuota, Secret, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use optidev::clients::cluster::*;
use serde_json::{Value, json};

use super::lab::*;

async fn account() -> kube::Client {
    let file = kube::config::Kubeconfig::read_from(controllers_config()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &Default::default())
        .await
        .unwrap();
    kube::Client::try_from(config).unwrap()
}

#[track_caller]
fn refused<T>(what: &str, by: &str, answer: Result<T, kube::Error>) {
    match answer {
        Err(kube::Error::Api(status)) => {
            assert!(
                status.code == 403 || status.code == 422,
                "{what}: {status:?}"
            );
            assert!(status.message.contains(by), "{what}: {}", status.message);
            eprintln!(
                "{what}: {}",
                status.message.chars().take(230).collect::<String>()
            );
        }
        Err(error) => panic!("{what}: {error}"),
        Ok(_) => panic!("{what}: allowed"),
    }
}

const RBAC: &str = "cannot";
const VAP: &str = "ValidatingAdmissionPolicy";

fn force() -> PatchParams {
    PatchParams::apply("optidev-controller").force()
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn foreign_namespaces_are_out_of_reach() {
    let lab = lab().await;
    let client = account().await;
    let spaces: Api<Namespace> = Api::all(client.clone());
    let secret: Secret = serde_json::from_value(
        json!({ "metadata": { "name": "enrolment" }, "data": { "token": "c2VjcmV0" } }),
    )
    .unwrap();
    let _ = lab
        .api::<Secret>("optidev")
        .create(&PostParams::default(), &secret)
        .await;
    for namespace in ["optidev", "default", "kube-system"] {
        let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
        let empty = Patch::Merge(json!({}));
        refused("read a Secret", RBAC, secrets.get("enrolment").await);
        refused(
            "list Secrets",
            RBAC,
            secrets.list(&Default::default()).await,
        );
        refused(
            "patch another Secret",
            RBAC,
            secrets.patch("x", &PatchParams::default(), &empty).await,
        );
        refused(
            "create a Secret",
            RBAC,
            secrets.create(&PostParams::default(), &secret).await,
        );
        let apply = Patch::Apply(
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "enrolment" } }),
        );
        refused(
            "apply a Secret",
            VAP,
            secrets.patch("enrolment", &force(), &apply).await,
        );
        let pods = Api::<Pod>::namespaced(client.clone(), namespace);
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "dev" }, "spec": { "containers": [{ "name": "a", "image": "a" }] } });
        refused(
            "create a pod",
            RBAC,
            pods.create(
                &PostParams::default(),
                &serde_json::from_value(pod.clone()).unwrap(),
            )
            .await,
        );
        refused(
            "apply a pod",
            VAP,
            pods.patch("dev", &force(), &Patch::Apply(pod)).await,
        );
        let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        refused(
            "create a ConfigMap",
            RBAC,
            maps.create(&PostParams::default(), &Default::default())
                .await,
        );
        refused(
            "delete the namespace",
            if namespace == "optidev" {
                VAP
            } else {
                "forbidden"
            },
            spaces.delete(namespace, &DeleteParams::default()).await,
        );
        let adopt = Patch::Merge(
            json!({ "metadata": { "labels": { "optidev.dev/install": INSTALL, "app.kubernetes.io/managed-by": "optidev" }, "annotations": { "optidev.dev/owner": "x" } } }),
        );
        refused(
            "adopt the namespace",
            VAP,
            spaces
                .patch(namespace, &PatchParams::default(), &adopt)
                .await,
        );
    }
    // Reads by way of a write: an empty patch, and a deletion that only pretends.
    let secrets = Api::<Secret>::namespaced(client.clone(), "optidev");
    refused(
        "read by an empty patch",
        VAP,
        secrets
            .patch(
                "enrolment",
                &PatchParams::default(),
                &Patch::Merge(json!({})),
            )
            .await,
    );
    let pretend = DeleteParams {
        dry_run: true,
        ..DeleteParams::foreground()
    };
    refused(
        "read by a pretended deletion",
        VAP,
        secrets.delete("enrolment", &pretend).await,
    );
    refused(
        "read a Service",
        RBAC,
        Api::<Service>::namespaced(client.clone(), "default")
            .get("kubernetes")
            .await,
    );

    for (what, object) in [
        (
            "a namespace without marks",
            json!({ "metadata": { "name": "od-00000000000000000000000000" } }),
        ),
        (
            "a namespace of another name",
            json!({ "metadata": { "name": "kube-extra" } }),
        ),
    ] {
        refused(
            what,
            VAP,
            spaces
                .create(
                    &PostParams::default(),
                    &serde_json::from_value(object).unwrap(),
                )
                .await,
        );
    }
    let marked = |level: &str| -> Namespace {
        serde_json::from_value(json!({ "metadata": { "name": "od-00000000000000000000000000",
            "annotations": { "optidev.dev/owner": "x" },
            "labels": { "optidev.dev/install": INSTALL, "app.kubernetes.io/managed-by": "optidev",
                "optidev.dev/container": "ctr_00000000000000000000000000",
                "pod-security.kubernetes.io/enforce": level, "pod-security.kubernetes.io/audit": level,
                "pod-security.kubernetes.io/warn": level } } })).unwrap()
    };
    refused(
        "a namespace without Pod Security",
        VAP,
        spaces
            .create(&PostParams::default(), &marked("privileged"))
            .await,
    );
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    spaces
        .create(&dry, &marked("restricted"))
        .await
        .expect("the rule itself is not what refuses everything");
    lab.api::<Secret>("optidev")
        .delete("enrolment", &DeleteParams::default())
        .await
        .unwrap();
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn its_own_namespaces_hold_only_what_it_makes() {
    let lab = lab().await;
    let client = account().await;
    let container = lab.container().await;
    drive(&lab.cluster, &container.running(1), Phase::Up).await;
    let good = serde_json::to_value(lab.pod(&container).await.unwrap()).unwrap();
    let pods = Api::<Pod>::namespaced(client.clone(), &container.namespace);
    let relabel = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    refused(
        "change a pod",
        VAP,
        pods.patch("dev", &PatchParams::default(), &relabel).await,
    );
    for (sub, verb) in [
        ("exec", "create"),
        ("attach", "create"),
        ("portforward", "create"),
        ("proxy", "get"),
    ] {
        let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {}, "spec": { "resourceAttributes": {
            "namespace": container.namespace, "verb": verb, "resource": "pods", "subresource": sub, "name": "dev" } } });
        let reviews: Api<k8s_openapi::api::authorization::v1::SelfSubjectAccessReview> =
            Api::all(client.clone());
        let answer = reviews
            .create(
                &PostParams::default(),
                &serde_json::from_value(review).unwrap(),
            )
            .await
            .unwrap();
        assert!(!answer.status.unwrap().allowed, "{sub}");
    }
    refused(
        "read logs",
        RBAC,
        pods.logs("dev", &Default::default()).await,
    );
    let secrets = Api::<Secret>::namespaced(client.clone(), &container.namespace);
    refused("read the Secret", RBAC, secrets.get("enrolment").await);
    let policies = Api::<NetworkPolicy>::namespaced(client.clone(), &container.namespace);
    refused(
        "delete a policy",
        RBAC,
        policies
            .delete("default-deny", &DeleteParams::default())
            .await,
    );
    for (name, what) in [
        ("default-deny", json!({ "spec": { "egress": [{}] } })),
        (
            "default-deny",
            json!({ "spec": { "policyTypes": ["Ingress"] } }),
        ),
        (
            "default-deny",
            json!({ "spec": { "podSelector": { "matchLabels": { "a": "b" } } } }),
        ),
        ("agent", json!({ "spec": { "egress": [{}] } })),
        (
            "agent",
            json!({ "spec": { "ingress": [{ "ports": [{ "port": 7443 }], "from": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }] } }),
        ),
        (
            "agent",
            json!({ "spec": { "ingress": [{ "ports": [{ "port": 7443 }], "from": [{ "namespaceSelector": {} }] }] } }),
        ),
    ] {
        refused(
            "open a policy",
            VAP,
            policies
                .patch(name, &PatchParams::default(), &Patch::Merge(what))
                .await,
        );
    }
    let spaces: Api<Namespace> = Api::all(client.clone());
    for labels in [
        json!({ "optidev.dev/install": null }),
        json!({ "pod-security.kubernetes.io/enforce": "privileged" }),
        json!({ "pod-security.kubernetes.io/enforce": null }),
    ] {
        let change = Patch::Merge(json!({ "metadata": { "labels": labels } }));
        refused(
            "take a label away",
            VAP,
            spaces
                .patch(&container.namespace, &PatchParams::default(), &change)
                .await,
        );
    }

    // Pods of another shape, in a namespace that itself allows everything: so that Pod Security is not what refuses.
    drive(&lab.cluster, &container.stopped(true), Phase::Stopped).await;
    let admins: Api<Namespace> = Api::all(lab.admin.clone());
    let open = Patch::Merge(
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } }),
    );
    admins
        .patch(&container.namespace, &PatchParams::default(), &open)
        .await
        .unwrap();
    let dry = PatchParams {
        dry_run: true,
        ..force()
    };
    let shape = |change: &dyn Fn(&mut Value)| {
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "dev" }, "spec": good["spec"] });
        pod["spec"].as_object_mut().unwrap().remove("nodeName");
        change(&mut pod["spec"]);
        Patch::Apply(pod)
    };
    pods.patch("dev", &dry, &shape(&|_| {}))
        .await
        .expect("the good shape");
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Value));
    let wrong: [Change<'_>; 15] = [
        ("hostPath", &|spec| {
            spec["volumes"][0] = json!({ "name": "home", "hostPath": { "path": "/" } })
        }),
        (
            "projected",
            &|spec| spec["volumes"][0] = json!({ "name": "home", "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }),
        ),
        (
            "another Secret",
            &|spec| {
                spec["volumes"][0] = json!({ "name": "home", "secret": { "secretName": "other" } })
            },
        ),
        ("hostNetwork", &|spec| spec["hostNetwork"] = json!(true)),
        ("hostPID", &|spec| spec["hostPID"] = json!(true)),
        ("privileged", &|spec| {
            spec["containers"][0]["securityContext"]["privileged"] = json!(true);
            spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true)
        }),
        ("capabilities", &|spec| {
            spec["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["NET_ADMIN"])
        }),
        ("root", &|spec| {
            spec["initContainers"][0]["securityContext"]["runAsUser"] = json!(0)
        }),
        ("a writable root", &|spec| {
            spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = json!(false)
        }),
        ("a token", &|spec| {
            spec["automountServiceAccountToken"] = json!(true)
        }),
        ("names", &|spec| spec["dnsPolicy"] = json!("ClusterFirst")),
        ("a node", &|spec| spec["nodeName"] = json!("node1")),
        ("hostPort", &|spec| {
            spec["containers"][0]["ports"][0]["hostPort"] = json!(7443)
        }),
        ("a Secret in a variable", &|spec| {
            spec["containers"][0]["env"] = json!([{ "name": "T", "valueFrom": {
                "secretKeyRef": { "name": "enrolment", "key": "token" } } }])
        }),
        ("no limits", &|spec| {
            spec["containers"][0]["resources"] = json!({});
        }),
    ];
    // LimitRange and quota would fill in or refuse first.
    lab.api::<LimitRange>(&container.namespace)
        .delete("container", &DeleteParams::default())
        .await
        .unwrap();
    lab.api::<ResourceQuota>(&container.namespace)
        .delete("container", &DeleteParams::default())
        .await
        .unwrap();
    for (what, change) in wrong {
        refused(what, VAP, pods.patch("dev", &dry, &shape(change)).await);
    }
    lab.discard(&container).await;
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn volumes_of_others_cannot_be_taken() {
    let lab = lab().await;
    let client = account().await;
    let admins: Api<PersistentVolume> = Api::all(lab.admin.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    let theirs: PersistentVolume = serde_json::from_value(json!({
        "metadata": { "name": "lab-theirs" },
        "spec": { "storageClassName": "lab-theirs", "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
                  "hostPath": { "path": "/tmp/lab-volumes/theirs" }, "claimRef": { "namespace": "optidev", "name": "data" } },
    }))
    .unwrap();
    let _ = admins.create(&PostParams::default(), &theirs).await;
    let labels = json!({ "optidev.dev/install": INSTALL, "optidev.dev/container": "ctr_00000000000000000000000000" });
    for (what, change) in [
        ("mark it", json!({ "metadata": { "labels": labels } })),
        (
            "take it",
            json!({ "metadata": { "labels": labels }, "spec": { "claimRef": { "namespace": "od-00000000000000000000000000", "name": "home" } } }),
        ),
        (
            "free it",
            json!({ "metadata": { "labels": labels }, "spec": { "claimRef": null } }),
        ),
        (
            "drop its data",
            json!({ "spec": { "persistentVolumeReclaimPolicy": "Delete" } }),
        ),
    ] {
        refused(
            what,
            VAP,
            volumes
                .patch("lab-theirs", &PatchParams::default(), &Patch::Merge(change))
                .await,
        );
    }
    refused(
        "delete it",
        VAP,
        volumes.delete("lab-theirs", &DeleteParams::default()).await,
    );
    admins
        .delete("lab-theirs", &DeleteParams::default())
        .await
        .unwrap();
    // One of ours can be kept, and never freed for all or pointed elsewhere.
    let container = lab.container().await;
    let name = container.namespace.replace("od-", "lab-");
    let labels = json!({ "optidev.dev/install": INSTALL, "optidev.dev/container": container.id });
    let keep = json!({ "metadata": { "labels": labels }, "spec": { "persistentVolumeReclaimPolicy": "Retain" } });
    volumes
        .patch(&name, &PatchParams::default(), &Patch::Merge(keep))
        .await
        .unwrap();
    for (what, change) in [
        ("free ours", json!({ "spec": { "claimRef": null } })),
        (
            "point ours elsewhere",
            json!({ "spec": { "claimRef": { "namespace": "optidev" } } }),
        ),
        (
            "another container's",
            json!({ "metadata": { "labels": { "optidev.dev/container": "ctr_00000000000000000000000000" } } }),
        ),
        (
            "unmark ours",
            json!({ "metadata": { "labels": { "optidev.dev/install": null } } }),
        ),
    ] {
        refused(
            what,
            VAP,
            volumes
                .patch(&name, &PatchParams::default(), &Patch::Merge(change))
                .await,
        );
    }
    admins
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
}
