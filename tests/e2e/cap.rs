//! The mission's cap: 100 webhooks per tenant, however many ask at once.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anzol_tests::client::Answer;
use serde_json::json;

use crate::world::*;

const CAP: usize = 100;
const CALLERS: usize = 200;
/// Long enough for a small machine to start 200 functions.
const PATIENCE: Duration = Duration::from_mins(4);

fn try_to_create(number: usize) -> anyhow::Result<Answer> {
    let request = json!({
        "name": format!("cap {number}"), "url": "https://hooks.receiver.test/cap", "eventTypes": [APP_CREATED], "enabled": false,
    });
    world().globex_admin.post(WEBHOOKS, &request)
}

fn create(number: usize) -> Answer {
    try_to_create(number).unwrap()
}

/// The same, trying again when told to, or when there is no answer: 200 callers at once are 200 cold starts, more than a small machine
/// has time for, and then it is the gateway that answers. Also says how often that was.
fn create_patiently(number: usize) -> (Answer, usize) {
    let (begun, mut told_to_retry) = (Instant::now(), 0);
    loop {
        let answer = try_to_create(number);
        match &answer {
            Ok(answer) if answer.status == 503 => {
                assert!(!answer.header("retry-after").is_empty(), "no retry-after on {answer}");
            }
            Ok(answer) if answer.status != 429 && answer.status < 500 => {
                return (answer.clone(), told_to_retry);
            }
            _ => {}
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        told_to_retry += 1;
        thread::sleep(Duration::from_secs(1));
    }
}

/// The ids on every page.
fn ids_through_paging(limit: usize) -> Vec<String> {
    let pages = pages(&world().globex_admin, format!("{WEBHOOKS}?limit={limit}"));
    for page in &pages {
        assert!(page.len() <= limit, "{} on a page of {limit}", page.len());
    }
    pages.concat().iter().map(|webhook| webhook["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_hundred_parallel_creates_leave_exactly_a_hundred_webhooks() {
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

    let told_to_retry: usize = answers.iter().map(|(_, times)| times).sum();
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
    // Only a caller that was told to try again may have made one without being told so.
    let untold = CAP - created.len();
    assert!(
        untold <= told_to_retry,
        "{untold} listed but not created, with {told_to_retry} answers to try again"
    );

    assert_refused(&create(CALLERS), 403, "webhook_cap_reached");
    world().globex_admin.delete(&format!("{WEBHOOKS}/{}", listed[0])).unwrap().expect_status(204).unwrap();
    create(CALLERS).expect_status(201).unwrap();
    assert_refused(&create(CALLERS), 403, "webhook_cap_reached");
    assert_eq!(ids_through_paging(100).len(), CAP);

    delete_all(&world().globex_admin);
    assert_eq!(ids_through_paging(100), Vec::<String>::new());
}
