//! Upkeep changes nothing that anybody sees.

use super::Fixture;
use crate::given::{Turn, id, insert, job};

pub async fn a_log_that_nobody_needs_is_emptied_and_nothing_is_lost(f: &dyn Fixture) {
    insert(f.store(), (0..50).map(|n| job(&format!("j{n}")))).await;
    let claims = Turn::of("w").want(7).at(f.store()).await.claims;
    f.store().trim_log().await.expect("the store works");
    assert_eq!(f.store().log_bytes().await.expect("the store works"), 0);
    for claim in claims {
        let job = f.second().get(&claim.job.id).await.expect("the store works").expect("it is there");
        assert_eq!(job.claim, Some(claim.token));
    }
    assert!(f.second().get(&id("j49")).await.expect("the store works").is_some());
    insert(f.second(), [job("more")]).await;
}
