//! Enrolment: whom the agent tells its token, and what it does with the answer.

use std::time::Duration;

use optidev_agent::identity::{BROKER_NAME, ENROL_ALPN, SERVER_NAME, container_name};

use super::authority::{Authority, DAY};
use super::server::{Server, has_name};
use super::{CONTAINER, Pod};

#[tokio::test]
async fn an_agent_enrols_and_serves_the_broker() {
    let (pod, server) = Pod::running().await;
    let stream = pod.connect().await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(
        session.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    let certificate = &session.peer_certificates().unwrap()[0];
    assert!(has_name(certificate, &container_name(CONTAINER)));
    let hello = pod.hello().await;
    let isolation = hello.isolation.unwrap();
    assert_eq!(isolation.probes.len(), 2);
    assert!(isolation.checked_at_ms >= hello.started_at_ms);
    assert_eq!(server.saw(|saw| saw.enrolments.len()), 1);
    assert!(!pod.dir.path().join("token").exists(), "it is forgotten");
}

/// Waits long enough for several tries, and sees that none of them told anything.
async fn tells_nothing(pod: &mut Pod, server: &Server, why: &str) {
    pod.start();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(pod.still_runs(), "it tries again: {}", pod.stderr());
    assert!(pod.stderr().contains(why), "{}", pod.stderr());
    assert_eq!(server.saw(|saw| saw.enrolments.len()), 0);
    assert!(pod.connect().await.is_err(), "nothing is served");
    assert!(pod.dir.path().join("token").exists());
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_token() {
    let mut pod = Pod::new().await;
    let other = Authority::new();
    let server = Server::start_as(&pod, &other, SERVER_NAME, &[ENROL_ALPN]).await;
    tells_nothing(&mut pod, &server, "certificate").await;
}

#[tokio::test]
async fn a_server_of_another_name_gets_no_token() {
    for name in [BROKER_NAME, &container_name(CONTAINER), "optidev.internal"] {
        let mut pod = Pod::new().await;
        let server = Server::start_as(&pod, &pod.authority, name, &[ENROL_ALPN]).await;
        tells_nothing(&mut pod, &server, "certificate").await;
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_gets_no_token() {
    let mut pod = Pod::new().await;
    let server = Server::start_as(&pod, &pod.authority, SERVER_NAME, &[]).await;
    tells_nothing(&mut pod, &server, "protocol").await;
}

#[tokio::test]
async fn a_refused_token_ends_the_agent() {
    let mut pod = Pod::new().await;
    let server = Server::start(&pod).await;
    server.set(|set| set.token = None);
    pod.start();
    assert!(!pod.ended().await.success());
    let said = pod.stderr();
    assert!(
        said.contains("the token was used") && said.contains(CONTAINER),
        "{said}"
    );
    assert!(!said.contains(super::TOKEN), "{said}");
    assert_eq!(server.saw(|saw| saw.enrolments.len()), 1);
}

#[tokio::test]
async fn a_server_that_is_away_or_busy_is_asked_again() {
    let mut pod = Pod::new().await;
    pod.start();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let server = Server::start(&pod).await;
    server.set(|set| set.statuses = [503, 429].into());
    pod.proven().await;
    let requests: Vec<_> = server.saw(|saw| {
        let all = saw.enrolments.iter();
        all.map(|one| one.csr.clone()).collect()
    });
    assert_eq!(requests.len(), 3);
    assert!(
        requests.iter().all(|one| *one == requests[0]),
        "one key, so that the server can tell who asks again"
    );
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_used() {
    let mut pod = Pod::new().await;
    let server = Server::start(&pod).await;
    server.set(|set| set.name = container_name("ctr_00000000000000000000000000"));
    pod.start();
    assert!(!pod.ended().await.success());
    assert!(pod.stderr().contains("certificate"), "{}", pod.stderr());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_used() {
    let mut pod = Pod::new().await;
    let server = Server::start(&pod).await;
    // The agent believes another authority than the one that signs, beside the server's.
    let (mine, other) = (pod.authority.pem(), Authority::new());
    let identity = other.issue(SERVER_NAME, DAY);
    server.set(|set| set.config = std::sync::Arc::new(other.server(identity, &[ENROL_ALPN])));
    std::fs::write(pod.dir.path().join("ca.pem"), other.pem()).unwrap();
    assert_ne!(mine, other.pem());
    pod.start();
    assert!(!pod.ended().await.success());
    assert!(pod.stderr().contains("authority"), "{}", pod.stderr());
}
