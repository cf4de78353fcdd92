//! Lines over a scale of numbers, and bars beside each other, as SVG.

use std::{fmt::Write, fs, path::Path};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 130.0;
const COLORS: [&str; 6] = ["#0b5fa5", "#7fb2dd", "#b3470b", "#e6a67f", "#3c7a34", "#9cc894"];

/// A diagram with latencies in microseconds upwards, on a logarithmic scale.
#[derive(Debug)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) across: &'static str,
    /// Whether the scale from left to right is logarithmic.
    pub(crate) is_logarithmic: bool,
    /// Each line with its name.
    pub(crate) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Plot {
    /// Writes it among the results.
    pub(crate) fn save(&self, name: &str) -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(format!("{name}.svg")), self.svg())?)
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, line)| line.iter().copied());
        let across = |x: f64| if self.is_logarithmic { x.log10() } else { x };
        let least = points().map(|(x, _)| across(x)).fold(f64::MAX, f64::min);
        let most = points().map(|(x, _)| across(x)).fold(f64::MIN, f64::max);
        let low = points().map(|(_, y)| y.log10()).fold(f64::MAX, f64::min).floor();
        let high = points().map(|(_, y)| y.log10()).fold(f64::MIN, f64::max).ceil();
        let place = |x: f64, y: f64| {
            let right = LEFT + (across(x) - least) / (most - least).max(f64::EPSILON) * (WIDTH - LEFT - RIGHT);
            let down = HEIGHT - BOTTOM - (y.log10() - low) / (high - low).max(f64::EPSILON) * (HEIGHT - BOTTOM - TOP);
            (right, down)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
            let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{text}</text>");
        };
        text(LEFT, 20.0, "start", self.title);
        text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0, "middle", self.across);
        let mut grid = String::new();
        let mut power = low;
        while power <= high {
            let (x, y) = place(points().map(|(x, _)| x).fold(f64::MAX, f64::min), 10_f64.powf(power));
            text(x - 6.0, y + 4.0, "end", &format!("{} µs", 10_f64.powf(power)));
            let _ = writeln!(grid, "<path d=\"M{x:.1} {y:.1}H{:.1}\" stroke=\"#ddd\"/>", WIDTH - RIGHT);
            power += 1.0;
        }
        for (x, _) in self.lines.first().into_iter().flat_map(|(_, line)| line) {
            let (right, _) = place(*x, 10_f64.powf(low));
            let label = if self.is_logarithmic { format!("10^{:.0}", x.log10()) } else { x.to_string() };
            text(right, HEIGHT - BOTTOM + 16.0, "middle", &label);
        }
        for (number, (name, _)) in self.lines.iter().enumerate() {
            let down = 20.0_f64.mul_add(f64::from(u32::try_from(number).unwrap_or(0)), TOP + 10.0);
            text(WIDTH - RIGHT + 30.0, down + 4.0, "start", name);
        }
        svg.push_str(&grid);
        for (number, ((_, line), color)) in self.lines.iter().zip(COLORS).enumerate() {
            let down = 20.0_f64.mul_add(f64::from(u32::try_from(number).unwrap_or(0)), TOP + 10.0);
            let key = WIDTH - RIGHT + 8.0;
            let points: String = line.iter().map(|(x, y)| place(*x, *y)).fold(String::new(), |mut all, (x, y)| {
                let _ = write!(all, "{x:.1},{y:.1} ");
                all
            });
            let style = format!("fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"");
            let _ = writeln!(svg, "<polyline points=\"{points}\" {style}/>");
            let _ = writeln!(svg, "<path d=\"M{key} {down}h16\" {style}/>");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Figures of the same kind, one below the other, from zero.
#[derive(Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// Written behind each figure.
    pub(crate) unit: &'static str,
    /// Each figure with its name.
    pub(crate) bars: Vec<(String, f64)>,
}

impl Bars {
    /// Writes them among the results.
    pub(crate) fn save(&self, name: &str) -> anyhow::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(format!("{name}.svg")), self.svg())?)
    }

    fn svg(&self) -> String {
        const NAMES: f64 = 210.0;
        const FIGURES: f64 = 90.0;
        const STEP: f64 = 28.0;
        let most = self.bars.iter().map(|(_, figure)| *figure).fold(f64::EPSILON, f64::max);
        let height = TOP + STEP * f64::from(u32::try_from(self.bars.len()).unwrap_or(0)) + 10.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"20\">{}</text>\n",
            self.title
        );
        let mut down = TOP;
        for (name, figure) in &self.bars {
            let long = figure / most * (WIDTH - NAMES - FIGURES);
            let is_own = name.starts_with("portcullis");
            let color = if is_own { COLORS[0] } else { COLORS[1] };
            let digits = if most < 100.0 { 1 } else { 0 };
            // Writing into memory does not fail.
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{name}</text>",
                NAMES - 8.0,
                down + 14.0
            );
            let _ = writeln!(
                svg,
                "<rect x=\"{NAMES}\" y=\"{down:.0}\" width=\"{long:.1}\" height=\"20\" fill=\"{color}\"/>"
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\">{figure:.digits$}{}</text>",
                NAMES + long + 6.0,
                down + 14.0,
                self.unit
            );
            down += STEP;
        }
        svg.push_str("</svg>\n");
        svg
    }
}
