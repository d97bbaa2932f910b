//! Line plots as SVG.

use std::fmt::Write;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 44.0;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: String,
    /// In ascending order of x.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) dashed: bool,
}

/// An axis: what it says, and how values lie on it.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    /// Where it is marked, and by what. Empty for powers of ten.
    pub(super) marks: Vec<(f64, String)>,
}

/// How values lie on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Logarithmic,
    /// 0.9, 0.99 and 0.999 at equal distances.
    Nines,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.max(1e-9).log10(),
            Self::Nines => -(1.0 - value.min(0.999_95)).log10(),
        }
    }
}

/// Colours that tell apart on light and dark, and without red and green.
pub(super) const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a"];

pub(super) fn plot(lines: &[Line], x: &Axis, y: &Axis) -> String {
    // What is not known has no place.
    let known = |line: &Line| {
        let points = line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        Line { points, ..line.clone() }
    };
    let lines: Vec<_> = lines.iter().map(known).filter(|line| !line.points.is_empty()).collect();
    if lines.is_empty() {
        return "<p>Not known.</p>".to_owned();
    }
    let points = || lines.iter().flat_map(|line| &line.points);
    let range = |values: Vec<f64>| {
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(*at), high.max(*at)));
        if low < high { (low, high) } else { (low - 0.5, low + 0.5) }
    };
    let (x_low, x_high) = range(points().map(|point| x.scale.place(point.0)).collect());
    let (mut y_low, mut y_high) = range(points().map(|point| y.scale.place(point.1)).collect());
    match y.scale {
        Scale::Logarithmic => (y_low, y_high) = (y_low.floor(), y_high.ceil()),
        Scale::Linear | Scale::Nines => (y_low, y_high) = (0.0, y_high * 1.05),
    }
    let across = |value: f64| LEFT + (x.scale.place(value) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT);
    let down = |value: f64| TOP + (1.0 - (y.scale.place(value) - y_low) / (y_high - y_low)) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">");
    let mut put = |text: String| svg.push_str(&text);
    for (value, label) in marks(y, y_low, y_high) {
        let at = down(value);
        put(format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>", WIDTH - RIGHT));
        put(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0));
    }
    for (value, label) in marks(x, x_low, x_high) {
        let at = across(value);
        put(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", HEIGHT - BOTTOM + 16.0));
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    put(format!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 8.0, x.title));
    put(format!(
        "<text x=\"14\" y=\"{0}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {0})\">{1}</text>",
        HEIGHT / 2.0,
        y.title
    ));
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let mut path = String::new();
        for (at, point) in line.points.iter().enumerate() {
            let word = if at == 0 { 'M' } else { 'L' };
            // Writing into a string cannot fail.
            write!(path, "{word}{:.1} {:.1}", across(point.0), down(point.1)).unwrap_or_default();
        }
        let dashes = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        put(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>"));
        for point in &line.points {
            let title = format!("{}: {:.4}, {:.1}", line.name, point.0, point.1);
            let (x, y) = (across(point.0), down(point.1));
            put(format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{title}</title></circle>"
            ));
        }
    }
    svg.push_str("</svg>");
    let legend = lines
        .iter()
        .zip(COLOURS.iter().cycle())
        .map(|(line, colour)| format!("<span><i style=\"background:{colour}\"></i>{}</span>", line.name));
    format!("{svg}<div class=\"legend\">{}</div>", legend.collect::<String>())
}

fn marks(axis: &Axis, low: f64, high: f64) -> Vec<(f64, String)> {
    if !axis.marks.is_empty() {
        return axis.marks.clone();
    }
    match axis.scale {
        Scale::Logarithmic => {
            let powers = (low.floor() as i32..=high.ceil() as i32).map(|power| 10f64.powi(power));
            powers.map(|value| (value, short(value))).collect()
        }
        Scale::Linear | Scale::Nines => {
            let step = 10f64.powf((high / 4.0).log10().floor()).max(f64::MIN_POSITIVE);
            let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * step).into_iter().find(|step| high / step <= 6.0);
            let step = step.unwrap_or(high);
            (0..=(high / step) as u32).map(|at| f64::from(at) * step).map(|value| (value, short(value))).collect()
        }
    }
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => {
            format!("{:.3}", value / 1e6).trim_end_matches('0').trim_end_matches('.').to_owned() + "M"
        }
        value if value >= 1e3 => {
            format!("{:.3}", value / 1e3).trim_end_matches('0').trim_end_matches('.').to_owned() + "k"
        }
        value => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_drawn() {
        let axis = Axis { title: "", scale: Scale::Logarithmic, marks: Vec::new() };
        let line = |points: &[(f64, f64)]| Line { name: "one".to_owned(), points: points.to_vec(), dashed: false };
        let drawn = plot(&[line(&[(1.0, f64::NAN), (8.0, 2.0)]), line(&[(1.0, f64::NAN)])], &axis, &axis);
        assert_eq!(drawn.matches("<circle").count(), 1, "{drawn}");
        assert!(!drawn.contains("NaN"), "{drawn}");
        assert!(!plot(&[line(&[(1.0, f64::NAN)])], &axis, &axis).contains("NaN"));
    }
}
