//! `aftercall aws lint`: the recipe that everybody begins with, and what is wrong with it.

use crate::site::Site;

/// EventBridge, a queue, a function, as it stands in many a blog.
const RECIPE: &str = r"AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Rule:
    Type: AWS::Events::Rule
    Properties:
      Targets:
        - Id: queue
          Arn: !GetAtt Calls.Arn
          SqsParameters: {MessageGroupId: genesys}
  Calls:
    Type: AWS::SQS::Queue
    Properties:
      FifoQueue: true
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 5}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {FifoQueue: true}
  Deliver:
    Type: AWS::Lambda::Function
    Properties: {Timeout: 60, ReservedConcurrentExecutions: 50}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: !GetAtt Calls.Arn, FunctionName: !Ref Deliver}
";

#[test]
fn the_recipe_of_the_blogs_is_full_of_traps() {
    let site = Site::new("");
    std::fs::write(site.path("recipe.yaml"), RECIPE).unwrap();
    let output = site.run(&["aws", "lint", "recipe.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("aws_lint", String::from_utf8(output.stdout).unwrap());
    let output = site.run(&["aws", "lint", "--json", "recipe.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let traps: Vec<&str> = told[0]["report"]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["trap"].as_str().unwrap())
        .collect();
    assert!(traps.contains(&"reserved-concurrency-alone") && traps.contains(&"constant-message-group"), "{traps:?}");
}

#[test]
fn a_good_template_ends_with_0_and_what_is_none_with_2() {
    let site = Site::new("");
    std::fs::write(site.path("good.json"), r#"{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}"#).unwrap();
    let output = site.run(&["aws", "lint", "good.json"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "good.json: 0 traps, 0 waived, 0 that cannot be judged, in 1 resource\n"
    );
    std::fs::write(site.path("none.yaml"), "Resources:\n  A: {Type: [\n").unwrap();
    std::fs::File::create(site.path("huge.yaml")).unwrap().set_len(1 << 40).unwrap();
    let refused = [
        ("none.yaml", "line 3: "),
        ("absent.yaml", "reading absent.yaml"),
        ("huge.yaml", "larger than a template can be"),
    ];
    for (file, said) in refused {
        let output = site.run(&["aws", "lint", file]);
        assert_eq!(output.status.code(), Some(2));
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(err.contains(said) && !err.contains("panicked"), "{err}");
    }
}
