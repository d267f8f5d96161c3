//! Figures of several rounds: their medians, their ratios to a yardstick, and whether a target is met.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::machine::Machine;

/// Everything that was measured in one run.
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) seconds: u64,
    pub(super) lines: Vec<Line>,
}

/// One figure.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) unit: &'static str,
    /// One value for each round.
    pub(super) values: Vec<f64>,
    /// What it is compared with, and its value in each round.
    pub(super) yardstick: Option<(&'static str, Vec<f64>)>,
    pub(super) target: Option<Target>,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// At least this many times the yardstick.
    RatioAtLeast(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Line {
    pub(super) fn new(name: impl Into<String>, unit: &'static str, values: Vec<f64>) -> Self {
        Self { name: name.into(), unit, values, yardstick: None, target: None }
    }

    pub(super) fn beside(mut self, yardstick: &'static str, values: &[f64]) -> Self {
        self.yardstick = Some((yardstick, values.to_vec()));
        self
    }

    pub(super) fn wants(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn value(&self) -> f64 {
        median(&self.values)
    }

    fn ratio(&self) -> Option<f64> {
        let (_, beside) = self.yardstick.as_ref()?;
        let ratios: Vec<f64> = self.values.iter().zip(beside).map(|(own, other)| own / other).collect();
        Some(median(&ratios))
    }

    /// Whether the target is met; `None` when there is none.
    pub(super) fn is_met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::RatioAtLeast(least) => self.ratio()? >= least,
            Target::AtLeast(least) => self.value() >= least,
            Target::AtMost(most) => self.value() <= most,
        })
    }

    fn verdict(&self) -> &'static str {
        match self.is_met() {
            None => "",
            Some(true) => "met",
            Some(false) => "missed",
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "value": self.value(),
            "rounds": self.values,
            "yardstick": self.yardstick.as_ref().map(|(name, values)| {
                json!({ "name": name, "value": median(values), "rounds": values })
            }),
            "ratio": self.ratio(),
            "target": self.target.map(|target| target.to_string()),
            "met": self.is_met(),
        })
    }
}

impl Report {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "machine": self.machine,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "lines": self.lines.iter().map(Line::to_json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(least) => write!(f, "≥ {least:.2} ×"),
            Self::AtLeast(least) => write!(f, "≥ {}", figure(*least)),
            Self::AtMost(most) => write!(f, "≤ {}", figure(*most)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["", "median", "", "beside", "", "ratio", "target", ""]);
        for column in [1, 4, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in &self.lines {
            let (beside, value) = match &line.yardstick {
                Some((name, values)) => (*name, figure(median(values))),
                None => ("", String::new()),
            };
            table.add_row([
                line.name.as_str(),
                &figure(line.value()),
                line.unit,
                beside,
                &value,
                &line.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
                &line.target.map(|target| target.to_string()).unwrap_or_default(),
                line.verdict(),
            ]);
        }
        write!(f, "{table}")
    }
}

/// The middle value; of two in the middle their mean; zero when there are none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// A figure as people write it: large ones with separators, small ones with two digits.
fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was twice as fast in the second round.
        let line = Line::new("x", "/s", vec![90.0, 180.0, 80.0]).beside("raw", &[100.0, 200.0, 100.0]);
        assert_eq!(line.ratio(), Some(0.9));
        assert_eq!(line.clone().wants(Target::RatioAtLeast(0.85)).is_met(), Some(true));
        assert_eq!(line.clone().wants(Target::RatioAtLeast(0.95)).is_met(), Some(false));
        assert_eq!(line.clone().wants(Target::AtLeast(91.0)).verdict(), "missed");
        assert_eq!(line.clone().wants(Target::AtMost(91.0)).verdict(), "met");
        assert_eq!(line.verdict(), "");
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(
            [0.854, 99.0, 100.0, 41_000.4, 1_234_567.0, -5_000.0].map(figure),
            ["0.85", "99.00", "100", "41,000", "1,234,567", "-5,000"]
        );
    }
}
