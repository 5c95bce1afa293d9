//! Words that name jobs.

use queuectl::{Enqueuer, Selector, SelectorError};
use queuectl_testing::given::{id, ids};

use crate::place::{Place, nameless};

async fn select(place: &Place, word: &str) -> Result<Vec<String>, SelectorError> {
    let ids = place.client.select(&Selector::parse(word)?).await?;
    Ok(ids.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn an_exact_id_always_wins() {
    let place = Place::new().await;
    let made = place.client.enqueue(vec![nameless()], &Enqueuer::default()).await.expect("it is enqueued");
    let prefix = &made[0].as_str()[..6];
    assert_eq!(select(&place, prefix).await.expect("it is found"), [made[0].as_str()]);
    assert_eq!(select(&place, &prefix.to_uppercase()).await.expect("read aloud"), [made[0].as_str()]);
    assert!(matches!(select(&place, &prefix[..3]).await, Err(SelectorError::Nothing(_))), "too short");
    place.enqueue(&[prefix]).await;
    assert_eq!(select(&place, prefix).await.expect("it is found"), [prefix]);
}

#[tokio::test]
async fn a_prefix_means_one_generated_id() {
    let place = Place::new().await;
    place.enqueue(&["report-1"]).await;
    assert!(matches!(select(&place, "repo").await, Err(SelectorError::Nothing(word)) if word == "repo"));
    let made = place.client.enqueue(vec![nameless(), nameless()], &Enqueuer::default()).await.expect("both");
    let common = &made[0].as_str()[..4];
    let Err(SelectorError::Ambiguous { prefix, ids }) = select(&place, common).await else {
        panic!("two begin with {common}");
    };
    assert_eq!((prefix.as_str(), &ids), (common, &made));
}

#[tokio::test]
async fn the_newest_and_all_are_told_oldest_first() {
    let place = Place::new().await;
    assert!(matches!(select(&place, "last").await, Err(SelectorError::Empty)));
    assert!(matches!(select(&place, "all").await, Err(SelectorError::Empty)));
    place.enqueue(&["a", "b", "c"]).await;
    assert_eq!(select(&place, "last").await.expect("one"), ["c"]);
    assert_eq!(select(&place, "last:2").await.expect("two"), ["b", "c"]);
    assert_eq!(select(&place, "last:9").await.expect("all"), ["a", "b", "c"]);
    let all = place.client.select(&Selector::All).await.expect("all");
    assert_eq!(all, ids(&["a", "b", "c"]));
    assert!(matches!(select(&place, "last:0").await, Err(SelectorError::BadLast(_))));
    assert!(matches!(select(&place, "last:x").await, Err(SelectorError::BadLast(_))));
    assert_eq!(place.client.select(&Selector::Id("b".to_owned())).await.expect("it is there"), [id("b")]);
}
