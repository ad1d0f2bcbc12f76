use super::*;
use crate::guard::connection::Connection;
use std::net::Ipv4Addr;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn admit(seats: &Arc<Seats>, ip: IpAddr) -> Option<Arc<Seat>> {
    seats.admit(ip, Transport::none())
}

#[test]
fn seats_come_free_again() {
    let seats = Seats::new(3, 2);
    let sit = |ip| admit(&seats, ip).expect("let in");
    let (one, _two) = (sit(ONE), sit(ONE));
    assert_eq!(sit(ONE).refusal, Some("too_many_clients_from_your_address"));
    let _three = sit(OTHER);
    assert_eq!(sit(OTHER).refusal, Some("too_many_clients"));
    drop(one);
    assert_eq!(sit(OTHER).refusal, None);
    let taken = seats.taken();
    assert_eq!((taken.seats, taken.standing, taken.by_prefix.len()), (2, 0, 2));
}

#[test]
fn above_the_limit_few_are_told_so_and_the_others_are_not_let_in() {
    let seats = Seats::new(1, 1);
    let _one = admit(&seats, ONE);
    let standing: Vec<_> = (0..=STANDING).map(|_| admit(&seats, ONE)).collect();
    assert!(standing[..STANDING].iter().all(Option::is_some) && standing[STANDING].is_none());
    drop(standing);
    let taken = seats.taken();
    assert_eq!((taken.seats, taken.standing), (1, 0));
}

#[test]
fn a_connection_outside_the_namespace_gives_way() {
    let seats = Seats::new(2, 2);
    let (one, two) = (admit(&seats, ONE).expect("free"), admit(&seats, ONE).expect("free"));
    let session = Sid::new();
    two.name(session);
    one.leave();
    two.leave();
    assert!(one.take() && seats.of(session).is_some_and(|seat| !seat.is_cut()) && seats.of(Sid::new()).is_none());
    let three = admit(&seats, ONE).expect("two gives way");
    assert_eq!((three.refusal, one.take(), two.take()), (None, true, false));
    assert!(two.is_cut() && seats.of(session).is_some_and(|seat| seat.is_cut()) && !one.is_cut());
    assert!(admit(&seats, ONE).expect("told").refusal.is_some());
    drop((one, two, three));
    let taken = seats.taken();
    assert_eq!((taken.seats, taken.by_prefix.len(), taken.polling.len()), (0, 0, 0));
}

#[test]
fn seats_that_go_while_they_give_way_hold_nobody_up() {
    let seats = Seats::new(1, 1);
    for _ in 0..2_000 {
        let Some(seat) = admit(&seats, ONE) else { continue };
        seat.leave();
        let gone = std::thread::spawn(move || drop(seat));
        drop(admit(&seats, ONE));
        gone.join().expect("dropped");
    }
    assert_eq!(seats.taken().seats, 0);
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let seats = Seats::new(9, 1);
    let ip = |text: &str| text.parse::<IpAddr>().expect("address");
    let _one = admit(&seats, ip("2001:db8::1"));
    assert!(admit(&seats, ip("2001:db8::ffff:2")).expect("told").refusal.is_some());
    assert!(admit(&seats, ip("2001:db8:0:1::1")).expect("free").refusal.is_none());
    assert_eq!(prefix(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
}

#[test]
fn all_together_few_are_told_that_there_is_no_seat() {
    let seats = Seats::new(0, 1);
    let ip = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).expect("small")]);
    let told: Vec<_> = (0..ALL_STANDING).map(|n| admit(&seats, ip(n / STANDING)).expect("told")).collect();
    assert!(told.iter().all(|seat| seat.refusal == Some("too_many_clients")));
    assert!(admit(&seats, ip(200)).is_none() && admit(&seats, ip(0)).is_none());
    assert_eq!(seats.taken().by_prefix.len(), ALL_STANDING / STANDING, "nothing is kept of one that was not let in");
    drop(told);
    let taken = seats.taken();
    assert_eq!((taken.standing, taken.by_prefix.len()), (0, 0));
}

#[test]
fn only_those_outside_the_namespace_give_way() {
    let seats = Seats::new(9, 2);
    let (one, two) = (admit(&seats, ONE).expect("free"), admit(&seats, ONE).expect("free"));
    assert!(!one.is_idle() && admit(&seats, ONE).expect("told").refusal.is_some(), "none is outside");
    one.leave();
    one.leave();
    assert!(one.is_idle() && seats.taken().by_prefix[&ONE].idle.len() == 1, "noted once");
    // There is a free seat for another address, so nobody gives way.
    let _other = admit(&seats, OTHER).expect("free");
    assert!(one.take() && !one.is_idle());
    one.leave();
    drop(two);
    let _two = admit(&seats, ONE).expect("free");
    assert!(one.take(), "two had gone");
    let gone = admit(&Seats::new(1, 1), ONE).expect("free");
    gone.leave();
    assert_eq!(gone.seats.taken().by_prefix[&ONE].idle.iter().filter(|seat| seat.strong_count() > 0).count(), 1);
}

#[test]
fn a_seat_is_made_free_where_either_limit_is_met() {
    for seats in [Seats::new(9, 1), Seats::new(1, 9)] {
        let one = admit(&seats, ONE).expect("free");
        one.leave();
        let two = admit(&seats, ONE).expect("one gives way");
        assert_eq!((two.refusal, one.take()), (None, false));
    }
}

#[test]
fn a_session_that_polls_is_refused_from_now_on() {
    let seat = admit(&Seats::new(9, 9), ONE).expect("free");
    assert!(!seat.is_cut());
    seat.refuse();
    assert!(seat.is_cut());
}

/// A connection over loopback, and its other end.
async fn connected() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Connection::new(accepted.expect("accepted").0, Duration::from_secs(9), None), client.expect("connected"))
}

#[tokio::test]
async fn the_connection_that_a_session_moved_to_is_the_one_that_ends() {
    let ((first, mut first_end), (second, mut second_end)) = (connected().await, connected().await);
    let seat = Seats::new(9, 9).admit(ONE, first.transport()).expect("free");
    seat.move_to(second.transport());
    seat.cut();
    assert!(seat.is_cut());
    let (mut one, mut other) = ([0], [0]);
    let ended = tokio::select! {
        read = first_end.read(&mut one) => ("first", read.ok()),
        read = second_end.read(&mut other) => ("second", read.ok()),
    };
    assert_eq!(ended, ("second", Some(0)));
    let (late, mut late_end) = connected().await;
    seat.move_to(late.transport());
    assert_eq!(late_end.read(&mut other).await.ok(), Some(0), "after it was ended");
}

#[tokio::test]
async fn a_seat_is_free_as_soon_as_its_connection_is_gone() {
    let seats = Seats::new(1, 1);
    let ((first, _end), (second, _other_end)) = (connected().await, connected().await);
    let gone = seats.admit(ONE, first.transport()).expect("free");
    let told = seats.admit(ONE, second.transport()).expect("told");
    gone.end_with_connection();
    told.end_with_connection();
    assert!(told.refusal.is_some() && gone.take());
    drop((first, second));
    assert!(!gone.take() && admit(&seats, ONE).expect("free").refusal.is_none());
    let late = admit(&seats, ONE).expect("free");
    late.end_with_connection();
    gone.leave();
    drop((gone, told));
    let taken = seats.taken();
    assert_eq!((taken.seats, taken.standing, taken.by_prefix.len()), (0, 0, 0), "the late one had no connection any more");
}

#[test]
fn those_that_have_gone_are_not_remembered() {
    let seats = Seats::new(9, 9);
    let stays = admit(&seats, ONE).expect("free");
    stays.leave();
    for _ in 0..5 {
        admit(&seats, ONE).expect("free").leave();
    }
    let last = admit(&seats, ONE).expect("free");
    last.leave();
    assert_eq!(seats.taken().by_prefix[&ONE].idle.len(), 2);
}
