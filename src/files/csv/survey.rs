//! Headers of several rows, as the exports of survey tools have them.
//!
//! Deals with: SurveyMonkey's second row, which holds the answers that a question offers, and Qualtrics' second and third, which hold
//! the question's text and an identifier. Does not deal with: other second rows, which cannot be told from data: a row of units is one
//! row of texts, `skip` and `null` are the way out.
//!
//! Both are recognised by what no row of answers has: SurveyMonkey's by its first two columns, which identify a row and are empty
//! there; Qualtrics' by `{"ImportId":..}` in every column.
//!
//! | SurveyMonkey's first row | second row | column |
//! |---|---|---|
//! | `Respondent ID` | | `Respondent ID` |
//! | `How likely are you ..?` | `Response` | `How likely are you ..?` |
//! | `Which do you use?` | `Bus` | `Which do you use?: Bus` |
//! | | `Tram` | `Which do you use?: Tram` |

use super::{Dialect, Record, record, unquoted};

/// What the columns that identify an answer are called.
const SURVEYMONKEY: [&str; 2] = ["respondentid", "collectorid"];

/// What the second row says where a question has one column.
const ONE_ANSWER: [&str; 2] = ["Response", "Open-Ended Response"];

/// What each column of Qualtrics' third row begins with.
const QUALTRICS: &str = "{\"ImportId\":";

/// The names of the columns, and where the rows of answers begin, where more rows of the header stand at `at`.
pub fn below_header(text: &[u8], at: usize, dialect: Dialect, names: &[String]) -> Option<(Vec<String>, usize)> {
    let (second, next) = row(text, at, dialect, names.len())?;
    let plain = |name: &String| name.replace(' ', "").to_lowercase();
    if names.len() > SURVEYMONKEY.len() && names.iter().map(plain).zip(SURVEYMONKEY).all(|(name, known)| name == known)
    {
        let identifies = second[..SURVEYMONKEY.len()].iter().any(|field| !field.is_empty());
        let says_something = second.iter().any(|field| !field.is_empty());
        return (!identifies && says_something).then(|| (questions(names, &second), next));
    }
    let (third, next) = row(text, next, dialect, names.len())?;
    third.iter().all(|field| field.starts_with(QUALTRICS)).then(|| (names.to_vec(), next))
}

/// A record of as many fields as there are columns, and where the next one begins.
fn row(text: &[u8], at: usize, dialect: Dialect, columns: usize) -> Option<(Vec<String>, usize)> {
    let mut fields = Vec::new();
    let Record::Whole(next) = record(text, at, dialect, &mut fields) else { return None };
    if fields.len() != columns {
        return None;
    }
    let mut scratch = Vec::new();
    let texts = fields.iter().map(|field| {
        let text = std::str::from_utf8(unquoted(text, *field, dialect, &mut scratch)).ok()?;
        Some(text.trim().to_string())
    });
    Some((texts.collect::<Option<Vec<_>>>()?, next))
}

/// Questions with their answers.
fn questions(names: &[String], answers: &[String]) -> Vec<String> {
    let mut question = "";
    let mut all = Vec::with_capacity(names.len());
    for (at, (name, answer)) in names.iter().zip(answers).enumerate() {
        let goes_on = names.get(at + 1).is_some_and(String::is_empty) && !name.is_empty();
        if !name.is_empty() {
            question = name;
        }
        let alone = !goes_on && !name.is_empty() && ONE_ANSWER.iter().any(|one| answer.eq_ignore_ascii_case(one));
        all.push(match (question, answer.as_str()) {
            (_, "") => name.clone(),
            (question, _) if alone => question.to_string(),
            ("", answer) => answer.to_string(),
            (question, answer) => format!("{question}: {answer}"),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::{CsvOptions, shape};

    fn header(text: &str) -> (String, u64) {
        let found = shape(text.as_bytes(), &CsvOptions::default()).unwrap().unwrap();
        (found.names.join("/"), found.body_line)
    }

    #[test]
    fn answers_belong_to_their_questions() {
        let monkey = "Respondent ID,Collector ID,Start Date,How likely?,Which?,,,Why?\n\
            ,,,Response,Bus,Tram,\"Other, which\",Open-Ended Response\n\
            118000000000,431,05/01/2024,9,Bus,,,\"a\nb\"\n";
        let names =
            "Respondent ID/Collector ID/Start Date/How likely?/Which?: Bus/Which?: Tram/Which?: Other, which/Why?";
        assert_eq!(header(monkey), (names.to_string(), 3));
        assert_eq!(header(&monkey.replace("Respondent ID", "RespondentID").replace('\n', "\r\n")).1, 3);
        // An export of answers alone, without the second row.
        let rows = "Respondent ID,Collector ID,Start Date,How likely?,,Why?\n1,2,,Response,,\n";
        assert_eq!(header(rows), ("Respondent ID/Collector ID/Start Date/How likely?/column_5/Why?".to_string(), 2));
        // Other tables with empty fields.
        assert_eq!(header("id,who,what\n,,x\n1,2,y\n"), ("id/who/what".to_string(), 2));
        assert_eq!(header("Respondent ID,Collector ID\n,\n1,2\n").1, 2);
        assert_eq!(header("Respondent ID,Collector ID,Q\n,,\n1,2,3\n").1, 2);
    }

    #[test]
    fn identifiers_of_columns_are_no_answers() {
        let qualtrics = "StartDate,Q1,Q2\n\
            Start Date,\"How likely\nare you?\",Why?\n\
            \"{\"\"ImportId\"\":\"\"startDate\"\",\"\"timeZone\"\":\"\"Z\"\"}\",\"{\"\"ImportId\"\":\"\"QID1\"\"}\",\"{\"\"ImportId\"\":\"\"QID2\"\"}\"\n\
            2024-05-01 10:00:00,9,x\n";
        assert_eq!(header(qualtrics), ("StartDate/Q1/Q2".to_string(), 5));
        assert_eq!(header("a,b\nx,y\n\"{\"\"ImportId\"\":1}\",z\n").1, 2);
    }
}
