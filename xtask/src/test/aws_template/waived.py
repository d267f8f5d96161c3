"""Compares what checkov found with what is waived: waived.py CHECKOV_JSON WAIVERS"""

import json
import sys

from report import Report


def main(found, waivers):
    report = Report()
    with open(found, encoding="utf-8") as file:
        results = json.load(file)
    failed = {(one["check_id"], one["resource"].split(".")[-1]): one["check_name"] for one in results["results"]["failed_checks"]}
    waived = {}
    with open(waivers, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                check, resource, reason = line.strip().split(" ", 2)
                waived[check, resource] = reason

    def everything_is_read():
        assert results["summary"]["parsing_errors"] == 0 and results["summary"]["passed"] > 100, results["summary"]

    report.check("checkov reads the template", everything_is_read)
    for key, name in sorted(failed.items()):
        def has_a_reason(key=key):
            assert key in waived, f"mend it, or give a reason in waivers.txt: {' '.join(key)} REASON"
        report.check(f"{key[0]} of {key[1]} ({name}) is waived: {waived.get(key, '')}", has_a_reason)

    def no_waiver_is_left_over():
        assert not set(waived) - set(failed), f"take out {sorted(set(waived) - set(failed))}"

    report.check("every waiver is needed", no_waiver_is_left_over)
    report.end()


main(*sys.argv[1:])
