//! The outcome as JUnit's XML, which every CI reads.

use super::outcome::{Count, FileOutcome, failure};

/// One suite for each file, one case for each test. A file that is not valid is a case with an error.
pub(super) fn report(outcomes: &[FileOutcome]) -> String {
    let count = Count::of(outcomes);
    let tests = count.passed + count.failed + count.invalid_files;
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    xml += &format!(
        "<testsuites name=\"portcullis\" tests=\"{tests}\" failures=\"{}\" errors=\"{}\">\n",
        count.failed, count.invalid_files
    );
    for outcome in outcomes {
        xml += &suite(outcome);
    }
    xml + "</testsuites>\n"
}

fn suite(outcome: &FileOutcome) -> String {
    let file = escaped(&outcome.file);
    let tests = match &outcome.tests {
        Ok(tests) => tests,
        Err(problems) => {
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return format!(
                "  <testsuite name=\"{file}\" tests=\"1\" failures=\"0\" errors=\"1\">\n    \
                 <testcase classname=\"{file}\" name=\"the file\" file=\"{file}\">\n      \
                 <error message=\"the file is not valid\">{}</error>\n    </testcase>\n  </testsuite>\n",
                escaped(&text.join("\n"))
            );
        }
    };
    let failed = tests.iter().filter(|test| !test.passed()).count();
    let mut xml =
        format!("  <testsuite name=\"{file}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\">\n", tests.len());
    for test in tests {
        let (name, line) = (escaped(&test.name), test.place.line);
        xml += &format!("    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{line}\"");
        if test.passed() {
            xml += "/>\n";
            continue;
        }
        let text = failure(&outcome.file, test);
        let message = text.lines().next().unwrap_or_default();
        xml += &format!(
            ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
            escaped(message),
            escaped(&text)
        );
    }
    xml + "  </testsuite>\n"
}

/// A text that is right within an element and an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&apos;",
            '\n' => escaped += "&#10;",
            '\t' => escaped += "&#9;",
            // XML 1.0 has no word for these, not even escaped.
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_right_in_xml() {
        assert_eq!(
            escaped("a<b> & \"c\" 'd'\n\u{1}\u{7f}é"),
            "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;&#10;\u{fffd}\u{fffd}é"
        );
    }
}
