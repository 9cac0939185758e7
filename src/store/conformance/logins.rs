//! Accounts are used by one at a time and stopped in time, and what was seen without a login is looked at again.

use super::{Handle, Rendered, at, counted, lease_one, start};
use crate::crawl::PageKey;
use crate::scan::{LOGIN_TAKES, LoginEnd, LoginTurn};

pub(crate) async fn accounts_are_stopped_before_servers_do(one: Handle, two: Handle) {
    let begin = async |store: &Handle, now| store.begin_login("scanner", at(now)).await.unwrap();
    let end = async |end| one.end_login("scanner", end).await.unwrap();
    assert_eq!(begin(&one, 0).await, LoginTurn::Go);
    end(LoginEnd::Failed).await;
    assert_eq!(begin(&two, 1).await, LoginTurn::Go);
    end(LoginEnd::NotTried).await;
    assert_eq!(begin(&one, 2).await, LoginTurn::Go, "no secret was shown");
    end(LoginEnd::Succeeded).await;
    for now in [3, 4] {
        assert_eq!(begin(&two, now).await, LoginTurn::Go);
        end(LoginEnd::Failed).await;
    }
    assert_eq!(begin(&one, 5).await, LoginTurn::Stopped);
    assert_eq!(
        begin(&two, 9_000_000_000).await,
        LoginTurn::Stopped,
        "time forgets nothing"
    );
    assert_eq!(one.begin_login("other", at(6)).await.unwrap(), LoginTurn::Go);
    assert!(two.unlock_account("scanner").await.unwrap());
    assert!(!two.unlock_account("scanner").await.unwrap());
    assert_eq!(begin(&one, 7).await, LoginTurn::Go);
}

pub(crate) async fn one_logs_in_at_a_time(one: Handle, two: Handle) {
    let takes = i64::try_from(LOGIN_TAKES.as_millis()).unwrap();
    let begin = async |store: &Handle, now| store.begin_login("scanner", at(now)).await.unwrap();
    assert_eq!(begin(&one, 0).await, LoginTurn::Go);
    assert_eq!(begin(&two, takes - 1).await, LoginTurn::Wait);
    // The first one died, and may have shown its secrets.
    assert_eq!(begin(&two, takes).await, LoginTurn::Go);
    assert_eq!(begin(&one, 2 * takes).await, LoginTurn::Stopped);
    let both = tokio::join!(one.begin_login("raced", at(0)), two.begin_login("raced", at(0)));
    let mut turns = [both.0.unwrap(), both.1.unwrap()];
    turns.sort_by_key(|turn| *turn == LoginTurn::Wait);
    assert_eq!(turns, [LoginTurn::Go, LoginTurn::Wait]);
}

pub(crate) async fn lost_pages_wait_again(one: Handle, two: Handle) {
    let scan = start(&one, "s", &["https://shop.test/a", "https://shop.test/b"]).await;
    let lease = lease_one(&one, &scan, 0).await;
    assert!(Rendered::done(&lease).record(&one, 1).await);
    let held = lease_one(&one, &scan, 2).await;
    let keys = [
        lease.key.clone(),
        held.key.clone(),
        PageKey("https://shop.test/no".into()),
    ];
    assert_eq!(two.reopen_pages(&scan, &keys).await.unwrap(), 1, "what is leased stays");
    assert_eq!(counted(&one, &scan).await, [1, 1, 0, 0, 0]);
    let again = lease_one(&two, &scan, 3).await;
    assert_eq!(again.key, lease.key);
    assert!(!Rendered::done(&lease).record(&one, 4).await, "the old lease is over");
    let mut seen = Rendered::done(&again);
    seen.evidence.as_mut().expect("it was looked at").page.logged_in = Some(true);
    assert!(seen.record(&two, 4).await);
    let looks = one.page_looks(&scan).await.unwrap();
    let logged_in: Vec<_> = looks.iter().map(|look| look.logged_in).collect();
    assert!(
        logged_in.contains(&Some(true)) && logged_in.contains(&None),
        "{logged_in:?}"
    );
}
