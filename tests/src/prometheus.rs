//! What a process shows to Prometheus, read as Prometheus would: name, labels, value.

use std::collections::BTreeMap;

/// One time series at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name, with the suffix of a histogram.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// Everything that one scrape showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// Asks `address` for `/metrics`.
    ///
    /// # Panics
    ///
    /// When it does not answer with metrics.
    pub async fn scrape(address: &str) -> Self {
        let answer = reqwest::get(format!("http://{address}/metrics")).await.expect("metrics are served");
        assert!(answer.status().is_success(), "{}", answer.status());
        let media_type = answer.headers()["content-type"].to_str().expect("a media type is text").to_owned();
        assert!(media_type.starts_with("text/plain"), "{media_type}");
        Self::parse(&answer.text().await.expect("metrics are text"))
    }

    /// Reads the text format.
    ///
    /// # Panics
    ///
    /// When a line is neither a comment nor a sample.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(lines.map(sample).collect())
    }

    /// The sum of all series of a name that have these labels, among others.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|it| it == value))
        };
        self.0.iter().filter(has).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
    let (name, labels) = series.strip_suffix('}').and_then(|it| it.split_once('{')).unwrap_or((series, ""));
    let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
        let (key, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label: {line:?}"));
        (key.to_owned(), value.trim_end_matches('"').to_owned())
    });
    let value = value.parse().unwrap_or_else(|_| panic!("no value: {line:?}"));
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}
