//! The presets that come with the program, as they stand in `sql/presets`.
//!
//! Deals with: which there are. Does not deal with: reading them (`preset`).

/// Their names and texts, by name.
pub const ALL: &[(&str, &str)] = &[
    ("amplitude", include_str!("../../sql/presets/amplitude.toml")),
    ("ga4", include_str!("../../sql/presets/ga4.toml")),
    ("hubspot", include_str!("../../sql/presets/hubspot.toml")),
    ("mailchimp", include_str!("../../sql/presets/mailchimp.toml")),
    ("marketo", include_str!("../../sql/presets/marketo.toml")),
    ("matomo", include_str!("../../sql/presets/matomo.toml")),
    ("mixpanel", include_str!("../../sql/presets/mixpanel.toml")),
    ("posthog", include_str!("../../sql/presets/posthog.toml")),
    ("salesforce", include_str!("../../sql/presets/salesforce.toml")),
    ("segment", include_str!("../../sql/presets/segment.toml")),
    ("sensors", include_str!("../../sql/presets/sensors.toml")),
    ("snowplow", include_str!("../../sql/presets/snowplow.toml")),
    ("surveymonkey", include_str!("../../sql/presets/surveymonkey.toml")),
    ("umeng", include_str!("../../sql/presets/umeng.toml")),
    ("wjx", include_str!("../../sql/presets/wjx.toml")),
    ("zoho", include_str!("../../sql/presets/zoho.toml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/presets");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>(), files);
    }
}
