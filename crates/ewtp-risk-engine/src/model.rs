//! The model: points for exporters and goods, and the score from which a consignment is looked at.

use ewtp_proto::v1;
use serde::Deserialize;

/// Why a model was refused.
#[derive(Debug, thiserror::Error)]
#[error("the model can't be read: {0}")]
pub struct ModelError(#[from] toml::de::Error);

/// Points by what a filing says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Score from which the goods are controlled when they arrive.
    pub control_from: u32,
    /// Points by HS prefix.
    #[serde(default)]
    pub hs: Vec<Points>,
    /// Points by exporter's registered id.
    #[serde(default)]
    pub exporter: Vec<Points>,
}

/// Points for one thing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// HS prefix, or registered id.
    pub is: String,
    /// Points.
    pub points: u32,
}

/// A score and what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Sum of points.
    pub points: u32,
    /// What gave points.
    pub because: Vec<String>,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// [`ModelError`].
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        Ok(toml::from_str(text)?)
    }

    /// Scores a filing: each line of the model counts once, however many items fit it.
    #[must_use]
    pub fn score(&self, core: &v1::FilingCore) -> Score {
        let mut score = Score::default();
        let has = |prefix: &str| core.items.iter().any(|i| i.commodity_code.starts_with(prefix));
        for line in self.hs.iter().filter(|l| has(&l.is)) {
            score.points = score.points.saturating_add(line.points);
            score.because.push(format!("HS {}: {}", line.is, line.points));
        }
        for line in self.exporter.iter().filter(|l| l.is == core.exporter_id) {
            score.points = score.points.saturating_add(line.points);
            score.because.push(format!("exporter {}: {}", line.is, line.points));
        }
        score
    }
}
