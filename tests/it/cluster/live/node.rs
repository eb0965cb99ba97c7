//! The node ends and comes back, as a machine does that is switched off.

use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::installed::Installed;

/// Everything starts at once on the machine that does all the rest as well.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn containers_and_their_volumes_come_back_with_the_node() {
    let installed = Installed::given();
    let container = installed.container("owner").await;
    let kept = format!("kept by {}", std::process::id());
    container
        .sh(&format!("echo '{kept}' > ~/kept && sync"))
        .await;
    let before = installed.pod_of(&container.id).unwrap();
    let began = Instant::now();

    // A node that is killed takes as long as its processes take to let go of what they have; the kit waits for 20 s of it.
    while !installed.ends(&installed.kit, &["down"]) {
        eprintln!("the node is still ending");
        assert!(began.elapsed() < LIMIT, "the node does not end");
    }
    let begun = Instant::now();
    installed.run(&installed.kit, &["up"]);
    let up = begun.elapsed();
    let anonymous = installed.anonymous();
    eventually("a server is ready", LIMIT, || async {
        let answer = anonymous
            .request(reqwest::Method::GET, "//readyz")
            .send()
            .await;
        answer
            .is_ok_and(|answer| answer.status() == 200)
            .then_some(())
    })
    .await;
    let ready = begun.elapsed();
    // Nobody asks for it: that it should run is in the database.
    eventually("the container has a new pod", LIMIT, || async {
        installed
            .pod_of(&container.id)
            .filter(|pod| pod.uid != before.uid)
    })
    .await;
    container.runs().await;
    let back = begun.elapsed();
    assert_eq!(container.sh("cat ~/kept").await.trim(), kept);
    eprintln!(
        "the node was up after {up:.1?}, a server ready after {ready:.1?}, the container back after {back:.1?}"
    );
}
