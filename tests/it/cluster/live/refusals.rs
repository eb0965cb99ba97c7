//! What is refused, and that the user reads why.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::site::{Container, Site, kubectl};

fn words(container: &Value) -> Vec<String> {
    let steps = container["steps"].as_array().unwrap().iter();
    steps
        .map(|step| &step["message"])
        .chain([&container["reason"]])
        .filter_map(|said| said.as_str().map(str::to_owned))
        .collect()
}

/// Waits until the container's reason, or the words of the step that it is at, contain this.
async fn says(container: &Container, what: &str) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let now = container.get().await;
        let said = words(&now).into_iter().find(|said| said.contains(what));
        if let Some(said) = said {
            eprintln!("{}: {said}", now["state"]);
            return now;
        }
        assert!(Instant::now() < end, "{what:?} is not said: {now}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[ignore = "needs an installation in a cluster"]
#[tokio::test]
async fn a_start_that_cannot_be_says_why_and_the_next_one_works() {
    let site = Site::open();
    let (workspace, users) = site.workspace("ref", 1);
    let container = site.container(&workspace, &users[0]).await;
    let uuid = container
        .id
        .parse::<optidev::kernel::ContainerId>()
        .unwrap()
        .uuid();
    let tenant = workspace
        .parse::<optidev::kernel::WorkspaceId>()
        .unwrap()
        .uuid()
        .to_string();
    let set = |column: &str, value: &str| {
        site.sql(
            &tenant,
            &format!("UPDATE container SET {column} = {value} WHERE id = '{uuid}'"),
        );
    };
    let minute = Duration::from_secs(60);
    let stop = async || {
        container.post("stop").await;
        container.until("stopped", minute).await;
    };
    stop().await;

    set("image", "'docker.io/library/evil:1'");
    container.post("start").await.expect(202);
    let seen = says(
        &container,
        "is not among those that the administrator allows",
    )
    .await;
    assert_eq!(seen["state"], "failed");
    set("image", "NULL");

    // More than any node has: it may come, so it is still starting.
    set("class", "'huge'");
    container.post("start").await.expect(202);
    let seen = says(&container, "No node of the cluster can take").await;
    assert_eq!(seen["state"], "starting");
    set("class", "NULL");
    stop().await;

    let quota = r#"{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"stingy"},"spec":{"hard":{"pods":"0"}}}"#;
    kubectl(&["-n", &container.namespace, "apply", "-f", "-"], quota).unwrap();
    // Its controller has to have counted first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    container.post("start").await.expect(202);
    says(&container, "stingy").await;
    kubectl(
        &[
            "-n",
            &container.namespace,
            "delete",
            "resourcequota",
            "stingy",
        ],
        "",
    )
    .unwrap();
    container.post("start").await.expect(202);
    container.until("running", Duration::from_secs(90)).await;

    // An image whose user is root runs as the user that the pod names. Its one program writes its uid into the home volume.
    stop().await;
    set("image", "'localhost/root:1'");
    container.post("start").await.expect(202);
    container.until("running", minute).await;
    container.ask(&["/usr/bin/pause"], 1_000).await;
    let who = container.file("starts").await;
    assert_eq!(who.trim(), "10000");
    container.remove().await;
}
