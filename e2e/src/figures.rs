//! Figures, their targets, and the table that shows them beside the peers'.

use std::fmt;

/// What a figure counts, which decides which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Processor time, µs.
    Micros,
    /// Processor time, ms.
    CpuMillis,
    /// Processor time, % of one processor.
    Percent,
    /// Time on the wall, ms.
    Millis,
    /// Requests a second.
    Rate,
    /// Memory, MiB.
    Mib,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Micros => "µs CPU",
            Self::CpuMillis => "ms CPU",
            Self::Percent => "% CPU",
            Self::Millis => "ms",
            Self::Rate => "/s",
            Self::Mib => "MiB",
        }
    }

    /// Whether a figure keeps a target: rates reach it, costs stay within it.
    fn meets(self, figure: f64, target: f64) -> bool {
        if self == Self::Rate { figure >= target } else { figure <= target }
    }

    /// How many times better the first is than the second.
    fn times_better(self, here: f64, there: f64) -> f64 {
        let (better, worse) = if self == Self::Rate { (here, there) } else { (there, here) };
        better / worse.max(f64::MIN_POSITIVE)
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    name: String,
    unit: Unit,
    here: f64,
    target: Option<f64>,
    peers: Vec<(&'static str, f64)>,
}

impl Figure {
    /// A figure of this server.
    pub fn new(name: impl Into<String>, unit: Unit, here: f64) -> Self {
        Self { name: name.into(), unit, here, target: None, peers: Vec::new() }
    }

    /// What it must reach.
    pub fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// What a peer does, where it does that.
    pub fn beside(mut self, peer: &'static str, figure: impl Into<Option<f64>>) -> Self {
        self.peers.extend(figure.into().map(|figure| (peer, figure)));
        self
    }

    fn peer(&self, name: &str) -> Option<f64> {
        self.peers.iter().find(|(peer, _)| *peer == name).map(|(_, figure)| *figure)
    }
}

/// All figures of a run.
pub struct Table {
    peers: [&'static str; 2],
    figures: Vec<Figure>,
}

impl Table {
    /// None yet, beside these peers.
    pub fn beside(peers: [&'static str; 2]) -> Self {
        Self { peers, figures: Vec::new() }
    }

    /// Adds one and says it at once, since a run takes minutes.
    pub fn push(&mut self, figure: Figure) {
        eprintln!("  {:<48} {:>10} {}", figure.name, number(figure.here), figure.unit.name());
        self.figures.push(figure);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<48} {:>9} {:<6} {:>9} {:<6} {:>9} {:>7} {:>9} {:>7}",
            "figure", "here", "", "target", "", self.peers[0], "×", self.peers[1], "×"
        )?;
        let (mut met, mut targets) = (0, 0);
        for figure in &self.figures {
            let here = figure.here;
            let (target, verdict) = match figure.target {
                None => (String::new(), ""),
                Some(target) => {
                    let kept = figure.unit.meets(here, target);
                    targets += 1;
                    met += usize::from(kept);
                    let sign = if figure.unit == Unit::Rate { "≥" } else { "≤" };
                    (format!("{sign} {}", number(target)), if kept { "met" } else { "MISSED" })
                }
            };
            let [one, other] = self.peers.map(|peer| match figure.peer(peer) {
                None => (String::new(), String::new()),
                Some(there) => (number(there), format!("{:.1}", figure.unit.times_better(here, there))),
            });
            let line = format!(
                "{:<48} {:>9} {:<6} {target:>9} {verdict:<6} {:>9} {:>7} {:>9} {:>7}",
                figure.name,
                number(here),
                figure.unit.name(),
                one.0,
                one.1,
                other.0,
                other.1
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f, "\n{met} of {targets} targets met; × says how many times better this is than the peer.")
    }
}

/// Three digits that matter, and thousands apart.
fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What the figures are taken on.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("machine      {cores} cores, {}, Linux {}", model.unwrap_or("unknown"), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_reach_their_target_and_costs_stay_within_it() {
        assert!(Unit::Rate.meets(10.0, 9.0) && !Unit::Rate.meets(8.0, 9.0));
        assert!(Unit::Millis.meets(8.0, 9.0) && !Unit::Millis.meets(10.0, 9.0));
        assert_eq!(Unit::Rate.times_better(20.0, 10.0), 2.0);
        assert_eq!(Unit::Mib.times_better(20.0, 10.0), 0.5);
    }

    #[test]
    fn numbers_keep_three_digits_that_matter() {
        let shown = [0.0, 1.234, 12.34, 123.4, 1234.0, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.00", "1.23", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn a_table_counts_what_is_met() {
        let mut table = Table::beside(["kube", "etcd"]);
        table.push(Figure::new("GET", Unit::Micros, 10.0).target(20.0).beside("kube", 400.0));
        table.push(Figure::new("PUT", Unit::Micros, 30.0).target(20.0).beside("etcd", 60.0));
        let shown = table.to_string();
        assert!(shown.contains("≤ 20.0 met") && shown.contains("≤ 20.0 MISSED"), "{shown}");
        assert!(shown.contains("1 of 2 targets met"), "{shown}");
        let line = |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(line("GET").ends_with("400    40.0"), "{shown}");
        assert!(line("PUT").ends_with("60.0     2.0"), "{shown}");
    }
}
