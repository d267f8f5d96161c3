"""From SAM to CloudFormation, as AWS does it: translate.py TEMPLATE OUT [PARAMETER=VALUE …]"""

import json
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")

from samtranslator.translator.transform import transform  # noqa: E402  (it wants the region)
from samtranslator.yaml_helper import yaml_parse  # noqa: E402


class NoPolicies:
    """The template names no managed policies of AWS, so their list is not needed."""

    def load(self):
        return {}


def main(template, out, *parameters):
    with open(template, encoding="utf-8") as file:
        tree = yaml_parse(file.read())
    # AWS puts the defaults in before it translates.
    values = {name: one["Default"] for name, one in tree["Parameters"].items() if "Default" in one}
    values.update(parameter.split("=", 1) for parameter in parameters)
    translated = transform(tree, values, NoPolicies())
    with open(out, "w", encoding="utf-8") as file:
        json.dump(translated, file, indent=1)


main(*sys.argv[1:])
