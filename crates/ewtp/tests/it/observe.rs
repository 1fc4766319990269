//! What an operator sees of a hub from outside.

use ewtp_testnet::http_get;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::stage::{Hub, advance, file, pin, until};

#[tokio::test(flavor = "multi_thread")]
async fn readiness_health_metrics_and_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ke, be) = (Hub::start(dir.path(), "KE"), Hub::start(dir.path(), "BE"));
    pin(&ke, &be, "full");
    be.publish("be-advance");
    ke.add_account("platform", "platform");
    file(&mut ke.trade("platform").await, advance("OBS-1", "KE", "BE")).await;
    let descriptors = http_get(&ke.process.public(), "/descriptors").unwrap();
    assert!(descriptors.contains("\"payloadType\":\"application/vnd.ewtp.descriptor+json\""));
    let names = [
        "ewtp_filings_accepted_total 1",
        "ewtp_statements_logged_total",
        "ewtp_commit_seconds",
        "ewtp_queue_depth",
        "ewtp_lane_lag_statements{peer=\"BE\",direction=\"out\"} 0",
        "ewtp_lane_lag_seconds",
    ];
    until("the metrics", || async {
        let metrics = http_get(&ke.process.public(), "/metrics").unwrap();
        names.iter().all(|n| metrics.contains(n)).then_some(())
    })
    .await;
    until("the decision's metric", || async {
        let metrics = http_get(&be.process.public(), "/metrics").unwrap();
        metrics.contains("ewtp_decisions_total{code=\"DECISION_CODE_CLEAR\"} 2").then_some(())
    })
    .await;
    let mut health = HealthClient::new(ke.channel("platform").await);
    let service = "ewtp.v1.TradeService".to_owned();
    let answer = health.check(HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    assert!(ke.process.stop().unwrap(), "SIGTERM with open lanes ends well, in time");
    assert!(http_get(&ke.process.public(), "/readyz").is_none());
}
