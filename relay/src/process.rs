//! What the system knows of this process, under the names that Prometheus' own client libraries have for it.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt::Error;
use std::fs::{read_dir, read_to_string};

/// Ticks a second in /proc: a fixed part of what Linux shows to programs, whatever its own clock does.
const TICKS: f64 = 100.0;

/// Looked up at each scrape. What the system does not tell is left out.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let read = |path| read_to_string(path).unwrap_or_default();
        let (stat, status, system) = (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/stat"));
        // Fields by their number in proc(5). The second one, the program's name, may have blanks.
        let field = |number: usize| stat.rsplit_once(") ")?.1.split(' ').nth(number - 3)?.parse::<f64>().ok();
        let bytes = |key: &str| Some(number_after(&status, key)? * 1024.0);
        let started = number_after(&system, "btime").zip(field(22)).map(|(booted, ticks)| booted + ticks / TICKS);
        let files = read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
        let most = rlimit::Resource::NOFILE.get_soft().ok().map(|files| files as f64);
        if let Some(ticks) = field(14).zip(field(15)).map(|(user, system)| user + system) {
            let (help, seconds) = ("Processor time used", ConstCounter::new(ticks / TICKS));
            seconds.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, seconds.metric_type())?)?;
        }
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in use", bytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Memory mapped", bytes("VmSize:")),
            ("process_start_time_seconds", "When the process started, in seconds since 1970", started),
            ("process_open_fds", "Files open, connections among them", files),
            ("process_max_fds", "Files that may be open", most),
            ("process_threads", "Threads", number_after(&status, "Threads:")),
        ] {
            if let Some(gauge) = value.map(ConstGauge::new) {
                gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
            }
        }
        Ok(())
    }
}

/// The number in the line that begins with this word.
fn number_after(lines: &str, word: &str) -> Option<f64> {
    lines.lines().find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok())
}
