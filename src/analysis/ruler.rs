//! The way from a model's measure to the positive scale on which a curve is analysed.
//!
//! The analyzer works on scales whose decimal logarithm is their coordinate, and its priors are in decades. Compute, parameters
//! and tokens are such scales. A loss is not: it falls, and it is no logarithm. Its coordinate is minus the loss, stretched
//! linearly until the models span as many decades as their compute does. Perplexity is the same axis with other numbers on it.

use crate::schema::{Axis, Onset, Scale};

use super::words;

/// Decades that the models of a curve span where their compute does not say: as in the simulations.
const DECADES: f64 = 4.5;
/// Fewer decades of compute are no ladder, and do not say how far apart losses are.
const LEAST_DECADES: f64 = 1.0;

/// The axis of a curve with its way to scales and back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ruler {
    /// The axis.
    pub(super) axis: Axis,
    /// The coordinate of the least able model.
    origin: f64,
    /// Decades per unit of the coordinate.
    stretch: f64,
}

impl Ruler {
    /// A ruler for models; those without a measure on the axis are passed over.
    pub(super) fn new<'a>(axis: Axis, scales: impl Iterator<Item = &'a Scale>) -> Self {
        if !axis.falls() {
            return Self { axis, origin: 0.0, stretch: 1.0 };
        }
        let placed: Vec<(f64, Option<f64>)> = scales
            .filter_map(|scale| Some((axis.coordinate(axis.measure(scale)?), Axis::Flops.measure(scale).map(f64::log10))))
            .collect();
        let (origin, range) = span(placed.iter().map(|(coordinate, _)| *coordinate));
        let compute: Option<Vec<f64>> = placed.iter().map(|(_, compute)| *compute).collect();
        let decades = compute.map(|compute| span(compute.into_iter()).1).filter(|decades| *decades >= LEAST_DECADES);
        let stretch = if range > 0.0 { decades.unwrap_or(DECADES) / range } else { 1.0 };
        Self { axis, origin, stretch }
    }

    /// The scale of a measure, positive and rising with ability.
    pub(super) fn scale(&self, measure: f64) -> f64 {
        if self.axis.falls() { 10_f64.powf(self.stretch * (self.axis.coordinate(measure) - self.origin)) } else { measure }
    }

    /// The measure at a scale.
    pub(super) fn measure(&self, scale: f64) -> f64 {
        if self.axis.falls() { self.axis.at(scale.log10() / self.stretch + self.origin) } else { scale }
    }

    /// The measure at a scale, as a number in a sentence.
    pub(super) fn text(&self, scale: f64) -> String {
        self.axis.text(self.measure(scale))
    }

    /// A distance on the axis, given in decades of scale, with its unit.
    pub(super) fn distance(&self, decades: f64) -> String {
        if self.axis.falls() {
            format!("{} nats of loss", words::score(self.length(decades)))
        } else {
            format!("{decades:.1} decades")
        }
    }

    /// A distance, given in decades of scale: nats on the axes of loss and perplexity, decades on the others.
    pub(super) fn length(&self, decades: f64) -> f64 {
        decades / self.stretch
    }

    /// An onset in scales as one in measures. `known` are the measures of the models: one of them stays exactly what it is.
    pub(super) fn onset(&self, onset: &Onset, known: &[f64]) -> Onset {
        let back = |scale: Option<f64>| scale.map(|scale| self.back(scale, known));
        Onset {
            below: back(onset.below),
            above: back(onset.above),
            knee: back(onset.knee),
            midpoint: back(onset.midpoint),
            low: back(onset.low),
            high: back(onset.high),
        }
    }

    /// The measure at a scale; a known one when it is that of a model.
    pub(super) fn back(&self, scale: f64, known: &[f64]) -> f64 {
        let of_model = known.iter().copied().find(|measure| self.scale(*measure).total_cmp(&scale).is_eq());
        of_model.unwrap_or_else(|| self.measure(scale))
    }
}

/// The smallest value and the distance to the largest; zeros for no values.
pub(super) fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high { (0.0, 0.0) } else { (low, high - low) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(loss: f64, flops: Option<f64>) -> Scale {
        Scale { loss: Some(loss), flops, ..Scale::default() }
    }

    #[test]
    fn losses_rise_to_scales_that_span_what_their_compute_spans_and_come_back() {
        let with = [scale(3.0, Some(1e18)), scale(2.5, Some(1e20)), scale(2.0, Some(1e21))];
        let ruler = Ruler::new(Axis::Loss, with.iter());
        assert!((ruler.scale(3.0) - 1.0).abs() < 1e-12 && (ruler.scale(2.0).log10() - 3.0).abs() < 1e-12);
        assert!((ruler.measure(ruler.scale(2.37)) - 2.37).abs() < 1e-12);
        assert_eq!((ruler.text(ruler.scale(2.5)), ruler.distance(1.5)), ("2.500".into(), "0.5 nats of loss".into()));
        // Without compute, or with too little of it, 4.5 decades.
        let without = [scale(3.0, Some(1e18)), scale(2.0, None)];
        assert!((Ruler::new(Axis::Loss, without.iter()).scale(2.0).log10() - 4.5).abs() < 1e-12);
        // Perplexity is the same axis.
        let perplexity = Ruler::new(Axis::Perplexity, with.iter());
        assert!((perplexity.scale(2.5_f64.exp()) / ruler.scale(2.5) - 1.0).abs() < 1e-9);
        assert_eq!(perplexity.text(perplexity.scale(2.0_f64.exp())), "7.39");
        // One loss has no range, and a compute axis is left as it is.
        assert!(Ruler::new(Axis::Loss, with[..1].iter()).scale(3.0) > 0.0);
        assert_eq!(Ruler::new(Axis::Flops, with.iter()).scale(1e20), 1e20);
    }
}
