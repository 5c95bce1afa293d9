//! A report's first figure as bars, a bar a contender, on a logarithmic axis: what is compared differs by magnitudes.

use std::path::Path;

use plotters::prelude::*;

use super::number::number;
use super::{ContenderReport, Report, Spread};
use crate::stand::Fault;

const WIDTH: u32 = 720;
const BAR_HEIGHT: u32 = 28;
const MARGIN: u32 = 70;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const FLOOR: RGBColor = RGBColor(0x70, 0x70, 0x70);
const PEER: RGBColor = RGBColor(0xd0, 0x9a, 0x40);

/// Draws it; false if there is nothing to compare.
pub fn draw(report: &Report, path: &Path) -> Result<bool, Fault> {
    let Some(first) = report.contenders.first().and_then(|contender| contender.figures.first()) else {
        return Ok(false);
    };
    let bar = |contender: &ContenderReport| {
        let figure = contender.figures.iter().find(|figure| figure.name == first.name)?;
        (figure.spread.median > 0.0).then(|| (contender.name.clone(), color(&contender.role), figure.spread))
    };
    // The first contender stands at the top.
    let bars: Vec<(String, RGBColor, Spread)> = report.contenders.iter().rev().filter_map(bar).collect();
    if bars.len() < 2 {
        return Ok(false);
    }
    let least = bars.iter().map(|(_, _, spread)| spread.median).fold(f64::INFINITY, f64::min) / 3.0;
    let most = bars.iter().map(|(_, _, spread)| spread.median).fold(0.0, f64::max) * 4.0;
    let area = SVGBackend::new(path, (WIDTH, MARGIN + BAR_HEIGHT * bars.len() as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("{}: {} [{}]", report.scenario, first.name, first.unit);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(8)
        .x_label_area_size(24)
        .y_label_area_size(170)
        .build_cartesian_2d((least..most).log_scale(), 0.0..bars.len() as f64)?;
    let name = |at: &f64| {
        let whole = at.floor();
        let found = bars.get(whole as usize).filter(|_| (at - whole - 0.5).abs() < 0.01);
        found.map_or_else(String::new, |(name, _, _)| name.clone())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len() * 2 + 1)
        .y_label_formatter(&name)
        .x_label_formatter(&|value| number(*value))
        .draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(at, (_, color, spread))| {
        let at = at as f64;
        Rectangle::new([(least, at + 0.15), (spread.median, at + 0.85)], color.filled())
    }))?;
    chart.draw_series(bars.iter().enumerate().map(|(at, (_, _, spread))| {
        Text::new(number(spread.median), (spread.median * 1.05, at as f64 + 0.7), ("sans-serif", 13))
    }))?;
    area.present()?;
    Ok(true)
}

fn color(role: &str) -> RGBColor {
    match role {
        "ours" => OURS,
        "floor" => FLOOR,
        _ => PEER,
    }
}
