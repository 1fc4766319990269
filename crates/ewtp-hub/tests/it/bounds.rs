//! What accounts may ask for, and how many witnesses are enough.

use std::time::Duration;

use ewtp_hub::limits::{AccountLimits, OverLimit};
use ewtp_hub::policy::Quorum;
use ewtp_log::HubId;

#[test]
fn a_burst_then_the_rate_then_the_budget() {
    let limits = AccountLimits::new(10, 2, 4);
    assert_eq!((limits.take("a", 0), limits.take("a", 0)), (Ok(()), Ok(())));
    let waits = OverLimit::Rate { per_second: 10, retry_after: Duration::from_millis(100) };
    assert_eq!(limits.take("a", 0), Err(waits));
    assert_eq!(limits.take("b", 0), Ok(()), "each account its own share");
    assert_eq!(limits.take("a", 100), Ok(()));
    assert_eq!(limits.take("a", 200), Ok(()));
    assert_eq!(limits.take("a", 10_000), Err(OverLimit::Daily { budget: 4 }));
    assert_eq!(limits.take("a", 86_400_000), Ok(()), "a new day");
}

#[test]
fn issuer_and_receiver_do_not_count_and_nobody_counts_twice() {
    let quorum: Quorum = "2 of BE, MY, KR, w.example".parse().unwrap();
    let hub = |id: &str| id.parse::<HubId>().unwrap();
    let met = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        quorum.is_met(&names, &hub("BE"), &hub("MY"))
    };
    assert!(met(&["KR", "w.example"]));
    assert!(!met(&["KR", "BE", "MY"]), "only one besides the two that it is between");
    assert!(!met(&["KR", "KR"]) && !met(&["KR", "ZZ"]) && !met(&[]));
    assert_eq!(quorum.to_string(), "2 of BE, MY, KR, w.example");
    for bad in ["", "2", "0 of BE", "3 of BE, MY", "2 of BE, BE", "x of BE", "1 of "] {
        assert!(bad.parse::<Quorum>().is_err(), "{bad}");
    }
}
