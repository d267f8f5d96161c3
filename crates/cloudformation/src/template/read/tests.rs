//! What is no template is refused with the place, and nothing makes the reader panic.

use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> String {
    template(text).unwrap_err().to_string()
}

#[test]
fn what_is_no_template_is_refused_with_the_place() {
    assert_eq!(refused(""), "line 1: the file is empty");
    assert_eq!(refused("a: 1"), "line 1: there are no `Resources`; is this a CloudFormation or SAM template?");
    assert_eq!(refused("Resources: [a]"), "line 1: `Resources` must be a map of logical ids");
    assert_eq!(refused("Resources:\n  Q:\n    Properties: {}"), "line 3: resource `Q` has no `Type`");
    assert_eq!(refused("a: &x 1\nb: *x"), "line 2: CloudFormation takes no aliases (`*name`); write the value out");
    assert_eq!(refused("a: 1\n---\nb: 1"), "line 2: a template is one YAML document");
    assert_eq!(refused("? [a]\n: 1"), "line 1: the key of a map must be a text");
    assert_eq!(refused("a: 1\na: 2"), "line 2: `a` stands twice in one map; AWS takes the last without a word");
    assert!(refused("a: [1").starts_with("line 2: "), "{}", refused("a: [1"));
    assert_eq!(refused(&"[".repeat(100_000)), "line 1: recursion limit exceeded; a template is YAML or JSON");
    assert_eq!(
        refused(&format!("{}{}", "[".repeat(101), "]".repeat(101))),
        "line 1: more than 100 levels deep; no template is"
    );
    assert!(refused(&" ".repeat(Template::TEXT_MAX + 1)).contains("larger than a template can be"));
}

#[test]
fn both_ways_to_write_a_function_are_one() {
    for text in ["!GetAtt Q.Arn", "{'Fn::GetAtt': Q.Arn}", "{\"Fn::GetAtt\": \"Q.Arn\"}"] {
        let node = tree(text).unwrap();
        let Value::Call(name, inner) = node.value else { panic!("{text} is no call") };
        assert_eq!((name.as_str(), inner.as_text()), ("GetAtt", Some("Q.Arn")));
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,200}", indent in "[ \\-:!&*{}\\[\\]\n'\"a-zA-Z0-9#|>%@]{0,200}") {
        let _ = template(&text);
        let _ = template(&indent);
        if let Ok(template) = template(&format!("Resources:\n  A:\n    Type: AWS::SQS::Queue\n    Properties: {indent}")) {
            let _ = crate::examine(&template);
        }
    }
}
