//! What is refused, and that whoever asked reads why.

use std::time::Duration;

use serde_json::json;

use crate::support::installed::{Container, Installed};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_start_that_cannot_be_says_why_and_the_next_one_works() {
    let installed = Installed::given();
    let (workspace, people) = installed.new_workspace("max", 1);
    let container = Container::running(&people[0], &workspace).await;
    container.stop().await;

    let evil = json!({ "image": "docker.io/library/evil:1" });
    let said = container.choose(&evil).await.problem(422, "unprocessable");
    let said = said["detail"].as_str().unwrap();
    assert!(
        said.contains("evil:1") && said.contains(&installed.dev_image),
        "{said}"
    );

    // More than any node has: it may come, so it is still starting.
    container
        .choose(&json!({ "class": "huge" }))
        .await
        .expect(202);
    let seen = container.says("No node of the cluster can take").await;
    assert_eq!(seen["state"], "starting");
    container.stop().await;
    container
        .choose(&json!({ "class": "medium" }))
        .await
        .expect(202);
    container.runs().await;
    container.stop().await;

    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "stingy" }, "spec": { "hard": { "pods": "0" } } });
    let namespace = container.namespace();
    let kubectl = |arguments: &[&str], input: &str| {
        installed.feed("kubectl", &[&["-n", &namespace], arguments].concat(), input)
    };
    kubectl(&["apply", "-f", "-"], &quota.to_string());
    // Its controller has to have counted first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    container.post("start").await.expect(202);
    container.says("stingy").await;
    kubectl(&["delete", "resourcequota", "stingy"], "");
    // Those who count by it have to have heard.
    tokio::time::sleep(Duration::from_secs(2)).await;
    container.start().await;
    container.stop().await;

    // An image whose user is root runs as the user that the pod names, and cannot become another.
    let root = json!({ "image": installed.root_image });
    container.choose(&root).await.expect(202);
    container.runs().await;
    assert_eq!(container.sh("id -u").await.trim(), "10000");
    let told = container
        .sh("grep -E '^(NoNewPrivs|CapEff|CapBnd):' /proc/self/status")
        .await;
    let values: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(
        values,
        ["0000000000000000", "0000000000000000", "1"],
        "{told}"
    );
    let written = container
        .exec(&["/bin/sh", "-c", "touch /etc/mine /bin/mine"], 5_000)
        .await
        .ok();
    assert_ne!(written["exit_code"], 0, "{written}");
    container.remove().await;
}
