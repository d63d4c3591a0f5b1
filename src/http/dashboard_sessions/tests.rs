use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn signed_in(sessions: &DashboardSessions) -> (String, String) {
    let begun = sessions.begin(DashboardRole::Full, DashboardProof::Key, None);
    let (session, secret) = begun.unwrap();
    (session.id, secret)
}

fn is_open(sessions: &DashboardSessions, secret: &str) -> bool {
    sessions.open(secret).is_some()
}

#[tokio::test(start_paused = true)]
async fn link_is_good_once_and_for_a_minute() {
    let sessions = DashboardSessions::default();
    let link = sessions.create_link(DashboardRole::ReadOnly).unwrap();
    assert_eq!(sessions.redeem("guessed"), None);
    advance(LINK_LIFETIME - SECOND).await;
    assert_eq!(sessions.redeem(&link.code), Some(DashboardRole::ReadOnly));
    assert_eq!(sessions.redeem(&link.code), None);
    let link = sessions.create_link(DashboardRole::Full).unwrap();
    advance(LINK_LIFETIME).await;
    assert_eq!(sessions.redeem(&link.code), None);
}

#[tokio::test(start_paused = true)]
async fn session_ends_when_it_is_idle_or_old() {
    let sessions = DashboardSessions::default();
    let (_, secret) = signed_in(&sessions);
    advance(IDLE_LIFETIME - SECOND).await;
    assert!(is_open(&sessions, &secret), "a request keeps it");
    advance(IDLE_LIFETIME - SECOND).await;
    assert!(is_open(&sessions, &secret));
    advance(IDLE_LIFETIME).await;
    assert!(!is_open(&sessions, &secret));

    let (_, secret) = signed_in(&sessions);
    let (opened, _stream) = sessions.open(&secret).unwrap();
    advance(MAX_LIFETIME - SECOND).await;
    assert!(is_open(&sessions, &secret), "an open stream keeps it");
    advance(SECOND).await;
    assert!(!is_open(&sessions, &secret));
    assert!(opened.ended.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn session_is_idle_from_the_end_of_its_last_request_on() {
    let sessions = DashboardSessions::default();
    let (_, secret) = signed_in(&sessions);
    let stream = sessions.open(&secret).unwrap();
    advance(2 * IDLE_LIFETIME).await;
    drop(stream);
    advance(IDLE_LIFETIME - SECOND).await;
    assert!(is_open(&sessions, &secret));
}

#[tokio::test]
async fn revoked_session_ends_with_what_it_has_open() {
    let sessions = DashboardSessions::default();
    let (id, secret) = signed_in(&sessions);
    let (other, _) = signed_in(&sessions);
    let (opened, _stream) = sessions.open(&secret).unwrap();
    assert!(sessions.revoke(&id) && !sessions.revoke(&id));
    assert!(opened.ended.is_cancelled());
    assert!(!is_open(&sessions, &secret));
    let left: Vec<_> = sessions.list().into_iter().map(|left| left.id).collect();
    assert_eq!(left, [other]);
}

#[tokio::test(start_paused = true)]
async fn sessions_and_links_are_bounded() {
    let sessions = DashboardSessions::default();
    let (_, first) = signed_in(&sessions);
    let link = sessions.create_link(DashboardRole::Full).unwrap();
    advance(SECOND).await;
    for _ in 0..MAX_SESSIONS {
        signed_in(&sessions);
    }
    for _ in 0..MAX_LINKS {
        sessions.create_link(DashboardRole::Full).unwrap();
    }
    assert_eq!(sessions.list().len(), MAX_SESSIONS);
    assert!(!is_open(&sessions, &first));
    assert_eq!(sessions.redeem(&link.code), None);
}

#[test]
fn secrets_are_in_no_debug_text() {
    let sessions = DashboardSessions::default();
    let (_, secret) = sessions
        .begin(DashboardRole::Full, DashboardProof::Key, None)
        .unwrap();
    let link = sessions.create_link(DashboardRole::Full).unwrap();
    let shown = format!("{sessions:?}");
    assert!(!shown.contains(&secret) && !shown.contains(&link.code));
}
