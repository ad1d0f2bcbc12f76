//! Opening and closing the door with the relay.

use crate::config::door::{BODIES_ALL, BODIES_EACH, DoorConfig, SHARE, Voters};
use crate::config::{Auth, Config};
use crate::db::address;
use crate::door::limits::Limits;
use crate::error::{Error, Result};
use crate::guard::ledger::Ledger;
use crate::live::hub::Hub;
use std::sync::Arc;
use vote_agg_core::{Resolution, parse_resolution};
use vote_agg_door::{Door, OpenError, Room, Settings, VoterKey};

/// The queue is bounded by memory too: as many votes with short names fit as are allowed.
const VOTE_BYTES: usize = 512;

/// All that takes votes.
pub struct Votes {
    pub door: Door,
    pub key: VoterKey,
    pub limits: Limits,
    /// Bytes of bodies that are under way.
    pub bodies: Arc<Ledger>,
    pub voters: Voters,
    pub max_resolution: Resolution,
}

/// Opens the door, where the settings say where votes go. None: no votes are taken.
///
/// # Errors
/// [`Error::Config`] for settings that cannot be right, and for a database in which these votes may not be.
pub async fn open(hub: &Hub) -> Result<Option<Votes>> {
    let config = &hub.config;
    let DoorConfig { votes_url, votes_url_file, .. } = &config.door;
    let Some(written) = address::written("VOTES_URL", votes_url.as_ref(), votes_url_file.as_ref())? else { return Ok(None) };
    check(config)?;
    let key = voter_key(&config.door)?;
    let (postgres, tls) = address::reach("VOTES_URL", &written, "vote-agg-door", config.database_ca.as_deref())?;
    let max_votes = config.door.votes_queue as usize;
    let settings = Settings {
        postgres,
        tls,
        fingerprint: key.fingerprint(),
        sessions: config.door.votes_sessions.into(),
        room: Room { votes: max_votes, bytes: max_votes.saturating_mul(VOTE_BYTES), share: (max_votes / SHARE).max(1) },
        patience: config.door.votes_timeout,
    };
    match Door::check(&settings).await {
        Ok(()) => {}
        Err(OpenError::Refused(reason)) => return Err(Error::Config(format!("VOTES_URL: {reason}"))),
        // It looks again with each session.
        Err(OpenError::Passing(reason)) => tracing::warn!(reason, "the database for votes is out of reach"),
    }
    let votes = Votes {
        door: Door::open(&settings, hub.metrics.door.clone()),
        key,
        limits: Limits::new(&config.door),
        bodies: Ledger::new(BODIES_EACH, BODIES_ALL),
        voters: config.door.votes,
        max_resolution: parse_resolution(config.door.max_resolution.into()).map_err(|e| Error::Config(e.to_string()))?,
    };
    tracing::info!(voters = ?votes.voters, sessions = settings.sessions, "taking votes");
    Ok(Some(votes))
}

fn check(config: &Config) -> Result<()> {
    let refuse = |text: &str| Err(Error::Config(text.to_owned()));
    if config.door.votes == Voters::Token && config.auth == Auth::Off {
        return refuse("VOTES_URL: voters need tokens, and AUTH is off; VOTES=anonymous takes votes without");
    }
    if config.door.country_header.is_some() && config.trusted_proxies.is_empty() {
        return refuse("COUNTRY_HEADER: anybody can send a header: TRUSTED_PROXIES names the proxies that set it");
    }
    Ok(())
}

fn voter_key(config: &DoorConfig) -> Result<VoterKey> {
    let Some(path) = &config.voter_key_file else {
        return Err(Error::Config("VOTES_URL needs VOTER_KEY_FILE, a secret of at least 32 bytes".into()));
    };
    let refuse = |e: String| Error::Config(format!("VOTER_KEY_FILE: {}: {e}", path.display()));
    let secret = std::fs::read(path).map_err(|e| refuse(e.to_string()))?;
    VoterKey::new(secret.trim_ascii_end()).map_err(refuse)
}
