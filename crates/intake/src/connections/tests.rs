use std::future::pending;

use super::*;

fn held(number: u64, network: u8, standing: Standing, age_s: u64, now: Instant) -> Held {
    let network = Network::of([10, 0, 0, network].into());
    Held { number, network, standing, since: now - Duration::from_secs(age_s) }
}

fn long_ago() -> Instant {
    Instant::now() + Duration::from_secs(1_000)
}

#[test]
fn strangers_go_before_slow_bodies_before_idle_senders_and_requests_never() {
    use Standing::{Busy, Proved, Slow, Stranger};
    let now = long_ago();
    let mut all = vec![
        held(1, 1, Busy, 90, now),
        held(2, 1, Proved, 80, now),
        held(3, 1, Slow, 70, now),
        held(4, 1, Stranger, 2, now),
        held(5, 1, Stranger, 60, now),
    ];
    let chosen = |all: &Vec<Held>, most| choose(all.clone(), most).map(|(chosen, _)| chosen);
    assert_eq!(chosen(&all, 1), Some(vec![5]));
    assert_eq!(chosen(&all, 2), Some(vec![5, 4]));
    assert_eq!(chosen(&all, 9), Some(vec![5, 4, 3]), "a sender's idle connection only if there is nothing else");
    all.retain(|one| one.standing != Stranger && one.standing != Slow);
    all.push(held(6, 1, Proved, 81, now));
    assert_eq!(chosen(&all, 9), Some(vec![6]), "and one at a time");
    all.retain(|one| one.standing == Busy);
    assert_eq!(chosen(&all, 9), None);
}

#[test]
fn who_holds_most_makes_room_first() {
    let now = long_ago();
    let mut all: Vec<_> = (0..10).map(|number| held(number, 1, Standing::Stranger, 5, now)).collect();
    all.push(held(10, 2, Standing::Stranger, 60, now));
    let (chosen, evicted) = choose(all, 10).unwrap();
    assert_eq!(chosen, (0..10).collect::<Vec<_>>());
    assert_eq!((evicted.most, evicted.held), (Network::of([10, 0, 0, 1].into()), 10));
}

#[test]
fn addresses_of_one_customer_are_one_network() {
    let of = |text: &str| Network::of(text.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::1"));
    assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_whoever_comes_and_each_place_is_given_back() {
    let connections = Connections::new(4);
    let enter = async |activity: &Arc<Activity>| {
        let socket = connections.socket().await.unwrap();
        let entered = connections.enter(socket, [127, 0, 0, 1].into(), Arc::clone(activity))?;
        let number = entered.guest.number();
        let guest = entered.guest;
        let task = tokio::spawn(async move {
            let _guest = guest;
            pending::<()>().await;
        });
        connections.serves(number, task.abort_handle());
        Some((task, entered.reserve, entered.evicted.map_or(0, |evicted| evicted.connections)))
    };
    let idle = Arc::new(Activity::new());
    let mut tasks = Vec::new();
    for number in 0..50 {
        let (task, reserve, evicted) = enter(&idle).await.unwrap();
        assert_eq!((reserve, evicted), (false, usize::from(number >= 4)));
        tasks.push(task);
        assert!(connections.open.lock().all.len() <= 4);
    }
    for task in &mut tasks[..46] {
        assert!(task.await.unwrap_err().is_cancelled(), "the oldest are closed");
    }
    assert!(tasks[46..].iter().all(|task| !task.is_finished()));
    // Those that came last are replaced by busy ones; then there is only the reserve.
    let busy = Arc::new(Activity::new());
    let _request = busy.begin();
    for number in 0..4 + RESERVED_CONNECTIONS {
        let (task, reserve, _) = enter(&busy).await.unwrap();
        assert_eq!(reserve, number >= 4);
        tasks.push(task);
    }
    assert!(enter(&busy).await.is_none(), "nobody is closed for it");
    assert!(!connections.all_closed(Duration::from_secs(1)).await);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(connections.all_closed(Duration::from_secs(1)).await);
    assert_eq!(connections.count(), 0);
}
