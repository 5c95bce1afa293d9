//! Settings and queues.

use queuectl::Enqueuer;
use queuectl::core::settings::find_key;
use queuectl_testing::given::{id, queue};

use crate::place::{Place, request};

#[tokio::test]
async fn a_value_is_kept_as_it_was_given_for_everyone() {
    let place = Place::new().await;
    let key = find_key("maxRetries").expect("a spelling of max-retries");
    place.client.configure(None, key, Some("05")).await.expect("the store works");
    place.client.configure(Some(&queue("mail")), key, Some("9")).await.expect("the store works");
    let settings = place.again().await.settings().await.expect("the store works");
    assert_eq!(settings.raw(None, key), "05");
    assert_eq!(settings.for_queue(&queue("mail")).max_retries, 9);
    assert_eq!(settings.for_queue(&queue("other")).max_retries, 5);
    place.client.configure(Some(&queue("mail")), key, None).await.expect("the store works");
    let newer = place.client.settings().await.expect("the store works");
    assert_eq!(newer.for_queue(&queue("mail")).max_retries, 5);
    assert!(newer.version > settings.version);
}

#[tokio::test]
async fn a_job_takes_the_values_in_force_when_it_is_enqueued() {
    let place = Place::new().await;
    let key = find_key("max-retries").expect("a key");
    place.client.configure(None, key, Some("7")).await.expect("the store works");
    let own = queuectl::JobRequest { max_retries: Some(2), ..request("own") };
    let requests = vec![request("seven"), own];
    place.client.enqueue(requests, &Enqueuer::default()).await.expect("they are enqueued");
    place.client.configure(None, key, Some("1")).await.expect("the store works");
    let bound = async |name| {
        let job = place.client.job(&id(name)).await.expect("the store works").expect("it is there");
        job.spec.max_retries
    };
    assert_eq!((bound("seven").await, bound("own").await), (7, 2));
}

#[tokio::test]
async fn a_pause_tells_whether_it_changed_anything() {
    let place = Place::new().await;
    let mail = queue("mail");
    assert!(place.client.set_paused(&mail, true).await.expect("the store works"));
    assert!(!place.client.set_paused(&mail, true).await.expect("the store works"));
    let queues = place.client.queues().await.expect("the store works");
    assert!(queues.iter().any(|row| row.name == mail && row.paused));
    assert!(place.client.set_paused(&mail, false).await.expect("the store works"));
}
