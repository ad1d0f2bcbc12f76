//! What can be set: flags with twins in the environment.

use crate::config::LogFormat;
use crate::config::parse::seconds;
use crate::db::address;
use crate::error::{Error, Result};
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Brings what shards have counted to their root.
///
/// Run one or two: each asks every shard by itself, and the root applies each difference once.
/// Every flag has a twin in the environment, shown in brackets. The level of the logs is taken from RUST_LOG.
#[derive(Clone, Debug, Parser)]
#[command(name = "vote-agg-relay pull", bin_name = "vote-agg-relay pull", version)]
pub struct PullConfig {
    /// Where the root is: a URL or a list of key=value. The role needs what `SELECT vote_agg.grant_puller(role)` gives
    #[arg(long, env = "ROOT_URL", hide_env_values = true, required_unless_present = "root_url_file")]
    pub root_url: Option<String>,

    /// A file that holds it instead, such as a mounted secret
    #[arg(long, env = "ROOT_URL_FILE", value_name = "FILE", conflicts_with = "root_url")]
    pub root_url_file: Option<PathBuf>,

    /// A shard: the name that `vote_agg.follow` gave it, `=`, and where its primary is. Once for each shard; in the environment one a
    /// line. The role needs what `SELECT vote_agg.grant_reader(role)` gives
    #[arg(long = "shard", env = "SHARDS", hide_env_values = true, value_name = "NAME=URL", value_delimiter = '\n', value_parser = shard)]
    pub shards: Vec<(String, String)>,

    /// A file that holds the shards instead, one a line
    #[arg(long, env = "SHARDS_FILE", value_name = "FILE", conflicts_with = "shards")]
    pub shards_file: Option<PathBuf>,

    /// A file of certificates (PEM) to trust for TLS to the databases, instead of the system's
    #[arg(long, env = "DATABASE_CA", value_name = "FILE")]
    pub database_ca: Option<PathBuf>,

    /// Seconds between two questions to a shard whose votes move; up to four times as long to one that is quiet
    #[arg(long, env = "PULL_INTERVAL", default_value = "0.1", value_parser = seconds)]
    pub pull_interval: Duration,

    /// Seconds that an answer may take
    #[arg(long, env = "PULL_TIMEOUT", default_value = "10", value_parser = seconds)]
    pub pull_timeout: Duration,

    /// An address for /metrics, such as 127.0.0.1:9002
    #[arg(long, env = "ADMIN", value_name = "ADDRESS:PORT")]
    pub admin: Option<SocketAddr>,

    /// How logs are written
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
}

fn shard(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("give the name of the shard, =, and its address")?;
    let (name, url) = (name.trim(), url.trim());
    if name.is_empty() || url.is_empty() {
        return Err("give the name of the shard, =, and its address".to_owned());
    }
    Ok((name.to_owned(), url.to_owned()))
}

/// A database, and how to connect there.
#[derive(Clone)]
pub struct Target {
    pub postgres: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
}

impl PullConfig {
    /// The root.
    ///
    /// # Errors
    /// [`Error::Config`] for an address that makes no sense.
    pub fn root(&self) -> Result<Target> {
        let written = address::written("ROOT_URL", self.root_url.as_ref(), self.root_url_file.as_ref())?;
        let written = written.ok_or_else(|| Error::Config("the puller needs ROOT_URL or ROOT_URL_FILE".into()))?;
        self.target("ROOT_URL", &written)
    }

    /// The shards by name.
    ///
    /// # Errors
    /// [`Error::Config`] for none, a name that comes twice, or an address that makes no sense.
    pub fn shards(&self) -> Result<Vec<(String, Target)>> {
        let mut named = self.shards.clone();
        if let Some(path) = &self.shards_file {
            let refuse = |why: String| Error::Config(format!("SHARDS_FILE: {}: {why}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            named = lines.map(shard).collect::<Result<_, _>>().map_err(refuse)?;
        }
        if named.is_empty() {
            return Err(Error::Config("the puller needs SHARDS or SHARDS_FILE".into()));
        }
        let mut names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::Config(format!("SHARDS: shard {} comes twice", twice[0])));
        }
        named.iter().map(|(name, url)| Ok((name.clone(), self.target(&format!("SHARDS: {name}"), url)?))).collect()
    }

    fn target(&self, setting: &str, written: &str) -> Result<Target> {
        let (postgres, tls) = address::reach(setting, written, "vote-agg-puller", self.database_ca.as_deref())?;
        Ok(Target { postgres, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn shards_are_named_once() {
        PullConfig::command().debug_assert();
        let shards = |settings: &[&str]| {
            let all = ["pull", "--root-url=host=r"].iter().chain(settings);
            PullConfig::try_parse_from(all).map_err(|e| e.to_string()).and_then(|c| {
                let shards = c.shards().map_err(|e| e.to_string())?;
                Ok(shards.into_iter().map(|(name, _)| name).collect::<Vec<_>>())
            })
        };
        assert_eq!(
            shards(&["--shard=a=host=h dbname=x", "--shard", "b=postgres://h/y?sslmode=disable"]),
            Ok(vec!["a".into(), "b".into()])
        );
        for (settings, why) in [
            (vec![], "needs SHARDS"),
            (vec!["--shard=a"], "the name of the shard"),
            (vec!["--shard==host=h"], "the name of the shard"),
            (vec!["--shard=a=host=h", "--shard=a=host=i"], "a comes twice"),
            (vec!["--shard=a=host=h port=x"], "SHARDS: a: "),
            (vec!["--shards-file=/nowhere/shards"], "SHARDS_FILE: /nowhere/shards: "),
        ] {
            let error = shards(&settings).expect_err("refused");
            assert!(error.contains(why), "{settings:?}: {error}");
        }
    }
}
