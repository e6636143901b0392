//! The cap of 100 webhooks per tenant under parallel creates.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anzol_tests::client::Answer;
use serde_json::json;

use crate::kit::*;

const CAP: usize = 100;
const CALLERS: usize = 200;
/// Time for a small machine to start 200 functions.
const CREATE_TIMEOUT: Duration = Duration::from_mins(4);

fn try_to_create(number: usize) -> anyhow::Result<Answer> {
    let request = json!({
        "name": format!("cap {number}"), "url": "https://hooks.receiver.test/cap", "eventTypes": [APP_CREATED], "enabled": false,
    });
    context().globex_admin.post(WEBHOOKS, &request)
}

fn create(number: usize) -> Answer {
    try_to_create(number).unwrap()
}

/// Creates a webhook and retries after 429, 5xx or a missing answer: 200 callers at once are 200 cold starts, which can time out in the
/// gateway on a small machine. Returns the number of retries too.
fn create_patiently(number: usize) -> (Answer, usize) {
    let (started, mut retries) = (Instant::now(), 0);
    loop {
        let answer = try_to_create(number);
        match &answer {
            Ok(answer) if answer.status == 503 => {
                assert!(!answer.header("retry-after").is_empty(), "no retry-after on {answer}");
            }
            Ok(answer) if answer.status != 429 && answer.status < 500 => {
                return (answer.clone(), retries);
            }
            _ => {}
        }
        assert!(started.elapsed() < CREATE_TIMEOUT, "{answer:?}");
        retries += 1;
        thread::sleep(Duration::from_secs(1));
    }
}

/// Returns the ids on all pages.
fn ids_through_paging(limit: usize) -> Vec<String> {
    let pages = pages(&context().globex_admin, format!("{WEBHOOKS}?limit={limit}"));
    for page in &pages {
        assert!(page.len() <= limit, "{} on a page of {limit}", page.len());
    }
    pages.concat().iter().map(|webhook| webhook["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_hundred_parallel_creates_make_exactly_100_webhooks() {
    let _alone = globex_alone();
    let together = Barrier::new(CALLERS);
    let answers: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    create_patiently(number)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });

    let retries: usize = answers.iter().map(|(_, times)| times).sum();
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.iter().map(|(answer, _)| answer).partition(|answer| answer.status == 201);
    for answer in refused {
        assert_refused(answer, 403, "webhook_cap_reached");
    }

    let listed = ids_through_paging(30);
    assert_eq!(listed.len(), CAP);
    let distinct: BTreeSet<_> = listed.iter().map(|id| json!(id).to_string()).collect();
    assert_eq!(distinct.len(), CAP, "each is listed once");
    let created: BTreeSet<_> = made.iter().map(|answer| answer.json().unwrap()["id"].to_string()).collect();
    assert!(created.is_subset(&distinct), "created but not listed: {:?}", created.difference(&distinct));
    // Only a caller that retried may have created a webhook whose answer was lost.
    let unreported = CAP - created.len();
    assert!(unreported <= retries, "{unreported} listed but not created, with {retries} retries");

    assert_refused(&create(CALLERS), 403, "webhook_cap_reached");
    context().globex_admin.delete(&format!("{WEBHOOKS}/{}", listed[0])).unwrap().expect_status(204).unwrap();
    create(CALLERS).expect_status(201).unwrap();
    assert_refused(&create(CALLERS), 403, "webhook_cap_reached");
    assert_eq!(ids_through_paging(100).len(), CAP);

    delete_all(&context().globex_admin);
    assert_eq!(ids_through_paging(100), Vec::<String>::new());
}
