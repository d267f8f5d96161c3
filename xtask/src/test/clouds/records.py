"""Asserts that there is one object for each event, with the content that it should have.

usage: records.py FOLDER EVENTS
"""

import json
import pathlib
import sys

folder, events = pathlib.Path(sys.argv[1]), int(sys.argv[2])
records = [json.loads(file.read_text()) for file in folder.rglob("*.json")]
numbers = sorted(int(record["number"]) for record in records)
assert numbers == list(range(events)), f"{len(numbers)} objects of {events}"
print(f"{events} objects, as they should be")
