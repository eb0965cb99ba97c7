use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use optidev::clients::cluster::*;

use super::lab::*;

fn election(identity: &str) -> Election {
    Election::new("optidev-controller", identity, || 1_700_000_000_000)
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn one_leads_and_another_takes_over_when_it_is_gone() {
    let lab = lab().await;
    let _ = lab
        .api::<Lease>("optidev")
        .delete("optidev-controller", &Default::default())
        .await;
    let leading = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let lead = |name: &'static str, hold: Duration| {
        let (cluster, leading) = (lab.cluster.clone(), leading.clone());
        async move {
            let election = election(name);
            cluster
                .elect(&election, |leadership| async move {
                    assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "two lead");
                    eprintln!("{name} leads after {:?}", begin.elapsed());
                    tokio::time::sleep(hold).await;
                    assert!(leadership.is_held());
                    leading.fetch_sub(1, Ordering::SeqCst);
                    begin.elapsed()
                })
                .await
                .unwrap()
        }
    };
    // Given back: the next one leads within a retry.
    let (first, second) = tokio::join!(
        lead("one", Duration::from_secs(5)),
        lead("two", Duration::from_secs(5))
    );
    let (Outcome::Done(first), Outcome::Done(second)) = (first, second) else {
        panic!()
    };
    let gap = first.max(second) - first.min(second);
    assert!(
        gap >= Duration::from_secs(5) && gap < Duration::from_secs(8),
        "{gap:?}"
    );

    // Killed: only after the Lease has run out.
    let killed = tokio::time::timeout(
        Duration::from_secs(3),
        lead("three", Duration::from_secs(60)),
    )
    .await;
    assert!(killed.is_err());
    leading.store(0, Ordering::SeqCst);
    let dropped = Instant::now();
    lead("four", Duration::ZERO).await;
    let took = dropped.elapsed();
    eprintln!("taken over {took:?} after the kill");
    assert!(
        took > Duration::from_secs(13) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn a_leader_whose_lease_is_taken_stops_and_changes_nothing_more() {
    let lab = lab().await;
    let container = lab.container().await;
    let leases = lab.api::<Lease>("optidev");
    let _ = leases
        .delete("optidev-controller", &Default::default())
        .await;
    let (told, kept) = tokio::sync::oneshot::channel();
    let cluster = lab.cluster.clone();
    let leader = async move {
        let election = election("five");
        cluster
            .elect(&election, |leadership| async move {
                told.send(leadership).unwrap();
                std::future::pending::<()>().await;
            })
            .await
            .unwrap()
    };
    let thief = async {
        let leadership = kept.await.unwrap();
        assert!(leadership.is_held());
        let mut lease = leases.get("optidev-controller").await.unwrap();
        lease.spec.as_mut().unwrap().holder_identity = Some("thief".to_owned());
        leases
            .replace("optidev-controller", &Default::default(), &lease)
            .await
            .unwrap();
        leadership
    };
    let begun = Instant::now();
    let (outcome, leadership) = tokio::join!(leader, thief);
    assert_eq!(outcome, Outcome::Lost);
    eprintln!("lost after {:?}", begun.elapsed());
    assert!(!leadership.is_held());
    let former = lab.cluster.led_by(leadership);
    let refused = former.converge(&container.running(1)).await.unwrap_err();
    assert!(matches!(refused, ClusterError::NotLeader));
    assert!(lab.namespace(&container).await.is_none());
}
